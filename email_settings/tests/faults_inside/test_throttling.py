"""Amazon SES says "too fast" or "enough for today": mail is late, never lost."""

import random
from dataclasses import replace

import pytest

from email_settings.delivery import hold, settle
from email_settings.gateway.errors import ErrorClass
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.fake_ses import refusal
from email_settings.tests.faults_inside import REPEATS
from email_settings.tests.faults_inside.aws import Deed, Post, ScriptedSes, accept
from email_settings.tests.faults_inside.mail import (
    attempts,
    make_waiting_due,
    put_many,
    reasons,
    send_due,
    send_until_nothing_waits,
    states,
)

pytestmark = pytest.mark.django_db

State = OutboxMessage.State

TOO_FAST = refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
NO_MORE_TODAY = refusal(400, "LimitExceededException", "Daily message quota exceeded.")


@pytest.mark.parametrize("seed", range(REPEATS))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_throttled_mail_all_leaves_once_and_no_try_is_burnt(
    aws: ScriptedSes, live: SesSettings, share: float, seed: int
) -> None:
    chance = random.Random(f"{share} {seed}")  # noqa: S311
    aws.decide = lambda post: TOO_FAST if chance.random() < share else accept(post)
    messages = put_many(40)
    send_until_nothing_waits(most_rounds=300)
    assert states() == {State.SENT: 40}
    assert aws.doubled() == []
    assert len(aws.accepted) == 40
    assert attempts(messages) == {1}  # the one that was taken


def test_try_that_was_throttled_again_and_again_counts_for_nothing(
    aws: ScriptedSes, live: SesSettings
) -> None:
    aws.decide = lambda post: TOO_FAST
    messages = put_many(1)
    for _ in range(40):
        send_due()
        make_waiting_due()
    assert states() == {State.QUEUED: 1}
    assert attempts(messages) == {0}


def test_throttles_would_use_tries_up_if_they_counted(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise of the test above rests on the class RATE burning no try."""
    original = settle._verdict

    def counting(*args: object) -> settle.Verdict:
        verdict = original(*args)  # type: ignore[arg-type]
        is_throttled = verdict.problem and verdict.problem.kind == ErrorClass.RATE
        return replace(verdict, counts=True) if is_throttled else verdict

    monkeypatch.setattr(settle, "_verdict", counting)
    aws.decide = lambda post: TOO_FAST
    messages = put_many(1)
    for _ in range(5):
        send_due()
        make_waiting_due()
    assert attempts(messages) == {5}


def test_daily_quota_holds_all_and_all_leave_when_there_is_room(
    aws: ScriptedSes, live: SesSettings
) -> None:
    room = 25

    def until_the_quota(post: Post) -> Deed:
        return accept(post) if len(aws.accepted) < room else NO_MORE_TODAY

    aws.decide = until_the_quota
    put_many(100)
    send_due()
    assert states() == {State.SENT: 25, State.HELD: 75}
    assert reasons(State.HELD) == {"daily_quota": 75}
    asked = len(aws.log)
    for _ in range(5):
        make_waiting_due()
        send_due()
    assert len(aws.log) == asked  # nobody asks again within the minute
    for _ in range(3):
        room += 25
        hold.probe_now()
        send_due()
    assert states() == {State.SENT: 100}
    assert aws.doubled() == []
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {1}
    assert DeliveryAttempt.objects.filter(outcome="accepted").count() == 100
