"""A mail that did not arrive is sent once more, and what pointed at it follows."""

import uuid
from collections.abc import Iterator

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from email_settings import services
from email_settings.access import get_message
from email_settings.again import Again
from email_settings.models import OutboxMessage
from email_settings.status import MailStatus
from email_settings.views.question import Back, Question, actor_of, ask
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required
from tickets.telling import follow_mail


@admin_required
@require_http_methods(["GET", "POST"])
def message_send_again(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Ask, then send one mail once more that was sent and did not arrive."""
    message = get_message(uid)
    if request.method == "GET":
        again = Again.of(message)
        if again.is_possible:
            return ask(request, _question(message))
        messages.info(request, again.why_not)
        return redirect("email_settings:message-detail", uid=uid)
    try:
        second = send_again(uid, actor=actor_of(request))
    except DomainError as error:
        messages.error(request, str(error))
        return redirect("email_settings:message-detail", uid=uid)
    messages.success(request, _said())
    return redirect("email_settings:message-detail", uid=second.uid)


@transaction.atomic
def send_again(uid: uuid.UUID, *, actor: AbstractBaseUser) -> OutboxMessage:
    """Send the mail once more and return the new one; tickets look at that from now on.

    Raises DomainError when that makes no sense or was done already,
    OutboxMessage.DoesNotExist.
    """
    repeated = services.send_message_again(uid=uid, actor=actor)
    follow_mail(repeated.first, repeated.second)
    return repeated.second


def _question(message: OutboxMessage) -> Question:
    return Question(
        title="Send this message again?",
        paragraphs=list(_what_happens(message)),
        button="Send 1 message again",
        icon="send",
        back=Back.to_message(message),
    )


def _what_happens(message: OutboxMessage) -> Iterator[str]:
    yield f"One message, to {message.recipient}: {message.subject}"
    yield (
        "A new message with the same words goes to the same address. Look whether they "
        "still make sense. This one stays as it is, and can’t be sent again after that."
    )
    yield (
        "If the address still takes no mail, it comes back once more, and that counts "
        "in the bounce rate of your AWS account."
    )
    if message.about_label:
        yield f"{message.about_label} shows what becomes of the new one."
    if waits := _what_it_waits_for(MailStatus()):
        yield waits


def _what_it_waits_for(status: MailStatus) -> str:
    if status.is_rehearsal:
        return "Mail is in rehearsal: the new message is captured and does not leave."
    if status.stop:
        return "All mail is held: the new message leaves when an admin releases it."
    return ""


def _said() -> str:
    waits = _what_it_waits_for(MailStatus())
    return waits or "This is the new message. It is on its way."
