"""Wakes the worker after a commit, without ever making a request wait or fail.

Publishing takes seconds when Redis is stopped or frozen, so a thread does it; any
number of nudges within 20 ms become one message. A nudge that is lost costs only time:
the sweep finds the rows.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

APART_SECONDS = 0.02
AFTER_FAILURE_SECONDS = 5.0
# A wake-up that waited longer is worth nothing: the sweep has been there.
EXPIRES_SECONDS = 60
# Names of tasks.py, which is above this module
DELIVER, CHECK = "outbox.deliver", "readiness.check"
LETTERS = "events.read_letters"


@dataclass
class _Publisher:
    """The thread of this process that publishes, and what tells it to."""

    wanted: threading.Event
    tasks: set[str]  # that are to be published
    thread: threading.Thread
    process_id: int

    @property
    def is_running(self) -> bool:
        # A fork copies the object but not the thread.
        return self.process_id == os.getpid() and self.thread.is_alive()


_publisher: _Publisher | None = None
_starting = threading.Lock()
_is_worker = False


def nudge_worker() -> None:
    """Tell the worker that mail is due; returns at once, whatever the broker does."""
    _nudge(DELIVER)


def nudge_checks() -> None:
    """Tell the worker that lines of the checklist are wanted; returns at once, too."""
    _nudge(CHECK)


def nudge_letters() -> None:
    """Tell the worker that SNS has posted something; returns at once, too."""
    _nudge(LETTERS)


def _nudge(task: str) -> None:
    if settings.REDIS_URL or _is_worker:
        publisher = _running_publisher()
        publisher.tasks.add(task)
        publisher.wanted.set()
    # Else the broker is memory inside the worker: nobody would hear this process.


def this_is_a_worker() -> None:
    """Let this process publish to its own memory broker."""
    global _is_worker
    _is_worker = True


def publish(task: str = DELIVER) -> bool:
    """Put one wake-up on the broker; False when the broker can't be reached."""
    try:
        current_app.send_task(task, expires=EXPIRES_SECONDS, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("nudge: the broker can't be reached: %s", error)
        return False
    return True


def _running_publisher() -> _Publisher:
    global _publisher
    if _publisher is None or not _publisher.is_running:
        with _starting:
            if _publisher is None or not _publisher.is_running:
                _publisher = _start()
    return _publisher


def _start() -> _Publisher:
    wanted, tasks = threading.Event(), set[str]()
    thread = threading.Thread(
        target=_publish_for_ever, args=(wanted, tasks), daemon=True, name="outbox-nudge"
    )
    thread.start()
    return _Publisher(wanted, tasks, thread, os.getpid())


def _publish_for_ever(wanted: threading.Event, tasks: set[str]) -> None:
    while True:
        wanted.wait()
        # Before the tasks are taken: one that is added meanwhile wakes this again.
        wanted.clear()
        is_reached = True
        while tasks:
            is_reached = publish(tasks.pop()) and is_reached
        time.sleep(APART_SECONDS if is_reached else AFTER_FAILURE_SECONDS)
