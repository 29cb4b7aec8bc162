"""`manage.py doctor`: what is wrong, and how to mend it."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from ticketflow import health


class Command(BaseCommand):
    """Prints every finding; the exit code is 1 when something is wrong."""

    help = "Look whether database, worker, mail and keys are well, and say how to mend them."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(health.examine())
        for finding in findings:
            mark = "well " if finding.is_well else "WRONG"
            self.stdout.write(f"{mark}  {finding.name}: {finding.says}")
            if finding.fix:
                self.stdout.write(f"       {finding.fix}")
        if not all(finding.is_well for finding in findings):
            sys.exit(1)
