"""What an admin does about one mail."""

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from email_settings import services
from email_settings.access import get_message
from email_settings.models import OutboxMessage
from email_settings.possible import Possible
from email_settings.status import MailStatus
from email_settings.views.question import Back, Question, actor_of, ask
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required

State = OutboxMessage.State

TWICE = (
    "Amazon SES may have taken it already: it went out and no answer came. Sent again, "
    "it may arrive twice."
)
FOR_GOOD = (
    "A cancelled message never leaves, not even by a retry. This can't be undone."
)


@admin_required
@require_POST
def message_retry(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Send one mail again that waits or failed."""
    get_message(uid)
    try:
        services.retry_message(uid=uid)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _on_its_way())
    return redirect("email_settings:message-detail", uid=uid)


def _on_its_way() -> str:
    if MailStatus().stop:
        return "The message leaves when an admin releases the mail."
    return "The message is on its way again."


@admin_required
@require_http_methods(["GET", "POST"])
def message_resend(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Ask, then send one mail again that is in doubt."""

    def question(message: OutboxMessage) -> Question:
        return Question(
            title="Resend this message?",
            paragraphs=[
                f"One message, to {message.recipient}: {message.subject}",
                TWICE,
            ],
            button="Resend 1 message",
            icon="refresh",
            back=Back.to_message(message),
        )

    def act(uid: uuid.UUID) -> str:
        services.resend_message(uid=uid, actor=actor_of(request))
        return _on_its_way()

    return _about_one(request, uid, "can_resend", question, act)


@admin_required
@require_http_methods(["GET", "POST"])
def message_mark_sent(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Ask, then call one mail sent that is in doubt."""

    def question(message: OutboxMessage) -> Question:
        return Question(
            title="Mark this message as sent?",
            paragraphs=[
                f"One message, to {message.recipient}: {message.subject}",
                "Do it when you know that it arrived, or that it need not. It is not "
                "sent again, and its page says that you marked it.",
            ],
            button="Mark 1 message as sent",
            icon="check",
            back=Back.to_message(message),
        )

    def act(uid: uuid.UUID) -> str:
        services.mark_message_sent(uid=uid, actor=actor_of(request))
        return "The message is marked as sent."

    return _about_one(request, uid, "can_mark_sent", question, act)


@admin_required
@require_http_methods(["GET", "POST"])
def message_cancel(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Ask, then call one mail back that waits."""

    def question(message: OutboxMessage) -> Question:
        return Question(
            title="Cancel this message?",
            paragraphs=[
                f"One message, to {message.recipient}: {message.subject}",
                FOR_GOOD,
            ],
            button="Cancel 1 message",
            icon="x",
            is_final=True,
            back=Back.to_message(message),
        )

    def act(uid: uuid.UUID) -> str:
        services.cancel_message(uid=uid, actor=actor_of(request))
        return "The message is cancelled."

    return _about_one(request, uid, "can_cancel", question, act)


def _about_one(
    request: HttpRequest,
    uid: uuid.UUID,
    possible: str,
    question: Callable[[OutboxMessage], Question],
    act: Callable[[uuid.UUID], str],
) -> HttpResponse:
    message = get_message(uid)
    if request.method == "POST":
        try:
            messages.success(request, act(uid))
        except DomainError as error:
            messages.error(request, str(error))
    elif getattr(Possible.of(message, MailStatus()), possible):
        return ask(request, question(message))
    else:
        state = message.get_state_display().lower()
        messages.info(request, f"This message is {state} now: nothing is left to do.")
    return redirect("email_settings:message-detail", uid=uid)
