"""Reads the queue, in a thread of each worker, of which one at a time does it.

What was received is stored and committed before it is deleted from the queue. Whatever
dies in between, the queue gives it again, and what is stored twice is one row.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from django.db import Error, close_old_connections, connection
from django.db.utils import InterfaceError, OperationalError

from email_settings.credentials import read_credentials
from email_settings.delivery import pump
from email_settings.delivery.claim import process_name
from email_settings.events import feed, store
from email_settings.events.feed import Tally
from email_settings.gateway.errors import ErrorClass, SendError
from email_settings.gateway.queue import AT_ONCE, EventQueue, Letter, make_queue
from email_settings.models import SesSettings
from ticketflow.errors import DomainError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # whether a queue has been set, or its reader has gone
DEPTH_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


def start() -> None:
    """Begin to read, or to wait for the turn to."""
    threading.Thread(target=read_for_ever, daemon=True, name="events").start()


def say_goodbye() -> None:
    """Let another worker read at once. Raises a database error when it is away."""
    feed.give_up_lease(process_name())


def read_for_ever() -> None:
    """Read until the worker stops."""
    poller = Poller(stopping=pump.stopping)
    pause = 0.0
    while not pump.stopping.wait(pause):
        close_old_connections()
        pause = poller.go()
    connection.close()


class Poller:
    """One reader: its client, and how long it waits after what went wrong."""

    def __init__(self, *, stopping: threading.Event, holder: str = "") -> None:
        self._stopping = stopping
        self._holder = holder or process_name()
        self._key: object = None
        self._queue: EventQueue | None = None
        self._pause = FIRST_PAUSE
        self._is_full = False  # what came last was all that fits: there may be more
        self._depth_at = 0.0

    def go(self) -> float:
        """Do one round and return how many seconds to wait for the next. Never raises."""
        try:
            return self._round()
        except Error as error:
            logger.warning("events: the database is away: %s", error)
            connection.close()
        except Exception:
            # The outermost loop of the thread: the next round goes on.
            logger.exception("events: a round failed, the next one tries again")
        return self._wait_longer()

    def _round(self) -> float:
        sender = SesSettings.load()
        url = sender.event_queue_url
        if not url or not sender.is_configured:
            self._drop()
            return LOOK_SECONDS
        if not feed.take_lease(self._holder, url):
            self._drop()
            return LOOK_SECONDS
        try:
            self._read(sender)
        except SendError as error:
            return self._cannot_read(error, sender)
        except DomainError as error:
            # The same that keeps mail from leaving, which is said everywhere.
            logger.warning("events: the credentials can't be read: %s", error)
            return LONGEST_PAUSE
        self._pause = FIRST_PAUSE
        return 0.0

    def _read(self, sender: SesSettings) -> None:
        queue = self._queue_for(sender)
        letters = queue.drain() if self._is_full else queue.wait()
        self._is_full = len(letters) >= AT_ONCE
        tally = self._store_when_possible(letters, sender)
        if tally is None:
            return
        feed.note_answer(tally)
        if letters and (left := queue.delete(letters)):
            logger.warning("events: %s read messages stay in the queue", left)
        if not self._is_full:
            store.match_late()
            self._look_how_deep(queue)

    def _store_when_possible(
        self, letters: Sequence[Letter], sender: SesSettings
    ) -> Tally | None:
        """Store what came, however long the database is away; None when it stops first."""
        pause = FIRST_PAUSE
        while True:
            try:
                return store.store(
                    [letter.body for letter in letters],
                    installation=sender.installation,
                )
            except (OperationalError, InterfaceError) as error:
                logger.warning("events: they wait for the database: %s", error)
                connection.close()
            if self._stopping.wait(pause):
                return None
            pause = min(pause * 2, LONGEST_PAUSE)

    def _look_how_deep(self, queue: EventQueue) -> None:
        if time.monotonic() < self._depth_at:
            return
        self._depth_at = time.monotonic() + DEPTH_SECONDS
        try:
            depth = queue.depth()
        except SendError as error:
            # It is only shown; what matters is that events come.
            logger.info("events: AWS does not tell how many wait: %s", error)
            feed.note_depth(None)
        else:
            feed.note_depth(depth)

    def _queue_for(self, sender: SesSettings) -> EventQueue:
        """Return the queue, with a client that is new when the settings are."""
        key = (sender.version, sender.event_queue_url)
        if self._queue is None or self._key != key:
            self._drop()
            self._queue = make_queue(read_credentials(sender), sender.event_queue_url)
            self._key = key
        return self._queue

    def _drop(self) -> None:
        if self._queue is not None:
            with suppress(Exception):
                self._queue.close()
        self._queue, self._is_full, self._depth_at = None, False, 0.0

    def _cannot_read(self, error: SendError, sender: SesSettings) -> float:
        logger.warning("events: the queue can't be read: %s", error)
        self._is_full = False
        feed.note_problem(error, sender)
        if error.problem.kind in {ErrorClass.CONFIG, ErrorClass.IAM}:
            # Nothing but a person mends it. New settings make it look at once.
            return self._until_settings_change(sender)
        return self._wait_longer()

    def _until_settings_change(self, sender: SesSettings) -> float:
        deadline = time.monotonic() + LONGEST_PAUSE / 2
        while time.monotonic() < deadline and not self._stopping.wait(LOOK_SECONDS):
            if SesSettings.load().version != sender.version:
                break
        return 0.0

    def _wait_longer(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause
