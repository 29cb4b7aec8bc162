"""One mail an hour to the mailbox simulator: it proves worker, keys and event feed.

It costs what every mail does, $0.10 a thousand (https://aws.amazon.com/ses/pricing/):
730 a month are less than $0.08. It counts in no quota and in no reputation, and goes as
urgently as a reply, so that it waits where replies would.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.timesince import timesince

from email_settings import outbox
from email_settings.events.connect import is_connected
from email_settings.events.simulator import DOMAIN
from email_settings.models import (
    DeliveryEvent,
    Lane,
    MailWatch,
    OutboxMessage,
    SesSettings,
)

logger = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
# So long one may take to leave, and its event to come back
PATIENCE = timedelta(minutes=15)
KEPT = 100  # four days of them
SWITCHED_OFF = "It is switched off."

State = OutboxMessage.State
WAITING = (State.QUEUED, State.SENDING, State.HELD)


def look() -> OutboxMessage | None:
    """Send one if it is time; None if not. For the schedule of a worker."""
    sender = SesSettings.load()
    if why_none(sender) or sender.stopped_at or sender.hold_code:
        return None  # while all mail is held nothing would come of it
    return _send_one()


def why_none(sender: SesSettings) -> str:
    """Say why no canary flies, "" when one does."""
    if not sender.is_canary_on:
        return SWITCHED_OFF
    if not (sender.is_live and sender.is_configured):
        return "It begins when mail is live."
    if not is_connected(sender):
        return "It begins when delivery events are connected."
    return ""


@transaction.atomic
def _send_one() -> OutboxMessage | None:
    MailWatch.load()
    now = timezone.now()
    if _all().filter(state__in=WAITING).exists():
        return None
    is_due = Q(canary_at=None) | Q(canary_at__lte=now - EVERY)
    # The conditional update decides between the workers.
    if not MailWatch.objects.filter(is_due).update(canary_at=now):
        return None
    _remove_old()
    return outbox.put(
        kind=OutboxMessage.CANARY,
        subject="Canary: does the event come back?",
        text_body=(
            f"{settings.SITE_URL} sends this every hour to the mailbox simulator of "
            "Amazon SES, to see that its event comes back. Nobody reads it.\n"
        ),
        recipient=f"success+canary-{uuid4().hex[:8]}@{DOMAIN}",
        lane=Lane.REPLY,
        headers={"Auto-Submitted": "auto-generated"},
    )


def _all() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(kind=OutboxMessage.CANARY)


def _remove_old() -> None:
    """Keep the newest; the others say nothing that they do not."""
    newest_first = _all().order_by("-created_at", "-id").values_list("pk", flat=True)
    old = list(newest_first[KEPT - 1 : KEPT + 200])
    OutboxMessage.objects.filter(pk__in=old).exclude(state__in=WAITING).delete()


@transaction.atomic
def switch(*, is_on: bool, actor: AbstractBaseUser) -> None:
    """Let canaries fly, or none any more."""
    row = SesSettings.load_to_change()
    row.is_canary_on = is_on
    row.save(update_fields=["is_canary_on"])
    logger.info("canary: switched %s by user %s", "on" if is_on else "off", actor.pk)


# How it goes


class Stage(Enum):
    """How far the last one that says something has come."""

    OFF = auto()  # none flies, and `why_none` says why
    NONE = auto()  # the first has not been written
    ON_ITS_WAY = auto()
    BACK = auto()
    STUCK = auto()  # it has not left
    MISSING = auto()  # it left, and its event did not come back


_BADGES = {
    Stage.OFF: ("neutral", "minus", "Off"),
    Stage.NONE: ("neutral", "clock", "Not yet"),
    Stage.ON_ITS_WAY: ("neutral", "clock", "On its way"),
    Stage.BACK: ("ok", "check", "Came back"),
    Stage.STUCK: ("bad", "alert", "Has not left"),
    Stage.MISSING: ("bad", "alert", "Not back"),
}


@dataclass(frozen=True)
class Canary:
    """The last one, and how it goes."""

    stage: Stage
    why_none: str = ""
    message: OutboxMessage | None = None
    sent_at: datetime | None = None
    came_at: datetime | None = None  # when its event came here

    @property
    def is_trouble(self) -> bool:
        return self.stage in {Stage.STUCK, Stage.MISSING}

    @property
    def says(self) -> str:
        """How it goes, in a sentence."""
        return said(self)

    @property
    def badge(self) -> tuple[str, str, str]:
        """The tone, the icon and the word of it."""
        if self.stage is Stage.OFF and self.why_none != SWITCHED_OFF:
            return _BADGES[Stage.NONE]
        return _BADGES[self.stage]

    @property
    def delay(self) -> timedelta | None:
        """How long its event took, None before it came."""
        if self.sent_at is None or self.came_at is None:
            return None
        return max(self.came_at - self.sent_at, timedelta(0))


def canary_of(sender: SesSettings, now: datetime | None = None) -> Canary:
    """Return how the last one goes: by the one before while it still has time."""
    if why := why_none(sender):
        return Canary(Stage.OFF, why)
    judged = [_judged(message, now or timezone.now()) for message in _newest()]
    if not judged:
        return Canary(Stage.NONE)
    is_still_out = judged[0].stage is Stage.ON_ITS_WAY
    return judged[1] if is_still_out and len(judged) > 1 else judged[0]


def _newest() -> list[OutboxMessage]:
    """Return the last two, with when their events came, in one question."""
    came = DeliveryEvent.objects.filter(
        message=OuterRef("pk"), kind=DeliveryEvent.Kind.DELIVERY
    ).order_by("received_at")
    return list(
        _all()
        .annotate(came_at=Subquery(came.values("received_at")[:1]))
        .defer("text_body", "html_body")
        .order_by("-created_at", "-id")[:2]
    )


def _judged(message: OutboxMessage, now: datetime) -> Canary:
    came_at: datetime | None = getattr(message, "came_at", None)
    if came_at:
        stage = Stage.BACK
    elif message.sent_at:
        is_late = now - message.sent_at >= PATIENCE
        stage = Stage.MISSING if is_late else Stage.ON_ITS_WAY
    else:
        is_late = now - message.created_at >= PATIENCE
        is_over = message.state not in WAITING
        stage = Stage.STUCK if is_late or is_over else Stage.ON_ITS_WAY
    return Canary(stage, "", message, message.sent_at, came_at)


def said(canary: Canary, now: datetime | None = None) -> str:
    """Say how it goes: "It came back 12 minutes ago, after 4 seconds."."""
    now = now or timezone.now()
    match canary.stage:
        case Stage.OFF:
            return canary.why_none
        case Stage.NONE:
            return "The first one leaves within a minute or two."
        case Stage.BACK if canary.came_at and canary.delay is not None:
            seconds = max(1, round(canary.delay.total_seconds()))
            took = f"{seconds} second{'' if seconds == 1 else 's'}"
            return f"It came back {_ago(canary.came_at, now)}, after {took}."
        case Stage.MISSING if canary.sent_at:
            left = _ago(canary.sent_at, now)
            return f"It left {left}, and its event has not come back."
        case Stage.STUCK if canary.message:
            why = canary.message.reason or "it still waits for the worker."
            return f"It has not left: {why}"
    return "It is on its way."


def _ago(moment: datetime, now: datetime) -> str:
    return f"{timesince(moment, now, depth=1)} ago"
