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


@dataclass
class _Publisher:
    """The thread of this process that publishes, and what tells it to."""

    wanted: threading.Event
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
    if settings.REDIS_URL or _is_worker:
        _running_publisher().wanted.set()
    # Else the broker is memory inside the worker: nobody would hear this process.


def this_is_a_worker() -> None:
    """Let this process publish to its own memory broker."""
    global _is_worker
    _is_worker = True


def publish() -> bool:
    """Put one wake-up on the broker; False when the broker can't be reached."""
    try:
        current_app.send_task("outbox.deliver", expires=EXPIRES_SECONDS, retry=False)
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
    wanted = threading.Event()
    thread = threading.Thread(
        target=_publish_for_ever, args=(wanted,), daemon=True, name="outbox-nudge"
    )
    thread.start()
    return _Publisher(wanted, thread, os.getpid())


def _publish_for_ever(wanted: threading.Event) -> None:
    while True:
        wanted.wait()
        wanted.clear()
        time.sleep(APART_SECONDS if publish() else AFTER_FAILURE_SECONDS)
