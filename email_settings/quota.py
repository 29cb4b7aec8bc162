"""How much of the account's daily quota is used, and what is kept back of it.

AWS counts the recipients of the last 24 hours, of every program that uses the account.
It is asked now and then; between the questions TicketFlow counts what it sends itself.
"""

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.db.models import QuerySet
from django.utils import timezone

from email_settings.lifetimes import lifetime_of
from email_settings.models import OutboxMessage, SesSettings
from email_settings.pacing import effective_rate

DAY = timedelta(hours=24)
PROBE_LIFE = max(lifetime_of(kind) for kind in OutboxMessage.PROBES)

# Kept for security mail: a twentieth of the quota, within these bounds.
RESERVE_SHARE = 0.05
LEAST_RESERVE = 10.0
MOST_RESERVE = 500.0
# Of a tiny quota at least as much is left for the rest.
MOST_RESERVE_SHARE = 0.5
# What was parked goes on when so much of the reserve's size is free beside it, so that
# the end of the quota is not touched once for every single mail.
ROOM_TO_GO_ON = 0.5

# A process counts what it sent this often, more often where the end is near.
COUNT_EVERY_SECONDS = 2.0
COUNT_EVERY_SECONDS_NEAR_THE_END = 0.25
NEAR_THE_END_SECONDS = 10.0  # what leaves in so much time at the rate of now


@dataclass(frozen=True)
class Quota:
    """The daily quota at one moment, in recipients."""

    used: float  # in the last 24 hours, by every program on the account
    limit: float
    reserve: float  # of the limit, kept for security mail

    @classmethod
    def of(cls, settings: SesSettings, now: datetime | None = None) -> Self | None:
        """Count now; None when AWS sets no limit, or would not tell."""
        limit, told = settings.max_24_hour_send, settings.sent_last_24_hours
        if limit is None or told is None or settings.checked_at is None:
            return None
        if not math.isfinite(limit) or not math.isfinite(told) or limit <= 0:
            return None  # -1 is unlimited
        now = now or timezone.now()
        return cls(
            used=_used(told, settings.checked_at, now),
            limit=limit,
            reserve=reserve_of(limit),
        )

    @property
    def is_reserve_reached(self) -> bool:
        """Whether what is left is for security mail only."""
        return self.room <= 0

    @property
    def room(self) -> float:
        """How many recipients may get other mail before the reserve is reached."""
        return self.limit - self.reserve - self.used

    @property
    def has_room_again(self) -> bool:
        """Whether mail that waits for the quota may go on."""
        return self.room >= max(1.0, self.reserve * ROOM_TO_GO_ON)

    @property
    def next_room_at(self) -> datetime | None:
        """When enough of TicketFlow's own mail is 24 hours old for other mail to go on.

        None while there is room, and where the mail of other programs fills the window,
        of which AWS tells no times.
        """
        if not self.is_reserve_reached:
            return None
        too_many = int(-self.room)  # one more than these must leave the window
        sent = _sent(since=timezone.now() - DAY).order_by("sent_at")
        sent = sent.exclude(kind__in=OutboxMessage.PROBES)
        moments = sent.values_list("sent_at", flat=True)[too_many : too_many + 1]
        return next((moment + DAY for moment in moments if moment), None)


def reserve_of(limit: float) -> float:
    """Return how much of such a limit is kept for security mail. A pure function."""
    wanted = min(max(limit * RESERVE_SHARE, LEAST_RESERVE), MOST_RESERVE)
    return min(wanted, limit * MOST_RESERVE_SHARE)


def _used(told: float, told_at: datetime, now: datetime) -> float:
    """Carry on what AWS told by what TicketFlow has sent since, and what is too old."""
    day_ago = now - DAY
    if told_at <= day_ago:
        return float(_sent(since=day_ago).count() - len(_probes(since=day_ago)))
    probes = _probes(since=told_at - DAY)
    left_the_window = _sent(since=told_at - DAY).filter(sent_at__lte=day_ago).count()
    left_the_window -= sum(at <= day_ago for at in probes)
    since = _sent(since=told_at).count() - sum(at > told_at for at in probes)
    return max(0.0, told - left_the_window) + since


def _probes(*, since: datetime) -> list[datetime]:
    """Return when mail left that AWS does not count: to its mailbox simulator.

    Few a day, and asked for apart: one index has the times and another the kinds, and
    none has both. Source: Amazon SES Developer Guide, "Using the mailbox simulator".
    """
    probes = _sent(since=since).filter(
        kind__in=OutboxMessage.PROBES,
        # Written no longer before than a probe lives.
        created_at__gt=since - PROBE_LIFE,
    )
    return [at for at in probes.values_list("sent_at", flat=True) if at]


def _sent(*, since: datetime) -> QuerySet[OutboxMessage]:
    # Not by state too: SQLite would read all that was ever sent to find what is new.
    return OutboxMessage.objects.filter(sent_at__gt=since)


class Gauge:
    """The quota for one that asks all the time: counted anew every few seconds."""

    def __init__(self) -> None:
        self._quota: Quota | None = None
        self._counted_for: object = None
        self._good_until = 0.0

    def read(self, settings: SesSettings) -> Quota | None:
        """Return the quota as it was a moment ago."""
        wanted = (settings.version, settings.checked_at)
        if wanted != self._counted_for or time.monotonic() >= self._good_until:
            now = timezone.now()
            self._quota = Quota.of(settings, now)
            self._counted_for = wanted
            self._good_until = time.monotonic() + self._seconds(
                effective_rate(settings, now)
            )
        return self._quota

    def _seconds(self, rate: float) -> float:
        if self._quota and self._quota.room < rate * NEAR_THE_END_SECONDS:
            return COUNT_EVERY_SECONDS_NEAR_THE_END
        return COUNT_EVERY_SECONDS
