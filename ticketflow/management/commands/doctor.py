"""`manage.py doctor`: what is wrong, and how to mend it."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from ticketflow import health

WRONG, WRONG_KEYS = 1, 2  # exit codes


class Command(BaseCommand):
    """Prints every finding; works while the database is away, too.

    The exit code is 0 when all is well, 2 when stored secrets can't be read, whatever
    else is wrong, and 1 when something else is.
    """

    help = "Look whether database, worker, mail and keys are well, and say how to mend them."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        code = 0
        for finding in health.examine():
            mark = "well " if finding.is_well else "WRONG"
            self.stdout.write(f"{mark}  {finding.name}: {finding.says}")
            if finding.fix:
                self.stdout.write(f"       {finding.fix}")
            if not finding.is_well:
                found = WRONG_KEYS if finding.name == health.KEYS else WRONG
                code = max(code, found)
        if code:
            sys.exit(code)
