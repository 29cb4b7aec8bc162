"""Fix it from here: pages that make something in AWS after one press of a button."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from email_settings import services
from email_settings.events.connect import is_connected
from email_settings.fix_forms import IdentityForm, MailFromForm, ProductionForm
from email_settings.models import SesSettings
from email_settings.readiness import fixes
from email_settings.readiness.checks.identities import domain_of
from email_settings.readiness.checks.sender import FREE_MAIL_DOMAINS
from email_settings.readiness.console import console_url
from email_settings.readiness.fixes import AlreadyAskedError, FixError
from email_settings.views.question import actor_of
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required

Page = Callable[[HttpRequest, SesSettings], HttpResponse]


def _fix(page: Page) -> Callable[[HttpRequest], HttpResponse]:
    """Let an admin open or press it, once there are settings to do it with."""

    @admin_required
    @require_http_methods(["GET", "POST"])
    @wraps(page)
    def view(request: HttpRequest) -> HttpResponse:
        sender = services.stored_settings()
        if not sender.is_configured:
            messages.warning(request, "Save working settings first.")
            return redirect("email_settings:settings")
        return page(request, sender)

    return view  # type: ignore[return-value]


@_fix
def identity(request: HttpRequest, sender: SesSettings) -> HttpResponse:
    """Create the sender's domain or address in Amazon SES."""
    form = IdentityForm(request.POST or None, sender=sender)
    context: dict[str, Any] = {
        "form": form,
        "sender": sender,
        "is_free_mail": domain_of(sender.from_email) in FREE_MAIL_DOMAINS,
        "console": console_url(sender.region, "identities"),
    }
    if form.is_valid():
        context |= _outcome(
            lambda: fixes.create_identity(sender, form.cleaned_data["name"])
        )
    return render(request, "email_settings/fix_identity.html", context)


@_fix
def mail_from(request: HttpRequest, sender: SesSettings) -> HttpResponse:
    """Set the MAIL FROM domain of the sender's domain."""
    form = MailFromForm(request.POST or None, sender=sender)
    context: dict[str, Any] = {
        "form": form,
        "sender": sender,
        "console": console_url(sender.region, "identities"),
    }
    if form.is_valid():
        context |= _outcome(
            lambda: fixes.set_mail_from(sender, form.cleaned_data["domain"])
        )
    return render(request, "email_settings/fix_mail_from.html", context)


@_fix
def production(request: HttpRequest, sender: SesSettings) -> HttpResponse:
    """Ask AWS to let the account out of the sandbox."""
    form = ProductionForm(request.POST or None, sender=sender)
    context: dict[str, Any] = {
        "form": form,
        "sender": sender,
        "has_events": is_connected(sender),
        "console": console_url(sender.region, "account"),
    }
    if form.is_valid():
        values = form.cleaned_data

        def ask() -> bool:
            fixes.request_production(
                sender,
                website=values["website"],
                use_case=values["use_case"],
                contacts=values["contacts"],
            )
            return True

        context |= _outcome(ask)
    return render(request, "email_settings/fix_production.html", context)


@_fix
def events(request: HttpRequest, sender: SesSettings) -> HttpResponse:
    """Make in AWS what delivery events need."""
    context: dict[str, Any] = {
        "sender": sender,
        "needed": fixes.what_events_need(sender),
        "is_connected": is_connected(sender),
    }
    if request.method == "POST":
        context |= _outcome(
            lambda: fixes.connect_events(sender, actor=actor_of(request))
        )
    return render(request, "email_settings/fix_events.html", context)


def _outcome(do: Callable[[], object]) -> dict[str, Any]:
    """Do it, and return what the page says of it: `made` or `refusal`."""
    try:
        return {"made": do()}
    except FixError as refusal:
        is_open = isinstance(refusal, AlreadyAskedError)
        return {"refusal": refusal, "is_already_asked": is_open}
    except DomainError as error:
        # The stored secret can't be read, say.
        return {"refusal": FixError("It was not done.", str(error), "")}
