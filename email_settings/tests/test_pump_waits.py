"""The pump between its cycles: it hears of news at once, and looks for nothing else."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from email_settings.delivery import pump
from email_settings.delivery.pump import Pump
from email_settings.delivery.slots import Slots
from email_settings.models import OutboxMessage
from email_settings.pacing import NoPace, Pace
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway

pytestmark = pytest.mark.django_db

State = OutboxMessage.State

# A pump that nobody tells anything looks this late, far later than any test takes.
LONG = 30.0


class Few(NoPace):
    """Lets no more than so many wait for their turn."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead


class Late(FakeGateway):
    """Calls come home when they are let go."""

    def __init__(self, let_go_at: int = 0) -> None:
        """`let_go_at`: the call that lets go of all; 0 for none."""
        super().__init__()
        self.let_go = threading.Event()
        self.let_go_at = let_go_at
        self.calls: list[str] = []

    def send(self, outgoing: Any) -> str:
        self.calls.append(outgoing.tags["tf-msg"])
        if self.let_go_at and len(self.calls) >= self.let_go_at:
            self.let_go.set()
        assert self.let_go.wait(2 * LONG)
        return super().send(outgoing)


def make_pump(
    gateway: Any, *, slots: int = 4, ahead: int = 0, pace: Pace | None = None
) -> Pump:
    turn = pace or NoPace()
    return Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(slots, ahead=ahead),
        pace_for=lambda sender: turn,
    )


def run_untroubled_by_time(running: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it; it must not come to the time at which it looks without being told."""
    monkeypatch.setattr(pump, "CYCLE_SECONDS", LONG)
    began = time.monotonic()
    running.run(budget_seconds=10 * LONG)
    assert time.monotonic() - began < LONG
    assert set(OutboxMessage.objects.values_list("state", flat=True)) == {State.SENT}


def before_sleeping(running: Pump, act: Callable[[], None]) -> None:
    """Act when the pump has seen that there is nothing new, once."""
    sleep = running._news.wait
    acts = iter([act])

    def waiting(timeout: float | None = None) -> bool:
        next(acts, lambda: None)()
        return sleep(timeout)

    running._news.wait = waiting  # type: ignore[method-assign]


def test_last_call_that_comes_home_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = Late()
    running = make_pump(gateway)
    before_sleeping(running, gateway.let_go.set)
    run_untroubled_by_time(running, monkeypatch)


def test_what_came_home_before_the_pump_sleeps_keeps_it_awake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = Late()
    running = make_pump(gateway)
    wait = running._wait

    def waiting(seconds: float) -> None:
        gateway.let_go.set()
        with running._news:
            assert running._news.wait_for(lambda: bool(running._came_home), LONG)
        wait(seconds)

    running._wait = waiting  # type: ignore[method-assign]
    run_untroubled_by_time(running, monkeypatch)


def test_wake_up_is_heard_while_the_pump_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = Late(let_go_at=2)
    running = make_pump(gateway)

    def wake() -> None:
        make_message()
        # Gets the lock when the pump sleeps
        threading.Thread(target=running.wake).start()

    before_sleeping(running, wake)
    run_untroubled_by_time(running, monkeypatch)


def test_wake_up_that_comes_before_the_pump_sleeps_keeps_it_awake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = Late(let_go_at=2)
    running = make_pump(gateway)
    wait = running._wait

    def waiting(seconds: float) -> None:
        if OutboxMessage.objects.count() == 1:
            make_message()
            running.wake()
        wait(seconds)

    running._wait = waiting  # type: ignore[method-assign]
    run_untroubled_by_time(running, monkeypatch)


def test_room_of_what_came_home_is_filled_while_others_are_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    for _ in range(12):
        make_message()
    asleep, claimed_again = threading.Event(), threading.Event()
    numbers = itertools.count(1)

    class TwoComeHome(FakeGateway):
        def send(self, outgoing: Any) -> str:
            number = next(numbers)
            if number > 8:  # in the room of the first two
                claimed_again.set()
            come_home = asleep if number <= 2 else claimed_again
            assert come_home.wait(2 * LONG)
            return super().send(outgoing)

    running = make_pump(TwoComeHome(), slots=8)
    before_sleeping(running, asleep.set)
    run_untroubled_by_time(running, monkeypatch)


def test_turn_that_came_makes_room_for_the_next_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    for _ in range(4):
        make_message()
    gateway = Late(let_go_at=3)
    running = make_pump(gateway, slots=4, ahead=8, pace=Few(2))
    run_untroubled_by_time(running, monkeypatch)


def test_pump_that_may_have_one_wait_does_not_spin() -> None:
    make_settings()
    make_message()
    gateway = Late()
    running = make_pump(gateway, pace=Few(1))
    before_sleeping(running, gateway.let_go.set)
    running.run()
    # It claims, finds nothing more, and writes what came home.
    assert running._cycles <= 3


def test_what_came_home_is_written_while_another_call_hangs() -> None:
    make_settings()
    make_message(subject="hangs")
    make_message()
    let_go = threading.Event()

    class OneHangs(FakeGateway):
        def send(self, outgoing: Any) -> str:
            if b"Subject: hangs" in outgoing.mime:
                assert let_go.wait(LONG)
            return super().send(outgoing)

    running = make_pump(OneHangs())
    wait = running._wait
    seen: list[int] = []

    def waiting(seconds: float) -> None:
        wait(seconds)
        seen.append(OutboxMessage.objects.filter(state=State.SENT).count())
        if seen[-1] or len(seen) >= 100:
            let_go.set()

    running._wait = waiting  # type: ignore[method-assign]
    running.run()
    assert 1 in seen
