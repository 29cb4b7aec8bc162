"""What went on the wire, written beside the database before each call.

A worker that is killed leaves leased messages behind. Its journal tells those that
Amazon SES never saw, which can be queued again at once, from those that it may have
taken. One file a run of the pump, in DATA_DIR/wire:

    wire 1 <boot>:<inode>           which start of the machine, and which file this is
    W <attempt>                     the call is about to be made
    A <attempt> <id at Amazon SES>  it was taken

The owner holds a lock on its file; whoever gets that lock knows that the owner is dead.
The lines are handed to the system and not forced to the disk: they survive the death
of the process but not of the machine. So what a file does *not* say counts only within
the same start of the machine; after that the leases are the only evidence, as they are
for other machines, for a folder that can't be written and for a file system without
flock(). There is no secret in it.
"""

import fcntl
import logging
import os
import re
import threading
import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

logger = logging.getLogger(__name__)

# A file without even its first line belongs to somebody who is just making it.
UNFINISHED = timedelta(hours=1)
_RUN_LENGTH = 24

_HEAD = re.compile(rb"wire 1 (\S+)")
_STARTED = re.compile(rb"W ([0-9a-f]{32})")
_ACCEPTED = re.compile(rb"A ([0-9a-f]{32}) ([!-~]{1,100})")


def folder() -> Path:
    """Return where this installation's journals are."""
    return Path(settings.DATA_DIR) / "wire"


class Journal:
    """The journal of one run: names its claims and notes its calls.

    Where it can't be kept it says so in the log and notes nothing: mail leaves all the
    same. Its notes may be made by many threads.
    """

    def __init__(self) -> None:
        self.run = uuid.uuid4().hex[:_RUN_LENGTH]
        # It can't be written and can't be removed either, so that its silence would be
        # taken for "never sent": no call may be made in its name.
        self.is_stuck = False
        self._claims = 0
        self._path = folder() / f"{self.run}.log"
        self._descriptor: int | None = None
        self._head_length = 0
        self._is_kept = False
        self._giving_up = threading.Lock()
        try:
            self._open()
        except OSError as error:
            # Without its first line it is no evidence, even where it can't be removed.
            _warn(error)
            self.close()
        else:
            _tell_when_it_works_again()

    def next_token(self) -> str:
        """Return a claim token that begins with the name of this run."""
        self._claims += 1
        return f"{self.run}{self._claims:08x}"

    def may_start(self, attempt: uuid.UUID) -> bool:
        """Note that a call is about to be made; False when it must not be made."""
        if self._is_kept:
            try:
                self._write(b"W %s\n" % attempt.hex.encode())
            except OSError as error:
                self._give_up(error)
        return not self.is_stuck

    def accepted(self, attempt: uuid.UUID, ses_message_id: str) -> None:
        """Note that Amazon SES has taken it."""
        if not self._is_kept:
            return
        line = f"A {attempt.hex} {ses_message_id}\n"
        try:
            self._write(line.encode("ascii", "replace"))
        except OSError as error:
            self._give_up(error)

    def forget(self) -> None:
        """Forget all calls: the database knows what became of them."""
        if self._is_kept and self._descriptor is not None:
            try:
                os.ftruncate(self._descriptor, self._head_length)
            except OSError as error:
                logger.debug("journal: %s stays long: %s", self._path, error)

    def close(self) -> None:
        """Remove the file. Only when the database knows all."""
        if self._descriptor is not None:
            self._remove()
        self.let_go()

    def let_go(self) -> None:
        """Close the file and leave it, as the end of the process would."""
        self._is_kept = False
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND
        self._descriptor = os.open(self._path, flags, 0o600)
        _open_journals.add(self)
        # Waits only for one who looks whether the new file has an owner.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        head = b"wire 1 %s\n" % _stamp(self._descriptor)
        self._write(head)
        self._head_length = len(head)
        self._is_kept = True

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            return
        # One write(2) in append mode: lines of many threads do not mix.
        if os.write(self._descriptor, line) != len(line):
            raise OSError("the line was cut")

    def _give_up(self, error: OSError) -> None:
        """Keep no journal from here on; the leases are the evidence then."""
        with self._giving_up:
            if self._is_kept:
                _warn(error)
                # It stays open, because other threads may be writing. They go on only
                # when it is gone.
                self.is_stuck = not self._remove()
                self._is_kept = False

    def _remove(self) -> bool:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("journal: %s can't be removed: %s", self._path, error)
            return False
        return True


# A child process would keep the lock of its dead parent.
_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for journal in list(_open_journals):
        journal.let_go()


os.register_at_fork(after_in_child=_let_go_in_child)

_has_warned = False


def _warn(error: OSError) -> None:
    global _has_warned  # once, not with every run
    if not _has_warned:
        _has_warned = True
        logger.warning(
            "journal: %s can't be kept: %s. Mail leaves all the same; should the worker "
            "be killed, more of it is shown as unknown.",
            folder(),
            error,
        )


def _tell_when_it_works_again() -> None:
    global _has_warned
    if _has_warned:
        _has_warned = False
        logger.info("journal: it is kept again")


def _stamp(descriptor: int) -> bytes:
    """Return what tells this file, and this start of the machine, from others.

    The inode too: a copy that came back from a backup is older than the database says.
    """
    return f"{_boot_id()}:{os.fstat(descriptor).st_ino}".encode()


def _boot_id() -> str:
    """Return what changes with each start of the machine; where unknown, a new one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid.uuid4().hex


# What dead owners left


@dataclass(frozen=True)
class LeftBehind:
    """The journal of a run whose process is dead. It stays locked while it is read."""

    path: Path
    started: frozenset[uuid.UUID]
    accepted: Mapping[uuid.UUID, str]
    # Nothing is missing: what it does not name was never on the wire.
    is_whole: bool
    written_at: datetime

    @property
    def run(self) -> str:
        return self.path.stem

    def remove(self) -> None:
        """Remove it, after the database has taken what it says."""
        self.path.unlink(missing_ok=True)


def left_behind() -> Iterator[LeftBehind]:
    """Yield the journals of dead owners on this machine, each locked until the next."""
    for path in sorted(folder().glob("*.log")):
        try:
            with _locked(path) as descriptor:
                if descriptor is not None and (left := _read(path, descriptor)):
                    yield left
        except OSError as error:
            logger.warning("journal: %s can't be read: %s", path, error)


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """Open the file and lock it; None when its owner lives."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


def _read(path: Path, descriptor: int) -> LeftBehind | None:
    """Return what the file says, None when it is not finished or of no use."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        head, *lines = file.read().split(b"\n")
    written_at = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
    found = _HEAD.fullmatch(head)
    if found is None or not lines:
        if abs(timezone.now() - written_at) > UNFINISHED:
            path.unlink(missing_ok=True)
        return None
    # What follows the last line break was cut: that call had not begun yet.
    lines.pop()
    started = {uuid.UUID(m[1].decode()) for m in map(_STARTED.fullmatch, lines) if m}
    accepted = {
        uuid.UUID(m[1].decode()): m[2].decode()
        for m in map(_ACCEPTED.fullmatch, lines)
        if m
    }
    understood = sum(
        bool(_STARTED.fullmatch(line) or _ACCEPTED.fullmatch(line)) for line in lines
    )
    return LeftBehind(
        path,
        started=frozenset(started),
        accepted=accepted,
        is_whole=found[1] == _stamp(descriptor) and understood == len(lines),
        written_at=written_at,
    )
