"""How mail stands just now: the one source for pages, banner, probes and the doctor."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from email_settings import credentials
from email_settings.gateway.errors import recall
from email_settings.key_age import KeyAge
from email_settings.models import (
    Lane,
    MailWatch,
    OutboxMessage,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.querysets import REHEARSAL
from email_settings.reputation.count import Reputation
from email_settings.silence import Silence, silence_of

# A worker writes its heartbeat every ten seconds; three in a row must have been missed.
WORKER_SILENCE = timedelta(seconds=35)
# Its schedule runs a task every ten seconds, which may wait for a thread.
BEAT_SILENCE = timedelta(seconds=60)
# Mail that is due for longer does not leave as it should.
LATE = timedelta(minutes=5)
# Counting ends here, so that a page stays fast whatever waits.
COUNT_LIMIT = 10_000

STOPPED_BY_HAND = "stopped_by_hand"  # the reason_code of what an admin holds
GUARDED = "reputation_guard"  # and of what the reputation keeps back


@dataclass(frozen=True)
class Hold:
    """Why no mail leaves, in words, and what mends it."""

    title: str
    reason: str
    fix: str
    since: datetime | None
    detail: str  # AWS's own words
    # The fix in two, for pages that show the JSON to be added to a policy apart
    advice: str
    statement: str


@dataclass(frozen=True)
class Stop:
    """An admin holds all mail by hand."""

    since: datetime
    by: AbstractBaseUser | None  # None when that person is gone
    waiting: int  # messages held for it, counted as Depth is


@dataclass(frozen=True)
class Guard:
    """Notices wait because too much mail bounces or is called spam."""

    since: datetime
    open_until: datetime | None  # so long an admin lets them go all the same
    opened_by: AbstractBaseUser | None
    waiting: int  # messages held for it, counted as Depth is


@dataclass(frozen=True)
class Depth:
    """How many messages of one lane are in one state, for one reason.

    A count of COUNT_LIMIT means that many or more.
    """

    state: str  # "due", "later", "sending", "held"
    lane: Lane
    count: int
    reason_code: str = ""  # of held ones

    @property
    def is_exact(self) -> bool:
        return self.count < COUNT_LIMIT


@dataclass(frozen=True)
class _Figures:
    """What two tables say about this moment."""

    depths: tuple[Depth, ...]
    unknown: int
    oldest_due_at: datetime | None
    worker_beat_at: datetime | None
    worker_task_at: datetime | None

    def count(self, wanted: Callable[[Depth], bool]) -> int:
        return sum(depth.count for depth in self.depths if wanted(depth))


class MailStatus:
    """Read when it is asked for, in two questions; a page that does not ask pays nothing.

    They take the same few index look-ups whether ten messages wait or millions.
    """

    def __init__(self, settings: SesSettings | None = None) -> None:
        if settings is not None:
            self.settings = settings

    @cached_property
    def settings(self) -> SesSettings:
        """The saved settings, or empty ones before anything was saved."""
        saved = SesSettings.objects.select_related(
            "saved_by", "stopped_by", "unguarded_by", "watch"
        ).first()
        return saved or SesSettings()

    @property
    def is_rehearsal(self) -> bool:
        return not self.settings.is_live

    @property
    def is_configured(self) -> bool:
        return self.settings.is_configured

    # What keeps mail back

    @cached_property
    def hold(self) -> Hold | None:
        """Why no mail leaves although it should; None while it does, or in rehearsal."""
        settings = self.settings
        if not settings.hold_code or not settings.is_live:
            return None
        problem = recall(
            settings.hold_code,
            detail=settings.hold_detail,
            from_email=settings.from_email,
            region=settings.region,
        )
        return Hold(
            problem.title,
            problem.why,
            problem.fix,
            since=settings.held_since,
            detail=settings.hold_detail,
            advice=problem.advice,
            statement=problem.statement,
        )

    @cached_property
    def stop(self) -> Stop | None:
        """Whether an admin holds all mail, and since when; None when nobody does."""
        settings = self.settings
        if settings.stopped_at is None:
            return None
        return Stop(
            since=settings.stopped_at,
            by=settings.stopped_by,
            waiting=self.held_for(STOPPED_BY_HAND),
        )

    @cached_property
    def key_problem(self) -> str:
        """Why the stored AWS secret can't be read, with the way out; "" when it can.

        Asks the key file and no table.
        """
        return credentials.why_unreadable(self.settings)

    @cached_property
    def old_key(self) -> KeyAge | None:
        """The age of the access key if it is time for a new one; None if not."""
        age = KeyAge.of(self.settings)
        return age if age and age.is_due else None

    # What becomes of it

    @property
    def watch(self) -> MailWatch:
        """What the worker found when it last looked, empty before it did."""
        try:
            return self.settings.watch
        except MailWatch.DoesNotExist:
            return MailWatch()

    @cached_property
    def reputation(self) -> Reputation:
        """How much mail bounces and is called spam, as it was last counted."""
        return Reputation.of(self.watch)

    @cached_property
    def guard(self) -> Guard | None:
        """Whether notices wait because of the reputation; None while it is good."""
        settings = self.settings
        if settings.guarded_since is None or not settings.is_live:
            return None
        until = settings.unguarded_until
        return Guard(
            since=settings.guarded_since,
            open_until=until if until and until > timezone.now() else None,
            opened_by=settings.unguarded_by,
            waiting=self.held_for(GUARDED),
        )

    @cached_property
    def silence(self) -> Silence | None:
        """Why nobody learns what becomes of mail; None while news comes."""
        return silence_of(self.watch)

    @property
    def silence_causes(self) -> list[str]:
        """What may be the cause of that, the likeliest first."""
        return self.silence.causes(self.settings) if self.silence else []

    @property
    def is_on_probation(self) -> bool:
        """Whether AWS has the account under review."""
        return self.watch.enforcement == "PROBATION"

    # What waits

    @property
    def depths(self) -> tuple[Depth, ...]:
        """Everything that waits, by state, lane and reason; what is empty is left out."""
        return self._figures.depths

    @property
    def held_count(self) -> int:
        """Messages that wait for a person, without those captured in rehearsal."""
        return self._figures.count(
            lambda depth: depth.state == "held" and depth.reason_code != REHEARSAL
        )

    def held_for(self, reason_code: str) -> int:
        """Messages that are held for one reason."""
        return self._figures.count(lambda depth: depth.reason_code == reason_code)

    @property
    def captured_count(self) -> int:
        return self.held_for(REHEARSAL)

    @property
    def unknown_count(self) -> int:
        """Messages that went out without an answer, COUNT_LIMIT for that many or more."""
        return self._figures.unknown

    @property
    def due_count(self) -> int:
        """Messages that could leave this moment."""
        return self._figures.count(lambda depth: depth.state == "due")

    @property
    def oldest_due_at(self) -> datetime | None:
        return self._figures.oldest_due_at

    @property
    def oldest_due_age(self) -> timedelta | None:
        """How long the oldest message that could leave has waited, None without one."""
        due_at = self._figures.oldest_due_at
        return timezone.now() - due_at if due_at else None

    @property
    def is_late(self) -> bool:
        age = self.oldest_due_age
        return age is not None and age > LATE

    # Who sends

    @property
    def worker_last_beat(self) -> datetime | None:
        return self._figures.worker_beat_at

    @property
    def worker_is_running(self) -> bool:
        return _is_within(WORKER_SILENCE, self.worker_last_beat)

    @property
    def beat_last_task(self) -> datetime | None:
        """When a task of a worker's schedule last ran."""
        return self._figures.worker_task_at

    @property
    def beat_is_running(self) -> bool:
        """Whether the schedule runs: without it nothing is tried again by itself."""
        return _is_within(BEAT_SILENCE, self.beat_last_task)

    @property
    def settings_url(self) -> str:
        return reverse("email_settings:settings")

    @property
    def activity_url(self) -> str:
        return reverse("email_settings:message-list")

    @cached_property
    def _figures(self) -> _Figures:
        now = timezone.now()
        with connection.cursor() as cursor:
            adapted = connection.ops.adapt_datetimefield_value(now)
            cursor.execute(_figures_sql(), [adapted, adapted])
            rows = [_Row(*row) for row in cursor.fetchall()]
        by_name = {row.name: row for row in rows}
        due = [
            moment
            for row in rows
            if row.name == "due" and (moment := _moment(row.moment))
        ]
        return _Figures(
            depths=tuple(_depths(rows)),
            unknown=by_name["unknown"].count,
            oldest_due_at=min((at for at in due if at <= now), default=None),
            worker_beat_at=_moment(by_name["beat"].moment),
            worker_task_at=_moment(by_name["task"].moment),
        )


