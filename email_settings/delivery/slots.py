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

    def __init__(self, count: int) -> None:
        self.count = count
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

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
