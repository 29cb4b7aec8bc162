"""What a Celery worker does besides its tasks: beat, watch, read events, signs of life.

`celery -A ticketflow worker` imports this module through autodiscover_tasks.
"""

import logging
import threading
from datetime import timedelta
from typing import Any

from celery.beat import EmbeddedService, Scheduler
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.db import Error, close_old_connections, connection

from email_settings import nudge, watch
from email_settings.delivery import pump
from email_settings.delivery.claim import process_name
from email_settings.delivery.clock import database_now
from email_settings.events import poller
from email_settings.models import WorkerHeartbeat

logger = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
# A worker that died without saying goodbye is forgotten after this.
FORGET_AFTER = timedelta(hours=1)
# What may still be on the wire when everything else has ended
GOODBYE_SECONDS = 10.0

_schedule_is_alive = threading.Event()  # since the last sign of life
_has_ended = threading.Event()


@worker_ready.connect
def start(sender: Any, **kwargs: Any) -> None:
    """Begin beat, watch and signs of life when the worker takes tasks."""
    nudge.this_is_a_worker()
    note_schedule()
    threading.Thread(target=_beat_for_ever, daemon=True, name="worker-life").start()
    # As a thread: the process that `worker -B` makes can't reach a memory broker. The
    # schedule is kept in memory, because every worker has a beat of its own.
    schedule = EmbeddedService(
        sender.app, thread=True, scheduler_cls=f"{__name__}:NotingScheduler"
    )
    schedule.start()  # type: ignore[union-attr]  # the stubs know the process only
    watch.start()
    poller.start()


@worker_shutting_down.connect
def stop(**kwargs: Any) -> None:
    """Claim no more; what is on the wire comes home."""
    pump.stopping.set()
    watch.stop()


@worker_shutdown.connect
def say_goodbye(**kwargs: Any) -> None:
    """Wait for what is on the wire, and remove the sign of life at a clean stop."""
    stop()  # also when the worker gives up by itself
    if not pump.wait_until_home(GOODBYE_SECONDS):
        logger.warning("worker: it ends while mail is still on the wire")
    _has_ended.set()
    close_old_connections()
    try:
        WorkerHeartbeat.objects.filter(name=process_name()).delete()
        poller.say_goodbye()
    except Error as error:
        logger.warning("worker: no goodbye, the database is away: %s", error)


class NotingScheduler(Scheduler):
    """Celery's own, which also tells that it is alive."""

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Run what is due, and return how many seconds there is nothing to do."""
        seconds = super().tick(*arguments, **options)
        note_schedule()
        # It may sleep for minutes when nothing is due; a sign of life is due sooner.
        return float(min(seconds, BEAT_SECONDS))


def note_schedule() -> None:
    """Note that the schedule is alive: this worker's beat has ticked, or a task ran."""
    _schedule_is_alive.set()


def beat() -> None:
    """Write this worker's sign of life, and forget workers that are long dead.

    By the database's clock, as whoever reads it should.
    """
    now = database_now()
    values = {"beat_at": now}
    if _schedule_is_alive.is_set():
        _schedule_is_alive.clear()
        values["task_at"] = now
    WorkerHeartbeat.objects.update_or_create(name=process_name(), defaults=values)
    WorkerHeartbeat.objects.filter(beat_at__lt=now - FORGET_AFTER).delete()


def _beat_for_ever() -> None:
    """Write a sign of life every ten seconds.

    In a thread of its own: a task of the schedule may be executed by another worker,
    and not at all when the broker is away.
    """
    while not _has_ended.is_set():
        close_old_connections()
        try:
            beat()
        except Error as error:
            logger.warning("worker: no sign of life, the database is away: %s", error)
            connection.close()
        _has_ended.wait(BEAT_SECONDS)
    connection.close()
