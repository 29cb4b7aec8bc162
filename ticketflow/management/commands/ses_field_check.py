"""`manage.py ses_field_check`: what a real AWS account answers, for the report to us."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from email_settings.credentials import Credentials, Secret, read_credentials
from email_settings.field_check import report
from email_settings.field_check.plan import Probe, probes
from email_settings.field_check.redaction import Redactor
from email_settings.models import Brand, SesSettings
from ticketflow.errors import DomainError

KEY_NEEDED = (
    "There are no settings to check with. Save them in Admin Panel → Email Settings, or "
    "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION and name the sender "
    "with --from."
)


class Command(BaseCommand):
    """Reads, tries wrong keys, and sends to Amazon's simulator only when told to."""

    help = "Ask a real AWS account what it answers, and write that down without what is private."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--send",
            action="store_true",
            help="send too: to Amazon's mailbox simulator, and mails that AWS refuses",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask first")
        parser.add_argument(
            "--environment",
            action="store_true",
            help="take the key from AWS_* variables, not from the settings",
        )
        parser.add_argument("--from", dest="sender", default="", help="the sender")
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("ses-field-check.txt"),
            help="the file to write",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stored = SesSettings.objects.first() or SesSettings()
        if options["environment"] or not stored.has_credentials:
            credentials, from_email = _of_the_environment(), options["sender"]
            configuration_set = ""
        else:
            credentials = _stored(stored)
            from_email = options["sender"] or stored.from_email
            configuration_set = stored.configuration_set
        if not from_email:
            raise CommandError(KEY_NEEDED)
        inactive = _inactive_key()
        wanted = [
            probe
            for probe in probes(
                credentials,
                from_email=from_email,
                configuration_set=configuration_set,
                inactive_key=inactive,
            )
            if options["send"] or not probe.is_send
        ]
        self._tell(wanted, options["output"])
        if not options["yes"]:
            self._ask()
        redactor = Redactor(
            [
                *_private(stored),
                credentials.access_key_id,
                credentials.secret.reveal(),
                credentials.role_arn,
                credentials.external_id,
                from_email,
                from_email.rpartition("@")[2],
                *(inactive[:1] if inactive else ()),
            ]
        )
        lines = list(report.run(wanted, redactor, say=self.stdout.write))
        lines += report.kept_here(redactor)
        lines += report.lag_of_events(stored)
        _write(options["output"], "\n".join(lines) + "\n")
        self.stdout.write(
            f"Written to {options['output']}. Read it before you pass it on: account, "
            "keys, addresses and names are masked."
        )

    def _tell(self, wanted: list[Probe], output: Path) -> None:
        """Say what is about to be done."""
        self.stdout.write("These calls will be made to AWS, one a second:")
        for probe in wanted:
            kind = "sends" if probe.is_send else "asks "
            self.stdout.write(f"  {kind}  {probe.name}: {probe.asks}")
        if any(probe.is_send for probe in wanted):
            self.stdout.write(
                "Mail goes to Amazon's mailbox simulator, or is refused. It counts in "
                "the bill, and not in the reputation of the account."
            )
        else:
            self.stdout.write("Nothing is sent (--send would).")
        self.stdout.write(
            "Nothing is changed. Two calls use a wrong key on purpose; CloudTrail "
            f"records them. What comes back is written to {output}."
        )

    def _ask(self) -> None:
        if input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was done.")


def _stored(stored: SesSettings) -> Credentials:
    try:
        return read_credentials(stored)
    except DomainError as error:
        raise CommandError(str(error)) from error


def _of_the_environment() -> Credentials:
    key_id = os.environ.get("AWS_ACCESS_KEY_ID", "")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    if not (key_id and secret and region):
        raise CommandError(KEY_NEEDED)
    return Credentials(key_id, Secret(secret), region)


def _inactive_key() -> tuple[str, Secret] | None:
    """A key that somebody has set to Inactive to see what AWS says, None without one."""
    key_id = os.environ.get("INACTIVE_AWS_ACCESS_KEY_ID", "")
    secret = os.environ.get("INACTIVE_AWS_SECRET_ACCESS_KEY", "")
    return (key_id, Secret(secret)) if key_id and secret else None


def _private(stored: SesSettings) -> list[str]:
    """Return what is this installation's own in the settings."""
    principal = stored.principal_arn.rpartition("/")[2]
    return [
        stored.account_id,
        stored.principal_arn,
        principal,
        stored.from_email,
        stored.from_name,
        stored.reply_to,
        stored.reply_to.rpartition("@")[2],
        stored.configuration_set,
        stored.event_queue_url,
        stored.event_topic_arn,
        *Brand.objects.values_list("company_name", flat=True),
    ]


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
