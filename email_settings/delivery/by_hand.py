"""What a person may ask for: try this one again, try all of them again."""

import uuid

from django.db import transaction
from django.utils import timezone

from email_settings.delivery import hold
from email_settings.models import OutboxMessage
from email_settings.nudge import nudge_worker
from email_settings.outbox import USUAL_LIFETIME
from ticketflow.errors import DomainError

State = OutboxMessage.State

RETRYABLE = (State.QUEUED, State.HELD, State.UNKNOWN, State.FAILED)


class NotRetryableError(DomainError):
    """The message can't be sent again."""


@transaction.atomic
def retry_message(uid: uuid.UUID) -> OutboxMessage:
    """Queue the message once more, with a new lifetime, and return it.

    A secret one keeps its own: its link works no longer for being mailed later. While
    all mail is held it also has the account tried at once. Raises NotRetryableError when
    it has left, is leaving, or its secret content is wiped or of no use any more, and
    OutboxMessage.DoesNotExist.
    """
    message = OutboxMessage.objects.get(uid=uid)
    if message.is_secret and not message.text_body:
        raise NotRetryableError(
            "This message carried a link that was wiped when sending ended. "
            "Do again what it was about, and a new one is made."
        )
    now = timezone.now()
    if message.is_secret and message.expires_at and message.expires_at <= now:
        raise NotRetryableError(
            "The link in this message does not work any more. "
            "Do again what it was about, and a new one is made."
        )
    expires_at = message.expires_at if message.is_secret else now + USUAL_LIFETIME
    queued = OutboxMessage.objects.filter(pk=message.pk, state__in=RETRYABLE).update(
        state=State.QUEUED,
        due_at=now,
        expires_at=expires_at,
        attempts=0,
        reason_code="",
        reason="",
        reason_detail="",
    )
    message.refresh_from_db()
    if not queued:
        raise NotRetryableError(
            f"This message is {message.get_state_display().lower()}: "
            "there is nothing to try again."
        )
    hold.probe_now()
    transaction.on_commit(nudge_worker, robust=True)
    return message


@transaction.atomic
def retry_all_held() -> int:
    """Have the account tried at once, and return how many messages wait for that.

    One message is tried; when it leaves, all the others are queued.
    """
    hold.probe_now()
    transaction.on_commit(nudge_worker, robust=True)
    return hold.held_for_the_account().count()
