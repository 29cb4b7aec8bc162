"""Moves due messages through the slots: one transaction settles and claims.

A message is leased only while it occupies a slot, so that a crash leaves no more of
them in doubt than there are slots, and one transaction serves all of a cycle.
"""

import functools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from django.db import (
    DataError,
    Error,
    IntegrityError,
    close_old_connections,
    connection,
    transaction,
)
from django.utils import timezone

from email_settings.delivery import claim, hold, recovery
from email_settings.delivery.claim import Claim
from email_settings.delivery.journal import Journal
from email_settings.delivery.send import ChooseGateway, send
from email_settings.delivery.settle import Outcome, settle
from email_settings.delivery.slots import Slots
from email_settings.gateway import ses
from email_settings.gateway.base import Gateway
from email_settings.gateway.rehearsal import RehearsalGateway
from email_settings.models import SesSettings
from email_settings.nudge import nudge_worker
from email_settings.pacing import Pace, pace_for
from email_settings.quota import Gauge, Quota

logger = logging.getLogger(__name__)

SLOTS = 16  # at least the rate times the latency: 16 serve 300/s at 50 ms
BUDGET_SECONDS = 10.0  # then the thread is given back to other tasks
# With results to write, the next cycle comes no later; sooner when slots are free.
CYCLE_SECONDS = 0.01
DATABASE_PATIENCE_SECONDS = 60.0
RELEASE_EVERY_SECONDS = 1.0

stopping = threading.Event()  # set when the worker shuts down

_slots = Slots(SLOTS)


def choose_gateway(sender: SesSettings) -> Gateway:
    """Return where mail goes with these settings. Raises SendError."""
    if not sender.is_live:
        return RehearsalGateway()
    return ses.gateway_for(sender, slots=SLOTS)


# What a pump hears of: an outcome came home, a call started, new mail is due.
@dataclass(frozen=True)
class _Started:
    pass


@dataclass(frozen=True)
class _Wake:
    pass


_News = Outcome | _Started | _Wake


