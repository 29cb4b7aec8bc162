"""Secrets that an installation makes for itself, kept in files only their owner can read."""

import os
import secrets
import tempfile
from pathlib import Path

from ticketflow.errors import DomainError


class LocalFileError(DomainError, OSError):
    """A secret's file can't be made or read; the message says which and what to do."""


def read_or_create_secret(path: Path) -> str:
    """Return the secret in the file, making both the first time.

    Two processes that start at once agree: the file appears complete or not at
    all, and whoever comes second reads what the first one wrote.

    Raises LocalFileError when the folder can't be written or the file can't be read.
    """
    try:
        if not path.exists():
            _create(path)
        secret = path.read_text().strip()
    except OSError as error:
        raise LocalFileError(
            f"The file {path} cannot be made or read ({error.strerror}). Make its folder "
            "readable and writable for the user that runs TicketFlow, or set "
            "TICKETFLOW_DATA_DIR to a folder that is."
        ) from error
    if not secret:
        raise LocalFileError(
            f"The file {path} is empty. Put the secret back from a backup, or delete "
            "the file to have a new one made."
        )
    return secret


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()
