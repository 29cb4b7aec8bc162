"""Writers wait in line on a file lock instead of polling SQLite.

SQLite's own busy handler sleeps and polls, so that under steady writers some wait
for seconds (https://www.sqlite.org/c3ref/busy_timeout.html). Waiters on flock()
sleep in the kernel and are woken at the release, between threads (each connection
has its own descriptor) and between processes.
"""

import fcntl
import os

from django.db.backends.sqlite3 import base


# The methods below are Django's own, but its type stubs do not list them.
class DatabaseWrapper(base.DatabaseWrapper):
    """Takes the lock before BEGIN IMMEDIATE, drops it after COMMIT, ROLLBACK or close."""

    _lock_file: int | None = None
    _holds_lock = False

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_turn()
            raise

    def _take_turn(self) -> None:
        if self.is_in_memory_db():
            return
        if self._lock_file is None:
            self._lock_file = os.open(
                f"{self.settings_dict['NAME']}.writers", os.O_CREAT | os.O_RDWR, 0o600
            )
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        self._holds_lock = True

    def _give_turn(self) -> None:
        if self._holds_lock and self._lock_file is not None:
            self._holds_lock = False
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _commit(self) -> None:
        try:
            super()._commit()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._give_turn()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None
