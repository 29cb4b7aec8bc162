"""How people come to another e-mail address."""

from allauth.core.ratelimit import consume_or_429
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access, consent, reach
from accounts import email_change as changes
from accounts.errors import AddressError, EmailChangeClosedError
from accounts.forms import OwnEmailForm, PersonsEmailForm
from accounts.models import EmailChange, User
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("password")
def email_change(request: HttpRequest) -> HttpResponse:
    """Ask for another address of one's own, and show what one waits for."""
    person = access.signed_in(request)
    # Guesses count together with those on the page that changes the password.
    if request.method == "POST" and (
        refusal := consume_or_429(request, action="change_password", user=person)
    ):
        return refusal
    form = OwnEmailForm(request.POST or None, person=person)
    if form.is_valid():
        try:
            changes.ask(actor=person, new_email=form.cleaned_data["new_email"])
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            return redirect("accounts:email-change")
    change = changes.pending_of(person)
    mail = change.outbox_message if change else None
    return render(
        request,
        "accounts/email_change.html",
        {
            "form": form,
            "change": change,
            "mail": reach.Delivery(mail) if mail else None,
            "is_admin_way_open": person.is_admin and changes.may_change_own_as_admin(),
        },
    )


@require_POST
def email_change_resend(request: HttpRequest) -> HttpResponse:
    try:
        change = changes.resend(actor=access.signed_in(request))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            f"A new link is on its way to {change.new_email}. The earlier one no longer "
            "works.",
        )
    return redirect("accounts:email-change")


@require_POST
def email_change_cancel(request: HttpRequest) -> HttpResponse:
    person = access.signed_in(request)
    if changes.cancel(actor=person):
        messages.success(request, f"Your address stays {person.email}.")
    return redirect("accounts:profile")


@require_POST
def mail_again(request: HttpRequest) -> HttpResponse:
    """Take back that one called mail from here spam."""
    person = access.signed_in(request)
    try:
        consent.mail_again(actor=person)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"We e-mail you at {person.email} again.")
    return redirect("accounts:profile")


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def email_change_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Change the address. Opening the page changes nothing: scanners do it too."""
    change = changes.find(token)
    if change is None:
        return render(request, "accounts/email_change_unknown.html", status=404)
    if request.method == "POST" and changes.is_open(change):
        try:
            return _confirmed(request, changes.confirm(token=token))
        except AddressError as error:
            return _shut(request, change, str(error), status=409)
        except EmailChangeClosedError:
            change = changes.find(token) or change
    if not changes.is_open(change):
        return _shut(request, change)
    return render(request, "accounts/email_change_confirm.html", {"change": change})


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def user_email(request: HttpRequest, user_id: int) -> HttpResponse:
    """Give somebody another address, after a second look at what follows."""
    actor = access.signed_in(request)
    person = access.get_person(actor, user_id)
    form = PersonsEmailForm(request.POST or None)
    context = {"person": person, "form": form, "is_self": person == actor}
    if form.is_valid():
        new_email = form.cleaned_data["new_email"].lower()
        try:
            if request.POST.get("confirmed") == new_email:
                return _changed(request, actor, user_id, new_email)
            changes.refuse_for(actor=actor, person=person, new_email=new_email)
            context |= {
                "new_email": new_email,
                "barred": reach.barred_of([new_email]).get(new_email),
            }
        except DomainError as error:
            form.add_error(None, str(error))
    return render(request, "accounts/user_email.html", context)


def _changed(
    request: HttpRequest, actor: User, user_id: int, new_email: str
) -> HttpResponse:
    change = changes.change_for(actor=actor, user_id=user_id, new_email=new_email)
    if change.person == actor:
        update_session_auth_hash(request, change.person)
    messages.success(
        request, f"{change.person} signs in with {change.new_email} from now on."
    )
    return redirect("accounts:user-detail", user_id=user_id)


def _confirmed(request: HttpRequest, change: EmailChange) -> HttpResponse:
    if request.user == change.person:
        # This session goes on; all others of the person have ended.
        update_session_auth_hash(request, change.person)
        messages.success(request, f"Your address is {change.new_email} from now on.")
        return redirect("accounts:profile")
    if request.user.is_authenticated:
        messages.success(
            request, f"{change.person} signs in with {change.new_email} from now on."
        )
        return redirect("home")
    messages.success(
        request, f"Your address is {change.new_email} from now on. Sign in with it."
    )
    return redirect("account_login")


def _shut(
    request: HttpRequest, change: EmailChange, reason: str = "", status: int = 410
) -> HttpResponse:
    context = {"change": change, "reason": reason}
    return render(request, "accounts/email_change_shut.html", context, status=status)
