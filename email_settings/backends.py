"""Django's own mail (password reset, allauth) takes the outbox road too."""

from collections.abc import Sequence
from email.utils import parseaddr

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from email_settings import outbox
from email_settings.models import Lane

HEADERS = {
    "Auto-Submitted": "auto-generated",
    "X-Auto-Response-Suppress": "OOF, AutoReply",
}


class OutboxBackend(BaseEmailBackend):
    """Turns each message into one outbox row a recipient."""

    @transaction.atomic
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Put the messages in the outbox, all or none, and return how many."""
        for message in email_messages:
            for recipient in message.recipients():
                _put(message, recipient)
        return len(email_messages)


def _put(message: EmailMessage, recipient: str) -> None:
    name, address = parseaddr(recipient)
    outbox.put(
        kind="account",
        subject=" ".join(str(message.subject).split())[:255],
        text_body=str(message.body),
        html_body=_html_of(message),
        recipient=address,
        recipient_name=name,
        lane=Lane.SECURITY,
        headers=HEADERS,
        # It may carry a link that signs in.
        is_secret=True,
    )


def _html_of(message: EmailMessage) -> str:
    if not isinstance(message, EmailMultiAlternatives):
        return ""
    return next(
        (str(body) for body, kind in message.alternatives if kind == "text/html"), ""
    )
