"""What a person may ask for: send it again, call it back, settle a doubt.

Each is decided by a conditional update, so that of two people, or a person and a
worker, who act on one message at once, exactly one succeeds.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from email_settings import lifetimes
from email_settings.delivery import hold
from email_settings.delivery.clock import database_now
from email_settings.gateway.errors import problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage
from email_settings.nudge import nudge_worker
from email_settings.suppression.standing import standing_of
from email_settings.void_links import LINK_VOID
from ticketflow.errors import DomainError

logger = logging.getLogger(__name__)

State = OutboxMessage.State

RETRYABLE = (State.QUEUED, State.HELD, State.FAILED, State.SUPPRESSED)
CANCELLABLE = (State.QUEUED, State.HELD)
MARKED_SENT = "marked_sent"  # the reason_code of what a person calls sent
HAD_IT_SENT = "had it sent again."  # behind who did, under the try before

# Many messages are changed in steps, so that no worker waits long for its turn to write.
STEP = 1_000
MOST_AT_ONCE = 50_000


class NotPossibleError(DomainError):
    """The message is not, or no longer, in a state in which this can be done."""


class NotRetryableError(NotPossibleError):
    """The message can't be sent again."""


@dataclass(frozen=True)
class Done:
    """What became of a wish that concerns many messages."""

    count: int  # messages that were changed
    missed: int  # messages that somebody or something else was faster with
    is_more: bool  # MOST_AT_ONCE were looked at, and there may be others


# One message


@transaction.atomic
def retry_message(uid: uuid.UUID) -> OutboxMessage:
    """Queue the message once more, with a new lifetime, and return it.

    A secret one keeps its own: its link works no longer for being mailed later. While
    all mail is held it also has the account tried at once. Raises NotRetryableError when
    it has left, is leaving, is in doubt, its secret content is wiped or of no use any
    more, or its address still gets no mail, and OutboxMessage.DoesNotExist.
    """
    return _send_again(uid, RETRYABLE)


@transaction.atomic
def resend(uid: uuid.UUID, *, actor: AbstractBaseUser) -> OutboxMessage:
    """Queue a message in doubt once more, though it may arrive twice, and return it.

    Raises NotRetryableError when nobody doubts it (any more) or its secret content is
    of no use, and OutboxMessage.DoesNotExist.
    """
    message = _send_again(uid, (State.UNKNOWN,))
    note_on_attempt([message.pk], f"{actor} {HAD_IT_SENT}")
    _log("sent again", 1, actor)
    return message


def _send_again(uid: uuid.UUID, states: tuple[str, ...]) -> OutboxMessage:
    message = OutboxMessage.objects.get(uid=uid)
    if reason := why_not_sendable(message) or _why_suppressed(message):
        raise NotRetryableError(reason)
    queued = queue_again(OutboxMessage.objects.filter(pk=message.pk, state__in=states))
    message.refresh_from_db()
    if not queued:
        raise NotRetryableError(_refusal(message, "there is nothing to try again"))
    _wake()
    return message


def _why_suppressed(message: OutboxMessage) -> str:
    """Say why it would only be suppressed once more, "" when its address takes mail."""
    if message.state != State.SUPPRESSED:
        return ""
    standing = standing_of(message.recipient)
    if standing is None or standing.lets_through(message.lane):
        return ""
    return f"{message.recipient} still gets no mail. {standing.title} Release it first."


def why_not_sendable(message: OutboxMessage) -> str:
    """Say why the content is of no use any more, "" while it is."""
    if not message.is_secret:
        return ""
    if message.reason_code == LINK_VOID:
        problem = problem_for(LINK_VOID)
        return f"{problem.title} {problem.why} {problem.fix}"
    if not message.text_body:
        return (
            "This message carried a link that was wiped when sending ended. "
            "Do again what it was about, and a new one is made."
        )
    if message.expires_at and message.expires_at <= timezone.now():
        return (
            "The link in this message does not work any more. "
            "Do again what it was about, and a new one is made."
        )
    return ""


@transaction.atomic
def cancel(uid: uuid.UUID, *, actor: AbstractBaseUser) -> OutboxMessage:
    """Call a message back that waits, for good, and return it.

    Raises NotPossibleError when it does not wait (any more),
    OutboxMessage.DoesNotExist.
    """
    message = OutboxMessage.objects.get(uid=uid)
    cancelled = _cancel(OutboxMessage.objects.filter(pk=message.pk), actor)
    message.refresh_from_db()
    if not cancelled:
        raise NotPossibleError(_refusal(message, "it can't be called back"))
    _log("cancelled", 1, actor)
    return message


@transaction.atomic
def resolve_by_hand_sent(uid: uuid.UUID, *, actor: AbstractBaseUser) -> OutboxMessage:
    """Call a message in doubt sent, because a person says so, and return it.

    Raises NotPossibleError when nobody doubts it (any more),
    OutboxMessage.DoesNotExist.
    """
    message = OutboxMessage.objects.get(uid=uid)
    marked = _mark_sent(OutboxMessage.objects.filter(pk=message.pk), actor)
    message.refresh_from_db()
    if not marked:
        raise NotPossibleError(_refusal(message, "there is no doubt to settle"))
    _log("marked as sent", 1, actor)
    return message


def _refusal(message: OutboxMessage, rest: str) -> str:
    return f"This message is {message.get_state_display().lower()}: {rest}."


# Many messages: several transactions, so the caller must not have one open.


