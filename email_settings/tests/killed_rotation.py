"""`rotate_keys` that dies by SIGKILL: `python -m email_settings.tests.killed_rotation WHERE`.

WHERE is "before:3" or "after:3", the third row that is encrypted anew: before or after
its transaction; "inside:3" is after the UPDATE and before the COMMIT, "key" between the
new key and the first row.
"""

import os
import signal
import sys
from typing import Any, NoReturn

import django
from django.core.management import call_command
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
django.setup()

from email_settings import keys  # noqa: E402  # it needs the line above


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def main(where: str) -> None:
    name, _, number = where.partition(":")
    reseal, count = keys.reseal, 0

    def counted(row: Any) -> int:
        nonlocal count
        count += 1
        if name == "key" or (name == "before" and count == int(number)):
            die()
        if name == "inside" and count == int(number):
            with transaction.atomic():
                reseal(row)
                die()
        done = reseal(row)
        if name == "after" and count == int(number):
            die()
        return done

    keys.reseal = counted
    call_command("rotate_keys")


if __name__ == "__main__":
    main(sys.argv[1])
