"""Keeps all workers together below the rate that the account allows.

Each pace is exact over the starts of calls: nothing is reserved for later, so that a
thread that is late can't bunch up with the next one. Who keeps the clock:

- Redis, where there is one, for any number of workers on any number of machines;
- PostgreSQL, for workers that share no Redis;
- the process itself, for the one worker of an embedded installation.
"""

import collections
import math
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from email_settings.delivery.clock import database_now
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import PaceClock, SesSettings

# What AWS gives an account in the sandbox, and a safe guess when it says nothing.
SLOWEST_RATE = 1.0  # recipients per second
# A little over a second, so that network jitter does not push one too many into it.
WINDOW_SECONDS = 1.04
# Starts are spread over the window, yet may catch up a little.
SPREAD = 0.9
LONGEST_NAP_SECONDS = 5.0
# One question may take turns for several threads that wait: as many as are due in this
# time. Each must be used in the time below, well within what WINDOW_SECONDS has to
# spare, or it lapses.
AT_ONCE_SECONDS = 0.01
TURN_LASTS_SECONDS = 0.02
# At a rate that nobody comes near, asking would cost more than it is worth. So few are
# kept for so much longer that twenty processes together have a hundredth of the rate in
# hand, which WINDOW_SECONDS has to spare as well.
KEPT_SHARE = 0.0005
KEPT_SECONDS = 0.2
# So long nothing is claimed after the clock of the pace did not answer.
AWAY_SECONDS = 5.0

# After AWS said "too fast" the rate is halved, and is whole again after this time
# unless AWS says it again.
WHOLE_AGAIN_AFTER = timedelta(minutes=5)
# The answers to calls that were out at the same time are one "too fast", not many.
ONE_BURST = timedelta(seconds=2)
LEAST_SHARE = 0.1  # of the whole rate, however often AWS says it
LEAST_RATE = 0.5  # recipients per second


def effective_rate(sender: SesSettings, now: datetime) -> float:
    """Return the recipients per second that are aimed at now. A pure function.

    The whole rate, or less for a while after AWS said "too fast".
    """
    whole = whole_rate(sender)
    if sender.slowed_at is None or sender.slowed_to is None:
        return whole
    share = max(0.0, (now - sender.slowed_at) / WHOLE_AGAIN_AFTER)
    slowed = min(sender.slowed_to, whole)
    return min(whole, slowed + (whole - slowed) * share)


def whole_rate(sender: SesSettings) -> float:
    """Return the recipients per second that the account allows. A pure function.

    What AWS said or what an admin typed, the smaller where both are known; the slowest
    where neither makes sense.
    """
    rates = (sender.max_send_rate, sender.manual_send_rate)
    known = [rate for rate in rates if rate and math.isfinite(rate) and rate > 0]
    return min(known, default=SLOWEST_RATE)


def slow_down() -> bool:
    """Halve the rate because AWS said "too fast", and return whether this call did.

    Of a burst of such answers, in any number of processes, one halves it: the
    conditional update decides between them.
    """
    now = database_now()
    sender = SesSettings.load()
    whole = whole_rate(sender)
    least = min(whole, max(whole * LEAST_SHARE, LEAST_RATE))
    is_another_burst = Q(slowed_at=None) | Q(slowed_at__lte=now - ONE_BURST)
    return bool(
        SesSettings.objects.filter(is_another_burst, pk=sender.pk).update(
            slowed_to=max(effective_rate(sender, now) / 2, least), slowed_at=now
        )
    )


class Pace(Protocol):
    """Says when the next message may start."""

    @property
    def ahead(self) -> int:
        """How many may be claimed while they still wait for their turn."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether its clock did not answer a moment ago: better not to claim now."""
        ...

    def take(self, stopping: threading.Event, *, seconds: float) -> bool:
        """Wait so long for a turn; False when `stopping` was set or the time was over.

        Raises SendError.
        """
        ...


class NoPace:
    """For rehearsal: nothing leaves, so nothing has to wait."""

    ahead = 1_000_000
    is_away = False

    def take(self, stopping: threading.Event, *, seconds: float) -> bool:
        return not stopping.is_set()


@dataclass(frozen=True)
class _Limits:
    """So many starts in so many seconds, each so many seconds after the one before."""

    starts: int
    window_seconds: float
    apart_seconds: float
    at_once: int  # for the threads that wait already
    kept: int  # for those that come later

    @classmethod
    def of(cls, rate: float) -> "_Limits":
        starts = max(1, int(rate))
        return cls(
            starts,
            window_seconds=WINDOW_SECONDS * starts / rate,
            apart_seconds=SPREAD / rate,
            at_once=max(1, int(rate * AT_ONCE_SECONDS)),
            kept=int(rate * KEPT_SHARE),
        )


