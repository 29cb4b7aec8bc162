"""Ways in for people without an account: the first run, and invitations."""

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import invitations, roles, services, setup_token
from accounts.errors import InvitationClosedError
from accounts.forms import AcceptInvitationForm, SetUpForm
from accounts.models import Invitation, User
from ticketflow.errors import DomainError

State = Invitation.State


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("password")
def setup(request: HttpRequest) -> HttpResponse:
    """Make the first admin; there is no such page once there is a user."""
    if User.objects.exists():
        raise Http404
    if not setup_token.fits(request.GET.get("token", "")):
        return render(request, "accounts/setup_locked.html", status=403)
    form = SetUpForm(request.POST or None)
    if form.is_valid():
        try:
            admin = services.set_up(**form.cleaned_data)
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            setup_token.discard()
            _sign_in(request, admin)
            messages.success(
                request, "Your help desk is set up, and you are its first admin."
            )
            return redirect("admin-overview")
    return render(request, "accounts/setup.html", {"form": form})


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("password")
def invitation_accept(request: HttpRequest, token: str) -> HttpResponse:
    """Let the invited person in. Opening the page changes nothing: scanners do it too."""
    invitation = invitations.find(token)
    if invitation is None:
        return render(request, "accounts/invitation_unknown.html", status=404)
    if invitation.state != State.OPEN:
        return _closed(request, invitation)
    if request.user.is_authenticated:
        context = {"invitation": invitation}
        return render(request, "accounts/invitation_other.html", context, status=409)
    form = AcceptInvitationForm(
        request.POST or None,
        invitation=invitation,
        initial={"time_zone": getattr(invitation.invited_by, "time_zone", "UTC")},
    )
    if form.is_valid():
        try:
            person = services.accept_invitation(token=token, **form.cleaned_data)
        except InvitationClosedError as error:
            if (now := invitations.find(token)) and now.state != State.OPEN:
                return _closed(request, now)
            form.add_error(None, str(error))
        else:
            _sign_in(request, person)
            messages.success(request, f"Welcome, {person.get_short_name()}.")
            return redirect("home")
    return render(
        request,
        "accounts/invitation_accept.html",
        {"invitation": invitation, "role": roles.card(invitation.role), "form": form},
    )


def _closed(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    template = f"accounts/invitation_{invitation.state}.html"
    return render(request, template, {"invitation": invitation}, status=410)


def _sign_in(request: HttpRequest, person: User) -> None:
    login(request, person)
    # Until the browser closes: nobody was asked whether to stay.
    request.session.set_expiry(0)
