"""Admin Panel → User Management → Invite User, and what becomes of invitations."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from accounts import access, reach, services
from accounts.forms import InviteForm
from accounts.invitations import link_for
from accounts.models import Invitation
from email_settings.status import MailStatus
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required

# More mails than this are sent only after the number was seen on the button.
HANDFUL = 5


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_create(request: HttpRequest) -> HttpResponse:
    """Invite one or many; many after a second look at how many mails that makes."""
    form = InviteForm(request.POST or None)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        emails = form.cleaned_data["emails"]
        known = access.why_not_invited(emails)
        count = len(emails) - len(known)
        if count > HANDFUL and request.POST.get("confirmed") != str(count):
            context |= {
                "count": count,
                "known": known,
                "barred": reach.barred_of(set(emails) - set(known)),
            }
        elif _invite(request, form, known):
            return redirect("accounts:user-list")
    return render(request, "accounts/invitation_create.html", context)


@admin_required
@require_POST
def invitation_resend(request: HttpRequest, invitation_id: int) -> HttpResponse:
    actor = access.signed_in(request)
    try:
        invitation = services.resend_invitation(
            actor=actor, invitation_id=invitation_id
        )
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            f"The earlier link of {invitation.email} no longer works."
            f"{_how_it_goes([invitation])}",
        )
        _warn_of_barred(request, [invitation])
    return redirect("accounts:user-list")


@admin_required
@require_POST
def invitation_revoke(request: HttpRequest, invitation_id: int) -> HttpResponse:
    actor = access.signed_in(request)
    try:
        invitation = services.revoke_invitation(
            actor=actor, invitation_id=invitation_id
        )
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            f"The invitation of {invitation.email} is revoked. Its link is dead.",
        )
    return redirect("accounts:user-list")


@admin_required
@never_cache
@require_safe
def invitation_link(request: HttpRequest, invitation_id: int) -> HttpResponse:
    """Show the link that was mailed, for another way to hand it over."""
    invitation = access.get_invitation(access.signed_in(request), invitation_id)
    is_open = invitation.state == Invitation.State.OPEN
    return render(
        request,
        "accounts/invitation_link.html",
        {
            "invitation": invitation,
            "row": reach.InvitationRow.of([invitation])[0],
            "link": link_for(invitation) if is_open else "",
        },
    )


def _invite(request: HttpRequest, form: InviteForm, known: dict[str, str]) -> bool:
    """Invite, and say who was and who was not; False puts the reason into the form."""
    actor = access.signed_in(request)
    try:
        made = services.invite_users(actor=actor, **form.cleaned_data)
    except DomainError as error:
        form.add_error(None, str(error))
        return False
    if made:
        names = made[0].email if len(made) == 1 else f"{len(made)} people"
        messages.success(
            request,
            f"{names} invited.{_how_it_goes(made)}",
        )
        _warn_of_barred(request, made)
    for email, reason in sorted(known.items()):
        messages.warning(request, f"Not invited: {email} {reason}.")
    return True


def _how_it_goes(made: Sequence[Invitation]) -> str:
    """Say how invitations that were just written reach their people."""
    if MailStatus().is_rehearsal:
        return (
            " Mail is in rehearsal, so no e-mail leaves. Hand the link over yourself "
            "with Copy link."
        )
    if len(reach.barred_of(i.email for i in made)) == len(made):
        return ""
    return " An e-mail is on its way with a link that is valid for 7 days."


def _warn_of_barred(request: HttpRequest, made: Sequence[Invitation]) -> None:
    for email, standing in sorted(reach.barred_of(i.email for i in made).items()):
        messages.warning(
            request,
            f"No e-mail goes to {email}: {standing.title} The invitation is made and its "
            "link works: hand it over with Copy link, or release the address.",
        )
