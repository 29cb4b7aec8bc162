"""Waking the worker never costs the request anything."""

import os
import threading
import time
from collections.abc import Iterator

import pytest
from celery import current_app
from kombu.exceptions import OperationalError
from pytest_django import Settings
from redis.exceptions import RedisError

from email_settings import nudge


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    """What would have gone to the broker."""
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(nudge, "_publisher", None)
    monkeypatch.setattr(
        current_app, "send_task", lambda name, **options: sent.append({name: options})
    )
    yield sent
    monkeypatch.setattr(nudge, "_publisher", None)


def wait_for(count: int, published: list[dict[str, object]]) -> None:
    deadline = time.monotonic() + 5
    while len(published) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(published) >= count


def test_many_nudges_become_few_messages(
    published: list[dict[str, object]], settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for _ in range(1000):
        nudge.nudge_worker()
    wait_for(1, published)
    assert len(published) < 20


def test_nudge_after_a_message_makes_another(
    published: list[dict[str, object]], settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    nudge.nudge_worker()
    wait_for(1, published)
    nudge.nudge_worker()
    wait_for(2, published)


def test_message_carries_no_payload_and_expires(
    published: list[dict[str, object]], settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    nudge.nudge_worker()
    wait_for(1, published)
    assert published[0] == {"outbox.deliver": {"expires": 60, "retry": False}}


def test_wake_up_for_the_checklist_is_a_message_of_its_own(
    published: list[dict[str, object]], settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    nudge.nudge_checks()
    nudge.nudge_worker()
    nudge.nudge_checks()
    wait_for(2, published)
    names = {name for message in published for name in message}
    assert names == {"outbox.deliver", "readiness.check"}


def test_web_publishes_nothing_to_a_memory_broker(
    published: list[dict[str, object]], settings: Settings
) -> None:
    settings.REDIS_URL = ""
    nudge.nudge_worker()
    assert nudge._publisher is None
    assert published == []


def test_worker_publishes_to_its_own_memory_broker(
    published: list[dict[str, object]],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REDIS_URL = ""
    monkeypatch.setattr(nudge, "_is_worker", False)
    nudge.this_is_a_worker()
    nudge.nudge_worker()
    wait_for(1, published)


def test_broker_that_hangs_does_not_hold_the_request(
    published: list[dict[str, object]],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    let_go = threading.Event()
    monkeypatch.setattr(
        current_app, "send_task", lambda name, **options: let_go.wait(10)
    )
    began = time.monotonic()
    for _ in range(100):
        nudge.nudge_worker()
    assert time.monotonic() - began < 0.5
    let_go.set()


@pytest.mark.parametrize("error", [OperationalError, RedisError, OSError])
def test_broker_that_is_down_is_no_error(
    published: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    def down(name: str, **options: object) -> None:
        raise error("Connection refused")

    monkeypatch.setattr(current_app, "send_task", down)
    assert nudge.publish() is False


class EndError(Exception):
    """Ends a thread that goes on for ever."""


@pytest.mark.parametrize(
    ("answers", "pause"),
    [([True, True], 0.02), ([False, True], 5), ([True, False], 5)],
)
def test_broker_that_is_away_is_not_asked_all_the_time(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], pause: float
) -> None:
    pauses: list[float] = []

    class Clock:
        @staticmethod
        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            raise EndError

    monkeypatch.setattr(nudge, "publish", lambda task: answers.pop(0))
    monkeypatch.setattr(nudge, "time", Clock)
    wanted = threading.Event()
    wanted.set()
    with pytest.raises(EndError):
        nudge._publish_for_ever(wanted, {nudge.DELIVER, nudge.CHECK})
    assert pauses == [pause]


def test_nudge_after_the_last_look_at_what_is_wanted_is_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    wanted = threading.Event()

    class Tasks(set[str]):
        is_late = True

        def __len__(self) -> int:
            """Say that it is empty; the next moment it is not."""
            found = super().__len__()
            if not found and self.is_late:
                self.is_late = False
                self.add("late")
                wanted.set()
            return found

    class Clock:
        @staticmethod
        def sleep(seconds: float) -> None:
            if "late" in told or not wanted.is_set():
                raise EndError

    def publish(task: str) -> bool:
        told.append(task)
        return True

    monkeypatch.setattr(nudge, "publish", publish)
    monkeypatch.setattr(nudge, "time", Clock)
    wanted.set()
    with pytest.raises(EndError):
        nudge._publish_for_ever(wanted, Tasks({"first"}))
    assert told == ["first", "late"]


def publisher_of(thread: threading.Thread, process_id: int) -> nudge._Publisher:
    return nudge._Publisher(threading.Event(), set(), thread, process_id)


def test_thread_that_a_fork_left_behind_is_replaced(
    published: list[dict[str, object]],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    of_parent = publisher_of(threading.current_thread(), os.getpid() + 1)
    monkeypatch.setattr(nudge, "_publisher", of_parent)
    nudge.nudge_worker()
    wait_for(1, published)


def test_thread_that_died_is_replaced(
    published: list[dict[str, object]],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    dead = publisher_of(threading.Thread(), os.getpid())
    monkeypatch.setattr(nudge, "_publisher", dead)
    nudge.nudge_worker()
    wait_for(1, published)


def test_task_is_named_before_the_thread_wakes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    named: list[set[str]] = []
    publisher = publisher_of(threading.current_thread(), os.getpid())

    class Wanted(threading.Event):
        def set(self) -> None:
            named.append({*publisher.tasks})

    publisher.wanted = Wanted()
    monkeypatch.setattr(nudge, "_publisher", publisher)
    nudge.nudge_worker()
    assert named == [{nudge.DELIVER}]


def test_two_threads_that_nudge_first_start_one_publisher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both_came = threading.Event()
    came: list[str] = []
    starts: list[str] = []
    lock = threading.Lock()

    class Starting:
        def __enter__(self) -> None:
            came.append("one")
            if len(came) == 2:
                both_came.set()
            lock.acquire()

        def __exit__(self, *error: object) -> None:
            lock.release()

    def start() -> nudge._Publisher:
        starts.append("one")
        if len(starts) == 2:
            both_came.set()
        assert both_came.wait(10)
        return publisher_of(threading.main_thread(), os.getpid())

    monkeypatch.setattr(nudge, "_publisher", None)
    monkeypatch.setattr(nudge, "_starting", Starting())
    monkeypatch.setattr(nudge, "_start", start)
    threads = [threading.Thread(target=nudge._running_publisher) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 1


def test_tasks_take_no_arguments() -> None:
    current_app.loader.import_default_modules()
    ours = {
        name: task
        for name, task in current_app.tasks.items()
        if not name.startswith("celery.")
    }
    assert {nudge.DELIVER, nudge.CHECK} <= set(ours)
    for task in ours.values():
        assert task.run.__code__.co_argcount == 0