class Pump:
    """One run. Used by one thread; the slots only put news into its queue."""

    def __init__(
        self,
        *,
        choose_gateway: ChooseGateway = choose_gateway,
        slots: Slots = _slots,
        pace_for: Callable[[SesSettings], Pace] = pace_for,
    ) -> None:
        self.unsettled: list[Outcome] = []  # came home, not written yet
        self.doubtful_tokens: list[str] = []  # of claims whose commit was not seen
        self.journal: Journal | None = None  # open until the database knows all
        self._choose_gateway = choose_gateway
        self._slots = slots
        self._pace_for = pace_for
        self._pace: Pace | None = None
        self._gauge = Gauge()
        self._began_at = timezone.now()
        self._last_release = -math.inf
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._in_flight = 0
        self._waiting = 0  # of those, the ones whose turn has not come
        self._is_dry = False  # the last claim found less than there was room for
        self._last_cycle = 0.0
        self._deadline = 0.0

    def wake(self) -> None:
        """Look for due messages again. May be called from any thread."""
        self._news.put(_Wake())

    def take_over(self, earlier: "Pump") -> None:
        """Begin with what an earlier run could not write."""
        self.unsettled = earlier.unsettled
        self.doubtful_tokens = earlier.doubtful_tokens
        self.journal = earlier.journal

    def run(self, budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Send what is due, and return whether the budget ended before that did.

        Returns after the last call has come home, whatever the budget. Raises a
        django.db.Error when the database is away for longer than its patience; the next
        run takes over what could not be written.
        """
        self._deadline = time.monotonic() + budget_seconds
        try:
            self._send_all_that_is_due()
        except BaseException:
            # What came of the calls is known to nobody else.
            self._bring_all_home()
            raise
        return not self._is_dry

    def _send_all_that_is_due(self) -> None:
        # First, or recovery would call unknown what only waited to be written.
        with transaction.atomic(durable=True):
            self._write_what_is_known()
        self._forget_what_is_written()
        recovery.recover()
        while self._wait_for_a_reason():
            for claimed in self._settle_and_claim():
                self._start(claimed)
        if self.journal:
            self.journal.close()
            self.journal = None

    # Waiting

    def _wait_for_a_reason(self) -> bool:
        """Sleep until a cycle is worth its transaction; False when all is done."""
        while True:
            room = self._room()
            if room >= self._worthwhile_room:
                return True
            since = time.monotonic() - self._last_cycle
            has_waited = not self._in_flight or since >= CYCLE_SECONDS
            if self.unsettled and has_waited:
                return True
            if not self._in_flight:
                return room > 0
            self._hear(CYCLE_SECONDS - since if self.unsettled else None)

    def _room(self) -> int:
        """Return how many messages may be claimed now."""
        is_over = time.monotonic() >= self._deadline or stopping.is_set()
        is_stuck = self.journal is not None and self.journal.is_stuck
        if is_over or is_stuck or self._is_dry:
            return 0
        ahead = self._pace.ahead if self._pace else self._slots.count
        return min(self._slots.count - self._in_flight, ahead - self._waiting)

    @property
    def _worthwhile_room(self) -> int:
        is_paced = self._pace is not None and self._pace.ahead < self._slots.count
        return 1 if is_paced else max(1, self._slots.count // 8)

    def _hear(self, timeout: float | None) -> None:
        """Take the next news and all that is there already; None waits for ever."""
        try:
            self._take(self._news.get(timeout=timeout))
            while True:
                self._take(self._news.get_nowait())
        except queue.Empty:
            pass

    def _take(self, news: _News) -> None:
        match news:
            case Outcome():
                self._in_flight -= 1
                self.unsettled.append(news)
                if news.claim.is_probe:
                    self._is_dry = False  # it may have freed all the others
            case _Started():
                self._waiting -= 1
            case _Wake():
                self._is_dry = False

    # Working

    def _settle_and_claim(self) -> list[Claim]:
        """Write what came home and lease what fits, in one transaction.

        What can't be written is kept and tried again: it is worth more than the
        connection.
        """
        self._last_cycle = time.monotonic()
        patience_ends = time.monotonic() + DATABASE_PATIENCE_SECONDS
        pause = 0.1
        self.journal = self.journal or Journal()
        while True:
            token = self.journal.next_token()
            try:
                claims = self._cycle(token)
            except (DataError, IntegrityError, ValueError):
                if not self._settle_one_by_one():
                    raise
            except Error as error:
                # The commit may have happened all the same.
                self.doubtful_tokens.append(token)
                connection.close()
                if time.monotonic() >= patience_ends or stopping.is_set():
                    raise
                logger.warning("outbox: the database is away: %s", error)
                stopping.wait(pause)
                pause = min(pause * 2, 2.0)
            else:
                self._forget_what_is_written()
                return claims

    def _cycle(self, token: str) -> list[Claim]:
        # durable: inside another transaction the leases would not be seen by anybody.
        with transaction.atomic(durable=True):
            self._write_what_is_known()
            room = self._room()
            return self._claim(room, token) if room > 0 else []

    def _write_what_is_known(self) -> None:
        settle(self.unsettled)
        claim.give_back(self.doubtful_tokens)

    def _forget_what_is_written(self) -> None:
        """Its transaction has committed."""
        self.unsettled = []
        self.doubtful_tokens = []
        if self.journal and not self._in_flight:
            self.journal.forget()

    def _settle_one_by_one(self) -> bool:
        """Leave out what the database refuses to store: it must not keep the others.

        Such a message is shown as unknown when its lease ends. Returns whether there
        was one.
        """
        has_refused = False
        for outcome in self.unsettled:
            try:
                with transaction.atomic(durable=True):
                    settle([outcome])
            except (DataError, IntegrityError, ValueError):
                has_refused = True
                logger.exception(
                    "outbox: what became of message %s can't be written",
                    outcome.claim.message.uid,
                )
        self.unsettled = []
        return has_refused

    def _claim(self, room: int, token: str) -> list[Claim]:
        sender = SesSettings.load()
        self._pace = self._pace_for(sender)
        if sender.stopped_at:
            self._is_dry = hold.park_stopped() < hold.AT_ONCE
            return []
        if sender.hold_code and sender.is_live:
            return self._claim_probe(token, sender)
        if self._pace.is_away:
            # Each claim would only come back, and leave a try behind.
            self._is_dry = True
            return []
        quota = self._gauge.read(sender) if sender.is_live else None
        if quota and quota.is_reserve_reached and self._park_for_the_reserve():
            return []
        room = min(room, self._pace.ahead - self._waiting)
        claims = claim.claim_due(room, token=token, sender=sender)
        self._is_dry = len(claims) < room
        self._release_what_may_go(sender, quota)
        return claims

    def _park_for_the_reserve(self) -> bool:
        """Leave only security mail to be claimed; True when there is more to park."""
        self._is_dry = hold.park_for_the_reserve() < hold.AT_ONCE
        return not self._is_dry

    def _release_what_may_go(self, sender: SesSettings, quota: Quota | None) -> None:
        """Look after mail that waits for nothing any more: soon, and before the end."""
        since = time.monotonic() - self._last_release
        if not self._is_dry and since < RELEASE_EVERY_SECONDS:
            return
        self._last_release = time.monotonic()
        if hold.release_what_may_go(sender, quota, waiting_since=self._began_at):
            self._is_dry = False

    def _claim_probe(self, token: str, sender: SesSettings) -> list[Claim]:
        """Hold what is due; when it is time, lease one message to see."""
        is_paused = sender.hold_code in hold.UNREACHABLE
        parked = 0 if is_paused else hold.park_due(sender)
        self._is_dry = parked < hold.AT_ONCE
        if not self._is_dry or not hold.is_anything_to_try():
            return []
        if not hold.take_turn_to_probe():
            return []
        if is_paused and (due := claim.claim_due(1, token=token, sender=sender)):
            return [replace(claimed, is_probe=True) for claimed in due]
        return claim.claim_held(token=token, sender=sender)

    def _start(self, claimed: Claim) -> None:
        assert self._pace is not None
        self._in_flight += 1
        self._waiting += 1
        assert self.journal is not None
        self._slots.submit(
            functools.partial(self._send, claimed, self._pace, self.journal)
        )

    def _send(self, claimed: Claim, pace: Pace, journal: Journal) -> None:
        outcome = send(
            claimed,
            journal=journal,
            choose_gateway=self._choose_gateway,
            pace=pace,
            stopping=stopping,
            started=lambda: self._news.put(_Started()),
        )
        self._news.put(outcome)

    def _bring_all_home(self) -> None:
        while self._in_flight:
            self._hear(None)


# One pump a process: two would put twice as many messages in doubt at a crash.
_turn = threading.Lock()
_is_wanted = threading.Event()
_running: Pump | None = None
_last: Pump | None = None  # it may not have written all that came home


def drain(budget_seconds: float = BUDGET_SECONDS) -> None:
    """Send what is due. Returns at once when this process is doing so already.

    Wakes a worker again when the budget ended before the messages did.
    """
    _is_wanted.set()
    # Asked again after each release: a wake-up that came too late for the last look
    # of the run before it must not get lost.
    while _is_wanted.is_set() and _turn.acquire(blocking=False):
        try:
            _is_wanted.clear()
            has_more = _run_one(budget_seconds)
        finally:
            _turn.release()
        if has_more and not stopping.is_set():
            nudge_worker()
            return


def wake_running() -> bool:
    """Tell this process's pump that mail is due; False when none is running."""
    _is_wanted.set()
    pump = _running
    if pump is not None:
        pump.wake()
    return _turn.locked()


def wait_until_home(seconds: float) -> bool:
    """Wait until no pump runs in this process; False when one still does after that."""
    if not _turn.acquire(timeout=seconds):
        return False
    _turn.release()
    return True


def _run_one(budget_seconds: float) -> bool:
    global _running, _last
    # No request ever begins in a worker, so nobody else lets go of a dead connection.
    close_old_connections()
    pump = Pump()
    if _last:
        pump.take_over(_last)
    _running = _last = pump
    try:
        return pump.run(budget_seconds)
    finally:
        _running = None
