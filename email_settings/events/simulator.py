"""Mails to the mailbox simulator of Amazon SES, which prove that events come back.

Its mailboxes exist for this: they work in the sandbox and count neither towards the
daily quota nor towards the account's reputation (Amazon SES Developer Guide, "Using the
mailbox simulator"). A label after "+" tells one trial from another.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from email_settings import outbox
from email_settings.events.connect import is_connected
from email_settings.models import DeliveryEvent, Lane, OutboxMessage, SesSettings
from ticketflow.errors import DomainError

# The event that each mailbox makes, and its name
MAILBOXES = {
    DeliveryEvent.Kind.DELIVERY.value: "success",
    DeliveryEvent.Kind.BOUNCE.value: "bounce",
    DeliveryEvent.Kind.COMPLAINT.value: "complaint",
}
DOMAIN = "simulator.amazonses.com"


@dataclass(frozen=True)
class Trial:
    """The last mail to one mailbox, and the event that it is to bring back."""

    message: OutboxMessage | None = None
    sent_at: datetime | None = None
    seen_at: datetime | None = None  # when its event came here

    @property
    def delay(self) -> timedelta | None:
        """How long it took from sent to seen, None before it is seen."""
        if self.sent_at is None or self.seen_at is None:
            return None
        return max(self.seen_at - self.sent_at, timedelta(0))


def why_no_trial(sender: SesSettings) -> str:
    """Say why no mail can go to the simulator yet, "" when one can."""
    if not sender.is_configured:
        return "Save working settings first"
    if not is_connected(sender):
        return "Save the configuration set and the queue first"
    return ""


@transaction.atomic
def send_simulator_mails(actor: AbstractBaseUser) -> list[OutboxMessage]:
    """Write one mail to each mailbox; they leave even in rehearsal.

    They are billed as every mail, and count in no figure of this product. Raises
    DomainError while events are not connected.
    """
    if reason := why_no_trial(SesSettings.load()):
        raise DomainError(f"{reason}, then send to the simulator.")
    label = uuid4().hex[:8]
    return [
        outbox.put(
            kind=OutboxMessage.SIMULATOR,
            subject=f"Proof of delivery events: {kind}",
            text_body=(
                f"{actor} had {settings.SITE_URL} send this mail to the mailbox "
                "simulator of Amazon SES, to see that its event comes back. Nobody "
                "reads it.\n"
            ),
            recipient=f"{mailbox}+{label}@{DOMAIN}",
            lane=Lane.SECURITY,  # somebody is looking
            headers={"Auto-Submitted": "auto-generated"},
        )
        for kind, mailbox in MAILBOXES.items()
    ]


def trials(*, since: datetime | None) -> dict[str, Trial]:
    """Return the last trial of each kind of event, of those whose event came since.

    What another queue brought proves nothing about this one.
    """
    return {
        kind: _last_trial(kind, mailbox, since) for kind, mailbox in MAILBOXES.items()
    }


def _last_trial(kind: str, mailbox: str, since: datetime | None) -> Trial:
    mails = OutboxMessage.objects.filter(
        kind=OutboxMessage.SIMULATOR, recipient_lower__startswith=f"{mailbox}+"
    )
    message = mails.defer("text_body", "html_body").order_by("-created_at").first()
    if message is None:
        return Trial()
    events = message.event_set.filter(kind=kind)
    if since:
        events = events.filter(received_at__gte=since)
    event = events.order_by("received_at").first()
    return Trial(message, message.sent_at, event.received_at if event else None)
