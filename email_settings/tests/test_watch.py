"""The watch finds what is due, whoever forgot to say so, and never stops looking."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from email_settings import nudge, watch
from email_settings.delivery import pump
from email_settings.events import letters
from email_settings.readiness import run


class Stopping(threading.Event):
    """Stops the watch after so many waits, each of which ends at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        if len(self.waits) >= self.most:
            self.set()
        return self.is_set()


class Database:
    """Stands in for the connection of the thread."""

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Scene:
    """What a look finds."""

    def __init__(self) -> None:
        self.database = Database("sqlite")
        self.now = 1000.0
        self.is_due = self.is_running = self.has_committed = False
        self.is_check_wanted = self.are_letters_unread = False
        self.told: list[str] = []

    def monotonic(self) -> float:
        return self.now

    @property
    def is_drain_wanted(self) -> bool:
        wanted = watch._is_wanted.is_set()
        watch._is_wanted.clear()
        return wanted


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Scene]:
    scene = Scene()
    settings.REDIS_URL = ""
    monkeypatch.setattr(watch, "_is_wanted", threading.Event())
    monkeypatch.setattr(watch, "time", scene)
    monkeypatch.setattr(watch, "connection", scene.database)
    monkeypatch.setattr(watch, "is_something_due", lambda: scene.is_due)
    monkeypatch.setattr(pump, "wake_running", lambda: scene.is_running)
    monkeypatch.setattr(
        watch._Look, "_has_anybody_committed", lambda self: scene.has_committed
    )
    monkeypatch.setattr(run, "is_something_to_do", lambda: scene.is_check_wanted)
    monkeypatch.setattr(letters, "are_unread", lambda: scene.are_letters_unread)
    monkeypatch.setattr(nudge, "nudge_checks", lambda: scene.told.append("checks"))
    monkeypatch.setattr(nudge, "nudge_letters", lambda: scene.told.append("letters"))
    yield scene
    monkeypatch.undo()
    pump.stopping.clear()


# What a look does


def test_due_mail_is_found_within_half_a_second(scene: Scene) -> None:
    look = watch._Look()
    look.look_when_it_is_time()
    assert not scene.is_drain_wanted
    scene.is_due = True
    scene.now += watch.LOOK_SECONDS / 2
    look.look_when_it_is_time()
    assert not scene.is_drain_wanted  # the database is not asked that often
    scene.now += watch.LOOK_SECONDS / 2
    look.look_when_it_is_time()
    assert scene.is_drain_wanted


def test_due_mail_is_found_at_once_when_somebody_has_committed(scene: Scene) -> None:
    look = watch._Look()
    look.look_when_it_is_time()
    scene.is_due = scene.has_committed = True
    look.look_when_it_is_time()
    assert scene.is_drain_wanted


def test_pump_that_runs_is_told_and_no_second_one_is_wanted(scene: Scene) -> None:
    scene.is_due = scene.is_running = True
    watch._Look().look_when_it_is_time()
    assert not scene.is_drain_wanted


def test_mail_that_is_found_again_and_again_is_looked_for_less_often(
    scene: Scene,
) -> None:
    look = watch._Look()
    scene.is_due = True
    pauses: list[float] = []
    for _ in range(6):
        began = scene.now
        while not scene.is_drain_wanted:
            scene.now += 0.25
            look.look_when_it_is_time()
        pauses.append(scene.now - began)
    assert pauses == [0.25, 1, 2, 4, 5, 5]
    scene.is_due = False
    scene.now += 5
    look.look_when_it_is_time()
    scene.is_due = True
    scene.now += watch.LOOK_SECONDS
    look.look_when_it_is_time()
    assert scene.is_drain_wanted


def test_letters_that_nobody_told_of_are_read(scene: Scene) -> None:
    scene.has_committed = scene.are_letters_unread = True
    watch._Look().look_when_it_is_time()
    assert scene.told == ["letters"]


def test_other_database_than_sqlite_is_asked_for_checks_now_and_then(
    scene: Scene,
) -> None:
    scene.is_check_wanted = True
    look = watch._Look()
    look.look_when_it_is_time()
    assert scene.told == []  # there, somebody must have committed
    scene.database.vendor = "postgresql"
    look.look_when_it_is_time()
    look.look_when_it_is_time()
    assert scene.told == ["checks"]
    scene.now += watch.CHECKS_SECONDS
    look.look_when_it_is_time()
    assert scene.told == ["checks", "checks"]


# The threads


def test_watch_goes_on_after_the_database_was_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([OperationalError("server closed the connection"), None, None])

    def look(self: object) -> None:
        scene.told.append("look")
        if failure := next(looks):
            raise failure

    stopping = Stopping(5)
    monkeypatch.setattr(pump, "stopping", stopping)
    monkeypatch.setattr(watch._Look, "look_when_it_is_time", look)
    watch.watch()
    assert scene.told == ["look"] * 3
    # With a second in between, and on a new connection; the last is let go at the end.
    fast = watch.COMMIT_SECONDS
    assert stopping.waits == [fast, 1, fast, fast, fast]
    assert scene.database.closed == 2


def test_watch_asks_other_databases_less_often(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = Stopping(1)
    monkeypatch.setattr(pump, "stopping", stopping)
    scene.database.vendor = "postgresql"
    watch.watch()
    assert stopping.waits == [watch.LOOK_SECONDS]


def test_mail_is_sent_once_for_each_time_that_it_was_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a run that failed, whatever it was."""
    drains: list[bool] = []  # whether it was wanted again already

    def drain() -> None:
        drains.append(watch._is_wanted.is_set())
        if len(drains) == 3:
            pump.stopping.set()
        watch._is_wanted.set()  # found again meanwhile
        if len(drains) == 1:
            raise RuntimeError("a bug")

    monkeypatch.setattr(pump, "drain", drain)
    monkeypatch.setattr(
        watch, "close_old_connections", lambda: scene.told.append("let go")
    )
    watch._is_wanted.set()
    watch.drain_when_wanted()
    assert drains == [False] * 3
    assert scene.told == ["let go"]


def test_thread_that_waits_ends_with_the_worker_and_sends_no_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told between its two looks at whether the worker stops."""
    drains: list[Any] = []
    monkeypatch.setattr(pump, "drain", lambda: drains.append("drain"))

    class Wanted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pump.stopping.set()
            watch.stop()
            assert super().wait(10)
            return True

    monkeypatch.setattr(watch, "_is_wanted", Wanted())
    watch.drain_when_wanted()
    assert drains == []


def test_worker_that_starts_sends_what_is_waiting_already(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained = threading.Event()

    def drain() -> None:
        pump.stopping.set()
        drained.set()

    monkeypatch.setattr(pump, "stopping", threading.Event())
    monkeypatch.setattr(pump, "drain", drain)
    monkeypatch.setattr(watch, "watch", lambda: None)
    watch.start()
    assert drained.wait(10)
