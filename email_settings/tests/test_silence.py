"""Mail flows and no news of it comes: noticed, told once, and over when news comes."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings import alerts, silence
from email_settings.delivery.by_hand import MARKED_SENT
from email_settings.models import (
    EventFeed,
    Fate,
    OutboxMessage,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.silence import Kind
from email_settings.status import MailStatus
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.test_simulator_canary import QUEUE

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def connected() -> None:
    """Events are connected for a day, and the queue answered a moment ago."""
    row = make_settings()
    row.configuration_set, row.event_queue_url = "ticketflow-ses", QUEUE
    row.save()
    feed(
        began_at=timezone.now() - timedelta(days=1),
        asked_at=timezone.now(),
        last_event_at=timezone.now() - 5 * HOUR,
    )


def feed(**values: Any) -> None:
    EventFeed.objects.update_or_create(
        pk=EventFeed.ONLY_ID, defaults={"queue_url": QUEUE, **values}
    )


def send(
    *,
    ago: timedelta = HOUR,
    fate: Fate | None = None,
    kind: str = "public_reply",
    reason_code: str = "",
) -> None:
    message = make_message()
    OutboxMessage.objects.filter(pk=message.pk).update(
        state="sent",
        sent_at=timezone.now() - ago,
        fate=fate,
        kind=kind,
        reason_code=reason_code,
    )


def worker(*, started_ago: timedelta = HOUR) -> None:
    WorkerHeartbeat.objects.create(
        name="one", started_at=timezone.now() - started_ago, beat_at=timezone.now()
    )


def found() -> silence.Silence | None:
    """Look, and return what pages say then."""
    silence.look()
    return MailStatus().silence


def told() -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(kind=alerts.SILENCE))


# Mail leaves, and no event comes


def test_three_mails_without_any_news() -> None:
    for minutes in (60, 50, 40):
        send(ago=minutes * MINUTE)
    what = found()
    assert what
    assert (what.kind, what.count) == (Kind.UNHEARD, 3)
    assert what.what == "3 mails left, and no event about any came."
    assert what.since < timezone.now() - 59 * MINUTE


def test_two_may_be_late() -> None:
    send()
    send()
    assert found() is None


def test_what_left_a_moment_ago_has_time() -> None:
    for _ in range(5):
        send(ago=10 * MINUTE)
    assert found() is None


def test_no_mail_is_no_silence() -> None:
    assert found() is None


def test_news_of_any_mail_since_shows_that_it_comes() -> None:
    for _ in range(5):
        send()
    feed(last_event_at=timezone.now() - 20 * MINUTE)
    assert found() is None


def test_mail_before_the_queue_was_connected_tells_nothing() -> None:
    for _ in range(5):
        send()
    feed(last_event_at=None, began_at=timezone.now() - 30 * MINUTE)
    assert found() is None
    feed(began_at=timezone.now() - 2 * HOUR)
    assert found()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": OutboxMessage.CANARY},
        {"kind": OutboxMessage.SIMULATOR},
        {"reason_code": MARKED_SENT},
        {"ago": timedelta(hours=30)},
    ],
)
def test_other_mail_says_nothing(values: dict[str, Any]) -> None:
    feed(last_event_at=None, began_at=timezone.now() - timedelta(days=9))
    for _ in range(5):
        send(**values)
    assert found() is None


@pytest.mark.parametrize(
    "values", [{"mode": "rehearsal"}, {"event_queue_url": "", "configuration_set": ""}]
)
def test_nothing_is_expected_where_no_news_can_come(values: dict[str, Any]) -> None:
    for _ in range(5):
        send()
    SesSettings.objects.update(**values)
    assert found() is None


# Nobody reads


def test_queue_that_nobody_reads_while_a_worker_runs() -> None:
    feed(asked_at=timezone.now() - HOUR)
    worker()
    what = found()
    assert what
    assert what.kind is Kind.UNREAD


@pytest.mark.parametrize("started_ago", [None, 2 * MINUTE])
def test_without_a_worker_or_right_after_its_start_that_is_no_wonder(
    started_ago: timedelta | None,
) -> None:
    feed(asked_at=timezone.now() - HOUR)
    if started_ago:
        worker(started_ago=started_ago)
    assert found() is None


def test_queue_that_may_not_be_read() -> None:
    problem = {"code": "access_denied", "title": "No.", "why": "So.", "fix": "Do."}
    feed(problem=problem, problem_since=timezone.now() - 5 * MINUTE)
    assert found() is None
    feed(problem_since=timezone.now() - 20 * MINUTE)
    what = found()
    assert what
    assert what.kind is Kind.PROBLEM


def by_webhook(**values: Any) -> None:
    SesSettings.objects.update(
        event_topic_arn="arn:aws:sns:eu-west-1:123456789012:events"
    )
    feed(
        webhook_topic_arn="arn:aws:sns:eu-west-1:123456789012:events",
        webhook_confirmed_at=timezone.now() - timedelta(days=1),
        **values,
    )


def test_what_the_webhook_brings_need_not_be_read_from_the_queue() -> None:
    by_webhook(asked_at=timezone.now() - HOUR)
    worker()
    assert found() is None


def test_webhook_that_brings_nothing_has_causes_of_its_own() -> None:
    SesSettings.objects.update(event_queue_url="")
    by_webhook(queue_url="")
    for _ in range(3):
        send()
    what = found()
    assert what
    causes = what.causes(SesSettings.load())
    assert "subscription of the webhook" in causes[0]
    assert not any("queue" in cause for cause in causes)


# Telling


@pytest.mark.usefixtures("brand", "admin")
def test_admins_are_told_once_an_episode() -> None:
    for _ in range(3):
        send()
    found()
    send()
    assert (what := found())
    assert what.count == 4
    (mail,) = told()
    assert "3 mails left, and no event about any came." in mail.text_body
    causes = ["access policy of the queue", "Another program", "is switched off"]
    places = [mail.text_body.index(cause) for cause in causes]
    assert places == sorted(places)
    feed(last_event_at=timezone.now())
    assert found() is None
    feed(last_event_at=timezone.now() - 5 * HOUR)
    assert found()
    assert len(told()) == 2


@pytest.mark.usefixtures("brand", "admin")
def test_another_cause_of_the_same_silence_is_no_other_alert() -> None:
    for _ in range(3):
        send()
    found()
    feed(asked_at=timezone.now() - HOUR)
    worker()
    what = found()
    assert what
    assert what.kind is Kind.UNREAD
    assert len(told()) == 1


@pytest.mark.usefixtures("brand", "admin")
def test_what_nobody_can_tell_ends_no_episode() -> None:
    for _ in range(3):
        send()
    found()
    feed(asked_at=timezone.now() - HOUR)  # the worker was away, and has just come back
    worker(started_ago=MINUTE)
    assert found()
    feed(asked_at=timezone.now(), problem_since=timezone.now() - MINUTE)
    assert found()
    assert len(told()) == 1
