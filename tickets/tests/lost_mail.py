"""Mails about tickets that fare well or badly, as the outbox and the events leave them."""

from typing import Any

from django.utils import timezone

from accounts.models import User
from email_settings.models import Fate, OutboxMessage, Suppression
from tickets.models import Comment, Notification

State = OutboxMessage.State
NO_SUCH = "The address does not exist.\nsmtp; 550 5.1.1 <hannah@x> user unknown"

# How a mail fares, as a page says it: state, fate, and why
WAYS: dict[str, tuple[str, Fate | None, str]] = {
    "Queued": (State.QUEUED, None, ""),
    "Sending": (State.SENDING, None, ""),
    "Sent": (State.SENT, None, ""),
    "Delivered": (State.SENT, Fate.DELIVERED, "The server took it.\n250 ok"),
    "Delayed": (State.SENT, Fate.DELAYED, "The mailbox is full.\n452 4.2.2"),
    "Not delivered": (State.SENT, Fate.SOFT_BOUNCED, "The mailbox is full.\n5.2.2"),
    "Rejected": (State.SENT, Fate.REJECTED, "Amazon SES took it and did not send it."),
    "Bounced": (State.SENT, Fate.BOUNCED, NO_SUCH),
    "Complained": (State.SENT, Fate.COMPLAINED, "The recipient marked it as spam."),
    "Held": (State.HELD, None, "The access key is not known to AWS."),
    "Failed": (State.FAILED, None, "It waited too long."),
    "Suppressed": (State.SUPPRESSED, None, "Mail to this address bounced for good."),
    "Unknown": (State.UNKNOWN, None, "The connection broke."),
    "Cancelled": (State.CANCELLED, None, "Ewa Kowalska cancelled it."),
}
# Of these somebody is told.
LOST = ("Not delivered", "Rejected", "Bounced", "Complained", "Failed", "Suppressed")
# What the page shows in red: they, and what a person may have to look after
BAD = (*LOST, "Held", "Unknown")


def mail_to(comment: Comment, person: User) -> OutboxMessage:
    """Return the mail that tells this person of the comment."""
    told = Notification.objects.exclude(outbox_message__kind="reply_undelivered")
    return told.get(comment=comment, recipient=person).outbox_message


def let_fare(message: OutboxMessage, way: str, **more: Any) -> OutboxMessage:
    """Have the mail fare this way; `more` are other columns."""
    state, fate, why = WAYS[way]
    now = timezone.now()
    columns: dict[str, Any] = {
        "state": state,
        "fate": fate,
        "fate_at": now if fate else None,
        "fate_detail": why if fate else "",
        "reason": "" if fate else why,
        "sent_at": now if state == State.SENT else None,
        "claim_token": "x" if state == State.SENDING else "",
        "lease_until": now if state == State.SENDING else None,
        **more,
    }
    OutboxMessage.objects.filter(pk=message.pk).update(**columns)
    message.refresh_from_db()
    return message


def suppress(email: str, **columns: Any) -> Suppression:
    """Let the address get no mail."""
    return Suppression.objects.create(
        address=email,
        address_lower=email.lower(),
        **{"reason": Suppression.Reason.BOUNCED, **columns},
    )
