"""Django's own mail takes the outbox road."""

from datetime import timedelta

import pytest
from django.core.mail import EmailMultiAlternatives

from email_settings import credentials
from email_settings.backends import OutboxBackend
from email_settings.models import Lane, OutboxMessage

pytestmark = pytest.mark.django_db

LINK = "https://help.example.com/accounts/password/reset/key/Zm9vYmFyYmF6/"


def test_mail_of_django_takes_the_same_road() -> None:
    mail = EmailMultiAlternatives(
        "Reset your password", f"Open {LINK}", to=["Hannah <hannah@larkfield.example>"]
    )
    mail.attach_alternative(f'<a href="{LINK}">', "text/html")
    assert OutboxBackend().send_messages([mail]) == 1
    message = OutboxMessage.objects.get()
    assert (message.recipient, message.recipient_name) == (
        "hannah@larkfield.example",
        "Hannah",
    )
    assert (message.lane, message.is_secret) == (Lane.SECURITY, True)
    assert message.headers["Auto-Submitted"] == "auto-generated"
    assert message.expires_at == message.due_at + timedelta(hours=1)
    assert credentials.open_body(message) == (f"Open {LINK}", f'<a href="{LINK}">')


def test_mail_of_django_becomes_one_message_for_each_recipient() -> None:
    mail = EmailMultiAlternatives("Hello", "Text", to=["a@b.example", "c@d.example"])
    OutboxBackend().send_messages([mail])
    recipients = OutboxMessage.objects.values_list("recipient", flat=True)
    assert sorted(recipients) == ["a@b.example", "c@d.example"]
