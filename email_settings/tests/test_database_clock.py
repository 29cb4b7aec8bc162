"""A process whose own clock is off goes by the database's clock all the same.

On SQLite both are one machine's, so there the right time is given to clock.py alone.
"""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from email_settings.delivery import claim
from email_settings.delivery.settle import Outcome, settle
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_message, make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

right_now = timezone.now


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"], autouse=True)
def off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """By how much the clock of this process is off."""
    off: timedelta = request.param
    right = SimpleNamespace(now=right_now)
    monkeypatch.setattr("email_settings.delivery.clock.timezone", right)
    monkeypatch.setattr(timezone, "now", lambda: right_now() + off)
    return off


def is_about_now(moment: datetime | None) -> bool:
    """Whether it is the time of the database, and not the one of this process."""
    return moment is not None and abs(moment - right_now()) < MINUTE


def claim_one() -> claim.Claim:
    (claimed,) = claim.claim_due(1, token="t1", sender=SesSettings.load())
    return claimed


# What came of a message


def test_what_was_sent_is_dated_by_it() -> None:
    make_settings()
    message = make_message()
    settle([Outcome(claim_one(), ses_message_id="0100-a")])
    message.refresh_from_db()
    attempt = DeliveryAttempt.objects.get()
    assert is_about_now(message.sent_at)
    assert is_about_now(attempt.started_at)
    assert is_about_now(attempt.finished_at)


def test_retry_is_due_by_it() -> None:
    make_settings()
    message = make_message()
    error = SendError(problem_for("rate_exceeded"))
    settle([Outcome(claim_one(), error=error)])
    message.refresh_from_db()
    assert message.state == State.QUEUED
    assert is_about_now(message.due_at)
    assert message.due_at > right_now()
    assert is_about_now(SesSettings.load().slowed_at)


def test_what_became_of_some_is_due_and_sent_as_if_it_were_alone() -> None:
    make_settings()
    first, second = make_message(), make_message()
    claims = claim.claim_due(2, token="t1", sender=SesSettings.load())
    away = SendError(problem_for("cannot_connect"))
    settle(
        [Outcome(claims[0], ses_message_id="0100-a"), Outcome(claims[1], error=away)]
    )
    was_due = first.due_at
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.due_at == was_due
    assert is_about_now(second.due_at - MINUTE)
