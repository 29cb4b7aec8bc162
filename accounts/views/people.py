"""Admin Panel → User Management."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts import access, listing, reach, roles, services
from accounts.forms import InviteForm, RoleForm
from email_settings.suppression.standing import standing_of
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@admin_required
@require_safe
def user_list(request: HttpRequest) -> HttpResponse:
    """Show everybody who may sign in, and who is invited to."""
    return render(
        request,
        "accounts/user_list.html",
        {
            "people": listing.people(request.GET),
            "invitations": listing.invitations(request.GET),
            "invite_form": InviteForm(),
        },
    )


@admin_required
@require_safe
def user_detail(request: HttpRequest, user_id: int) -> HttpResponse:
    person = access.get_person(access.signed_in(request), user_id)
    return render(
        request,
        "accounts/user_detail.html",
        {
            "person": person,
            "role": roles.card(person.role),
            "is_self": person == request.user,
            "role_form": RoleForm(initial={"role": person.role}),
            "history": services.history_of(person),
            "standing": standing_of(person.email),
            "mails": reach.last_mails(person.email),
            "activity_url": reach.activity_url(person.email),
        },
    )


@admin_required
@require_POST
def user_role(request: HttpRequest, user_id: int) -> HttpResponse:
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise BadRequest("There is no such role.")
    role = form.cleaned_data["role"]
    actor = access.signed_in(request)

    def change() -> str:
        person = services.change_role(actor=actor, user_id=user_id, role=role)
        return f"{person} is now {roles.card(person.role).with_article}."

    return _do(request, user_id, change)


@admin_required
@require_POST
def user_deactivate(request: HttpRequest, user_id: int) -> HttpResponse:
    actor = access.signed_in(request)

    def change() -> str:
        person = services.deactivate_user(actor=actor, user_id=user_id)
        return f"{person} is deactivated and signed out everywhere."

    return _do(request, user_id, change)


@admin_required
@require_POST
def user_reactivate(request: HttpRequest, user_id: int) -> HttpResponse:
    actor = access.signed_in(request)

    def change() -> str:
        person = services.reactivate_user(actor=actor, user_id=user_id)
        return f"{person} can sign in again."

    return _do(request, user_id, change)


def _do(request: HttpRequest, user_id: int, change: Callable[[], str]) -> HttpResponse:
    try:
        messages.success(request, change())
    except DomainError as error:
        messages.error(request, str(error))
    return redirect("accounts:user-detail", user_id=user_id)
