"""Sends a mail once more that Amazon SES took and that never arrived.

The second is a message of its own: what was told of the first stays as it is, and counts
as it did, and what is told of it late says nothing about the second. Each names the
other: the first where it has its reason, the second in a header.
"""

import logging
import uuid
from dataclasses import dataclass
from typing import Self

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from email_settings import outbox
from email_settings.delivery.by_hand import (
    HAD_IT_SENT,
    NotPossibleError,
    why_not_sendable,
)
from email_settings.models import Fate, Lane, OutboxMessage
from email_settings.suppression.standing import Standing, standing_of

logger = logging.getLogger(__name__)

State = OutboxMessage.State

# The reason_code of the first; its reason_detail is the uid of the second.
SENT_AGAIN = "sent_again"
# The header of the second that holds the uid of the first
FIRST = "X-TicketFlow-Repeats"

NOT_ARRIVED = (Fate.SOFT_BOUNCED, Fate.REJECTED, Fate.BOUNCED)
# Their buttons make a new one, which says what is true then.
MADE_ANEW = (*OutboxMessage.TRIALS, OutboxMessage.CANARY, "key_test")


@dataclass(frozen=True)
class Again:
    """Whether a mail can be sent once more, and why not."""

    is_lost: bool = False  # it was sent, and did not arrive
    why_not: str = ""  # a sentence or two; "" when it can be
    standing: Standing | None = None  # of its address, when that is why

    @property
    def is_possible(self) -> bool:
        return self.is_lost and not self.why_not

    @classmethod
    def of(cls, message: OutboxMessage) -> Self:
        """Look at the mail, and at its address when nothing else stands in the way."""
        if message.state != State.SENT or message.fate not in NOT_ARRIVED:
            return cls(why_not=_why_not_lost(message))
        if message.kind in MADE_ANEW:
            return cls(why_not="This message was a trial. Send a new one instead.")
        if reason := _why_over(message):
            return cls(is_lost=True, why_not=reason)
        standing = standing_of(message.recipient)
        if standing is None or standing.lets_through(message.lane):
            return cls(is_lost=True)
        return cls(
            is_lost=True,
            why_not=f"It can be sent again when {message.recipient} gets mail. "
            f"{standing.title}",
            standing=standing,
        )


def _why_not_lost(message: OutboxMessage) -> str:
    if message.fate == Fate.COMPLAINED:
        return "The recipient called this message spam: it is not sent again."
    how = Fate(message.fate).label if message.fate else message.get_state_display()
    return f"This message is {how.lower()}: it is not one that was sent and lost."


def _why_over(message: OutboxMessage) -> str:
    if message.reason_code == SENT_AGAIN:
        return f"{message.reason} The new message says what became of that."
    return why_not_sendable(message)


@dataclass(frozen=True)
class Repeated:
    """A mail that was lost, and the one that was sent in its place."""

    first: OutboxMessage
    second: OutboxMessage


@transaction.atomic
def send_again(uid: uuid.UUID, *, actor: AbstractBaseUser) -> Repeated:
    """Put a mail that did not arrive in the outbox once more, as a new message.

    Raises NotPossibleError when it is not lost, was sent again already, carries a link,
    or its address gets no mail; OutboxMessage.DoesNotExist.
    """
    first = OutboxMessage.objects.select_related("shared_body").get(uid=uid)
    if reason := Again.of(first).why_not:
        raise NotPossibleError(reason)
    second = _copy(first)
    # Of two who press the button at once, this lets one through. The other's copy goes
    # with their transaction.
    taken = (
        OutboxMessage.objects.filter(
            pk=first.pk, state=State.SENT, fate__in=NOT_ARRIVED
        )
        .exclude(reason_code=SENT_AGAIN)
        .update(
            reason_code=SENT_AGAIN,
            reason=f"{actor} {HAD_IT_SENT}",
            reason_detail=str(second.uid),
        )
    )
    if not taken:
        raise NotPossibleError("Somebody was faster: look at what became of it.")
    first.refresh_from_db()
    logger.info("outbox: message %s sent again by user %s", first.uid, actor.pk)
    return Repeated(first, second)


def _copy(first: OutboxMessage) -> OutboxMessage:
    return outbox.put(
        kind=first.kind,
        # A shared body is shared only by those that were written together.
        subject=first.subject,
        text_body=first.text,
        html_body=first.html,
        recipient=first.recipient,
        recipient_name=first.recipient_name,
        lane=Lane(first.lane),
        headers={**first.headers, FIRST: str(first.uid)},
        about_label=first.about_label,
        about_path=first.about_path,
    )


@dataclass(frozen=True)
class Neighbours:
    """What a mail was sent in place of, and what was sent in its place."""

    is_second: bool = False
    before: OutboxMessage | None = None  # also None when it was removed since
    after: OutboxMessage | None = None

    @classmethod
    def of(cls, message: OutboxMessage) -> Self:
        """Look them up; asks nothing of a mail that was sent once."""
        before = message.headers.get(FIRST, "")
        after = message.reason_detail if message.reason_code == SENT_AGAIN else ""
        wanted = [uid for uid in (before, after) if uid]
        found: dict[str, OutboxMessage] = {}
        if wanted:
            rows = OutboxMessage.objects.filter(uid__in=wanted)
            found = {str(row.uid): row for row in rows.defer("text_body", "html_body")}
        return cls(bool(before), found.get(before), found.get(after))
