"""Mail that can't be built or sent harms nobody but itself."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from email_settings import mime
from email_settings.delivery import send
from email_settings.delivery.retry import MOST_FAILURES_OF_OURS
from email_settings.models import OutboxMessage, SesSettings
from email_settings.tests.builders import make_message
from email_settings.tests.fake_ses import refusal
from email_settings.tests.faults_inside import REPEATS
from email_settings.tests.faults_inside.aws import Deed, Post, ScriptedSes, accept
from email_settings.tests.faults_inside.mail import (
    make_waiting_due,
    put_many,
    send_due,
    states,
)

pytestmark = pytest.mark.django_db

State = OutboxMessage.State

POISON = "A bug meets this one"


@pytest.fixture
def _bug_in_building(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of TicketFlow's own, which only some messages meet."""
    original = mime.build_mime

    def build_mime(message: OutboxMessage, **options: Any) -> bytes:
        if message.subject == POISON:
            raise ZeroDivisionError
        return original(message, **options)

    monkeypatch.setattr(mime, "build_mime", build_mime)


@pytest.mark.usefixtures("_bug_in_building")
def test_one_in_ten_is_parked_after_five_tries_and_the_others_leave_at_once(
    aws: ScriptedSes, live: SesSettings
) -> None:
    every, count = 10, 100 if REPEATS == 1 else 1_000
    messages = put_many(count)
    poisoned = [message.pk for message in messages[::every]]
    OutboxMessage.objects.filter(pk__in=poisoned).update(subject=POISON)
    send_due()
    # In the very first run, though the poisoned were claimed among them
    assert states() == {State.SENT: count * 9 // 10, State.QUEUED: count // 10}
    assert len(aws.accepted) == count * 9 // 10
    for tries in range(2, MOST_FAILURES_OF_OURS + 1):
        make_waiting_due()
        send_due()
        waiting = OutboxMessage.objects.filter(pk__in=poisoned)
        assert set(waiting.values_list("attempts", flat=True)) == {tries}
    parked = OutboxMessage.objects.filter(pk__in=poisoned)
    assert set(parked.values_list("state", "reason_code")) == {
        (State.FAILED, "gave_up")
    }
    for _ in range(3):
        make_waiting_due()
        send_due()
    assert set(parked.values_list("attempts", flat=True)) == {MOST_FAILURES_OF_OURS}
    assert len(aws.log) == len(aws.accepted) == count * 9 // 10


@pytest.mark.usefixtures("_bug_in_building")
def test_poison_would_come_back_for_ever_if_tries_had_no_end(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("email_settings.delivery.settle.MOST_FAILURES_OF_OURS", 1_000)
    message = make_message(subject=POISON)
    for _ in range(MOST_FAILURES_OF_OURS + 3):
        make_waiting_due()
        send_due()
    message.refresh_from_db()
    assert message.state == State.QUEUED


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Hello\nBcc: all@larkfield.example", id="line break"),
        pytest.param("Hello\r\nBcc: all@larkfield.example", id="CRLF"),
        pytest.param("Hello\rBcc: all@larkfield.example", id="CR"),
    ],
)
@pytest.mark.parametrize("place", ["subject", "recipient_name", "header"])
def test_line_break_in_a_header_fails_at_once_and_alone(
    aws: ScriptedSes, live: SesSettings, place: str, text: str
) -> None:
    odd = (
        make_message(headers={"X-Note": text})
        if place == "header"
        else make_message(**{place: text})  # type: ignore[arg-type]
    )
    put_many(10)
    send_due()
    odd.refresh_from_db()
    assert (odd.state, odd.reason_code, odd.attempts) == (
        State.FAILED,
        "header_refused",
        1,
    )
    assert states() == {State.SENT: 10, State.FAILED: 1}
    assert aws.posts_by_message()[odd.uid.hex] == 0


ODD_TEXTS = {
    "lone surrogate": "Hello \ud800 there",
    "NUL": "Hello \0 there",
    "unpaired in the middle": "\udfff\ud83d",
    "control characters": "".join(chr(c) for c in range(1, 32) if c not in b"\r\n"),
    "right to left override": "\u202egpj.exe",
    "noncharacter": "\ufffe\uffff",
}


@pytest.mark.parametrize("name", ODD_TEXTS)
@pytest.mark.parametrize("place", ["subject", "text_body", "html_body", "header"])
def test_odd_text_is_refused_when_written_or_costs_one_message(
    aws: ScriptedSes, live: SesSettings, place: str, name: str
) -> None:
    text = ODD_TEXTS[name]
    before = OutboxMessage.objects.count()
    odd = None
    try:
        with transaction.atomic():
            odd = (
                make_message(headers={"X-Note": text})
                if place == "header"
                else make_message(**{place: text})  # type: ignore[arg-type]
            )
    except (ValueError, DatabaseError, ValidationError):
        # The caller's change is not saved either, so nobody believes in this mail.
        assert OutboxMessage.objects.count() == before
    put_many(10)
    send_due()
    assert states().get(State.SENT, 0) >= 10
    if odd is not None:
        odd.refresh_from_db()
        assert odd.state in {State.SENT, State.FAILED, State.QUEUED}
        assert odd.state == State.SENT or odd.reason
        for _ in range(MOST_FAILURES_OF_OURS):
            make_waiting_due()
            send_due()
        odd.refresh_from_db()
        assert odd.state in {State.SENT, State.FAILED}
    assert aws.doubled() == []


def test_mail_larger_than_aws_takes_fails_alone(
    aws: ScriptedSes, live: SesSettings
) -> None:
    too_long = refusal(
        400, "BadRequestException", "Message length is more than 41943040 bytes long"
    )

    def as_large_as_it_may_be(post: Post) -> Deed:
        return too_long if post.recipient == "odd@larkfield.example" else accept(post)

    aws.decide = as_large_as_it_may_be
    odd = make_message(
        recipient="odd@larkfield.example", text_body="Thirty megabytes.\n" * 1_700_000
    )
    put_many(20)
    send_due()
    odd.refresh_from_db()
    assert (odd.state, odd.reason_code) == (State.FAILED, "message_malformed")
    assert states() == {State.SENT: 20, State.FAILED: 1}


def test_row_that_is_damaged_costs_itself_only(
    aws: ScriptedSes, live: SesSettings
) -> None:
    """What no door lets in, a restored backup or a careless UPDATE may."""
    odd = make_message()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE email_settings_outboxmessage SET recipient = %s, headers = %s "
            "WHERE id = %s",
            ["no address at all", '"not a mapping"', odd.pk],
        )
    put_many(10)
    send_due()
    odd.refresh_from_db()
    assert states().get(State.SENT) == 10
    assert odd.state in {State.FAILED, State.QUEUED}
    assert odd.reason
    assert odd.due_at >= timezone.now() or odd.state == State.FAILED


def out_of_memory(*args: Any, **options: Any) -> None:
    raise MemoryError


def test_bug_in_a_slot_costs_no_thread(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred bugs one after another, with sixteen threads: mail still leaves."""
    with monkeypatch.context() as broken:
        broken.setattr(send, "_outgoing", out_of_memory)
        put_many(100)
        send_due()
    make_waiting_due()
    send_due()
    assert states() == {State.SENT: 100}
    assert len(aws.accepted) == 100
