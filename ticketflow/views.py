"""Pages that join the rooms."""

import logging
from collections.abc import Iterable

from django.contrib.auth.decorators import login_not_required
from django.db import Error
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

logger = logging.getLogger(__name__)


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
    """Answer 200 while this process can serve pages, else 503.

    The database must answer, with all migrations of this version. Anybody may ask, so
    the words never say more than that.
    """
    return _probe("ok", "not ok", health.alive())


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while mail leaves as it should, else 503; `manage.py doctor` says why."""
    return _probe("ready", "not ready", health.ready())


_told: dict[str, str] = {}  # what the log was last told, by the word of the probe


def _probe(well: str, wrong: str, findings: Iterable[health.Finding]) -> HttpResponse:
    """Answer yes or no, and tell the log why when that changes: probes come often."""
    try:
        reasons = "; ".join(f"{f.name}: {f.says}" for f in findings if not f.is_well)
    except Error as error:  # the database went away just now
        reasons = f"Database: {error}"
    if reasons and not _told.get(well):
        logger.warning("probe: %s: %s", wrong, reasons)
    elif _told.get(well) and not reasons:
        logger.info("probe: %s again", well)
    _told[well] = reasons
    response = HttpResponse(
        f"{wrong if reasons else well}\n",
        content_type="text/plain",
        status=503 if reasons else 200,
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
