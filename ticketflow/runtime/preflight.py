"""What must hold before anything is started; each refusal is one plain sentence."""

import errno
import fcntl
import os
import socket
import sqlite3
from pathlib import Path

from ticketflow.errors import DomainError

HIGHEST_PORT = 65_535
# The first with RETURNING, by which a worker claims mail
OLDEST_SQLITE = (3, 35)


class CannotStartError(DomainError):
    """Starting makes no sense now; the message says why and what to do."""


def check_sqlite() -> None:
    """Raise CannotStartError when this Python's SQLite can't do what sending needs."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CannotStartError(
            f"This Python has SQLite {sqlite3.sqlite_version}, and TicketFlow needs "
            "3.35 or later. Use another Python, or PostgreSQL by setting DATABASE_URL."
        )


def prepare_folder(folder: Path) -> None:
    """Make the data folder, readable by its owner only.

    Raises CannotStartError when nothing can be written there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStartError(
            f"The data folder {folder} cannot be written ({error.strerror}). Make it "
            "writable, or set TICKETFLOW_DATA_DIR to a folder that is."
        ) from error


def lock_folder(folder: Path) -> int:
    """Keep a second TicketFlow off the data folder; return the lock's descriptor.

    The lock holds for as long as any process has the descriptor open, so children that
    inherit it keep a new start away until the last of them is gone.

    Raises CannotStartError when another TicketFlow has it.
    """
    descriptor = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(descriptor, 20).decode().strip()
        os.close(descriptor)
        raise CannotStartError(
            f"TicketFlow is already running with the data folder {folder} "
            f"(process {owner}). Stop that one first, or set TICKETFLOW_DATA_DIR to "
            "another folder."
        ) from error
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    It belongs to the parent and outlives the web child: while that one is brought back,
    browsers wait for a moment instead of being turned away.

    Raises CannotStartError when the port is busy or not ours to take.
    """
    if not 0 <= port <= HIGHEST_PORT:
        raise CannotStartError(
            f"{port} is not a port. Choose one up to {HIGHEST_PORT}, for example: "
            "PORT=8001 make run"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise CannotStartError(_why_not(error, host, port)) from error


def _why_not(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is taken by another program. Choose another "
                f"one, for example: PORT={port + 1} make run"
            )
        case errno.EACCES:
            return (
                f"Port {port} needs more rights than this user has. Choose one above "
                "1023, for example: PORT=8000 make run"
            )
    return (
        f"{host} is not an address of this machine ({error.strerror}). Set HOST to "
        "127.0.0.1 for this machine alone, or to 0.0.0.0 for the network."
    )
