"""Tickets for tests, made as people make them, and a look at what they left behind."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from email_settings.models import OutboxMessage
from tickets import services
from tickets.models import (
    Attachment,
    Comment,
    Notification,
    Queue,
    Ticket,
    TicketEvent,
    Watcher,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def make_ticket(
    *,
    requester: User,
    queue: Queue,
    subject: str = "VPN drops every 20 minutes",
    body: str = "It began this morning.",
    **fields: Any,
) -> Ticket:
    """Open a ticket as its requester; `fields` go to open_ticket."""
    return services.open_ticket(
        actor=requester, subject=subject, body=body, queue=queue, **fields
    )


def make_file(name: str = "screen.png", content: bytes = PNG) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def everything() -> list[list[tuple[Any, ...]]]:
    """Return all rows that a change to a ticket could touch, to compare with later."""
    models = (
        Ticket,
        Comment,
        Attachment,
        TicketEvent,
        Watcher,
        Notification,
        OutboxMessage,
    )
    return [
        list(model._default_manager.values_list().order_by("pk")) for model in models
    ]


def mails(**conditions: Any) -> list[tuple[str, str]]:
    """Return kind and recipient of the mails in the outbox, oldest first."""
    rows = OutboxMessage.objects.filter(**conditions).order_by("pk")
    return list(rows.values_list("kind", "recipient"))


def mails_since(last: int) -> list[tuple[str, str]]:
    """Return kind and recipient of the mails after that one."""
    return mails(pk__gt=last)


def last_mail() -> int:
    """Return where the outbox ends now, for mails_since."""
    return (
        OutboxMessage.objects.values_list("pk", flat=True).order_by("-pk").first() or 0
    )
