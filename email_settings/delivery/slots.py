"""Threads that wait for Amazon SES."""

import queue
import threading
from collections.abc import Callable

Work = Callable[[], None]


class Slots:
    """So many daemon threads that take work from one queue.

    Cheaper than a ThreadPoolExecutor, which makes a future and a condition for each
    piece. The work must not raise.
    """

    def __init__(self, count: int, *, ahead: int = 0) -> None:
        """`ahead` pieces of work may wait for a thread, so that none is ever idle."""
        self.count = count
        self.ahead = ahead
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def capacity(self) -> int:
        """How many pieces of work they hold at once."""
        return self.count + self.ahead

    def submit(self, work: Work) -> None:
        """Have a thread do it. Called from one thread at a time."""
        if not self._threads:
            self._threads = [self._start(number) for number in range(self.count)]
        self._work.put(work)

    def _start(self, number: int) -> threading.Thread:
        thread = threading.Thread(
            target=self._work_for_ever, daemon=True, name=f"outbox-slot-{number}"
        )
        thread.start()
        return thread

    def _work_for_ever(self) -> None:
        while True:
            self._work.get()()