class _Turns:
    """What all of them share: one thread of the process asks, the others line up."""

    _away_code = "pacer_unavailable"

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._limits = _Limits.of(rate)
        self._asking = threading.Lock()
        self._line: collections.deque[None] = collections.deque()  # one for each thread
        # Turns that were taken for others in the line, by when they lapse
        self._spare: collections.deque[float] = collections.deque()
        self._away_until = 0.0
        self.ahead = max(1, int(rate * 0.1))

    @property
    def rate(self) -> float:
        """Recipients per second. It may change at any time: what started is remembered."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if rate == self._rate:
            return
        self._rate = rate
        self._limits = _Limits.of(rate)
        self.ahead = max(1, int(rate * 0.1))

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def take(self, stopping: threading.Event, *, seconds: float) -> bool:
        if self._use_spare():
            return not stopping.is_set()
        ends_at = time.monotonic() + seconds
        self._line.append(None)
        try:
            if not self._asking.acquire(timeout=max(0.0, seconds)):
                return False
            try:
                return self._take(stopping, ends_at)
            finally:
                self._asking.release()
        finally:
            self._line.pop()

    def _take(self, stopping: threading.Event, ends_at: float) -> bool:
        while not stopping.is_set() and time.monotonic() < ends_at:
            if self._use_spare():
                return True
            limits = self._limits
            asked_at = time.monotonic()
            turns, wait = self.ask(
                max(min(len(self._line), limits.at_once), limits.kept)
            )
            if turns:
                is_few = turns <= limits.kept
                lasts = KEPT_SECONDS if is_few else TURN_LASTS_SECONDS
                self._spare.extend([asked_at + lasts] * (turns - 1))
                return True
            left = ends_at - time.monotonic()
            stopping.wait(max(0.0, min(wait, left, LONGEST_NAP_SECONDS)))
        return False

    def _use_spare(self) -> bool:
        """Use a turn that was taken before. Needs no lock."""
        try:
            while self._spare.popleft() <= time.monotonic():
                pass
        except IndexError:
            return False
        return True

    def ask(self, most: int) -> tuple[int, float]:
        """Take up to `most` turns for calls that start now.

        Returns how many, and when it was none, for how many seconds there will be none.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it holds open; the next turn opens it again."""

    def _away(self, error: Exception) -> SendError:
        """Without its clock nothing leaves: it could be too fast."""
        self._away_until = time.monotonic() + AWAY_SECONDS
        return SendError(problem_for(self._away_code), detail=str(error))


class LocalPace(_Turns):
    """For the one worker of an embedded installation.

    An exact sliding window over the real starts: one more may start when the start
    `rate` before it is a good second old.
    """

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._started: collections.deque[float] = collections.deque()

    def ask(self, most: int) -> tuple[int, float]:
        limits = self._limits
        now = time.monotonic()
        wait = 0.0
        if self._started:
            wait = self._started[-1] + limits.apart_seconds - now
        if len(self._started) >= limits.starts:
            wait = max(
                wait, self._started[-limits.starts] + limits.window_seconds - now
            )
        if wait > 0:
            return 0, wait
        self._started.append(now)
        # More than one window of them, for a rate that grows.
        while len(self._started) > 2 * limits.starts:
            self._started.popleft()
        return 1, 0.0


class RedisPace(_Turns):
    """The same window in Redis, by the clock of Redis."""

    # Several turns only where as many could have come one by one since the last start.
    _SCRIPT = """
    local time = redis.call('TIME')
    local now = time[1] + time[2] / 1e6
    local starts, window, apart = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local turns = math.min(tonumber(ARGV[4]), starts)
    local wait = 0
    local last = redis.call('LINDEX', KEYS[1], 0)
    if last then
        wait = last + apart - now
        turns = math.min(turns, math.floor((now - last) / apart))
    end
    local function wait_for(count)
        local oldest = redis.call('LINDEX', KEYS[1], starts - count)
        return oldest and oldest + window - now or 0
    end
    while turns > 0 and wait_for(turns) > 0 do turns = turns - 1 end
    if turns <= 0 then
        return {0, string.format('%.6f', math.max(wait, wait_for(1)))}
    end
    for turn = 1, turns do
        redis.call('LPUSH', KEYS[1], string.format('%.6f', now))
    end
    redis.call('LTRIM', KEYS[1], 0, 2 * starts - 1)
    redis.call('EXPIRE', KEYS[1], math.ceil(window) + 60)
    return {turns, '0'}
    """

    def __init__(self, rate: float, *, url: str, account: str) -> None:
        """`account` names what the rate belongs to: an AWS account and region."""
        super().__init__(rate)
        self._key = f"ticketflow:pace:{account}"
        redis = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=3)
        self._script = redis.register_script(self._SCRIPT)

    def ask(self, most: int) -> tuple[int, float]:
        limits = self._limits
        arguments = [limits.starts, limits.window_seconds, limits.apart_seconds, most]
        try:
            turns, wait = self._script(keys=[self._key], args=arguments)
        except RedisError as error:
            raise self._away(error) from error
        # Never 0 without a turn: that would be asked again at once.
        return int(turns), max(float(wait), 0.0001)


class DatabasePace(_Turns):
    """One row of PostgreSQL, by the clock of PostgreSQL, for workers without Redis.

    The row says when the next start is due (GCRA). A turn is one short UPDATE that
    finds the row only when that time has come; nobody holds it while waiting.
    """

    # So late may a start be without the next one being late too. With starts that are
    # WINDOW_SECONDS / rate apart on average, no second gets one too many while this is
    # below WINDOW_SECONDS - 1.
    MAY_CATCH_UP_SECONDS = 0.03

    _away_code = "pacer_database_unavailable"

    _TAKE = """
        UPDATE {table}
        SET next_start_at = GREATEST(next_start_at, clock_timestamp())
            + make_interval(secs => %s)
        WHERE account = %s
        AND next_start_at - make_interval(secs => %s) <= clock_timestamp()
    """
    _HOW_LONG = """
        SELECT extract(epoch FROM next_start_at - clock_timestamp()) FROM {table}
        WHERE account = %s
    """
    _MAKE = """
        INSERT INTO {table} (account, next_start_at) VALUES (%s, clock_timestamp())
        ON CONFLICT (account) DO NOTHING
    """

    def __init__(self, rate: float, *, account: str) -> None:
        super().__init__(rate)
        self._account = account
        # Of its own: a turn must not wait for, or end with, anybody's transaction.
        # The slots take it in turn.
        self._connection: BaseDatabaseWrapper = connection.copy()
        self._connection.inc_thread_sharing()

    def ask(self, most: int) -> tuple[int, float]:
        try:
            return self._ask()
        except DatabaseError as error:
            self._connection.close()
            raise self._away(error) from error

    def close(self) -> None:
        with self._asking:
            self._connection.close()

    def _ask(self) -> tuple[int, float]:
        apart = WINDOW_SECONDS / self._rate
        values: list[float | str] = [apart, self._account, self.MAY_CATCH_UP_SECONDS]
        with self._connection.cursor() as cursor:
            cursor.execute(_on_clock(self._TAKE), values)
            if cursor.rowcount:
                return 1, 0.0
            cursor.execute(_on_clock(self._HOW_LONG), [self._account])
            found = cursor.fetchone()
            if found is None:
                cursor.execute(_on_clock(self._MAKE), [self._account])
                return self._ask()
        # Never longer than one start takes.
        wait = float(found[0]) - self.MAY_CATCH_UP_SECONDS
        return 0, min(max(wait, 0.001), apart)


def _on_clock(statement: str) -> str:
    return statement.format(table=PaceClock._meta.db_table)


def pace_for(sender: SesSettings) -> Pace:
    """Return the pace of these settings: one object an account, at the rate of now."""
    if not sender.is_live:
        return NoPace()
    account = f"{sender.account_id or sender.access_key_id}:{sender.region}"
    pace = _pace_of(settings.REDIS_URL, connection.vendor, account)
    pace.rate = effective_rate(sender, timezone.now())
    return pace


# One for each account that this process has sent through: what started is remembered.
_paces: dict[tuple[str, str, str], _Turns] = {}
_making = threading.Lock()


def _pace_of(redis_url: str, vendor: str, account: str) -> _Turns:
    key = (redis_url, vendor, account)
    with _making:
        if key not in _paces:
            _paces[key] = _new_pace(*key)
        return _paces[key]


def _new_pace(redis_url: str, vendor: str, account: str) -> _Turns:
    if redis_url:
        return RedisPace(SLOWEST_RATE, url=redis_url, account=account)
    if vendor == "postgresql":
        return DatabasePace(SLOWEST_RATE, account=account)
    return LocalPace(SLOWEST_RATE)


def close_paces() -> None:
    """Let go of what the paces of this process hold open."""
    for pace in list(_paces.values()):
        pace.close()
