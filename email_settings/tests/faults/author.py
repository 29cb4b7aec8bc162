"""Writes mail until it is killed, and keeps its own account of what it committed.

`python -m email_settings.tests.faults.author <file>`: the file is the model that the
database is compared with. One transaction in five is rolled back.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

import django

MAILS = 3  # a transaction, as a ticket has them
PAUSE_SECONDS = 0.02


class _UndoError(Exception):
    pass


def main() -> None:
    """Commit or undo three mails at a time, for ever."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    django.setup()
    account = os.open(Path(sys.argv[1]), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    while True:
        _write_some(account)
        time.sleep(PAUSE_SECONDS)


def _write_some(account: int) -> None:
    from django.db import transaction

    from email_settings.tests.builders import make_message

    def note(what: str) -> None:
        os.write(account, json.dumps({"what": what, "uids": uids}).encode() + b"\n")
        os.fsync(account)

    uids: list[str] = []
    is_undone = random.random() < 0.2  # noqa: S311  # no secret depends on it
    try:
        with transaction.atomic():
            uids.extend(make_message().uid.hex for _ in range(MAILS))
            note("intended")
            if is_undone:
                raise _UndoError  # noqa: TRY301  # what the block is for
    except _UndoError:
        note("undone")
    else:
        note("committed")


if __name__ == "__main__":
    main()
