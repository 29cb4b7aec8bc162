"""Email Settings: the form, the checklist beside it, and asking AWS again."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from email_settings import services
from email_settings.events.connect import is_connected
from email_settings.forms import SettingsForm, TestMailForm
from email_settings.key_age import KeyAge
from email_settings.models import SesSettings
from email_settings.pacing import effective_rate, whole_rate
from email_settings.quota import Quota
from email_settings.roles import trust_policy
from email_settings.rotation import machine
from email_settings.services import SettingsRefusedError
from email_settings.views.checklist import panel_of
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@sensitive_post_parameters("secret_access_key", "access_key_id")
@admin_required
@require_http_methods(["GET", "POST"])
def settings_form(request: HttpRequest) -> HttpResponse:
    """Show the settings, or check and save them."""
    if request.method == "POST":
        return _save(request)
    stored = services.stored_settings()
    return _page(request, stored, SettingsForm(stored=stored))


def _save(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, AbstractBaseUser)
    stored = services.stored_settings()
    form = SettingsForm(request.POST, stored=stored)
    if not form.is_valid():
        form.forget_secret()
        return _page(request, stored, form)
    try:
        saved = services.check_and_save_settings(
            actor=request.user,
            values=form.result(),
            save_anyway=form.cleaned_data["save_anyway"],
        )
    except SettingsRefusedError as refusal:
        form.forget_secret()
        return _page(request, stored, form, refusal=refusal)
    except DomainError as error:
        form.add_error(None, str(error))
        form.forget_secret()
        return _page(request, stored, form)
    _say_saved(request, saved)
    return redirect("email_settings:settings")


def _say_saved(request: HttpRequest, saved: SesSettings) -> None:
    """Say that it is saved, and what AWS named as missing."""
    problems = [problem["title"] for problem in saved.check_problems]
    if problems:
        messages.warning(
            request,
            f"Settings saved. AWS named something to mend: {' '.join(problems)} "
            "The checklist says how.",
        )
    else:
        messages.success(request, "Settings saved. The next message uses them.")


def _page(
    request: HttpRequest,
    stored: SesSettings,
    form: SettingsForm,
    *,
    refusal: SettingsRefusedError | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {
        "stored": stored,
        "form": form,
        "refusal": refusal,
        "has_events": is_connected(stored),
        "what_stays": _what_stays(stored),
        "pace": _pace(stored) if stored.is_configured else "",
        "trust_policy": trust_policy(stored),
        "key_age": KeyAge.of(stored),
        "rotation": machine.current() if stored.has_key else None,
        "panel": panel_of(stored, is_opened=True),
        "test_form": TestMailForm(
            initial={"recipient": request.user.get_username()}, auto_id="test_%s"
        ),
        "test_refusal": services.why_no_test(stored),
        "live_refusal": services.why_not_live(stored),
    }
    return render(request, "email_settings/settings.html", context)


def _pace(stored: SesSettings) -> str:
    """Say how fast mail leaves now, and how much of the day's quota is used."""
    rate, whole = effective_rate(stored, timezone.now()), whole_rate(stored)
    said = f"Mail leaves at up to {rate:.3g} recipients per second"
    if rate < whole:
        said += f", slowed from {whole:.3g} because AWS said that it was too fast"
    if quota := Quota.of(stored):
        said += f". {quota.used:,.0f} of {quota.limit:,.0f} used in the last 24 hours"
        if quota.is_reserve_reached:
            said += "; what is left is kept for password resets and invitations"
    return f"{said}."


def _what_stays(stored: SesSettings) -> str:
    """What a refused save leaves as it was."""
    if stored.is_configured:
        return "The settings saved before stay in use."
    return "Nothing is saved yet, and no message is lost meanwhile."
