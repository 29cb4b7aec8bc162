"""Mail in doubt that is worth a second try, and all the mail that is not."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from email_settings import alerts, tasks
from email_settings.delivery import by_hand, doubt
from email_settings.delivery.settle import Outcome, settle
from email_settings.events import connect, second_try
from email_settings.events.connect import Connection
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import (
    DeliveryAttempt,
    EventFeed,
    Fate,
    Lane,
    OutboxMessage,
    SesSettings,
)
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.void_links import LINK_VOID

State = OutboxMessage.State
pytestmark = pytest.mark.django_db
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/ticketflow-ses-events"


def ago(**length: float) -> datetime:
    return timezone.now() - timedelta(**length)


@pytest.fixture(autouse=True)
def connected(admin: object) -> SesSettings:
    """Events have come here for an hour."""
    make_settings()
    values = Connection("ticketflow-ses", QUEUE)
    sender = connect.save_connection(actor=admin, values=values)  # type: ignore[arg-type]
    EventFeed.objects.update(began_at=ago(hours=1))
    return sender


def doubted(
    kind: str = "password_reset",
    *,
    lane: Lane = Lane.SECURITY,
    minutes: float = 11,
    is_secret: bool = False,
) -> OutboxMessage:
    """A mail whose one try ended so long ago, and nobody answered."""
    message = make_message(lane=lane, is_secret=is_secret)
    OutboxMessage.objects.filter(pk=message.pk).update(kind=kind)
    message.refresh_from_db()
    lose(message, minutes)
    return message


def lose(message: OutboxMessage, minutes: float = 11) -> None:
    """Try it once more, and get no answer."""
    claimed = make_claim(message, SesSettings.load())
    settle([Outcome(claimed, error=SendError(problem_for("no_answer")))])
    at = ago(minutes=minutes)
    DeliveryAttempt.objects.filter(pk=claimed.attempt.pk).update(
        started_at=at, finished_at=at
    )
    message.refresh_from_db()
    assert message.state == State.UNKNOWN


def heard_of(*, minutes: float = 5, fate: Fate | None = Fate.DELIVERED) -> None:
    """Another mail left so long ago, and this is what was told of it."""
    OutboxMessage.objects.filter(pk=make_message().pk).update(
        state=State.SENT, sent_at=ago(minutes=minutes), fate=fate
    )


def state_of(message: OutboxMessage) -> str:
    return OutboxMessage.objects.get(pk=message.pk).state


@pytest.mark.parametrize(
    ("kind", "lane"),
    [
        ("password_reset", Lane.SECURITY),
        ("invitation", Lane.SECURITY),
        ("ticket_received", Lane.REPLY),
    ],
)
def test_what_somebody_needs_is_sent_once_more_and_says_so(
    kind: str, lane: Lane
) -> None:
    message = doubted(kind, lane=lane)
    heard_of()
    assert second_try.look() == 1
    assert state_of(message) == State.QUEUED
    (attempt,) = message.attempt_set.all()
    assert attempt.outcome == DeliveryAttempt.Outcome.UNKNOWN
    assert attempt.error_detail.endswith(second_try.NOTE)


def test_schedule_looks(admin: object) -> None:
    message = doubted()
    heard_of()
    tasks.watch_events()
    assert state_of(message) == State.QUEUED


def test_never_a_third_time() -> None:
    message = doubted()
    heard_of()
    assert second_try.look() == 1
    lose(message)
    heard_of()
    assert second_try.look() == 0
    assert state_of(message) == State.UNKNOWN


def test_what_a_person_had_sent_again_waits_for_a_person(admin: object) -> None:
    message = doubted()
    by_hand.resend(message.uid, actor=admin)  # type: ignore[arg-type]
    lose(message)
    heard_of()
    assert second_try.look() == 0


@pytest.mark.parametrize(
    ("kind", "lane"),
    [
        ("public_reply", Lane.REPLY),
        ("ticket_new", Lane.NOTICE),
        (OutboxMessage.TEST, Lane.SECURITY),
        (OutboxMessage.CANARY, Lane.SECURITY),
        (alerts.REPUTATION, Lane.SECURITY),
    ],
)
def test_all_other_mail_waits_for_a_person(kind: str, lane: Lane) -> None:
    message = doubted(kind, lane=lane)
    heard_of()
    assert second_try.look() == 0
    assert state_of(message) == State.UNKNOWN


def test_its_own_event_has_ten_minutes() -> None:
    doubted(minutes=9)
    heard_of()
    assert second_try.look() == 0


def test_silence_about_later_mail_proves_nothing() -> None:
    doubted()
    heard_of(fate=None)  # nothing is known of it either
    heard_of(minutes=12)  # it left before
    assert second_try.look() == 0


def test_mail_that_left_before_events_came_is_told_of_by_none() -> None:
    doubted(minutes=61)
    heard_of()
    assert second_try.look() == 0


def test_yesterdays_mail_is_past() -> None:
    EventFeed.objects.update(began_at=ago(days=9))
    doubted(minutes=24 * 60 + 1)
    heard_of()
    assert second_try.look() == 0


def test_without_events_everything_waits(admin: object) -> None:
    doubted()
    heard_of()
    connect.save_connection(actor=admin, values=Connection())  # type: ignore[arg-type]
    assert second_try.look() == 0


@pytest.mark.parametrize(
    "values",
    [
        {"reason_code": LINK_VOID},
        {"text_body": ""},
        {"expires_at": datetime(2026, 1, 1, tzinfo=timezone.get_default_timezone())},
    ],
    ids=["void", "wiped", "expired"],
)
def test_link_of_no_use_is_not_sent_again(values: dict[str, object]) -> None:
    message = doubted(is_secret=True)
    OutboxMessage.objects.filter(pk=message.pk).update(**values)
    heard_of()
    assert second_try.look() == 0
    assert state_of(message) == State.UNKNOWN


def test_event_that_comes_at_the_last_moment_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = doubted()

    def told_meanwhile(attempt: DeliveryAttempt) -> bool:
        return doubt.resolve_as_sent(
            attempt_uid=attempt.uid, ses_message_id="0102", at=timezone.now()
        )

    monkeypatch.setattr(second_try, "_would_have_come", told_meanwhile)
    assert second_try.look() == 0
    assert state_of(message) == State.SENT


def test_by_webhook_alone_events_come_since_it_was_confirmed(admin: object) -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:ticketflow-ses-events"
    connect.save_connection(
        actor=admin,  # type: ignore[arg-type]
        values=Connection("ticketflow-ses", "", topic),
    )
    EventFeed.objects.update(
        began_at=ago(hours=2),
        webhook_topic_arn=topic,
        webhook_confirmed_at=ago(minutes=30),
    )
    before, after = doubted(minutes=31), doubted(minutes=29)
    heard_of()
    assert second_try.look() == 1
    assert (state_of(before), state_of(after)) == (State.UNKNOWN, State.QUEUED)
