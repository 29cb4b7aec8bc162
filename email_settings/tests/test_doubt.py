"""Evidence that Amazon SES took a mail, whenever and from wherever it comes."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings.delivery import doubt, hold, recovery
from email_settings.delivery.settle import Outcome, settle
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_claim, make_message, make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


def error(code: str) -> SendError:
    return SendError(problem_for(code), detail="AWS's own words")


def tried(code: str, *, is_secret: bool = False) -> OutboxMessage:
    """Return a message whose one try ended with that problem."""
    claimed = make_claim(make_message(is_secret=is_secret), make_settings())
    settle([Outcome(claimed, error=error(code))])
    claimed.message.refresh_from_db()
    return claimed.message


def resolve(attempt: DeliveryAttempt, ses_message_id: str = "0100-a") -> bool:
    return doubt.resolve_as_sent(
        attempt_uid=attempt.uid, ses_message_id=ses_message_id, at=timezone.now()
    )


def put(message: OutboxMessage, **values: Any) -> None:
    OutboxMessage.objects.filter(pk=message.pk).update(**values)
    message.refresh_from_db()


def resend(message: OutboxMessage) -> None:
    """As a person does by a button: queued, without a reason to wait."""
    put(message, state=State.QUEUED, reason_code="", reason="", attempts=0)


def test_unknown_message_is_sent_when_evidence_comes() -> None:
    message = tried("no_answer")
    attempt = message.attempt_set.get()
    assert resolve(attempt)
    message.refresh_from_db()
    attempt.refresh_from_db()
    assert (message.state, message.ses_message_id) == (State.SENT, "0100-a")
    assert (message.reason_code, message.reason, message.reason_detail) == ("", "", "")
    assert message.sent_at is not None
    assert (attempt.outcome, attempt.ses_message_id) == (Result.ACCEPTED, "0100-a")
    assert (attempt.error_code, attempt.error_detail) == ("", "")


def test_the_same_evidence_again_changes_nothing() -> None:
    message = tried("no_answer")
    attempt = message.attempt_set.get()
    assert resolve(attempt)
    message.refresh_from_db()
    before = message.sent_at
    assert [resolve(attempt, "0100-other") for _ in range(3)] == [False] * 3
    message.refresh_from_db()
    assert (message.sent_at, message.ses_message_id) == (before, "0100-a")


def test_attempt_that_nobody_knows_is_no_evidence() -> None:
    assert not doubt.resolve_as_sent(
        attempt_uid=uuid.uuid4(), ses_message_id="0100-a", at=timezone.now()
    )


def test_evidence_may_come_before_the_worker_has_written_anything() -> None:
    claimed = make_claim(make_message(), make_settings())
    assert resolve(claimed.attempt)
    settle([Outcome(claimed, ses_message_id="0100-a")])
    claimed.message.refresh_from_db()
    assert claimed.message.state == State.SENT
    assert claimed.message.attempts == 1


def test_mail_that_only_seemed_to_have_failed_is_not_sent_again() -> None:
    message = tried("cannot_connect")
    assert message.state == State.QUEUED
    assert resolve(message.attempt_set.get())
    message.refresh_from_db()
    assert message.state == State.SENT


def test_resend_by_a_person_goes_its_way() -> None:
    message = tried("no_answer")
    resend(message)
    attempt = message.attempt_set.get()
    assert not resolve(attempt)
    message.refresh_from_db()
    attempt.refresh_from_db()
    assert message.state == State.QUEUED
    assert attempt.outcome == Result.ACCEPTED


def test_old_evidence_does_not_touch_a_newer_try() -> None:
    message = tried("no_answer")
    old = message.attempt_set.get()
    resend(message)
    newer = make_claim(message, SesSettings.load())
    assert not resolve(old, "0100-old")
    message.refresh_from_db()
    assert message.state == State.SENDING
    settle([Outcome(newer, ses_message_id="0100-new")])
    message.refresh_from_db()
    assert (message.state, message.ses_message_id) == (State.SENT, "0100-new")
    # Both left, and both tries say so.
    taken = message.attempt_set.values_list("outcome", "ses_message_id")
    assert list(taken) == [("accepted", "0100-old"), ("accepted", "0100-new")]


def test_either_try_of_an_unknown_message_shows_that_it_was_sent() -> None:
    message = tried("no_answer")
    old = message.attempt_set.get()
    resend(message)
    newer = make_claim(message, SesSettings.load())
    settle([Outcome(newer, error=error("no_answer"))])
    assert resolve(old, "0100-old")
    message.refresh_from_db()
    assert (message.state, message.ses_message_id) == (State.SENT, "0100-old")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.SUPPRESSED])
def test_what_is_over_stays_over(state: State) -> None:
    message = tried("no_answer")
    put(message, state=state, reason_code="recipient_invalid")
    attempt = message.attempt_set.get()
    assert not resolve(attempt)
    message.refresh_from_db()
    attempt.refresh_from_db()
    assert message.state == state
    assert attempt.outcome == Result.ACCEPTED


def test_message_that_a_person_marked_as_sent_keeps_that() -> None:
    message = tried("no_answer")
    yesterday = timezone.now() - timedelta(days=1)
    put(message, state=State.SENT, sent_at=yesterday)
    assert not resolve(message.attempt_set.get())
    message.refresh_from_db()
    assert message.sent_at == yesterday


def test_secret_body_is_wiped_when_it_turns_out_to_be_sent() -> None:
    message = tried("no_answer", is_secret=True)
    assert message.text_body
    resolve(message.attempt_set.get())
    message.refresh_from_db()
    assert (message.text_body, message.html_body) == ("", "")


def test_late_answers_are_each_looked_at_for_themselves() -> None:
    sender = make_settings()
    claims = [make_claim(make_message(), sender) for _ in range(3)]
    past = timezone.now() - timedelta(minutes=1)
    OutboxMessage.objects.filter(
        pk__in=[claims[0].message.pk, claims[1].message.pk]
    ).update(lease_until=past)
    recovery.recover()
    settle(
        [
            Outcome(claims[0], ses_message_id="0100-0"),
            Outcome(claims[1], error=error("no_answer")),
            Outcome(claims[2], ses_message_id="0100-2"),
        ]
    )
    states = [
        OutboxMessage.objects.get(pk=claimed.message.pk).state for claimed in claims
    ]
    assert states == [State.SENT, State.UNKNOWN, State.SENT]


def test_unknown_message_waits_for_a_person_however_long() -> None:
    message = tried("no_answer")
    put(message, due_at=timezone.now() - timedelta(days=30))
    recovery.recover()
    hold.lift()
    message.refresh_from_db()
    assert message.state == State.UNKNOWN
