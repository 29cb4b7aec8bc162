"""Waking the worker never costs the request anything."""

import threading
import time
from collections.abc import Iterator

import pytest
from celery import current_app
from kombu.exceptions import OperationalError
from pytest_django import Settings

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


def test_broker_that_is_down_is_no_error(
    published: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(name: str, **options: object) -> None:
        raise OperationalError("Connection refused")

    monkeypatch.setattr(current_app, "send_task", down)
    assert nudge.publish() is False


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
