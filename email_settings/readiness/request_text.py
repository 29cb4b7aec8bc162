"""What AWS is told when production access is asked for: what is true here, no more."""

from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from email_settings.events.connect import is_connected
from email_settings.models import OutboxMessage, SesSettings
from email_settings.rendering import company_name

DAYS = 30


def mails_sent() -> int:
    """Return how many mails Amazon SES took in the last 30 days."""
    since = timezone.now() - timedelta(days=DAYS)
    return OutboxMessage.objects.filter(sent_at__gte=since).count()


def mails_written() -> int:
    """Return how many mails were written in the last 30 days, sent or not."""
    since = timezone.now() - timedelta(days=DAYS)
    return OutboxMessage.objects.filter(created_at__gte=since).count()


def request_text(sender: SesSettings) -> str:
    """Return the text, to be read and changed by an admin before it is sent."""
    return "\n\n".join(
        [
            f"{company_name()} runs a help desk{_where()} with the software TicketFlow. "
            f"It mails from {sender.from_email} through Amazon SES in {sender.region}.",
            "What is sent: to a person who opened a ticket, that it was received, our "
            "answers, and that it was solved; to our agents and to those who watch a "
            "ticket, what is new in it; invitations and password resets. Every mail "
            "belongs to a ticket or to an account on this site. The software has no "
            "function for newsletters or advertising.",
            "Who gets it: people who opened a ticket or have an account here, and people "
            "who were added to a ticket.",
            _volume(),
            _bounces(sender),
        ]
    )


def public_site() -> str:
    """Return the address of this site, "" when AWS could not open it."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    is_name = "." in host and not host.replace(".", "").isdecimal()
    return settings.SITE_URL if is_name else ""


def _where() -> str:
    site = public_site()
    return f" at {site}" if site else ""


def _volume() -> str:
    sent, written = mails_sent(), mails_written()
    if sent:
        return f"How much: {sent:,} mails left in the last {DAYS} days."
    if written:
        return (
            f"How much: {written:,} mails were written in the last {DAYS} days. None of "
            "them has been sent yet, because the account is being set up."
        )
    return "How much: the help desk is new and has sent nothing yet."


def _bounces(sender: SesSettings) -> str:
    if is_connected(sender):
        return (
            "Bounces and complaints: they come back to the software through a "
            f"configuration set ({sender.configuration_set}) and a queue, and are shown "
            "with the mail that they belong to."
        )
    return (
        "Bounces and complaints: the software can read them from Amazon SES through a "
        "configuration set and a queue. That is not connected yet."
    )
