"""How mail leaves just now: what Email Activity shows above the list of messages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.db import connection
from django.db.models import Q
from django.utils.safestring import SafeString

from email_settings.charts import Minute, minutes_chart, quota_bar
from email_settings.delivery.hold import GUARD, RESERVE, STOPPED
from email_settings.models import Lane, OutboxMessage
from email_settings.pacing import effective_rate, whole_rate
from email_settings.querysets import REHEARSAL, messages
from email_settings.quota import PROBE_LIFE, Quota
from email_settings.status import COUNT_LIMIT, MailStatus
from ticketflow.lib.counting import capped_counts, shown_count

MINUTES = 60
# Mail leaves so fast as it did in this time.
RATE_SECONDS = 10
# What waits by itself, or for Release, and not for a retry.
NOT_FOR_RETRY = frozenset({REHEARSAL, STOPPED, RESERVE, GUARD})
# Nothing lives longer, an invitation with its seven days included, than this many days.
LONGEST_LIFE = timedelta(days=8)
FAILURES_SHOWN = 10_000

State = OutboxMessage.State


@dataclass(frozen=True)
class Fact:
    """One thing that decides how mail leaves: a badge, and a sentence."""

    tone: str  # "ok", "warn" or "bad"
    icon: str
    label: str
    text: str
    since: datetime | None = None


@dataclass(frozen=True)
class LaneDepth:
    """What has not left of one lane, as it is shown."""

    label: str
    waiting: str
    held: str
    unknown: str


@dataclass(frozen=True)
class QuotaShown:
    """The daily quota, as a bar and in numbers."""

    quota: Quota
    bar: SafeString
    next_room_at: datetime | None  # None while there is room, or where nobody knows


@dataclass(frozen=True)
class Rates:
    """Recipients per second."""

    now: float  # measured over the last RATE_SECONDS
    aimed: float
    whole: float  # what the account or an admin allows
    limit: float | None  # what AWS allows, as far as it told

    @property
    def is_slowed(self) -> bool:
        return self.aimed < self.whole


@dataclass(frozen=True)
class Traffic:
    """All of it, read at one moment."""

    facts: Sequence[Fact]
    lanes: Sequence[LaneDepth]
    minutes: Sequence[Minute]
    chart: SafeString
    rates: Rates
    quota: QuotaShown | None
    retryable_count: int  # what waits for a person to retry it, counted as Depth is

    @classmethod
    def of(cls, status: MailStatus, now: datetime) -> Self:
        """Five questions besides those of the status, whatever the number of messages."""
        sent = _sent_in_a_while(now)
        rates = Rates(
            now=sent.recently / RATE_SECONDS,
            aimed=effective_rate(status.settings, now),
            whole=whole_rate(status.settings),
            limit=status.settings.max_send_rate,
        )
        quota = Quota.of(status.settings, now) if status.settings.is_live else None
        minutes = _minutes(sent.by_minute, _failures(now), now)
        return cls(
            facts=list(_facts(status, rates, quota, now)),
            lanes=_lanes(status),
            minutes=minutes,
            chart=minutes_chart(minutes, label=_chart_label(minutes)),
            rates=rates,
            quota=_quota_shown(quota) if quota else None,
            retryable_count=sum(
                depth.count
                for depth in status.depths
                if depth.state == "held" and depth.reason_code not in NOT_FOR_RETRY
            ),
        )

    @property
    def state(self) -> Fact:
        """The gravest of the facts."""
        return self.facts[0]

    @property
    def busy_minutes(self) -> Sequence[Minute]:
        return [minute for minute in self.minutes if minute.is_any]

    @property
    def marks(self) -> Sequence[Minute]:
        """The minutes whose times stand below the chart."""
        return [self.minutes[0], self.minutes[MINUTES // 2], self.minutes[-1]]

    @property
    def sent_count(self) -> int:
        return sum(minute.sent for minute in self.minutes)

    @property
    def failed_count(self) -> int:
        return sum(minute.failed for minute in self.minutes)


def _facts(
    status: MailStatus, rates: Rates, quota: Quota | None, now: datetime
) -> Iterator[Fact]:
    """What is to be known, the gravest first; what goes well only if nothing does not."""
    troubles = [*_what_holds(status), *_who_is_away(status)]
    if quota and quota.is_reserve_reached:
        troubles.append(
            Fact(
                "warn",
                "alert",
                "Quota nearly used",
                "What is left is kept for password resets and invitations.",
            )
        )
    if rates.is_slowed and status.settings.is_live:
        troubles.append(
            Fact(
                "warn",
                "clock",
                "Slowed",
                "AWS said “too fast”. The rate grows back by itself.",
                since=status.settings.slowed_at,
            )
        )
    if status.is_rehearsal:
        troubles.append(
            Fact("warn", "box", "Rehearsal", "Mail is captured and none leaves.")
        )
    yield from troubles
    if not troubles:
        yield Fact("ok", "check", "Live", "Mail leaves through Amazon SES.")


def _what_holds(status: MailStatus) -> Iterator[Fact]:
    if status.stop:
        who = status.stop.by or "An admin"
        text = f"{who} holds all mail."
        yield Fact("warn", "pause", "Held by an admin", text, since=status.stop.since)
    if status.hold:
        hold = status.hold
        yield Fact("bad", "x-circle", "Held", hold.title, since=hold.since)


def _who_is_away(status: MailStatus) -> Iterator[Fact]:
    if not status.worker_is_running:
        yield Fact("bad", "x-circle", "No worker", "Nothing leaves until one runs.")
    elif not status.beat_is_running:
        text = "Mail that waits for its next try does not leave. Restart the worker."
        yield Fact("bad", "x-circle", "No schedule", text)


# What has not left


def _lanes(status: MailStatus) -> list[LaneDepth]:
    doubted = messages().in_state(State.UNKNOWN)
    unknown = capped_counts(
        {str(lane.value): doubted.filter(lane=lane) for lane in Lane}, COUNT_LIMIT
    )
    return [
        LaneDepth(
            label=lane.label,
            waiting=_count(status, lane, "due", "later", "sending"),
            held=_count(status, lane, "held"),
            unknown=shown_count(unknown[str(lane.value)], COUNT_LIMIT),
        )
        for lane in Lane
    ]


def _count(status: MailStatus, lane: Lane, *states: str) -> str:
    """Count without what rehearsal captured, which is no work to be done."""
    count = sum(
        depth.count
        for depth in status.depths
        if depth.lane == lane
        and depth.state in states
        and depth.reason_code != REHEARSAL
    )
    return shown_count(count, COUNT_LIMIT)


# The last hour


@dataclass(frozen=True)
class _Sent:
    by_minute: Sequence[int]  # the oldest first, the last one up to now
    recently: int  # in the last RATE_SECONDS


def _first_minute(now: datetime) -> datetime:
    this_minute = now.replace(second=0, microsecond=0)
    return this_minute - timedelta(minutes=MINUTES - 1)


def _sent_in_a_while(now: datetime) -> _Sent:
    """A range of an index a minute, which no function has to cut a time for."""
    starts = [_first_minute(now) + timedelta(minutes=n) for n in range(MINUTES)]
    spans = [(start, start + timedelta(minutes=1)) for start in starts]
    spans.append((now - timedelta(seconds=RATE_SECONDS), now + timedelta(minutes=1)))
    # Not by state too: SQLite would read all that was ever sent to find the minutes.
    part = f"""
        SELECT %s AS place, count(*) FROM {OutboxMessage._meta.db_table}
        WHERE sent_at >= %s AND sent_at < %s
    """  # noqa: S608  # the table's name is the model's
    adapt = connection.ops.adapt_datetimefield_value
    parameters = [
        value
        for place, (start, end) in enumerate(spans)
        for value in (place, adapt(start), adapt(end))
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([part] * len(spans)), parameters)
        counts = dict(cursor.fetchall())
    for moment in _probes_sent(starts[0]):
        place = min((moment - starts[0]) // timedelta(minutes=1), MINUTES - 1)
        counts[place] -= 1
    return _Sent([counts[place] for place in range(MINUTES)], counts[MINUTES])


def _probes_sent(since: datetime) -> Iterator[datetime]:
    """When mail to the simulator left, which is nobody's mail. One query, a few rows.

    The rate of now has it: to AWS's limit of that it counts.
    """
    probes = OutboxMessage.objects.filter(
        kind__in=OutboxMessage.PROBES,
        created_at__gt=since - PROBE_LIFE,
        sent_at__gte=since,
    )
    for moment in probes.values_list("sent_at", flat=True):
        if moment:
            yield moment


def _failures(now: datetime) -> Iterator[datetime]:
    """When messages were given up in the last hour. One query.

    A message that failed was due when its last try ended; one that ran out of time has
    another moment for that.
    """
    start = _first_minute(now)
    expired = Q(reason_code="expired")
    rows = (
        OutboxMessage.objects.filter(
            expired & Q(expires_at__gte=start) | ~expired & Q(due_at__gte=start),
            state=State.FAILED,
            created_at__gte=start - LONGEST_LIFE,
        )
        .exclude(kind__in=OutboxMessage.PROBES)
        .order_by()
        .values_list("reason_code", "due_at", "expires_at")
    )
    for code, due_at, expires_at in rows[:FAILURES_SHOWN]:
        yield expires_at if expires_at and code == "expired" else due_at


def _minutes(
    sent: Sequence[int], failures: Iterator[datetime], now: datetime
) -> list[Minute]:
    start = _first_minute(now)
    failed = [0] * MINUTES
    for moment in failures:
        place = (moment - start) // timedelta(minutes=1)
        failed[min(place, MINUTES - 1)] += 1
    return [
        Minute(start + timedelta(minutes=place), sent[place], failed[place])
        for place in range(MINUTES)
    ]


def _chart_label(minutes: Sequence[Minute]) -> str:
    sent = sum(minute.sent for minute in minutes)
    failed = sum(minute.failed for minute in minutes)
    most = max(minute.sent for minute in minutes)
    return (
        f"Mail sent each minute of the last hour: {sent:,} sent, {most:,} in the "
        f"busiest minute, {failed:,} failed. The numbers are in the table below."
    )


def _quota_shown(quota: Quota) -> QuotaShown:
    label = (
        f"{quota.used:,.0f} of {quota.limit:,.0f} recipients in 24 hours; the last "
        f"{quota.reserve:,.0f} are kept for security mail"
    )
    bar = quota_bar(
        used=quota.used, limit=quota.limit, reserve=quota.reserve, label=label
    )
    return QuotaShown(quota, bar, quota.next_room_at)
