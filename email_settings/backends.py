"""Django's own mail (password reset, allauth) takes the outbox road too."""

from collections.abc import Sequence

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from email_settings import outbox
from email_settings.models import Lane


class OutboxBackend(BaseEmailBackend):
    """Turns each message into one outbox row a recipient."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            for recipient in message.recipients():
                outbox.put(
                    kind="account",
                    subject=str(message.subject),
                    text_body=str(message.body),
                    html_body=_html_of(message),
                    recipient=recipient,
                    lane=Lane.SECURITY,
                    is_secret=True,
                )
        return len(email_messages)


def _html_of(message: EmailMessage) -> str:
    if not isinstance(message, EmailMultiAlternatives):
        return ""
    return next(
        (str(body) for body, kind in message.alternatives if kind == "text/html"), ""
    )
