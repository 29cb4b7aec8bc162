"""Signs of life: a worker that lives, its schedule that runs or stands still, the dead."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone

from email_settings import tasks, worker
from email_settings.delivery import pump
from email_settings.delivery.claim import process_name
from email_settings.models import WorkerHeartbeat
from email_settings.status import MailStatus

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def new_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that has shown no sign of life yet, and may say goodbye."""
    monkeypatch.setattr(worker, "_schedule_is_alive", threading.Event())
    monkeypatch.setattr(worker, "_has_ended", threading.Event())
    # The connection is the test's.
    monkeypatch.setattr(worker, "close_old_connections", lambda: None)
    yield
    pump.stopping.clear()


def own_row() -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.get(name=process_name())


def grow_older(**times: timedelta) -> None:
    """Move what is written about this worker back in time."""
    row = own_row()
    for name, ago in times.items():
        setattr(row, name, timezone.now() - ago)
    row.save()


def test_worker_shows_that_it_lives_and_that_its_schedule_runs() -> None:
    worker.note_schedule()
    worker.beat()
    status = MailStatus()
    assert status.worker_is_running
    assert status.beat_is_running


def test_worker_may_live_while_its_schedule_stands_still() -> None:
    worker.note_schedule()
    worker.beat()
    grow_older(beat_at=timedelta(minutes=5), task_at=timedelta(minutes=5))
    worker.beat()
    status = MailStatus()
    assert status.worker_is_running
    assert not status.beat_is_running
    worker.note_schedule()
    worker.beat()
    assert MailStatus().beat_is_running


def test_schedule_that_never_ran_is_not_taken_for_one_that_runs() -> None:
    worker.beat()
    assert own_row().task_at is None
    assert not MailStatus().beat_is_running


def test_every_tick_of_the_schedule_is_a_sign_and_the_next_comes_soon() -> None:
    """Also when nothing is due for minutes: silence would look like death."""
    scheduler = worker.NotingScheduler(app=current_app, schedule={}, lazy=True)
    assert (scheduler.max_interval or 0) > worker.BEAT_SECONDS
    assert 0 < scheduler.tick() <= worker.BEAT_SECONDS
    worker.beat()
    assert MailStatus().beat_is_running


def test_task_that_ran_is_a_sign_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "drain", lambda: None)
    tasks.deliver()
    worker.beat()
    assert MailStatus().beat_is_running


def test_the_dead_are_forgotten_after_an_hour_and_the_silent_are_not() -> None:
    for name, minutes in (("dead", 61), ("silent", 59)):
        beat_at = timezone.now() - timedelta(minutes=minutes)
        WorkerHeartbeat.objects.create(name=name, beat_at=beat_at)
    worker.beat()
    names = set(WorkerHeartbeat.objects.values_list("name", flat=True))
    assert names == {"silent", process_name()}


def test_worker_that_says_goodbye_leaves_no_sign_of_life() -> None:
    worker.beat()
    WorkerHeartbeat.objects.create(name="another")
    worker.say_goodbye()
    assert WorkerHeartbeat.objects.get().name == "another"
    assert pump.stopping.is_set()
