"""One pump a process: no wake-up is lost, and nobody finds its turn taken for ever."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import OperationalError
from pytest_django import Settings

from email_settings.delivery import journal, pump
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway

Run = Callable[[], bool]


class Told:
    """What the pumps of a test are to do, one after the other, and what they did."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.pumps: list[Scripted] = []
        self.nudges = 0
        self.closed_before: list[int] = []  # how many pumps there were by then

    def nudge(self) -> None:
        self.nudges += 1

    def close(self) -> None:
        self.closed_before.append(len(self.pumps))


class Scripted:
    """Stands in for a pump: runs as it is told, and says that nothing is left after."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.earlier: Scripted | None = None
        self.wakes = 0
        told.pumps.append(self)

    def take_over(self, earlier: "Scripted") -> None:
        self.earlier = earlier

    def wake(self) -> None:
        self.wakes += 1

    def run(self, budget_seconds: float) -> bool:
        assert len(self.told.pumps) < 5, "It never ends."
        return self.told.runs.pop(0)() if self.told.runs else False


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """A process that has not sent anything yet."""
    told = Told()
    monkeypatch.setattr(pump, "Pump", lambda: Scripted(told))
    monkeypatch.setattr(pump, "_last", None)
    monkeypatch.setattr(pump, "_turn", threading.Lock())
    monkeypatch.setattr(pump, "_is_wanted", threading.Event())
    monkeypatch.setattr(pump, "nudge_worker", told.nudge)
    monkeypatch.setattr(pump, "close_old_connections", told.close)
    yield told
    pump.stopping.clear()


def wake() -> bool:
    """Run as a pump that has looked for the last time when it is woken."""
    assert pump.wake_running() is True
    return False


def drain_too() -> bool:
    """Run as a pump that has looked for the last time when a second task comes."""
    pump.drain()
    return False


def fail() -> bool:
    raise OperationalError("server closed the connection")


@pytest.mark.parametrize("late", [wake, drain_too])
def test_wake_up_after_the_last_look_is_heard_by_the_next_run(
    told: Told, late: Run
) -> None:
    told.runs = [late]
    pump.drain()
    assert len(told.pumps) == 2
    assert told.nudges == 0


def test_wake_up_reaches_the_pump_that_runs(told: Told) -> None:
    told.runs = [wake]
    pump.drain()
    assert [one.wakes for one in told.pumps] == [1, 0]


def test_nobody_is_said_to_run_who_does_not(told: Told) -> None:
    assert pump.wake_running() is False
    pump.drain()
    assert pump.wake_running() is False


def test_budget_that_ended_gives_the_thread_back_and_wakes_a_worker(
    told: Told,
) -> None:
    told.runs = [lambda: True]
    pump.drain()
    assert len(told.pumps) == 1
    assert told.nudges == 1


def test_worker_that_stops_wakes_nobody(told: Told) -> None:
    told.runs = [lambda: True]
    pump.stopping.set()
    pump.drain()
    assert told.nudges == 0


def test_run_that_fails_keeps_nobody_from_the_next(told: Told) -> None:
    told.runs = [fail]
    with pytest.raises(OperationalError):
        pump.drain()
    assert pump.wait_until_home(0) is True
    pump.drain()
    assert len(told.pumps) == 2


def test_each_run_begins_with_what_the_one_before_could_not_write(told: Told) -> None:
    pump.drain()
    pump.drain()
    first, second = told.pumps
    assert first.earlier is None
    assert second.earlier is first


def test_dead_connection_is_let_go_of_before_each_run(told: Told) -> None:
    pump.drain()
    pump.drain()
    assert told.closed_before == [0, 1]


def test_waiting_until_home_ends_and_leaves_the_turn_to_others(told: Told) -> None:
    found: list[bool] = []

    def wait() -> bool:
        found.append(pump.wait_until_home(0))
        return False

    told.runs = [wait]
    pump.drain()
    assert found == [False]
    assert pump.wait_until_home(0) is True
    pump.drain()
    assert len(told.pumps) == 2


@pytest.mark.django_db(transaction=True)
def test_each_run_keeps_a_journal_and_leaves_none(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    """One that was closed with the run before would note nothing."""
    settings.DATA_DIR = tmp_path
    make_settings()
    monkeypatch.setattr(pump, "_last", None)
    kept: list[bool] = []

    class Looking(FakeGateway):
        def send(self, outgoing: object) -> str:
            assert pump._last
            assert pump._last.journal
            kept.append(b"\nW " in pump._last.journal._path.read_bytes())
            return super().send(outgoing)

    gateway = Looking()
    monkeypatch.setitem(
        pump.Pump.__init__.__kwdefaults__ or {},
        "choose_gateway",
        lambda sender: gateway,
    )
    for _ in range(2):
        make_message()
        pump.drain()
        assert list(journal.folder().iterdir()) == []
    assert kept == [True, True]
