"""What becomes of a message for each thing that can happen to it."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from email_settings.delivery import by_hand, claim, hold, recovery
from email_settings.delivery.by_hand import NotRetryableError
from email_settings.delivery.claim import Claim
from email_settings.delivery.retry import LADDER, backoff
from email_settings.delivery.settle import Outcome, settle
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import (
    DeliveryAttempt,
    Lane,
    OutboxMessage,
    SesSettings,
    SharedBody,
)
from email_settings.tests.builders import make_claim, make_message, make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


def error(code: str, detail: str = "AWS's own words") -> SendError:
    return SendError(problem_for(code), detail=detail)


def fresh(message: OutboxMessage) -> OutboxMessage:
    return OutboxMessage.objects.get(pk=message.pk)


def settled(code: str, *, attempts: int = 0, is_secret: bool = False) -> OutboxMessage:
    """Return a message whose try ended with that problem."""
    sender = make_settings()
    message = make_message(is_secret=is_secret)
    message.attempts = attempts
    settle([Outcome(make_claim(message, sender), error=error(code))])
    return fresh(message)


def sent(is_secret: bool = False) -> OutboxMessage:  # noqa: FBT001, FBT002
    message = make_message(is_secret=is_secret)
    settle([Outcome(make_claim(message, make_settings()), ses_message_id="0100-a")])
    return fresh(message)


# Claiming


def test_most_urgent_is_claimed_first_then_the_oldest() -> None:
    sender = make_settings()
    lanes = [Lane.DIGEST, Lane.NOTICE, Lane.SECURITY, Lane.NOTICE, Lane.REPLY]
    messages = [make_message(lane=lane) for lane in lanes]
    claims = claim.claim_due(10, token="a", sender=sender)
    expected = [messages[n].pk for n in (2, 4, 1, 3, 0)]
    assert [claimed.message.pk for claimed in claims] == expected


def test_claim_leases_the_message_and_notes_the_try_before_it_is_made() -> None:
    sender = make_settings()
    message = make_message()
    claim.claim_due(10, token="a" * 32, sender=sender)
    row = fresh(message)
    assert (row.state, row.claim_token, row.attempts) == (State.SENDING, "a" * 32, 1)
    assert row.lease_until is not None
    assert row.lease_until > timezone.now() + timedelta(seconds=60)
    attempt = row.attempt_set.get()
    assert (attempt.number, attempt.outcome) == (1, Result.STARTED)
    assert (attempt.region, attempt.access_key_hint) == ("eu-west-1", "MPLE")


def test_claimed_message_is_not_claimed_again() -> None:
    sender = make_settings()
    make_message()
    assert len(claim.claim_due(10, token="a", sender=sender)) == 1
    assert claim.claim_due(10, token="b", sender=sender) == []


def test_only_as_many_as_asked_for_and_only_what_is_due() -> None:
    sender = make_settings()
    for _ in range(3):
        make_message()
    OutboxMessage.objects.filter(pk=make_message(lane=Lane.SECURITY).pk).update(
        due_at=timezone.now() + timedelta(minutes=1)
    )
    assert len(claim.claim_due(2, token="a", sender=sender)) == 2
    assert len(claim.claim_due(9, token="b", sender=sender)) == 1


def test_nothing_is_settled_that_is_not_on_its_way() -> None:
    """The token says so. Nobody can take a message away and leave it there."""
    claimed = make_claim(make_message(), make_settings())
    gone: dict[str, Any] = {"state": State.CANCELLED, "lease_until": None}
    with (
        pytest.raises(IntegrityError, match="outbox_token_is_of_sending"),
        transaction.atomic(),
    ):
        OutboxMessage.objects.update(**gone)
    OutboxMessage.objects.update(**gone, claim_token="")
    settle([Outcome(claimed, error=error("cannot_connect"))])
    assert fresh(claimed.message).state == State.CANCELLED


def test_body_that_many_share_is_read_once_for_claims_that_follow_each_other() -> None:
    sender = make_settings()
    first, second = (SharedBody.objects.create(text=text) for text in ("a", "b"))
    for body in (first, first, first, second):
        message = make_message(text_body="")
        OutboxMessage.objects.filter(pk=message.pk).update(shared_body=body)
    own = make_message(text_body="mine")
    bodies: dict[int, SharedBody] = {}
    read: list[int] = []
    texts: list[str] = []
    for limit in (2, 1, 1, 1):
        with CaptureQueriesContext(connection) as queries:
            claims = claim.claim_due(limit, token="a", sender=sender, bodies=bodies)
        table = SharedBody._meta.db_table
        read.append(sum(f'FROM "{table}"' in query["sql"] for query in queries))
        texts += [claimed.message.text for claimed in claims]
    assert texts == ["a", "a", "a", "b", "mine"]
    assert read == [1, 0, 1, 0]
    assert bodies == {}  # none is kept for longer than it is needed
    own.refresh_from_db()
    assert own.state == State.SENDING


def test_claim_that_was_never_seen_is_given_back() -> None:
    sender = make_settings()
    message = make_message()
    claim.claim_due(10, token="a", sender=sender)
    claim.give_back(["a"])
    row = fresh(message)
    assert (row.state, row.attempts, row.lease_until) == (State.QUEUED, 0, None)
    assert not row.attempt_set.exists()


# Settling


def test_taken_message_is_sent() -> None:
    row = sent()
    assert (row.state, row.ses_message_id, row.attempts) == (State.SENT, "0100-a", 1)
    assert (row.claim_token, row.lease_until, row.reason) == ("", None, "")
    assert row.sent_at is not None
    attempt = row.attempt_set.get()
    assert (attempt.outcome, attempt.ses_message_id) == (Result.ACCEPTED, "0100-a")
    assert attempt.finished_at is not None


def test_late_worker_overwrites_nothing() -> None:
    sender = make_settings()
    message = make_message()
    late = make_claim(message, sender)
    OutboxMessage.objects.filter(pk=message.pk).update(
        claim_token="another", claims=late.attempt.number + 1
    )
    settle([Outcome(late, ses_message_id="0100-late")])
    row = fresh(message)
    assert (row.state, row.claim_token) == (State.SENDING, "another")


def test_settling_twice_changes_nothing() -> None:
    message = make_message()
    outcome = Outcome(make_claim(message, make_settings()), ses_message_id="0100-a")
    settle([outcome])
    before = fresh(message).sent_at
    settle([outcome])
    assert fresh(message).sent_at == before


def test_many_are_settled_each_with_its_own() -> None:
    sender = make_settings()
    claims = [make_claim(make_message(), sender) for _ in range(40)]
    settle([Outcome(one, ses_message_id=f"0100-{one.message.pk}") for one in claims])
    for row in OutboxMessage.objects.all():
        assert (row.state, row.ses_message_id) == (State.SENT, f"0100-{row.pk}")


@pytest.mark.parametrize(
    ("code", "state", "result", "attempts"),
    [
        ("rehearsal", State.HELD, Result.CAPTURED, 0),
        ("key_unknown", State.HELD, Result.REFUSED, 0),
        ("access_denied", State.HELD, Result.REFUSED, 0),
        ("daily_quota", State.HELD, Result.REFUSED, 0),
        ("rate_exceeded", State.QUEUED, Result.NOT_SENT, 0),
        ("not_started", State.QUEUED, Result.NOT_SENT, 0),
        ("called_off", State.QUEUED, Result.NOT_SENT, 0),
        ("cannot_connect", State.QUEUED, Result.NOT_SENT, 1),
        ("recipient_invalid", State.FAILED, Result.REFUSED, 1),
        ("no_answer", State.UNKNOWN, Result.UNKNOWN, 1),
    ],
)
def test_each_class_of_problem_has_its_end(
    code: str, state: str, result: str, attempts: int
) -> None:
    row = settled(code)
    assert (row.state, row.attempts) == (state, attempts)
    assert (row.reason_code, row.reason) == (code, problem_for(code).title)
    assert row.reason_detail == "AWS's own words"
    attempt = row.attempt_set.get()
    assert (attempt.outcome, attempt.error_code) == (result, code)
    assert attempt.error_detail == "AWS's own words"


def test_throttled_message_is_tried_again_in_a_moment() -> None:
    wait = settled("rate_exceeded").due_at - timezone.now()
    assert timedelta(0) < wait < timedelta(seconds=3)


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 1), (1, 5), (2, 15), (3, 60)])
def test_message_that_did_not_leave_waits_longer_each_time(
    attempts: int, minutes: int
) -> None:
    wait = settled("cannot_connect", attempts=attempts).due_at - timezone.now()
    assert 0.7 * minutes < wait.total_seconds() / 60 < 1.3 * minutes


def test_waits_end_at_a_day_and_differ() -> None:
    waits = {backoff(99) for _ in range(50)}
    assert len(waits) > 40
    assert all(0.75 <= wait / LADDER[-1] <= 1.25 for wait in waits)


def test_message_that_breaks_the_sender_is_given_up_after_five_tries() -> None:
    assert settled("sender_failed", attempts=3).state == State.QUEUED
    row = settled("sender_failed", attempts=4)
    assert (row.state, row.reason_code) == (State.FAILED, "gave_up")
    assert "5 tries" in row.reason


# Secrets


@pytest.mark.parametrize("code", ["recipient_invalid", "message_rejected"])
def test_secret_body_is_wiped_when_it_failed(code: str) -> None:
    row = settled(code, is_secret=True)
    assert (row.text_body, row.html_body) == ("", "")


def test_secret_body_is_wiped_when_it_was_sent() -> None:
    row = sent(is_secret=True)
    assert (row.text_body, row.html_body) == ("", "")


def test_body_without_secrets_stays_to_be_read() -> None:
    assert sent().text_body == "Hello Hannah\n"


@pytest.mark.parametrize("code", ["cannot_connect", "key_unknown", "no_answer"])
def test_secret_body_stays_while_it_may_still_be_sent(code: str) -> None:
    assert settled(code, is_secret=True).text_body.startswith("v1:")


# Holding all mail


def test_broken_account_holds_all_mail_behind_one_probe() -> None:
    settled("key_unknown")
    account = SesSettings.load()
    assert (account.hold_code, account.hold_detail) == (
        "key_unknown",
        "AWS's own words",
    )
    assert account.held_since is not None
    assert account.probe_at is not None
    assert not hold.take_turn_to_probe()  # not within the minute
    waiting = [make_message() for _ in range(3)]
    assert hold.park_due(account) == 3
    assert {fresh(row).reason_code for row in waiting} == {"key_unknown"}


def test_only_one_process_a_minute_probes() -> None:
    settled("key_unknown")
    hold.probe_now()
    assert [hold.take_turn_to_probe() for _ in range(3)] == [True, False, False]


def test_hold_keeps_its_beginning() -> None:
    settled("key_unknown")
    since = SesSettings.load().held_since
    sender = SesSettings.load()
    settle([Outcome(make_claim(make_message(), sender), error=error("access_denied"))])
    assert SesSettings.load().hold_code == "access_denied"
    assert SesSettings.load().held_since == since


def test_probe_that_leaves_frees_all_mail() -> None:
    settled("key_unknown")
    rehearsed = make_message()
    OutboxMessage.objects.filter(pk=rehearsed.pk).update(
        state=State.HELD, reason_code="rehearsal"
    )
    hold.park_due(SesSettings.load())
    make_message()
    hold.park_due(SesSettings.load())
    (probe,) = claim.claim_held(token="p" * 32, sender=SesSettings.load())
    assert probe.is_probe
    settle([Outcome(probe, ses_message_id="0100-p")])
    assert SesSettings.load().hold_code == ""
    states = OutboxMessage.objects.values_list("state", flat=True)
    assert sorted(states) == [State.HELD, State.QUEUED, State.SENT]
    assert fresh(rehearsed).state == State.HELD


def test_failure_with_settings_that_were_mended_meanwhile_holds_nothing() -> None:
    sender = make_settings()
    old = make_claim(make_message(), sender)
    make_settings()
    settle([Outcome(old, error=error("key_unknown"))])
    assert fresh(old.message).state == State.QUEUED
    assert SesSettings.load().hold_code == ""


def test_release_of_a_rehearsal_leaves_out_what_is_too_old() -> None:
    for lifetime in (timedelta(days=1), timedelta(seconds=-1)):
        message = make_message(lifetime=lifetime)
        settle(
            [Outcome(make_claim(message, make_settings()), error=error("rehearsal"))]
        )
    assert hold.count("rehearsal") == 1
    assert hold.release("rehearsal") == 1
    assert OutboxMessage.objects.filter(state=State.QUEUED).count() == 1
    assert OutboxMessage.objects.filter(state=State.HELD).count() == 1


# Recovering


def lost_claim(**changes: object) -> Claim:
    lost = make_claim(make_message(), make_settings())
    OutboxMessage.objects.filter(pk=lost.message.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1), **changes
    )
    return lost


def test_message_of_a_dead_worker_is_unknown_and_waits_for_a_person() -> None:
    lost = lost_claim()
    recovery.recover()
    row = fresh(lost.message)
    assert (row.state, row.reason_code) == (State.UNKNOWN, "worker_stopped")
    assert row.attempt_set.get().outcome == Result.UNKNOWN
    recovery.recover()
    assert claim.claim_due(9, token="b", sender=make_settings()) == []


def test_message_whose_lease_holds_is_left_alone() -> None:
    held = make_claim(make_message(), make_settings())
    recovery.recover()
    assert fresh(held.message).state == State.SENDING


def test_worker_that_was_only_slow_is_believed_that_the_mail_was_taken() -> None:
    lost = lost_claim()
    recovery.recover()
    settle([Outcome(lost, ses_message_id="0100-late")])
    row = fresh(lost.message)
    assert (row.state, row.ses_message_id) == (State.SENT, "0100-late")
    assert row.attempt_set.get().outcome == Result.ACCEPTED


def test_worker_that_was_only_slow_changes_nothing_when_the_mail_was_not_taken() -> (
    None
):
    lost = lost_claim()
    recovery.recover()
    settle([Outcome(lost, error=error("no_answer"))])
    assert fresh(lost.message).state == State.UNKNOWN


def test_message_that_waited_too_long_fails_and_says_why() -> None:
    message = make_message(lifetime=timedelta(seconds=-1), is_secret=True)
    OutboxMessage.objects.filter(pk=message.pk).update(reason="AWS was down.")
    recovery.recover()
    row = fresh(message)
    assert (row.state, row.reason_code) == (State.FAILED, "expired")
    assert row.reason == f"{problem_for('expired').title} AWS was down."
    assert row.text_body == ""


def test_backlog_that_expired_is_given_up_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "AT_ONCE", 2)
    messages = [make_message(lifetime=timedelta(seconds=-1)) for _ in range(3)]
    recovery.recover()
    assert [fresh(m).state for m in messages].count(State.FAILED) == 2
    recovery.recover()
    assert {fresh(m).state for m in messages} == {State.FAILED}


def test_rehearsed_secret_is_wiped_when_it_is_too_old() -> None:
    message = make_message(lifetime=timedelta(seconds=-1), is_secret=True)
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=State.HELD, reason_code="rehearsal"
    )
    recovery.recover()
    row = fresh(message)
    assert (row.state, row.text_body, row.html_body) == (State.HELD, "", "")


# By hand


@pytest.mark.parametrize("code", ["recipient_invalid", "key_unknown", "cannot_connect"])
def test_person_may_try_again(code: str) -> None:
    uid = settled(code, attempts=2).uid
    row = by_hand.retry_message(uid)
    assert (row.state, row.attempts, row.reason) == (State.QUEUED, 0, "")
    assert row.due_at <= timezone.now()


def test_expired_message_gets_a_new_life_when_tried_again() -> None:
    message = make_message(lifetime=timedelta(seconds=-1))
    recovery.recover()
    by_hand.retry_message(message.uid)
    recovery.recover()
    assert fresh(message).state == State.QUEUED


def test_link_is_not_mailed_for_longer_than_it_works() -> None:
    message = make_message(is_secret=True, lifetime=timedelta(hours=2))
    by_hand.retry_message(message.uid)
    assert fresh(message).expires_at == message.expires_at


def test_link_that_works_no_more_is_not_mailed() -> None:
    message = make_message(is_secret=True, lifetime=timedelta(seconds=-1))
    with pytest.raises(NotRetryableError, match="does not work any more"):
        by_hand.retry_message(message.uid)


def test_sent_message_is_not_sent_again() -> None:
    with pytest.raises(NotRetryableError, match="is sent"):
        by_hand.retry_message(sent().uid)


def test_message_on_its_way_is_not_taken_back() -> None:
    claimed = make_claim(make_message(), make_settings())
    with pytest.raises(NotRetryableError, match="is sending"):
        by_hand.retry_message(claimed.message.uid)
    assert fresh(claimed.message).state == State.SENDING


def test_message_whose_secret_was_wiped_is_not_sent_empty() -> None:
    uid = settled("recipient_invalid", is_secret=True).uid
    with pytest.raises(NotRetryableError, match="wiped"):
        by_hand.retry_message(uid)


def test_message_that_does_not_exist_can_not_be_tried_again() -> None:
    with pytest.raises(OutboxMessage.DoesNotExist):
        by_hand.retry_message(uuid.uuid4())


def test_trying_all_held_again_tries_one_at_once() -> None:
    settled("key_unknown")
    assert not hold.take_turn_to_probe()
    assert by_hand.retry_all_held() == 1
    assert hold.take_turn_to_probe()
