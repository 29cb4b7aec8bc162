"""The live checklist of Email Settings: looking again, and watching it."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from email_settings import services
from email_settings.models import SesSettings
from email_settings.readiness import run
from email_settings.readiness.lines import BY_KEY
from email_settings.readiness.panel import Panel, panel
from email_settings.status import MailStatus
from ticketflow.lib.access import admin_required


def panel_of(stored: SesSettings, *, is_opened: bool = False) -> Panel:
    """Return the checklist as it stands; what is due is looked at meanwhile."""
    run.want_what_is_due(stored, is_looked_at=True, is_opened=is_opened)
    return panel(stored, MailStatus(stored), timezone.now())


@admin_required
@require_GET
def checklist(request: HttpRequest) -> HttpResponse:
    """Show the checklist alone, for htmx; 204 when it is as it was last shown."""
    stored = services.stored_settings()
    shown = panel_of(stored)
    if shown.mark == request.GET.get("mark"):
        return HttpResponse(status=204)
    return _fragment(request, shown)


@admin_required
@require_POST
def check_all(request: HttpRequest) -> HttpResponse:
    """Have every line looked at again."""
    run.want_all()
    return _after(request, "")


@admin_required
@require_POST
def check_line(request: HttpRequest, key: str) -> HttpResponse:
    """Have one line looked at again."""
    if key not in BY_KEY:
        raise Http404
    run.want(key)
    return _after(request, key)


def _after(request: HttpRequest, key: str) -> HttpResponse:
    stored = services.stored_settings()
    if request.headers.get("HX-Request"):
        return _fragment(request, panel_of(stored))
    messages.info(
        request,
        "We look again. Load this page once more in a few seconds to see the outcome.",
    )
    anchor = f"line-{key}" if key else "checklist"
    return redirect(f"{reverse('email_settings:settings')}#{anchor}")


def _fragment(request: HttpRequest, shown: Panel) -> HttpResponse:
    context = {"panel": shown, "is_fragment": True}
    return render(request, "email_settings/_checklist.html", context)
