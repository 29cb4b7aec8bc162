"""Rows the tests of mail need, made by plain functions."""

import uuid
from collections.abc import Mapping
from datetime import timedelta

from django.db import connection
from django.db.models import Model
from django.utils import timezone

from email_settings import credentials, outbox
from email_settings.delivery.claim import Claim
from email_settings.models import DeliveryAttempt, Lane, OutboxMessage, SesSettings

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def make_settings(
    *,
    is_live: bool = True,
    region: str = "eu-west-1",
    from_email: str = "help@larkfield.example",
    from_name: str = "Larkfield Help",
    reply_to: str = "",
    max_send_rate: float | None = 100,
) -> SesSettings:
    """Save complete settings with a secret that reads back."""
    row = SesSettings.load()
    row.access_key_id = ACCESS_KEY_ID
    row.region = region
    row.from_email = from_email
    row.from_name = from_name
    row.reply_to = reply_to
    row.max_send_rate = max_send_rate
    row.mode = SesSettings.Mode.LIVE if is_live else SesSettings.Mode.REHEARSAL
    row.version += 1
    credentials.store_secret(row, SECRET)
    row.save()
    return row


def make_message(
    *,
    recipient: str = "hannah@larkfield.example",
    recipient_name: str = "Hannah Brooks",
    subject: str = "We received your ticket",
    text_body: str = "Hello Hannah\n",
    html_body: str = "<p>Hello Hannah</p>",
    headers: Mapping[str, str] | None = None,
    lane: Lane = Lane.NOTICE,
    is_secret: bool = False,
    lifetime: timedelta | None = None,
) -> OutboxMessage:
    """Put a message in the outbox, due at once; `lifetime` if not that of its kind."""
    message = outbox.put(
        kind="ticket_received",
        subject=subject,
        text_body=text_body,
        html_body=html_body,
        recipient=recipient,
        recipient_name=recipient_name,
        headers=headers,
        lane=lane,
        is_secret=is_secret,
    )
    if lifetime is not None:
        message.expires_at = message.due_at + lifetime
        message.save(update_fields=["expires_at"])
    return message


def make_claim(message: OutboxMessage, sender: SesSettings) -> Claim:
    """Lease the message as a worker would, without the worker."""
    message.state = OutboxMessage.State.SENDING
    message.claim_token = uuid.uuid4().hex
    message.lease_until = timezone.now() + timedelta(minutes=2)
    message.attempts += 1
    message.claims += 1
    message.save()
    attempt = DeliveryAttempt.objects.create(message=message, number=message.claims)
    return Claim(message, attempt, sender)


def begin_with_an_empty_file(model: type[Model]) -> None:
    """Let PostgreSQL plan by this test's rows alone, not by what others left behind."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")
