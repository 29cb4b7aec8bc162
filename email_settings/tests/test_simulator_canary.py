"""The mail an hour to the simulator: one over all workers, and what it shows."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from email_settings import canary
from email_settings.activity import Activity
from email_settings.canary import Stage, canary_of, said
from email_settings.models import (
    DeliveryEvent,
    EventFeed,
    Lane,
    MailWatch,
    OutboxMessage,
    SesSettings,
)
from email_settings.standin.account import Account, Identity
from email_settings.standin.presets import connect_events
from email_settings.standin.server import running
from email_settings.status import MailStatus
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)
from email_settings.tests.workers import make_site, running_worker
from ticketflow.tests.processes import wait_until

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/ticketflow-ses"
MINUTE = timedelta(minutes=1)
State = OutboxMessage.State
db = pytest.mark.django_db


def connect(*, is_live: bool = True) -> SesSettings:
    row = make_settings(is_live=is_live)
    row.configuration_set, row.event_queue_url = "ticketflow-ses", QUEUE
    row.save()
    EventFeed.objects.create(
        pk=EventFeed.ONLY_ID,
        queue_url=QUEUE,
        began_at=timezone.now() - timedelta(days=2),
        asked_at=timezone.now(),
    )
    return row


def fly(*, ago: timedelta, state: State = State.SENT, **values: Any) -> OutboxMessage:
    """Let a canary have been written so long ago."""
    at = timezone.now() - ago
    return OutboxMessage.objects.create(
        kind=OutboxMessage.CANARY,
        recipient="success+canary-1@simulator.amazonses.com",
        state=state,
        created_at=at,
        sent_at=at if state == State.SENT else None,
        **values,
    )


def come_back(message: OutboxMessage, *, seconds: float) -> None:
    assert message.sent_at
    DeliveryEvent.objects.create(
        message=message,
        kind=DeliveryEvent.Kind.DELIVERY,
        mark=str(message.pk),
        happened_at=message.sent_at,
        received_at=message.sent_at + timedelta(seconds=seconds),
    )


def canaries() -> int:
    return OutboxMessage.objects.filter(kind=OutboxMessage.CANARY).count()


# When one flies


@db
def test_one_an_hour() -> None:
    connect()
    message = canary.look()
    assert message
    assert message.recipient.startswith("success+canary-")
    assert message.recipient.endswith("@simulator.amazonses.com")
    assert message.lane == Lane.REPLY
    OutboxMessage.objects.update(state=State.SENT, sent_at=timezone.now())
    assert canary.look() is None
    MailWatch.objects.update(canary_at=timezone.now() - timedelta(minutes=61))
    assert canary.look()


@db
@pytest.mark.parametrize("state", [State.QUEUED, State.HELD])
def test_none_while_the_last_one_waits(state: State) -> None:
    connect()
    canary.look()
    OutboxMessage.objects.update(state=state)
    MailWatch.objects.update(canary_at=timezone.now() - timedelta(days=1))
    assert canary.look() is None


@db
def test_one_that_is_given_up_keeps_no_other_back() -> None:
    connect()
    fly(ago=timedelta(hours=2), state=State.FAILED)
    assert canary.look()


@db
@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"is_canary_on": False}, "switched off"),
        ({"mode": "rehearsal"}, "when mail is live"),
        ({"event_queue_url": "", "configuration_set": ""}, "events are connected"),
        ({"hold_code": "key_unknown"}, ""),
        ({"stopped_at": timezone.now()}, ""),
    ],
)
def test_none_where_nothing_would_come_of_it(values: dict[str, Any], why: str) -> None:
    connect()
    SesSettings.objects.update(**values)
    assert canary.look() is None
    assert why in canary.why_none(SesSettings.load())


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_sends_it() -> None:
    connect()
    MailWatch.load()

    def work() -> bool:
        try:
            return canary.look() is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        sent = [task.result() for task in [pool.submit(work) for _ in range(16)]]
    assert sum(sent) == canaries() == 1


@db
def test_old_ones_go() -> None:
    connect()
    for hours in range(110):
        come_back(fly(ago=timedelta(hours=hours + 1)), seconds=4)
    make_message()
    assert canary.look()
    assert canaries() == canary.KEPT
    assert OutboxMessage.objects.count() == canary.KEPT + 1


@db
def test_one_that_still_waits_never_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "KEPT", 1)
    fly(
        ago=timedelta(hours=9),
        state=State.SENDING,
        claim_token="x",
        lease_until=timezone.now(),
    )
    fly(ago=timedelta(hours=8))
    canary._remove_old()
    assert canaries() == 1


@db
def test_list_shows_them_to_who_asks_only() -> None:
    make_settings()
    fly(ago=MINUTE)
    make_message()
    assert Activity().found().count() == 1
    assert Activity(state="sent").found().count() == 0
    assert Activity(kind=OutboxMessage.CANARY).found().count() == 1
    counts = Activity().counts(MailStatus())
    assert counts
    assert (counts[""], counts["sent"]) == (1, 0)


# How it goes


def stage() -> Stage:
    return canary_of(SesSettings.load()).stage


def words() -> str:
    return said(canary_of(SesSettings.load())).replace("\N{NO-BREAK SPACE}", " ")


@db
def test_it_came_back() -> None:
    connect()
    come_back(fly(ago=12 * MINUTE), seconds=4)
    assert words() == "It came back 11 minutes ago, after 4 seconds."


@db
def test_its_event_has_not_come_back() -> None:
    connect()
    fly(ago=20 * MINUTE)
    assert stage() is Stage.MISSING
    assert words() == "It left 20 minutes ago, and its event has not come back."


@db
def test_it_has_not_left() -> None:
    connect()
    fly(ago=20 * MINUTE, state=State.HELD, reason="AWS does not know this access key.")
    assert words() == "It has not left: AWS does not know this access key."


@db
def test_it_has_time() -> None:
    connect()
    assert stage() is Stage.NONE
    fly(ago=5 * MINUTE)
    assert stage() is Stage.ON_ITS_WAY


@db
def test_while_one_has_time_the_one_before_it_tells() -> None:
    connect()
    fly(ago=64 * MINUTE)
    fly(ago=4 * MINUTE)
    assert stage() is Stage.MISSING
    come_back(OutboxMessage.objects.earliest("created_at"), seconds=2)
    assert stage() is Stage.BACK


@db
def test_one_that_failed_is_told_at_once() -> None:
    connect()
    fly(ago=MINUTE, state=State.FAILED, reason="Refused.")
    assert stage() is Stage.STUCK


@db
def test_it_costs_the_same_for_a_hundred(django_assert_num_queries: Any) -> None:
    row = connect()
    for hours in range(30):
        come_back(fly(ago=timedelta(hours=hours + 1)), seconds=4)
    with django_assert_num_queries(1):
        canary._newest()
    canary_of(row)


# With everything real

GO_LIVE = """
from email_settings.tests.builders import make_settings
row = make_settings(max_send_rate=10)
row.configuration_set = "ticketflow-ses"
row.event_queue_url = "{url}"
row.save()
"""
LOOK = """
from email_settings.canary import canary_of, said
from email_settings.models import SesSettings
found = canary_of(SesSettings.load())
print(found.stage.name, said(found))
"""


@pytest.mark.processes
def test_it_leaves_by_a_worker_and_comes_back_by_the_queue(tmp_path: Path) -> None:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    region = account.region("eu-west-1")
    region.identities["larkfield.example"] = Identity("larkfield.example")
    queue = connect_events(account, region)
    with running(account) as aws:
        site = make_site(tmp_path, endpoint_url=aws.url)
        site.run(GO_LIVE.format(url=queue.url))
        with running_worker(site) as worker:
            site.run("from email_settings import canary; assert canary.look()")
            shown = wait_until(
                lambda: (line := site.run(LOOK)).startswith("BACK") and line,
                seconds=60,
            )
            assert worker.stop() == 0
    assert "It came back" in str(shown)
    (mail,) = account.mails
    assert mail.recipients[0].startswith("success+canary-")


def test_the_schedule_sends_it() -> None:
    entries: Any = django_settings.CELERY_BEAT_SCHEDULE.values()
    tasks = {entry["task"] for entry in entries}
    assert {"events.watch", "reputation.look"} <= tasks
