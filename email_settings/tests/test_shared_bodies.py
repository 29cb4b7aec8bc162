"""A mail to many is stored once, and is a mail of its own for each of them."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from email_settings import mime, outbox, retention
from email_settings.delivery import claim
from email_settings.models import OutboxMessage, SesSettings, SharedBody
from email_settings.tests.builders import make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
PEOPLE = [
    ("Hannah@larkfield.example", "Hannah Brooks"),
    ("ewa@larkfield.example", "Ewa Żak"),
    ("tom@larkfield.example", ""),
]


def tell(count: int = 3) -> list[OutboxMessage]:
    """Put one text in the outbox for the first so many, and return the rows."""
    with transaction.atomic():
        pks = outbox.enqueue_many(
            kind="public_reply",
            template="email_settings/mail/test",
            context={"sent_by": "Maya"},
            recipients=PEOPLE[:count],
            headers={"References": "<ticket-1@help.example.com>"},
            about_label="#1",
            about_path="/tickets/1/",
        )
    found = OutboxMessage.objects.in_bulk(pks)
    return [found[pk] for pk in pks]


def test_each_has_a_row_of_its_own_in_the_order_asked_for() -> None:
    messages = tell()
    assert [(m.recipient, m.recipient_name) for m in messages] == PEOPLE
    assert len({message.uid for message in messages}) == 3
    for message in messages:
        assert message.state == State.QUEUED
        assert message.due_at == message.created_at <= timezone.now()
        assert message.headers == {"References": "<ticket-1@help.example.com>"}
        assert (message.about_label, message.about_path) == ("#1", "/tickets/1/")


def test_the_text_is_stored_once_and_every_message_has_it() -> None:
    messages = tell()
    (body,) = SharedBody.objects.all()
    for message in messages:
        assert (message.text_body, message.html_body) == ("", "")
        assert (message.text, message.html) == (body.text, body.html)
    assert "Maya asked for this test" in body.text
    assert "Maya asked for this test" in body.html


def test_mail_to_one_keeps_its_text_itself() -> None:
    (message,) = tell(1)
    assert message.text_body
    assert (message.text, message.html) == (message.text_body, message.html_body)
    assert not SharedBody.objects.exists()


def test_mail_to_nobody_is_no_mail() -> None:
    assert tell(0) == []
    assert not SharedBody.objects.exists()


def test_statements_are_as_many_for_three_as_for_two() -> None:
    def statements(count: int) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            outbox.enqueue_many(
                kind="public_reply",
                template="email_settings/mail/test",
                context={},
                recipients=PEOPLE[:count],
            )
        return [query["sql"].split()[0] for query in queries]

    assert statements(3) == statements(2)
    assert statements(3).count("INSERT") == 2


def test_bytes_of_a_mail_do_not_depend_on_how_its_text_is_stored() -> None:
    sender = make_settings()
    shared = tell()[0]
    whole = mime.build_mime(shared, sender=sender, text=shared.text, html=shared.html)
    own = OutboxMessage.objects.get(pk=shared.pk)
    own.text_body, own.html_body = shared.text, shared.html
    own.shared_body = None
    assert whole == mime.build_mime(own, sender=sender, text=own.text, html=own.html)
    for name in ("Ewa", "ewa@", "tom@"):  # nobody sees who else is told
        assert name.encode() not in whole


@pytest.fixture
def claims() -> list[claim.Claim]:
    """The three messages, leased as a worker leases them."""
    make_settings()
    tell()
    return claim.claim_due(10, token="token", sender=SesSettings.load())


def test_sending_asks_the_database_for_no_body(claims: list[claim.Claim]) -> None:
    assert len(claims) == 3
    with CaptureQueriesContext(connection) as queries:
        texts = {claimed.message.text for claimed in claims}
    assert len(queries) == 0
    assert len(texts) == 1


def test_page_of_each_message_shows_the_text(panel: Client) -> None:
    message = tell()[1]
    page = panel.get(
        reverse("email_settings:message-detail", args=[message.uid]), {"part": "text"}
    )
    assert message.text.splitlines()[0] in page.content.decode()
    html = panel.get(reverse("email_settings:message-html", args=[message.uid]))
    assert html.content.decode() == message.html


def age(*messages: OutboxMessage) -> None:
    """Let them be over for a long time."""
    moment = timezone.now() - timedelta(days=100)
    OutboxMessage.objects.filter(pk__in=[m.pk for m in messages]).update(
        state=State.SENT, sent_at=moment, created_at=moment
    )


def prune() -> None:
    make_settings()
    SesSettings.objects.update(retention_days=90, pruned_at=None)
    retention.prune()


def test_text_stays_while_one_message_has_it_and_goes_with_the_last() -> None:
    first, second, third = tell()
    age(first, second)
    prune()
    assert list(OutboxMessage.objects.all()) == [third]
    third.refresh_from_db()
    assert third.text
    age(third)
    prune()
    assert not OutboxMessage.objects.exists()
    assert not SharedBody.objects.exists()


def test_text_of_another_mail_is_not_touched() -> None:
    old, other = tell(), tell()
    age(*old)
    prune()
    assert [m.shared_body_id for m in other] == [
        body.pk for body in SharedBody.objects.all() for _ in other
    ]


def test_text_that_a_message_has_can_not_be_removed() -> None:
    tell()
    with pytest.raises(ProtectedError):
        SharedBody.objects.get().delete()


def test_nothing_stays_of_a_change_that_is_not_saved() -> None:
    def refused_change() -> None:
        with transaction.atomic():
            tell()
            raise PermissionError

    with pytest.raises(PermissionError):
        refused_change()
    assert not OutboxMessage.objects.exists()
    assert not SharedBody.objects.exists()
