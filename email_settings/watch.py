"""Notices that mail is due, whoever forgot to say so, and has it sent.

A wake-up over the broker is faster, and may get lost with it. A message that is to be
tried again in two seconds has nobody who wakes a worker for it. Both are found here:
every half second one question that the index answers, and on SQLite at once when another
process has committed. The mail is then sent by a thread of this process, so that no
state of the broker can keep a worker from its work.
"""

import logging
import threading
import time

from django.conf import settings
from django.db import Error, close_old_connections, connection

from email_settings import nudge
from email_settings.delivery import pump
from email_settings.delivery.due import is_something_due
from email_settings.events import letters
from email_settings.readiness import run

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
# While what is due can't be sent, say because Redis is away
LONGEST_LOOK_SECONDS = 5.0
COMMIT_SECONDS = 0.05
# For lines of the checklist and letters, on PostgreSQL without Redis
CHECKS_SECONDS = 2.0

_is_wanted = threading.Event()


def start() -> None:
    """Begin to watch, and send what is waiting already."""
    _is_wanted.set()
    for work, name in ((drain_when_wanted, "outbox-drain"), (watch, "outbox-watch")):
        threading.Thread(target=work, daemon=True, name=name).start()


def stop() -> None:
    """Let the threads end; pump.stopping has been set before."""
    _is_wanted.set()


def drain_when_wanted() -> None:
    """Run the pump each time that the watch has found something."""
    while not pump.stopping.is_set():
        _is_wanted.wait()
        _is_wanted.clear()
        if pump.stopping.is_set():
            return
        try:
            pump.drain()
        except Exception:
            # The outermost loop of the thread: whatever it was, the next look goes on.
            logger.exception("watch: mail could not be sent, the next look tries again")
            close_old_connections()


def watch() -> None:
    """Look whether mail is due until the worker stops."""
    look = _Look()
    pause = COMMIT_SECONDS if connection.vendor == "sqlite" else LOOK_SECONDS
    while not pump.stopping.wait(pause):
        try:
            look.look_when_it_is_time()
        except Error as error:
            logger.warning("watch: the database can't be asked: %s", error)
            connection.close()
            pump.stopping.wait(1)
    connection.close()


class _Look:
    """When it looks, and what it does about what it finds. One thread only."""

    def __init__(self) -> None:
        self._seen: object = None
        self._next_at = 0.0
        self._checks_at = 0.0
        self._pause = LOOK_SECONDS

    def look_when_it_is_time(self) -> None:
        has_committed = self._has_anybody_committed()
        self._look_for_checks(has_committed=has_committed)
        if not has_committed and time.monotonic() < self._next_at:
            return
        if not is_something_due() or pump.wake_running():
            self._pause = LOOK_SECONDS
        else:
            # When it is found again and again, sending it is of no use just now.
            self._pause = min(self._pause * 2, LONGEST_LOOK_SECONDS)
            _is_wanted.set()
        self._next_at = time.monotonic() + self._pause

    def _look_for_checks(self, *, has_committed: bool) -> None:
        """Have lines of the checklist looked at, and letters read, that nobody tells of.

        With Redis a nudge does; on SQLite somebody must have committed first.
        """
        if settings.REDIS_URL or not (has_committed or self._is_time_for_checks()):
            return
        self._checks_at = time.monotonic() + CHECKS_SECONDS
        if run.is_something_to_do():
            nudge.nudge_checks()
        if letters.are_unread():
            nudge.nudge_letters()

    def _is_time_for_checks(self) -> bool:
        return connection.vendor != "sqlite" and time.monotonic() >= self._checks_at

    def _has_anybody_committed(self) -> bool:
        """Whether another connection has committed to SQLite since the last question.

        Needs no lock (https://www.sqlite.org/pragma.html#pragma_data_version).
        """
        if connection.vendor != "sqlite":
            return False
        with connection.cursor() as cursor:
            version = cursor.execute("PRAGMA data_version").fetchone()
        before, self._seen = self._seen, version
        return bool(before != version)
