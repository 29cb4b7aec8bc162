"""Pages that join the rooms."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.cache import add_never_cache_headers

from ticketflow import health
from ticketflow.lib.access import admin_required


def home(request: HttpRequest) -> HttpResponse:
    """Send each person to where their work is."""
    return redirect("tickets:ticket-list")


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process lives and the database answers, else 503.

    Anybody may ask, so the words never say more than that.
    """
    is_well = health.database().is_well
    return _probe("ok" if is_well else "not ok", is_well=is_well)


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while mail leaves as it should, else 503; `manage.py doctor` says why."""
    is_well = all(finding.is_well for finding in health.examine())
    return _probe("ready" if is_well else "not ready", is_well=is_well)


def _probe(word: str, *, is_well: bool) -> HttpResponse:
    response = HttpResponse(
        f"{word}\n", content_type="text/plain", status=200 if is_well else 503
    )
    add_never_cache_headers(response)
    return response


@admin_required
def admin_overview(request: HttpRequest) -> HttpResponse:
    """Show what needs an admin."""
    return HttpResponse("")