def cancel_many(messages: QuerySet[OutboxMessage], *, actor: AbstractBaseUser) -> Done:
    """Call back those of the messages that wait, for good."""
    done = _in_steps(messages, lambda step: _cancel(step, actor))
    _log("cancelled", done.count, actor)
    return done


def retry_failed(messages: QuerySet[OutboxMessage], *, actor: AbstractBaseUser) -> Done:
    """Queue those of the messages once more that failed and can still be sent."""
    done = _in_steps(
        sendable(messages),
        lambda step: queue_again(sendable(step).filter(state=State.FAILED)),
    )
    _log("retried", done.count, actor)
    _wake()
    return done


def retry_suppressed(
    messages: QuerySet[OutboxMessage], *, actor: AbstractBaseUser
) -> Done:
    """Queue those of the messages once more that were suppressed and can still be sent.

    One whose address still gets no mail is suppressed anew.
    """
    done = _in_steps(
        sendable(messages),
        lambda step: queue_again(sendable(step).filter(state=State.SUPPRESSED)),
    )
    _log("sent after their address was released", done.count, actor)
    _wake()
    return done


def resend_many(messages: QuerySet[OutboxMessage], *, actor: AbstractBaseUser) -> Done:
    """Queue those of the messages once more that are in doubt and can still be sent."""

    def resend_step(step: QuerySet[OutboxMessage]) -> int:
        doubted = sendable(step).filter(state=State.UNKNOWN).select_for_update()
        pks = list(doubted.values_list("pk", flat=True))
        note_on_attempt(pks, f"{actor} {HAD_IT_SENT}")
        return queue_again(OutboxMessage.objects.filter(pk__in=pks))

    done = _in_steps(sendable(messages), resend_step)
    _log("sent again", done.count, actor)
    _wake()
    return done


def mark_sent_many(
    messages: QuerySet[OutboxMessage], *, actor: AbstractBaseUser
) -> Done:
    """Call those of the messages sent that are in doubt."""
    done = _in_steps(messages, lambda step: _mark_sent(step, actor))
    _log("marked as sent", done.count, actor)
    return done


def sendable(messages: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    """Leave out secret ones whose content is wiped or of no use any more."""
    return messages.exclude(is_secret=True, text_body="").exclude(
        is_secret=True, expires_at__lte=timezone.now()
    )


def _in_steps(
    messages: QuerySet[OutboxMessage],
    change: Callable[[QuerySet[OutboxMessage]], int],
) -> Done:
    """Change the oldest MOST_AT_ONCE messages, each step in a transaction of its own."""
    oldest_first = messages.order_by("created_at", "pk")
    pks = list(oldest_first.values_list("pk", flat=True)[:MOST_AT_ONCE])
    count = 0
    for step in _steps(pks):
        with transaction.atomic():
            count += change(OutboxMessage.objects.filter(pk__in=step))
    return Done(count, len(pks) - count, is_more=len(pks) == MOST_AT_ONCE)


def _steps(pks: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(pks), STEP):
        yield pks[start : start + STEP]


# The account


@transaction.atomic
def retry_all_held() -> int:
    """Have the account tried at once, and return how many messages wait for that.

    One message is tried; when it leaves, all the others are queued.
    """
    _wake()
    return hold.held_for_the_account().count()


# The changes themselves, each with the condition that decides races


def queue_again(messages: QuerySet[OutboxMessage]) -> int:
    now = database_now()
    anew = [
        When(kind=kind, then=Value(now + lifetime))
        for kind, lifetime in lifetimes.BY_KIND.items()
    ]
    return messages.update(
        state=State.QUEUED,
        due_at=now,
        expires_at=Case(
            When(is_secret=True, then=F("expires_at")),
            *anew,
            default=Value(now + lifetimes.USUAL),
        ),
        attempts=0,
        reason_code="",
        reason="",
        reason_detail="",
        undelivered_told_at=None,  # when it fails again, that is news
    )


def _cancel(messages: QuerySet[OutboxMessage], actor: AbstractBaseUser) -> int:
    return messages.filter(state__in=CANCELLABLE).update(
        state=State.CANCELLED,
        reason_code="",
        reason=f"{actor} cancelled it.",
        reason_detail="",
        **_without_secrets(),
    )


def _mark_sent(messages: QuerySet[OutboxMessage], actor: AbstractBaseUser) -> int:
    return messages.filter(state=State.UNKNOWN).update(
        state=State.SENT,
        sent_at=timezone.now(),
        reason_code=MARKED_SENT,
        reason=f"{actor} marked it as sent.",
        reason_detail="",
        **_without_secrets(),
    )


def _without_secrets() -> dict[str, Any]:
    """The bodies of secret messages end with them; others stay to be read."""
    return {
        name: Case(
            When(is_secret=True, then=Value("")),
            default=F(name),
            output_field=TextField(),
        )
        for name in ("text_body", "html_body")
    }


def note_on_attempt(message_ids: list[int], note: str) -> None:
    """Write under the last try of each message what a person decided after it."""
    DeliveryAttempt.objects.filter(
        message__in=message_ids, number=F("message__claims")
    ).update(
        error_detail=Case(
            When(Q(error_detail=""), then=Value(note)),
            default=Concat(F("error_detail"), Value(f"\n{note}")),
            output_field=TextField(),
        )
    )


def _wake() -> None:
    hold.probe_now()
    transaction.on_commit(nudge_worker, robust=True)


def _log(what: str, count: int, actor: AbstractBaseUser) -> None:
    logger.info("outbox: %s %s by user %s", count, what, actor.pk)