@dataclass(frozen=True)
class _Row:
    name: str
    reason_code: str
    lane: int
    count: int
    moment: datetime | str | None


def _depths(rows: Iterable[_Row]) -> Iterator[Depth]:
    for row in rows:
        if row.name in {"due", "later", "sending", "held"} and row.count:
            yield Depth(row.name, Lane(row.lane), row.count, row.reason_code)


def _moment(value: datetime | str | None) -> datetime | None:
    """Return what a raw query gave for a moment; SQLite gives a text in UTC."""
    if isinstance(value, str):
        parsed = parse_datetime(value)
        return parsed.replace(tzinfo=UTC) if parsed else None
    return value


def _is_within(limit: timedelta, moment: datetime | None) -> bool:
    return moment is not None and timezone.now() - moment < limit


# One statement, because it is asked on every page of the panel. Each count looks at no
# more than COUNT_LIMIT entries of one partial index. `reasons` hops from one reason to
# the next in the index, so that a million messages held for one do not hide another.
# The states are literals because SQLite uses a partial index only when it can see that
# its condition holds.
_COUNTED = """
    SELECT count(*) FROM (
        SELECT 1 FROM {table} WHERE {condition} LIMIT {limit}
    ) AS counted
"""
_FIGURES_TEMPLATE = """
WITH RECURSIVE lanes (lane) AS (VALUES {lanes}),
reasons (code) AS (
    SELECT min(reason_code) FROM {outbox} {by_reason} WHERE state = 'held'
    UNION ALL
    SELECT (
        SELECT min(reason_code) FROM {outbox} {by_reason}
        WHERE state = 'held' AND reason_code > reasons.code
    ) FROM reasons WHERE reasons.code IS NOT NULL
)
SELECT 'beat', '', 0, count(*), max(beat_at) FROM {heartbeat}
UNION ALL
SELECT 'task', '', 0, count(*), max(task_at) FROM {heartbeat}
UNION ALL
SELECT 'due', '', lane, ({due}),
    (SELECT min(due_at) FROM {outbox} WHERE state = 'queued' AND lane = lanes.lane)
FROM lanes
UNION ALL
SELECT 'later', '', lane, ({later}), NULL FROM lanes
UNION ALL
SELECT 'sending', '', lane, count(*), NULL FROM {outbox}
WHERE state = 'sending' GROUP BY lane
UNION ALL
SELECT 'held', code, lane, ({held}), NULL
FROM reasons CROSS JOIN lanes WHERE code IS NOT NULL
UNION ALL
SELECT 'unknown', '', 0, ({unknown}), NULL
"""


@functools.cache
def _figures_sql() -> str:
    outbox = OutboxMessage._meta.db_table
    conditions = {
        "due": "state = 'queued' AND lane = lanes.lane AND due_at <= %s",
        "later": "state = 'queued' AND lane = lanes.lane AND due_at > %s",
        "held": "state = 'held' AND reason_code = reasons.code AND lane = lanes.lane",
        "unknown": "state = 'unknown'",
    }
    return _FIGURES_TEMPLATE.format(
        lanes=", ".join(f"({lane.value})" for lane in Lane),
        outbox=outbox,
        # Else SQLite reads everything that is held to find its first reason.
        by_reason="INDEXED BY outbox_held" if connection.vendor == "sqlite" else "",
        heartbeat=WorkerHeartbeat._meta.db_table,
        **{
            name: _COUNTED.format(table=outbox, condition=condition, limit=COUNT_LIMIT)
            for name, condition in conditions.items()
        },
    )
