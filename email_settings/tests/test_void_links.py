"""Mail whose link opens nothing any more: it never leaves, and nobody can have it sent."""

from datetime import timedelta

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from email_settings.delivery import by_hand, doubt, recovery
from email_settings.delivery.by_hand import NotPossibleError, NotRetryableError
from email_settings.delivery.settle import Outcome, settle
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.timeline import legs
from email_settings.void_links import void_links

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


def put(state: str, **values: object) -> OutboxMessage:
    message = make_message(is_secret=True)
    OutboxMessage.objects.filter(pk=message.pk).update(state=state, **values)
    message.refresh_from_db()
    return message


def void(message: OutboxMessage) -> int:
    changed = void_links(OutboxMessage.objects.filter(pk=message.pk))
    message.refresh_from_db()
    return changed


@pytest.mark.parametrize("state", ["queued", "held"])
def test_what_waits_is_called_back_and_forgets_its_link(state: str) -> None:
    message = put(state, reason_code="rehearsal", reason_detail="Captured")
    other = put(state)
    assert void(message) == 1
    assert (message.state, message.reason_code) == (State.CANCELLED, "link_void")
    assert message.reason == "The link in this message does not work any more."
    assert (message.reason_detail, message.text_body, message.html_body) == ("",) * 3
    other.refresh_from_db()
    assert other.state == state
    assert other.text_body


def test_what_is_in_doubt_says_that_it_may_have_arrived() -> None:
    message = put("unknown", reason_code="no_answer", reason_detail="Read timeout")
    assert void(message) == 1
    assert (message.state, message.reason_code) == (State.CANCELLED, "link_void")
    assert message.reason == (
        "It may have arrived. The link in this message does not work any more."
    )
    assert (message.reason_detail, message.text_body, message.html_body) == ("",) * 3
    (*_, last) = legs(message, [], worker_is_running=True, now=timezone.now())
    assert (last.title, last.text) == ("Called off", message.reason)


def test_nobody_can_have_it_sent_again(admin: AbstractBaseUser) -> None:
    message = put("unknown", reason_code="no_answer")
    void(message)
    with pytest.raises(NotRetryableError, match="A newer one was made"):
        by_hand.resend(message.uid, actor=admin)
    with pytest.raises(NotRetryableError, match="A newer one was made"):
        by_hand.retry_message(message.uid)
    with pytest.raises(NotPossibleError, match="is cancelled"):
        by_hand.resolve_by_hand_sent(message.uid, actor=admin)
    everything = OutboxMessage.objects.all()
    assert by_hand.resend_many(everything, actor=admin).count == 0
    assert by_hand.mark_sent_many(everything, actor=admin).count == 0
    message.refresh_from_db()
    assert message.state == State.CANCELLED


def test_evidence_that_it_arrived_is_kept_and_moves_nothing() -> None:
    message = put("unknown", reason_code="no_answer", claims=1)
    attempt = DeliveryAttempt.objects.create(message=message, number=1)
    void(message)
    assert not doubt.resolve_as_sent(
        attempt_uid=attempt.uid, ses_message_id="0100-a", at=timezone.now()
    )
    message.refresh_from_db()
    attempt.refresh_from_db()
    assert message.state == State.CANCELLED
    assert attempt.outcome == DeliveryAttempt.Outcome.ACCEPTED


@pytest.mark.parametrize("state", ["failed", "suppressed", "cancelled"])
def test_what_is_over_stays_as_it_is(state: str) -> None:
    message = put(state, reason_code="expired", reason="Too old")
    assert void(message) == 0
    assert (message.state, message.reason) == (state, "Too old")


@pytest.mark.parametrize("code", ["cannot_connect", "key_unknown", "no_answer", ""])
def test_what_is_on_its_way_is_not_tried_again(
    admin: AbstractBaseUser, code: str
) -> None:
    """It can't be called back, so it may arrive once; never a second time."""
    message = make_message(is_secret=True)
    claim = make_claim(message, make_settings())
    void(message)
    assert message.state == State.SENDING
    assert message.text_body  # it is needed until the call is over
    error = SendError(problem_for(code)) if code else None
    settle([Outcome(claim, ses_message_id="" if code else "0100-a", error=error)])
    recovery.recover()
    message.refresh_from_db()
    assert message.state in {State.SENT, State.FAILED, State.CANCELLED}
    assert (message.text_body, message.html_body) == ("", "")
    with pytest.raises(NotRetryableError):
        by_hand.resend(message.uid, actor=admin)
    assert by_hand.resend_many(OutboxMessage.objects.all(), actor=admin).count == 0
    assert message.expires_at is not None
    assert message.expires_at < timezone.now() + timedelta(seconds=1)


@pytest.mark.parametrize("ends", ["no_answer", "worker_stopped"])
def test_what_became_void_on_its_way_and_is_in_doubt_is_called_off(ends: str) -> None:
    sender = make_settings()
    works = make_claim(make_message(is_secret=True), sender)
    is_void = make_claim(make_message(is_secret=True), sender)
    is_old = make_claim(make_message(lifetime=timedelta(hours=-1)), sender)
    void(is_void.message)
    doubted = [works, is_void, is_old]
    if ends == "no_answer":
        error = SendError(problem_for(ends))
        settle([Outcome(claim, error=error) for claim in doubted])
    else:
        leased = OutboxMessage.objects.filter(state=State.SENDING)
        leased.update(lease_until=timezone.now() - timedelta(minutes=1))
        recovery.call_unknown_what_lost_its_lease()
    for claim in doubted:
        claim.message.refresh_from_db()
    assert works.message.state == is_old.message.state == State.UNKNOWN
    assert works.message.text_body
    message = is_void.message
    assert (message.state, message.reason_code) == (State.CANCELLED, "link_void")
    assert message.reason.startswith("It may have arrived.")
    assert (message.text_body, message.html_body) == ("", "")
