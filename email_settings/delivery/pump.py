"""Moves due messages through the slots: one transaction settles and claims.

A message is leased only while it occupies a slot, so that a crash leaves no more of
them in doubt than there are slots, and one transaction serves all of a cycle.
"""

import functools
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)

from email_settings.delivery import claim, hold, recovery
from email_settings.delivery.claim import Claim
from email_settings.delivery.send import ChooseGateway, send
from email_settings.delivery.settle import Outcome, settle
from email_settings.delivery.slots import Slots
from email_settings.gateway import ses
from email_settings.gateway.base import Gateway
from email_settings.gateway.rehearsal import RehearsalGateway
from email_settings.models import SesSettings
from email_settings.nudge import nudge_worker
from email_settings.pacing import Pace, pace_for

logger = logging.getLogger(__name__)

SLOTS = 16  # at least the rate times the latency: 16 serve 300/s at 50 ms
BUDGET_SECONDS = 10.0  # then the thread is given back to other tasks
# With results to write, the next cycle comes no later; sooner when slots are free.
CYCLE_SECONDS = 0.01
DATABASE_PATIENCE_SECONDS = 60.0

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
        self._choose_gateway = choose_gateway
        self._slots = slots
        self._pace_for = pace_for
        self._pace: Pace | None = None
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

    def run(self, budget_seconds: float = BUDGET_SECONDS) -> bool:
        """Send what is due, and return whether the budget ended before that did.

        Returns after the last call has come home, whatever the budget. When the
        database is away for longer than its patience it raises OperationalError or
        InterfaceError; the next run takes over what could not be written.
        """
        self._deadline = time.monotonic() + budget_seconds
        with transaction.atomic(durable=True):
            # First, or recovery would call unknown what only waited to be written.
            self._write_what_is_known()
        self._forget_what_is_written()
        recovery.recover()
        while self._wait_for_a_reason():
            for claimed in self._settle_and_claim():
                self._start(claimed)
        return not self._is_dry

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
        if is_over or self._is_dry:
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
        while True:
            token = uuid.uuid4().hex
            try:
                claims = self._cycle(token)
            except (OperationalError, InterfaceError) as error:
                # The commit may have happened all the same.
                self.doubtful_tokens.append(token)
                connection.close()
                if time.monotonic() >= patience_ends or stopping.is_set():
                    self._bring_all_home()
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

    def _claim(self, room: int, token: str) -> list[Claim]:
        sender = SesSettings.load()
        self._pace = self._pace_for(sender)
        if sender.hold_code and sender.is_live:
            return self._claim_probe(token, sender)
        room = min(room, self._pace.ahead - self._waiting)
        claims = claim.claim_due(room, token=token, sender=sender)
        self._is_dry = len(claims) < room
        return claims

    def _claim_probe(self, token: str, sender: SesSettings) -> list[Claim]:
        """Hold what is due; once a minute, lease one of what is held."""
        self._is_dry = True
        hold.park_due(sender)
        if not hold.take_turn_to_probe():
            return []
        return claim.claim_held(token=token, sender=sender)

    def _start(self, claimed: Claim) -> None:
        assert self._pace is not None
        self._in_flight += 1
        self._waiting += 1
        self._slots.submit(functools.partial(self._send, claimed, self._pace))

    def _send(self, claimed: Claim, pace: Pace) -> None:
        outcome = send(
            claimed,
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
