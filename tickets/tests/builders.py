"""Tickets for tests, made as people make them."""

from typing import Any

from django.core.files.base import ContentFile

from accounts.models import User
from tickets import services
from tickets.models import Queue, Ticket

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


def make_file(name: str = "screen.png", content: bytes = PNG) -> ContentFile:
    return ContentFile(content, name=name)
