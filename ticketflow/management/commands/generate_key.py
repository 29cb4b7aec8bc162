"""`manage.py generate_key`: a line for the key file, where that is kept by hand."""

from typing import Any

from django.core.management.base import BaseCommand

from ticketflow.lib import encryption


class Command(BaseCommand):
    """Prints one new key and changes nothing."""

    help = "Print a new key, as a line for the key file. Nothing is changed."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(encryption.new_key())
