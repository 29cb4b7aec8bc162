"""`manage.py seed_demo`: a help desk full of invented people and tickets."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Role
from ticketflow.demo.company import PASSWORD
from ticketflow.demo.filling import Cast, fill
from tickets.models import Ticket


class Command(BaseCommand):
    """Adds Larkfield to the database; the same seed gives the same company."""

    help = "Fill an empty help desk with invented people and tickets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tickets", type=int, default=500)
        parser.add_argument("--users", type=int, default=60)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument(
            "--force", action="store_true", help="add to the tickets that are there"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if Ticket.objects.exists() and not options["force"]:
            raise CommandError(
                "There are tickets already, and invented ones among real ones are hard "
                "to get rid of. Add --force to do it all the same, or set "
                "TICKETFLOW_DATA_DIR to an empty folder."
            )
        cast = fill(
            tickets=options["tickets"],
            users=options["users"],
            seed=options["seed"],
            now=timezone.now(),
            report=self._report if options["verbosity"] > 1 else lambda _: None,
        )
        if options["verbosity"] > 0:
            self._introduce(cast, options["tickets"])

    def _report(self, count: int) -> None:
        self.stdout.write(f"{count:,} tickets")

    def _introduce(self, cast: Cast, tickets: int) -> None:
        self.stdout.write(
            f"{tickets:,} tickets of {len(cast.requesters):,} requesters. Sign in at "
            f"{settings.SITE_URL}/accounts/login/ with the password “{PASSWORD}”:"
        )
        for user in (cast.admin, cast.agents[1], cast.requesters[0]):
            self.stdout.write(f"  {Role(user.role).label:10} {user.email}")
        self.stdout.write(
            "Everybody knows this password: never where others can reach it."
        )
