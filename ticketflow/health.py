"""Whether the product works, as findings that pages, probes and the doctor share."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone
from django.utils.timesince import timesince

from email_settings.credentials import read_credentials
from email_settings.models import OutboxMessage, SesSettings, WorkerHeartbeat
from ticketflow.lib import encryption

HEARTBEAT_LIMIT = timedelta(seconds=60)
MAIL_LIMIT = timedelta(minutes=5)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, how it is, and the way out ("" if well)."""

    name: str
    is_well: bool
    says: str
    fix: str = ""


def database() -> Finding:
    """Look whether the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return Finding(
            "Database",
            is_well=False,
            says=f"It does not answer: {str(error).strip()}",
            fix="Check DATABASE_URL and that the database server is running.",
        )
    return Finding("Database", is_well=True, says="It answers.")


def worker() -> Finding:
    """Look for a worker that has shown a sign of life within the last minute."""
    newest = WorkerHeartbeat.objects.order_by("-beat_at").first()
    if newest and timezone.now() - newest.beat_at <= HEARTBEAT_LIMIT:
        return Finding("Worker", is_well=True, says=f"{newest.name} is running.")
    last = f"It was last seen {_ago(newest.beat_at)}." if newest else "None ever ran."
    return Finding(
        "Worker",
        is_well=False,
        says=f"No worker is running. {last} Mail waits, nothing is lost.",
        fix=(
            "Start TicketFlow with `make run`. Where web and worker run apart, start "
            "`python -m ticketflow.runtime.worker` and read its log."
        ),
    )


def oldest_mail() -> Finding:
    """Look whether mail that is due leaves within five minutes."""
    due = (
        OutboxMessage.objects.filter(
            state=OutboxMessage.State.QUEUED, due_at__lte=timezone.now()
        )
        .order_by("due_at")
        .values_list("due_at", flat=True)
        .first()
    )
    if due is None:
        return Finding("Mail", is_well=True, says="None is waiting.")
    if timezone.now() - due <= MAIL_LIMIT:
        return Finding("Mail", is_well=True, says="The oldest is on its way.")
    return Finding(
        "Mail",
        is_well=False,
        says=f"The oldest was due {_ago(due)} and is still waiting.",
        fix=(
            "If no worker is running, start one. If one is, read its log and Admin "
            "Panel → Email Activity."
        ),
    )


def keys() -> Finding:
    """Look whether the AWS secret that is stored can be opened."""
    path = settings.KEYS_FILE
    stored = SesSettings.objects.exclude(secret_access_key_encrypted="").first()
    if not path.exists():  # asking further would make a new one
        if stored is None:
            return Finding("Keys", is_well=True, says="None is needed yet.")
        return Finding(
            "Keys",
            is_well=False,
            says=f"The file {path} is missing: the stored AWS secret cannot be opened.",
            fix=(
                "Put the file back from a backup. If there is none, enter the AWS "
                "Secret Access Key again in Admin Panel → Email Settings."
            ),
        )
    try:
        encryption.current_key_id()
        if stored and stored.is_configured:
            read_credentials(stored)
    except encryption.EncryptionError as error:
        return Finding("Keys", is_well=False, says=str(error))
    return Finding("Keys", is_well=True, says=f"{path} can be read.")


def examine() -> Iterator[Finding]:
    """Look at everything. Without a database there is nothing else to look at."""
    yield (first := database())
    if first.is_well:
        yield from (worker(), oldest_mail(), keys())


def _ago(moment: datetime) -> str:
    return f"{timesince(moment)} ago"
