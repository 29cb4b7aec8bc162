"""The one door for mail: rows that live and die with the caller's transaction."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from email_settings import credentials, nudge, outbox
from email_settings.models import OutboxMessage
from email_settings.tests.builders import make_message

pytestmark = pytest.mark.django_db

LINK = "https://help.example.com/invitations/Zm9vYmFyYmF6/"


def test_message_is_queued_and_due_at_once() -> None:
    message = make_message()
    message.refresh_from_db()
    assert message.state == OutboxMessage.State.QUEUED
    assert message.due_at <= timezone.now()


@pytest.mark.parametrize(
    ("kind", "lifetime"),
    [
        ("password_reset", timedelta(hours=1)),
        ("account", timedelta(hours=1)),
        ("invitation", timedelta(days=7)),
        (OutboxMessage.TEST, timedelta(hours=1)),
        ("password_changed", timedelta(days=3)),
        ("public_reply", timedelta(days=3)),
        ("alert_held", timedelta(days=3)),
    ],
)
def test_message_lives_as_long_as_its_kind_says(kind: str, lifetime: timedelta) -> None:
    one = outbox.put(kind=kind, subject="Hi", text_body="Hi", recipient="a@b.example")
    (pk,) = outbox.enqueue_many(
        kind=kind,
        template="email_settings/mail/test",
        context={},
        recipients=[("a@b.example", "")],
    )
    for message in (one, OutboxMessage.objects.get(pk=pk)):
        message.refresh_from_db()
        assert message.expires_at == message.due_at + lifetime


def test_mail_is_due_by_the_clock_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = timezone.now() - timedelta(hours=2)  # this machine's clock is wrong
    monkeypatch.setattr(outbox, "database_now", lambda: moment)
    outbox.put(kind="test", subject="Hi", text_body="Hi", recipient="a@b.example")
    outbox.enqueue_many(
        kind="public_reply",
        template="email_settings/mail/test",
        context={},
        recipients=[("b@b.example", ""), ("c@b.example", "")],
    )
    found = OutboxMessage.objects.all()
    assert len(found) == 3
    for message in found:
        assert (message.due_at, message.created_at) == (moment, moment)


def test_change_that_is_rolled_back_mails_nobody(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def refused_change() -> None:
        with transaction.atomic():
            make_message()
            raise PermissionError

    with (
        django_capture_on_commit_callbacks() as callbacks,
        pytest.raises(PermissionError),
    ):
        refused_change()
    assert not OutboxMessage.objects.exists()
    assert callbacks == []


def test_worker_is_nudged_once_the_change_is_saved(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        make_message()
    assert callbacks == [nudge.nudge_worker]


def test_secret_body_is_never_readable_in_the_database() -> None:
    message = make_message(
        text_body=f"Open {LINK}\n", html_body=f'<a href="{LINK}">', is_secret=True
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM email_settings_outboxmessage")
        stored = str(cursor.fetchall())
    assert LINK not in stored
    assert "Zm9vYmFyYmF6" not in stored
    message.refresh_from_db()
    assert credentials.open_body(message) == (f"Open {LINK}\n", f'<a href="{LINK}">')


def test_secret_message_without_html_stays_without() -> None:
    message = make_message(text_body="Text", html_body="", is_secret=True)
    assert credentials.open_body(message) == ("Text", "")
