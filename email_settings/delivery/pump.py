"""Moves due messages through the slots: one transaction settles and claims.

A message is leased only while it occupies a slot or is one of the few that wait for
one, so that no slot stands idle during a transaction. A crash leaves no more of them in
doubt than there are slots, because the journal tells which calls had begun; where there
is no journal left, at most those few more.
"""

import functools
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

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
from email_settings.delivery.settle import (
    Outcome,
    has_answered,
    is_trouble_for_all,
    settle,
    was_called_off,
)
from email_settings.delivery.slots import Slots
from email_settings.gateway import ses
from email_settings.gateway.base import Gateway
from email_settings.gateway.rehearsal import RehearsalGateway
from email_settings.models import SesSettings, SharedBody
from email_settings.nudge import nudge_worker
from email_settings.pacing import Pace, pace_for
from email_settings.quota import Gauge, Quota

logger = logging.getLogger(__name__)

SLOTS = 16  # at least the rate times the latency: 16 serve 300/s at 50 ms
AHEAD = 160  # claimed and waiting for a slot: at 1,200/s what leaves in 130 ms
BUDGET_SECONDS = 10.0  # then the thread is given back to other tasks
# With results to write, the next cycle comes no later; sooner when there is room.
CYCLE_SECONDS = 0.05
DATABASE_PATIENCE_SECONDS = 60.0
RELEASE_EVERY_SECONDS = 1.0

stopping = threading.Event()  # set when the worker shuts down

_slots = Slots(SLOTS, ahead=AHEAD)


def choose_gateway(sender: SesSettings) -> Gateway:
    """Return where mail goes with these settings. Raises SendError."""
    if not sender.is_live:
        return RehearsalGateway()
    return ses.gateway_for(sender, slots=SLOTS)


