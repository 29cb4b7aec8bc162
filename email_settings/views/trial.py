"""Send Test Email, and the page that watches it."""

import uuid
from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST

from email_settings import services
from email_settings.access import get_test_message
from email_settings.events.connect import is_told
from email_settings.forms import TestMailForm
from email_settings.models import OutboxMessage
from email_settings.status import MailStatus
from email_settings.timeline import legs, took
from email_settings.verdicts import verdict_on_test
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required

MOVING = {OutboxMessage.State.QUEUED, OutboxMessage.State.SENDING}
# So long the page of a test e-mail looks for its event
AWAITED = timedelta(minutes=2)


@admin_required
@require_POST
def test_send(request: HttpRequest) -> HttpResponse:
    """Write a test e-mail and go to where its way can be watched."""
    assert isinstance(request.user, AbstractBaseUser)
    form = TestMailForm(request.POST)
    if not form.is_valid():
        reason = form.errors["recipient"][0]
        messages.error(request, format_html("No test e-mail was sent. {}", reason))
        return redirect("email_settings:settings")
    try:
        message = services.send_test_email(
            actor=request.user, recipient=form.cleaned_data["recipient"]
        )
    except DomainError as error:
        messages.error(request, str(error))
        return redirect("email_settings:settings")
    return redirect("email_settings:test-detail", uid=message.uid)


@admin_required
@require_GET
def test_detail(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Show how far a test e-mail has come; htmx asks for the legs alone."""
    message = get_test_message(uid)
    status = MailStatus()
    attempts = list(message.attempt_set.all())
    context = {
        "message": message,
        "legs": legs(
            message,
            attempts,
            list(message.event_set.all()) if message.sent_at else [],
            worker_is_running=status.worker_is_running,
            now=timezone.now(),
        ),
        "is_moving": message.state in MOVING or _is_event_awaited(message, status),
        "took": took(message, attempts),
        "verdict": verdict_on_test(message, status),
    }
    template = "_test_legs" if request.headers.get("HX-Request") else "test_detail"
    return render(request, f"email_settings/{template}.html", context)


def _is_event_awaited(message: OutboxMessage, status: MailStatus) -> bool:
    """Whether Amazon SES should tell in a moment what became of it."""
    if message.sent_at is None or message.fate_name:
        return False
    is_recent = timezone.now() - message.sent_at < AWAITED
    return is_recent and is_told(status.settings)
