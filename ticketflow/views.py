"""Pages that join the rooms."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET

from accounts.models import User
from email_settings.status import MailStatus
from ticketflow import health, overview
from ticketflow.lib.access import admin_required
from tickets.models import Ticket


def home(request: HttpRequest) -> HttpResponse:
    """Send each person to where their work is: an admin of a fresh house to the panel."""
    is_admin = isinstance(request.user, User) and request.user.is_admin
    if is_admin and _is_fresh():
        return redirect("admin-overview")
    return redirect("tickets:ticket-list")


def _is_fresh() -> bool:
    return not MailStatus().is_configured and not Ticket.objects.exists()


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
@require_GET
def admin_overview(request: HttpRequest) -> HttpResponse:
    """Show what to do first, what needs an admin, and how everything runs."""
    now = timezone.localtime()
    mail = MailStatus()
    sent = overview.mail_figures(now)
    people = overview.people_figures(now)
    tickets = overview.ticket_figures(now)
    has_tickets = tickets.is_any or Ticket.objects.exists()
    steps = overview.first_steps(mail, people, has_tickets=has_tickets)
    matters = overview.matters(mail, sent, people, tickets)
    context = {
        "now": now,
        "mail_status": mail,
        "spark_label": f"Mail written per hour over the last 24 hours, {sent.written} in all",
        "steps": steps,
        "next_step": next((step for step in steps if not step.is_done), None),
        "matters": matters,
        "headline": overview.headline(mail, steps, matters),
        "sent": sent,
        "people": people,
        "tickets": tickets,
        "changes": overview.recent_changes(mail),
        "installation": overview.installation(),
    }
    return render(request, "admin_overview.html", context)