class Pump:
    """One run. Used by one thread; the slots tell it what they did under its lock."""

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
        self._bodies: dict[int, SharedBody] = {}  # of the last claim
        self._began_at = timezone.now()
        self._last_release = -math.inf
        self._in_flight = 0
        self._waiting = 0  # of those, the ones whose turn has not come
        self._is_dry = False  # the last claim found less than there was room for
        self._cycles = 0
        self._last_cycle = 0.0
        self._deadline = 0.0
        # The last answer was trouble for all: nothing is claimed ahead until a good one
        self._is_wary = False
        self._called_off = 0  # what was claimed in this cycle or before begins no more
        # What other threads have to tell, under this lock, until the pump hears it
        self._news = threading.Condition()
        self._came_home: list[Outcome] = []
        self._turns_came = 0
        self._is_woken = False

    def wake(self) -> None:
        """Look for due messages again. May be called from any thread."""
        with self._news:
            self._is_woken = True
            self._news.notify()

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
        # durable: inside another transaction nobody would see what the run writes.
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
            self._hear()
            room = self._room()
            if room >= self._worthwhile_room:
                return True
            since = time.monotonic() - self._last_cycle
            has_waited = not self._in_flight or since >= CYCLE_SECONDS
            if self.unsettled and has_waited:
                return True
            if not self._in_flight:
                return room > 0
            is_late = since >= CYCLE_SECONDS  # for what may come home next
            self._wait(CYCLE_SECONDS if is_late else CYCLE_SECONDS - since)

    def _room(self) -> int:
        """Return how many messages may be claimed now."""
        is_over = time.monotonic() >= self._deadline or stopping.is_set()
        is_stuck = self.journal is not None and self.journal.is_stuck
        if is_over or is_stuck or self._is_dry:
            return 0
        has_come, has_begun = len(self._came_home), self._turns_came
        return min(
            self._slots.count + self._ahead - self._in_flight + has_come,
            self._most_waiting - self._waiting + has_begun,
        )

    @property
    def _ahead(self) -> int:
        return 0 if self._is_wary else self._slots.ahead

    @property
    def _most_waiting(self) -> int:
        return self._pace.ahead if self._pace else self._slots.capacity

    @property
    def _worthwhile_room(self) -> int:
        """A transaction for each message costs too much, and a slot must not wait."""
        usual = max(self._slots.count // 8, self._ahead // 2)
        return max(1, min(usual, self._most_waiting // 2))

    def _wait(self, seconds: float) -> None:
        """Wait until what is new is worth a look, so long at most."""
        with self._news:
            if not self._is_worth_telling:
                self._news.wait(seconds)

    def _hear(self) -> None:
        """Take what is new."""
        with self._news:
            home, self._came_home = self._came_home, []
            self._waiting -= self._turns_came
            self._turns_came = 0
            is_woken, self._is_woken = self._is_woken, False
        if is_woken:
            self._is_dry = False
        for outcome in home:
            self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        self._in_flight -= 1
        self.unsettled.append(outcome)
        if is_trouble_for_all(outcome) or has_answered(outcome):
            self._is_wary = is_trouble_for_all(outcome)
        # A probe may have freed all the others; what was called off is due again.
        if outcome.claim.is_probe or was_called_off(outcome):
            self._is_dry = False

    @property
    def _is_worth_telling(self) -> bool:
        """Whether the pump should wake up for what is new. Needs the lock."""
        return (
            self._is_woken
            or len(self._came_home) == self._in_flight
            or self._room() >= self._worthwhile_room
        )

    # Working

    def _settle_and_claim(self) -> list[Claim]:
        """Write what came home and lease what fits, in one transaction.

        What can't be written is kept and tried again: it is worth more than the
        connection.
        """
        self._cycles += 1
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
        with transaction.atomic():
            self._write_what_is_known()
            if self._room() > 0 or self._in_flight:
                return self._claim(token)
            return []

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
                with transaction.atomic():
                    settle([outcome])
            except (DataError, IntegrityError, ValueError):
                has_refused = True
                logger.exception(
                    "outbox: what became of message %s can't be written",
                    outcome.claim.message.uid,
                )
        self.unsettled = []
        return has_refused

    def _claim(self, token: str) -> list[Claim]:
        sender = SesSettings.load()
        self._pace = self._pace_for(sender)
        if sender.stopped_at or sender.hold_code:
            # What was claimed before and waits for a slot is not to leave either.
            self._called_off = self._cycles - 1
        room = self._room()
        if room <= 0:
            return []
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
        gate = hold.gate_of(sender, quota)
        claims = claim.claim_due(
            room,
            token=token,
            sender=sender,
            last_lane=gate.last_lane,
            bodies=self._bodies,
        )
        self._is_dry = len(claims) < room
        if self._is_dry and not gate.is_open:
            # The others wait where people see what for; after the mail that may leave.
            self._is_dry = hold.park_behind(gate) < hold.AT_ONCE
        self._release_what_may_go(sender, quota)
        return claims

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
            functools.partial(
                self._send, claimed, self._pace, self.journal, self._cycles
            )
        )

    def _bring_all_home(self) -> None:
        while self._in_flight:
            self._wait(CYCLE_SECONDS)
            self._hear()

    # In the slots

    def _send(
        self, claimed: Claim, pace: Pace, journal: Journal, cycle_number: int
    ) -> None:
        outcome = send(
            claimed,
            journal=journal,
            choose_gateway=self._choose_gateway,
            pace=pace,
            stopping=stopping,
            started=self._turn_came,
            is_called_off=lambda: cycle_number <= self._called_off,
        )
        with self._news:
            if is_trouble_for_all(outcome):
                # What was claimed before the pump has looked at it does not begin.
                self._called_off = self._cycles
            self._came_home.append(outcome)
            if self._is_worth_telling:
                self._news.notify()

    def _turn_came(self) -> None:
        with self._news:
            self._turns_came += 1
            if self._is_worth_telling:
                self._news.notify()


# One pump a process: two would put twice as many messages in doubt at a crash.
_turn = threading.Lock()
_is_wanted = threading.Event()
# The one that runs, or else the last: it may not have written all that came home
_last: Pump | None = None


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
    if _last:  # or one that has ended, which does no harm
        _last.wake()
    return _turn.locked()


def wait_until_home(seconds: float) -> bool:
    """Wait until no pump runs in this process; False when one still does after that."""
    if not _turn.acquire(timeout=seconds):
        return False
    _turn.release()
    return True


def _run_one(budget_seconds: float) -> bool:
    global _last
    # No request ever begins in a worker, so nobody else lets go of a dead connection.
    close_old_connections()
    pump = Pump()
    if _last:
        pump.take_over(_last)
    _last = pump
    return pump.run(budget_seconds)
