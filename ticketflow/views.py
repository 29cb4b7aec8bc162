"""Pages that join the rooms."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from ticketflow.lib.access import admin_required


def home(request: HttpRequest) -> HttpResponse:
    """Send each person to where their work is."""
    return redirect("tickets:ticket-list")


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process lives and the database answers."""
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while mail can leave."""
    return HttpResponse("ok", content_type="text/plain")


@admin_required
def admin_overview(request: HttpRequest) -> HttpResponse:
    """Show what needs an admin."""
    return HttpResponse("")
