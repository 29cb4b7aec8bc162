"""What a person may ask for about mail, and who wins when two ask at once."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from email_settings import services, undelivered
from email_settings.delivery import by_hand, doubt
from email_settings.delivery.by_hand import NotPossibleError, NotRetryableError
from email_settings.models import (
    DeliveryAttempt,
    OutboxMessage,
    SesSettings,
    Suppression,
)
from email_settings.querysets import messages
from email_settings.suppression import wishes
from email_settings.suppression.exchange import NewEntry
from email_settings.tests.builders import make_claim, make_message, make_settings
from ticketflow.errors import DomainError

State, Result = OutboxMessage.State, DeliveryAttempt.Outcome
pytestmark = pytest.mark.django_db


def put(state: str, code: str = "", **values: object) -> OutboxMessage:
    """A mail that has come as far as the state says."""
    is_secret = bool(values.pop("is_secret", False))
    message = make_message(is_secret=is_secret)
    values.setdefault("sent_at", timezone.now() if state == "sent" else None)
    if state == "sending":
        values |= {"claim_token": "t", "lease_until": timezone.now()}
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=state, reason_code=code, **values
    )
    return fresh(message)


def put_in_doubt(**values: object) -> OutboxMessage:
    message = put("unknown", "no_answer", claims=1, **values)
    message.attempt_set.create(
        number=1, outcome=Result.UNKNOWN, error_code="no_answer", error_detail="Read"
    )
    return message


def fresh(message: OutboxMessage) -> OutboxMessage:
    return OutboxMessage.objects.get(pk=message.pk)


# Cancel


@pytest.mark.parametrize(
    ("state", "code"),
    [("queued", ""), ("held", "key_unknown"), ("held", "stopped_by_hand")],
)
def test_what_waits_is_cancelled_and_says_by_whom(
    admin: AbstractBaseUser, state: str, code: str
) -> None:
    message = put(state, code)
    by_hand.cancel(message.uid, actor=admin)
    row = fresh(message)
    assert (row.state, row.reason_code) == (State.CANCELLED, "")
    assert row.reason == "Ewa Kowalska cancelled it."
    assert row.text_body


def test_cancelled_secret_is_wiped(admin: AbstractBaseUser) -> None:
    message = put("held", "key_unknown", is_secret=True)
    by_hand.cancel(message.uid, actor=admin)
    row = fresh(message)
    assert (row.text_body, row.html_body) == ("", "")


@pytest.mark.parametrize("state", ["sending", "sent", "unknown", "failed", "cancelled"])
def test_what_does_not_wait_is_not_cancelled(
    admin: AbstractBaseUser, state: str
) -> None:
    message = put(state)
    with pytest.raises(NotPossibleError, match=f"is {state}: it can't be called back"):
        by_hand.cancel(message.uid, actor=admin)
    assert fresh(message).state == state


def test_worker_that_was_faster_is_not_robbed(admin: AbstractBaseUser) -> None:
    message = make_message()
    make_claim(message, make_settings())
    with pytest.raises(NotPossibleError, match="is sending"):
        by_hand.cancel(message.uid, actor=admin)
    assert fresh(message).state == State.SENDING


# In doubt


def test_resend_queues_once_more_and_says_who_wanted_it(
    admin: AbstractBaseUser,
) -> None:
    message = put_in_doubt(attempts=3)
    by_hand.resend(message.uid, actor=admin)
    row = fresh(message)
    assert (row.state, row.attempts, row.reason_code) == (State.QUEUED, 0, "")
    attempt = row.attempt_set.get()
    assert attempt.outcome == Result.UNKNOWN
    assert attempt.error_detail == "Read\nEwa Kowalska had it sent again."


def test_marking_as_sent_says_who_did_it(admin: AbstractBaseUser) -> None:
    message = put_in_doubt(is_secret=True)
    by_hand.resolve_by_hand_sent(message.uid, actor=admin)
    row = fresh(message)
    assert (row.state, row.reason_code) == (State.SENT, "marked_sent")
    assert row.reason == "Ewa Kowalska marked it as sent."
    assert row.sent_at is not None
    assert (row.ses_message_id, row.text_body) == ("", "")


Deed = Callable[..., OutboxMessage]


@pytest.mark.parametrize("first", [by_hand.resend, by_hand.resolve_by_hand_sent])
@pytest.mark.parametrize("second", [by_hand.resend, by_hand.resolve_by_hand_sent])
def test_of_two_who_settle_a_doubt_the_second_is_refused(
    admin: AbstractBaseUser, agent: AbstractBaseUser, first: Deed, second: Deed
) -> None:
    message = put_in_doubt()
    first(message.uid, actor=admin)
    settled = fresh(message)
    with pytest.raises(NotPossibleError, match=r"is (queued|sent): there is"):
        second(message.uid, actor=agent)
    after = fresh(message)
    assert (after.state, after.reason) == (settled.state, settled.reason)
    assert "Maya" not in after.attempt_set.get().error_detail


def test_news_of_the_first_try_does_not_call_back_a_resend(
    admin: AbstractBaseUser,
) -> None:
    message = put_in_doubt()
    by_hand.resend(message.uid, actor=admin)
    attempt = message.attempt_set.get()
    assert not doubt.resolve_as_sent(
        attempt_uid=attempt.uid, ses_message_id="id", at=timezone.now()
    )
    assert fresh(message).state == State.QUEUED


def test_doubt_is_not_settled_by_a_plain_retry() -> None:
    message = put_in_doubt()
    with pytest.raises(NotRetryableError, match="is unknown"):
        by_hand.retry_message(message.uid)
    assert fresh(message).state == State.UNKNOWN


def test_link_that_works_no_more_is_not_sent_again(admin: AbstractBaseUser) -> None:
    message = put_in_doubt(
        is_secret=True, expires_at=timezone.now() - timedelta(seconds=1)
    )
    with pytest.raises(NotRetryableError, match="does not work any more"):
        by_hand.resend(message.uid, actor=admin)


def test_link_that_was_wiped_is_not_sent_again(admin: AbstractBaseUser) -> None:
    message = put_in_doubt(is_secret=True, text_body="", html_body="")
    with pytest.raises(NotRetryableError, match="a link that was wiped"):
        by_hand.resend(message.uid, actor=admin)


def test_link_works_no_longer_for_being_sent_again() -> None:
    ends_at = timezone.now() + timedelta(minutes=5)
    message = put("failed", is_secret=True, expires_at=ends_at)
    by_hand.retry_message(message.uid)
    assert fresh(message).expires_at == ends_at


def test_only_the_last_try_tells_what_was_decided_after_it(
    admin: AbstractBaseUser,
) -> None:
    message = put_in_doubt()
    OutboxMessage.objects.filter(pk=message.pk).update(claims=2)
    message.attempt_set.create(number=2, outcome=Result.UNKNOWN)
    by_hand.resend(message.uid, actor=admin)
    first, last = message.attempt_set.order_by("number")
    assert first.error_detail == "Read"
    assert last.error_detail == "Ewa Kowalska had it sent again."


def test_retry_has_a_broken_account_tried_at_once() -> None:
    make_settings()
    later = timezone.now() + timedelta(minutes=10)
    SesSettings.objects.update(hold_code="key_unknown", probe_at=later)
    by_hand.retry_message(put("held", "key_unknown").uid)
    probe_at = SesSettings.load().probe_at
    assert probe_at is not None
    assert probe_at <= timezone.now()


def test_worker_hears_of_a_retry_when_it_is_saved(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    message = put("failed")
    nudges: list[str] = []
    monkeypatch.setattr(by_hand, "nudge_worker", lambda: nudges.append("nudge"))
    with django_capture_on_commit_callbacks(execute=True):
        by_hand.retry_message(message.uid)
        assert not nudges
    assert nudges == ["nudge"]


def test_what_fails_again_is_news_again() -> None:
    message = put("failed", undelivered_told_at=timezone.now())
    by_hand.retry_message(message.uid)
    OutboxMessage.objects.filter(pk=message.pk).update(state=State.FAILED)
    assert [found.pk for found in undelivered.take_untold()] == [message.pk]


@pytest.mark.parametrize(
    "deed", [by_hand.cancel, by_hand.resend, by_hand.resolve_by_hand_sent]
)
def test_nothing_is_done_about_what_does_not_exist(
    admin: AbstractBaseUser, deed: Deed
) -> None:
    with pytest.raises(OutboxMessage.DoesNotExist):
        deed(uuid.uuid4(), actor=admin)


# Many


def test_many_are_cancelled_in_steps_and_others_left_alone(
    admin: AbstractBaseUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hand, "STEP", 2)
    waiting = [put("held", "key_unknown") for _ in range(5)]
    sent = put("sent")
    done = by_hand.cancel_many(messages(), actor=admin)
    assert (done.count, done.missed, done.is_more) == (5, 1, False)
    assert {fresh(message).state for message in waiting} == {State.CANCELLED}
    assert fresh(sent).state == State.SENT


def test_so_many_at_once_and_no_more_the_oldest_first(
    admin: AbstractBaseUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hand, "MOST_AT_ONCE", 3)
    waiting = [put("held", "key_unknown") for _ in range(4)]
    done = by_hand.cancel_many(messages(), actor=admin)
    assert (done.count, done.is_more) == (3, True)
    assert [fresh(m).state for m in waiting] == [State.CANCELLED] * 3 + [State.HELD]


def test_failed_ones_are_retried_where_that_makes_sense(
    admin: AbstractBaseUser,
) -> None:
    failed = put("failed", "recipient_invalid", attempts=4)
    wiped = put("failed", "recipient_invalid", is_secret=True, text_body="")
    doubted = put_in_doubt()
    done = by_hand.retry_failed(messages(), actor=admin)
    assert done.count == 1
    row = fresh(failed)
    assert (row.state, row.attempts, row.reason_code) == (State.QUEUED, 0, "")
    assert row.expires_at is not None
    assert row.expires_at > timezone.now() + timedelta(days=2)
    assert fresh(wiped).state == State.FAILED
    assert fresh(doubted).state == State.UNKNOWN


def test_after_a_release_only_suppressed_ones_are_sent_again(
    admin: AbstractBaseUser,
) -> None:
    suppressed, failed = put("suppressed"), put("failed", "recipient_invalid")
    assert by_hand.retry_suppressed(messages(), actor=admin).count == 1
    assert fresh(suppressed).state == State.QUEUED
    assert fresh(failed).state == State.FAILED


def test_suppressed_one_is_not_sent_again_before_its_address_is_released(
    admin: AbstractBaseUser,
) -> None:
    message = put("suppressed")
    wishes.suppress(
        [NewEntry(message.recipient, Suppression.Reason.BOUNCED)], actor=admin
    )
    with pytest.raises(
        NotRetryableError, match=r"still gets no mail.*Release it first"
    ):
        by_hand.retry_message(message.uid)
    wishes.release(message.recipient, actor=admin)
    by_hand.retry_message(message.uid)
    assert fresh(message).state == State.QUEUED


@pytest.mark.parametrize(
    ("kind", "lifetime"),
    [("public_reply", timedelta(days=3)), (OutboxMessage.TEST, timedelta(hours=1))],
)
def test_retry_begins_the_lifetime_of_the_kind_anew(
    kind: str, lifetime: timedelta
) -> None:
    before = timezone.now()
    failed = put("failed", "expired", kind=kind, expires_at=before)
    by_hand.retry_message(failed.uid)
    expires_at = fresh(failed).expires_at
    assert expires_at is not None
    assert before + lifetime <= expires_at <= timezone.now() + lifetime


def test_doubts_are_settled_together(admin: AbstractBaseUser) -> None:
    first, second = put_in_doubt(), put_in_doubt()
    failed = put("failed")
    assert by_hand.resend_many(messages(), actor=admin).count == 2
    assert "Ewa Kowalska had it" in first.attempt_set.get().error_detail
    assert {fresh(first).state, fresh(second).state} == {State.QUEUED}
    assert fresh(failed).state == State.FAILED
    third = put_in_doubt()
    assert by_hand.mark_sent_many(messages(), actor=admin).count == 1
    assert fresh(third).reason == "Ewa Kowalska marked it as sent."


# All mail


def test_holding_and_releasing_says_how_many(admin: AbstractBaseUser) -> None:
    make_settings()
    waiting = [make_message(), make_message()]
    assert services.hold_all_mail(actor=admin) == 2
    assert {fresh(m).reason_code for m in waiting} == {"stopped_by_hand"}
    assert SesSettings.load().stopped_by == admin
    assert services.release_all_mail(actor=admin) == 2
    assert {fresh(m).state for m in waiting} == {State.QUEUED}


def test_second_admin_who_holds_or_releases_is_told(
    admin: AbstractBaseUser, agent: AbstractBaseUser
) -> None:
    services.hold_all_mail(actor=admin)
    with pytest.raises(DomainError, match="Ewa Kowalska holds all mail already"):
        services.hold_all_mail(actor=agent)
    assert SesSettings.load().stopped_by == admin
    services.release_all_mail(actor=agent)
    with pytest.raises(DomainError, match="released already"):
        services.release_all_mail(actor=admin)


def test_releasing_leaves_what_is_held_for_another_reason(
    admin: AbstractBaseUser,
) -> None:
    broken, captured = put("held", "key_unknown"), put("held", "rehearsal")
    services.hold_all_mail(actor=admin)
    services.release_all_mail(actor=admin)
    assert fresh(broken).reason_code == "key_unknown"
    assert fresh(captured).reason_code == "rehearsal"


def test_nothing_is_retried_under_an_admins_hold(admin: AbstractBaseUser) -> None:
    broken = put("held", "key_unknown")
    services.hold_all_mail(actor=admin)
    with pytest.raises(DomainError, match="Release it first"):
        services.retry_all()
    assert fresh(broken).state == State.HELD


def test_retry_all_takes_what_waits_for_a_person_and_no_other() -> None:
    make_settings()
    mine = [put("held", "key_unknown"), put("held", "recipient_not_verified")]
    others = [put("held", c) for c in ("rehearsal", "quota_reserve", "stopped_by_hand")]
    assert services.retryable_count() == 2
    assert services.retry_all() == 2
    assert {fresh(m).state for m in mine} == {State.QUEUED}
    assert {fresh(m).state for m in others} == {State.HELD}


def test_release_names_what_became_too_old_meanwhile(admin: AbstractBaseUser) -> None:
    since = timezone.now() - timedelta(hours=2)
    in_between = since + timedelta(hours=1)
    put("held", "stopped_by_hand")
    old = [
        put("held", "stopped_by_hand", expires_at=in_between),
        put("failed", "expired", expires_at=in_between),
    ]
    put("failed", "expired", expires_at=since - timedelta(hours=1))
    stopped = services.stopped_mail(since)
    assert (stopped.count, stopped.too_old_count) == (1, 2)
    assert set(stopped.too_old) == set(old)
