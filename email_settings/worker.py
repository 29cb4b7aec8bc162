"""What a Celery worker does besides its tasks: beat, watch, and show signs of life.

`celery -A ticketflow worker` imports this module through autodiscover_tasks.
"""

import logging
import sqlite3
import threading
from datetime import timedelta
from typing import Any

from celery.beat import EmbeddedService
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from email_settings import nudge
from email_settings.delivery import pump
from email_settings.delivery.claim import process_name
from email_settings.models import OutboxMessage, WorkerHeartbeat

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.05
# A worker that died without saying goodbye is forgotten after this.
FORGET_AFTER = timedelta(hours=1)


@worker_ready.connect
def start(sender: Any, **kwargs: Any) -> None:
    """Begin beat and watch when the worker takes tasks, and send what is waiting."""
    nudge.this_is_a_worker()
    beat()
    # As a thread: the process that `worker -B` makes can't reach a memory broker. The
    # schedule is kept in memory, because every worker has a beat of its own.
    schedule = EmbeddedService(
        sender.app, thread=True, scheduler_cls="celery.beat:Scheduler"
    )
    schedule.start()  # type: ignore[union-attr]  # the stubs know the process only
    if connection.vendor == "sqlite" and not settings.REDIS_URL:
        threading.Thread(target=watch, daemon=True, name="outbox-watch").start()
    nudge.nudge_worker()


@worker_shutting_down.connect
def stop(**kwargs: Any) -> None:
    """Claim no more; what is on the wire comes home."""
    pump.stopping.set()


@worker_shutdown.connect
def say_goodbye(**kwargs: Any) -> None:
    """Remove the sign of life at a clean stop."""
    pump.stopping.set()  # also when the worker gives up by itself
    close_old_connections()
    try:
        WorkerHeartbeat.objects.filter(name=process_name()).delete()
    except DatabaseError as error:
        logger.warning("worker: no goodbye, the database is away: %s", error)


def beat() -> None:
    """Write this worker's sign of life, and forget workers that are long dead."""
    close_old_connections()
    now = timezone.now()
    WorkerHeartbeat.objects.update_or_create(
        # The schedule calls this, so that it is a sign of life of that, too.
        name=process_name(),
        defaults={"beat_at": now, "task_at": now},
    )
    WorkerHeartbeat.objects.filter(beat_at__lt=now - FORGET_AFTER).delete()


def watch() -> None:
    """Wake the pump when another process has committed due mail to SQLite.

    `PRAGMA data_version` changes with every commit of another connection and needs no
    lock (https://www.sqlite.org/pragma.html#pragma_data_version). It must be asked on
    one connection, so that this thread has its own.
    """
    database = _open_database()
    seen = None
    while not pump.stopping.wait(WATCH_SECONDS):
        try:
            version = database.execute("PRAGMA data_version").fetchone()
            if version == seen:
                continue
            seen = version
            if _is_something_due(database) and not pump.wake_running():
                nudge.publish()
        except sqlite3.Error as error:
            logger.warning("worker: the watch failed, the sweep goes on: %s", error)
            pump.stopping.wait(1)
    database.close()


def _open_database() -> sqlite3.Connection:
    name = str(settings.DATABASES["default"]["NAME"])
    return sqlite3.connect(name, timeout=20, isolation_level=None)


def _is_something_due(database: sqlite3.Connection) -> bool:
    # The state is a literal so that SQLite sees that the partial index fits.
    due = f"""
        SELECT 1 FROM {OutboxMessage._meta.db_table}
        WHERE state = 'queued' AND due_at <= ? LIMIT 1
    """  # noqa: S608  # the table's name is the model's
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return database.execute(due, [now]).fetchone() is not None
