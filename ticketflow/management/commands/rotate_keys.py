"""`manage.py rotate_keys`: a new key for all stored secrets, while everything runs."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from email_settings import keys
from email_settings.keys import KeyUse
from ticketflow.lib import encryption

BY_HAND = (
    "Where the file is kept by hand: make a line with `manage.py generate_key`, put it "
    "at the top of the key file of every machine, keep the other lines below it, and "
    "run `manage.py rotate_keys` again. It uses the line that it finds there."
)


class Command(BaseCommand):
    """Puts a new key first in the key file and encrypts everything stored with it.

    Killed at any moment, it goes on when it is started again. Old keys stay in the file
    until `--remove-old`.
    """

    help = "Make a new key and encrypt all stored secrets with it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be done"
        )
        parser.add_argument(
            "--remove-old",
            action="store_true",
            help="instead, take keys that nothing needs out of the key file",
        )
        parser.add_argument(
            "--yes", action="store_true", help="with --remove-old: really do it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not encryption.has_key_file():
            self._say_that_there_is_no_file()
        elif options["remove_old"]:
            self._remove_old(is_sure=options["yes"] and not options["dry_run"])
        elif options["dry_run"]:
            self._plan()
        else:
            self._rotate()

    def _say_that_there_is_no_file(self) -> None:
        if keys.uses():
            raise CommandError(
                f"The key file {settings.KEYS_FILE} is missing. Put it back first: "
                "what is stored can be read with its keys only."
            )
        self.stdout.write("Nothing is stored that needs a key.")

    def _plan(self) -> None:
        found = keys.uses()
        self._show(found)
        first = next(iter(found))
        if keys.has_unfinished_rotation(found):
            self.stdout.write(f"Would encrypt with {first} all that is not yet.")
        else:
            count = found[first].readable
            self.stdout.write(
                f"Would make a new key and encrypt {_values(count)} with it."
            )
        self.stdout.write("Nothing was changed.")

    def _rotate(self) -> None:
        found = keys.uses()
        self._show(found)
        first = next(iter(found))
        if keys.has_unfinished_rotation(found):
            self.stdout.write(f"Going on with {first}, which is first in the file.")
        else:
            self._add_key(before=first)
        unreadable = self._reseal()
        self._show(found := keys.uses())
        for key_id in keys.removable(found):
            self.stdout.write(
                f"Key {key_id} is needed by nothing and can go, in ten minutes and if "
                "you keep it for your backups: manage.py rotate_keys --remove-old"
            )
        if unreadable:
            raise CommandError(
                "\n".join(["Some values stay as they are:", *unreadable])
            )

    def _add_key(self, *, before: str) -> None:
        try:
            added = encryption.add_key(before=before)
        except encryption.KeyFileError as error:
            raise CommandError(f"{error}\n{BY_HAND}") from error
        self.stdout.write(f"Key {added} is new and encrypts from now on.")

    def _reseal(self) -> list[str]:
        """Encrypt anew until a whole round finds nothing more; return what can't be."""
        total = 0
        while (round_ := keys.reseal_all()).done:
            total += round_.done
        self.stdout.write(f"{_values(total)} encrypted anew.")
        return round_.unreadable

    def _remove_old(self, *, is_sure: bool) -> None:
        self._show(found := keys.uses())
        unused = keys.removable(found)
        if not unused:
            self.stdout.write("There is no old key that nothing needs.")
        elif not is_sure:
            raise CommandError(
                f"This would remove {', '.join(unused)} from {settings.KEYS_FILE}. "
                "Backups of the database that are older than the rotation can be read "
                "with them only: keep a copy. Nothing was changed; add --yes to do it."
            )
        else:
            removed = keys.remove_old_keys()
            self.stdout.write(f"Removed {', '.join(removed)}.")

    def _show(self, found: dict[str, KeyUse]) -> None:
        """Print how many values need each key."""
        in_file = encryption.key_ids()
        for key_id, use in found.items():
            place = "missing" if key_id not in in_file else ""
            place = place or ("first" if key_id == in_file[0] else "old")
            damaged = f", {use.unreadable} can't be read" if use.unreadable else ""
            self.stdout.write(
                f"Key {key_id or '(none)'} ({place}): {_values(use.total)}{damaged}"
            )


def _values(count: int) -> str:
    return f"{count:,} value{pluralize(count)}"
