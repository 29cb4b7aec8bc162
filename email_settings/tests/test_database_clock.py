"""A process whose own clock is off goes by the database's clock all the same.

On SQLite both are one machine's, so there the right time is given to clock.py alone.
"""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from email_settings.delivery import claim, due, hold, recovery
from email_settings.delivery.clock import database_now
from email_settings.delivery.journal import LeftBehind
from email_settings.delivery.settle import Outcome, settle
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_claim, make_message, make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
HOUR = timedelta(hours=1)
HALF = HOUR / 2  # less than the clock is off
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


def make_two(name: str) -> tuple[OutboxMessage, OutboxMessage]:
    """Return a message whose field of that name is past, and one whose is to come."""
    past, to_come = make_message(), make_message()
    for message, moment in ((past, -HALF), (to_come, HALF)):
        change(message, **{name: right_now() + moment})
    return past, to_come


def change(message: OutboxMessage, **values: Any) -> None:
    OutboxMessage.objects.filter(pk=message.pk).update(**values)


def states(*messages: OutboxMessage) -> list[str]:
    for message in messages:
        message.refresh_from_db()
    return [message.state for message in messages]


def hold_account(code: str = "access_denied", **values: Any) -> SesSettings:
    make_settings()
    SesSettings.objects.update(hold_code=code, **values)
    return SesSettings.load()


# The clock


def test_time_goes_on_within_a_transaction() -> None:
    first = database_now()
    assert is_about_now(first)
    assert database_now() > first
    message = make_message()
    make_settings()
    change(message, due_at=first)
    claimed = claim_one()
    assert claimed.message.lease_until is not None
    assert claimed.message.lease_until > first + claim.LEASE


# What is due, and what is leased


def test_mail_is_put_in_by_it() -> None:
    message = make_message()
    assert is_about_now(message.due_at)
    assert is_about_now(message.created_at)


def test_what_is_due_is_found_by_it() -> None:
    make_settings()
    past, _ = make_two("due_at")
    assert due.is_something_due()
    claims = claim.claim_due(5, token="t1", sender=SesSettings.load())
    assert [claimed.message.pk for claimed in claims] == [past.pk]
    assert not due.is_something_due()


def test_lease_ends_by_it() -> None:
    make_settings()
    make_message()
    lease_until = claim_one().message.lease_until
    assert lease_until is not None
    assert is_about_now(lease_until - claim.LEASE)


def test_lease_is_lost_by_it() -> None:
    sender = make_settings()
    both = make_message(), make_message()
    claims = [make_claim(message, sender) for message in both]
    change(both[0], lease_until=right_now() - HALF)
    change(both[1], lease_until=right_now() + HALF)
    recovery.call_unknown_what_lost_its_lease()
    assert states(*both) == [State.UNKNOWN, State.SENDING]
    claims[0].attempt.refresh_from_db()
    assert is_about_now(claims[0].attempt.finished_at)


def test_try_that_a_dead_worker_never_began_is_dated_by_it() -> None:
    claimed = make_claim(make_message(), make_settings())
    left = LeftBehind(
        Path(f"{claimed.message.claim_token}.log"),
        started=frozenset(),
        accepted={},
        is_whole=True,
        written_at=right_now(),
    )
    recovery._replay(left)
    assert states(claimed.message) == [State.QUEUED]
    claimed.attempt.refresh_from_db()
    assert is_about_now(claimed.attempt.finished_at)


def test_mail_expires_by_it() -> None:
    both = make_two("expires_at")
    recovery.give_up_what_expired()
    assert states(*both) == [State.FAILED, State.QUEUED]


# What is held


def test_hold_begins_by_it() -> None:
    sender = make_settings()
    error = SendError(problem_for("access_denied"))
    hold.hold_all(error, version=sender.version)
    sender.refresh_from_db()
    assert is_about_now(sender.held_since)
    assert sender.probe_at is not None
    assert is_about_now(sender.probe_at - hold.PROBE_EVERY)


def test_turn_to_probe_comes_by_it() -> None:
    held_since = right_now() - MINUTE
    hold_account(held_since=held_since, probe_at=right_now() + HALF)
    assert not hold.take_turn_to_probe()
    SesSettings.objects.update(probe_at=right_now() - HALF)
    assert hold.take_turn_to_probe()
    probe_at = SesSettings.load().probe_at
    assert probe_at is not None
    assert is_about_now(probe_at - hold.PROBE_EVERY)


def test_probe_that_is_wanted_now_is_due_now_by_it() -> None:
    hold_account(probe_at=None)
    hold.probe_now()
    assert is_about_now(SesSettings.load().probe_at)


@pytest.mark.parametrize(
    ("held_for", "is_put_off"), [(HALF, True), (HOUR + HALF, False)]
)
def test_probe_is_put_off_by_it(held_for: timedelta, *, is_put_off: bool) -> None:
    hold_account(hold.SILENT, held_since=right_now() - held_for, probe_at=None)
    hold.put_off_probe()
    probe_at = SesSettings.load().probe_at
    assert (probe_at is not None) == is_put_off
    if probe_at is not None:
        assert is_about_now(probe_at - 2 * hold.PROBE_EVERY)


@pytest.mark.parametrize(("until", "is_guarded"), [(-HALF, True), (HALF, False)])
def test_guard_is_off_by_it(until: timedelta, *, is_guarded: bool) -> None:
    sender = make_settings()
    sender.guarded_since = right_now() - 3 * HOUR
    sender.unguarded_until = right_now() + until
    assert hold.is_guarded(sender) == is_guarded


def test_what_is_due_is_parked_by_it() -> None:
    sender = hold_account()
    both = make_two("due_at")
    assert hold.park_due(sender) == 1
    assert states(*both) == [State.HELD, State.QUEUED]


def test_what_makes_sense_no_more_is_not_released_by_it() -> None:
    both = make_two("expires_at")
    OutboxMessage.objects.update(state=State.HELD, reason_code=hold.STOPPED)
    assert hold.release(hold.STOPPED) == 1
    assert states(*both) == [State.HELD, State.QUEUED]


def test_what_is_released_is_due_now_by_it() -> None:
    message = make_message()
    change(
        message,
        state=State.HELD,
        reason_code=hold.STOPPED,
        due_at=right_now() - 2 * HOUR,
    )
    assert hold.release(hold.STOPPED) == 1
    message.refresh_from_db()
    assert is_about_now(message.due_at)


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
