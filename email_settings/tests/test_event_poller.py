"""The reader of the queue: over real HTTP, through outages, refusals and kill -9."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from email_settings.credentials import Credentials
from email_settings.delivery import pump
from email_settings.delivery.claim import process_name
from email_settings.events import feed
from email_settings.events import poller as poller_module
from email_settings.events import store as store_module
from email_settings.events.poller import Poller
from email_settings.events.simulator import send_simulator_mails
from email_settings.events.status import feed_status
from email_settings.gateway import queue as queue_module
from email_settings.gateway.queue import EventQueue, queue_arn
from email_settings.models import DeliveryEvent, EventFeed, Fate, OutboxMessage
from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.event_aws import (
    connect,
    left,
    make_queue,
    publish_events,
    put,
)
from email_settings.tests.event_bodies import body, mail, wrapped
from email_settings.tests.fake_ses import Answer, FakeSes, page
from email_settings.tests.workers import Site, make_site, running_worker
from ticketflow.tests.processes import wait_until

pytestmark = pytest.mark.django_db
State = OutboxMessage.State
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/ticketflow-ses-events"
DENIED = (
    "User: arn:aws:iam::123456789012:user/helpdesk is not authorized to perform: "
    "sqs:receivemessage on resource: arn:aws:sqs:eu-west-1:123456789012:"
    "ticketflow-ses-events because no identity-based policy allows the "
    "sqs:receivemessage action"
)


def refusal(name: str, words: str) -> Answer:
    """Return an error as Amazon SQS words it."""
    told = {"__type": f"com.amazon.coral.service#{name}", "message": words}
    return Answer(403, json.dumps(told), content_type="application/x-amz-json-1.0")


@pytest.fixture(autouse=True)
def no_long_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LONG_POLL_SECONDS", 0)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The stand-in's account, with a verified domain."""
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield account


def reader(holder: str = "here:1", *, stops: bool = False) -> Poller:
    stopping = threading.Event()
    if stops:
        stopping.set()
    return Poller(stopping=stopping, holder=holder)


def a_mail(number: int) -> dict[str, Any]:
    return mail(messageId=f"0102-{number}", tags={})


# moto's queue


def test_what_is_stored_is_deleted(moto_url: str) -> None:
    url = make_queue()
    sender = connect(url)
    put(url, wrapped(said.VALIDATION), *(body(said.send(a_mail(n))) for n in range(23)))
    put(url, "what is this?", wrapped(said.delivery(a_mail(0))))
    one = reader()
    pauses = [one.go() for _ in range(4)]
    assert pauses == [0.0] * 4
    assert left(url) == 0
    assert DeliveryEvent.objects.filter(kind="send").count() == 23
    status = feed_status(sender)
    assert status.validated_at is not None
    assert status.last_event_at is not None
    assert status.event_count == 24
    assert status.unreadable_count == 1
    assert status.queue_depth == 0
    assert status.problem is None


def test_of_two_workers_one_reads_until_its_lease_ends(moto_url: str) -> None:
    url = make_queue()
    connect(url)
    one, other = reader("one:1"), reader("other:2")
    assert one.go() == 0.0
    put(url, body(said.send(a_mail(1))))
    assert other.go() > 0
    assert not DeliveryEvent.objects.exists()
    EventFeed.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert other.go() == 0.0
    assert DeliveryEvent.objects.count() == 1
    assert one.go() > 0


def test_a_worker_that_ends_lets_the_next_one_read(moto_url: str) -> None:
    connect(make_queue())
    assert reader(process_name()).go() == 0.0
    assert reader("next:1").go() > 0
    poller_module.say_goodbye()
    assert reader("next:1").go() == 0.0


def test_without_a_queue_nobody_asks(fake_ses: FakeSes) -> None:
    connect("")
    assert reader().go() > 0
    assert fake_ses.posts == []
    assert not EventFeed.objects.exists()


def test_another_queue_begins_with_no_proof(moto_url: str) -> None:
    first, second = make_queue("ticketflow-ses-a"), make_queue("ticketflow-ses-b")
    connect(first)
    put(first, said.VALIDATION, body(said.send(a_mail(1))))
    one = reader()
    one.go()
    sender = connect(second)
    assert feed_status(sender).validated_at is None
    put(second, body(said.send(a_mail(2))))
    one.go()
    status = feed_status(sender)
    assert (status.event_count, status.validated_at) == (1, None)


def test_new_settings_make_a_new_client(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = queue_module.make_queue

    def counted(credentials: Credentials, url: str) -> EventQueue:
        made.append(url)
        return make(credentials, url)

    monkeypatch.setattr(poller_module, "make_queue", counted)
    url = make_queue()
    connect(url)
    one = reader()
    one.go()
    one.go()
    assert len(made) == 1
    connect(url)
    one.go()
    assert len(made) == 2


def test_while_the_database_is_away_nothing_is_deleted(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_queue()
    connect(url)
    put(url, body(said.send(a_mail(1))))
    keep, tries = store_module._keep, []

    def away_twice(*arguments: Any) -> Any:
        tries.append(left(url))
        if len(tries) < 3:
            raise OperationalError("server closed the connection")
        return keep(*arguments)

    monkeypatch.setattr(store_module, "_keep", away_twice)
    monkeypatch.setattr(poller_module, "FIRST_PAUSE", 0.01)
    # The tests' own transaction would go with the connection.
    monkeypatch.setattr(connection, "close", lambda: None)
    assert reader().go() == 0.0
    assert tries == [1, 1, 1]
    assert left(url) == 0
    assert DeliveryEvent.objects.count() == 1


def test_worker_that_stops_meanwhile_leaves_them_in_the_queue(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_queue()
    connect(url)
    put(url, body(said.send(a_mail(1))))

    def away(*arguments: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(store_module, "_keep", away)
    monkeypatch.setattr(connection, "close", lambda: None)
    reader(stops=True).go()
    assert left(url) == 1


def test_bug_in_a_round_ends_no_reader(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(make_queue())

    def broken(*arguments: Any) -> None:
        raise RuntimeError("a bug")

    one = reader()
    with monkeypatch.context() as patch:
        patch.setattr(feed, "note_answer", broken)
        assert one.go() > 0
    assert one.go() == 0.0


# What AWS refuses


def test_queue_that_is_missing_is_told_in_plain_words(moto_url: str) -> None:
    sender = connect(make_queue().replace("ticketflow", "nothing"))
    reader(stops=True).go()
    problem = feed_status(sender).problem
    assert problem is not None
    assert problem.title == "The queue nothing-ses-events does not exist."
    assert problem.statement == ""


def test_denial_shows_the_statement_to_add(fake_ses: FakeSes) -> None:
    sender = connect(QUEUE)
    fake_ses.answer = refusal("AccessDeniedException", DENIED)
    reader(stops=True).go()
    status = feed_status(sender)
    assert status.problem is not None
    assert status.problem.code == "queue_denied"
    assert '"sqs:ReceiveMessage"' in status.problem.statement
    assert queue_arn(QUEUE, "eu-west-1") in status.problem.statement
    assert "user/helpdesk" in status.problem.words
    assert SECRET not in str(status.problem)


def test_key_that_aws_does_not_know_is_told_as_everywhere(fake_ses: FakeSes) -> None:
    sender = connect(QUEUE)
    fake_ses.answer = refusal("UnrecognizedClientException", "The security token")
    reader(stops=True).go()
    problem = feed_status(sender).problem
    assert problem is not None
    assert problem.title == "AWS does not know this access key."


def test_refusal_that_nobody_knows_has_aws_own_words(fake_ses: FakeSes) -> None:
    sender = connect(QUEUE)
    fake_ses.answer = refusal("KmsDisabled", "The key is disabled.")
    reader(stops=True).go()
    problem = feed_status(sender).problem
    assert problem is not None
    assert problem.title == "Amazon SQS refused to give the events."
    assert "The key is disabled." in problem.words


def test_aws_away_is_tried_again_ever_later_and_told(fake_ses: FakeSes) -> None:
    sender = connect(QUEUE)
    fake_ses.answer = page(502)
    one = reader()
    pauses = [one.go() for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    status = feed_status(sender)
    assert status.problem is not None
    assert status.problem.title == "Amazon SQS can’t be reached."
    since = status.problem_since
    one.go()
    assert feed_status(sender).problem_since == since
    fake_ses.answer = replace(fake_ses.answer, status=200, body="{}", is_from_aws=True)
    assert one.go() == 0.0
    assert feed_status(sender).problem is None
    assert feed_status(sender).problem_since is None


def test_depth_that_is_not_told_stands_in_no_way(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_queue()
    sender = connect(url)
    put(url, body(said.send(a_mail(1))))

    def denied(self: EventQueue) -> int:
        raise self._explained(RuntimeError("not authorized"))

    monkeypatch.setattr(EventQueue, "depth", denied)
    assert reader().go() == 0.0
    status = feed_status(sender)
    assert (status.queue_depth, status.problem) == (None, None)
    assert status.event_count == 1


def test_host_of_the_queue_is_never_asked(fake_ses: FakeSes) -> None:
    """The SDK asks the region's own endpoint, whatever the stored URL says."""
    with running(Account()) as elsewhere:
        connect(f"{elsewhere.url}/123456789012/ticketflow-ses-events")
        reader(stops=True).go()
        assert not elsewhere.account.calls
    assert fake_ses.posts


# The whole way, on the stand-in


@pytest.mark.django_db(transaction=True)
def test_simulator_proves_the_feed_in_rehearsal_too(aws: Account, admin: Any) -> None:
    sender = connect(publish_events(), is_live=False)
    send_simulator_mails(admin)
    pump.drain()
    assert [mail.configuration_set for mail in aws.mails] == ["ticketflow-ses"] * 3
    one = reader()
    for _ in range(3):
        assert one.go() == 0.0
    status = feed_status(sender)
    assert status.validated_at is not None
    assert status.is_proven
    assert {kind: trial.delay is not None for kind, trial in status.trials.items()} == {
        "delivery": True,
        "bounce": True,
        "complaint": True,
    }
    fates = dict(OutboxMessage.objects.values_list("recipient", "fate"))
    assert {to.partition("+")[0]: fate for to, fate in fates.items()} == {
        "success": Fate.DELIVERED,
        "bounce": Fate.BOUNCED,
        "complaint": Fate.COMPLAINED,
    }


@pytest.mark.django_db(transaction=True)
def test_events_twice_and_the_wrong_way_round_end_the_same(
    aws: Account, admin: Any
) -> None:
    aws.feed.is_doubled = aws.feed.is_reversed = True
    connect(publish_events())
    send_simulator_mails(admin)
    pump.drain()
    one = reader()
    for _ in range(3):
        one.go()
    assert set(OutboxMessage.objects.values_list("fate", flat=True)) == {
        Fate.DELIVERED,
        Fate.BOUNCED,
        Fate.COMPLAINED,
    }
    told = DeliveryEvent.objects.values_list("ses_message_id", "kind")
    assert len(told) == len(set(told))


# kill -9 between storing and deleting

_FILL = """
from email_settings.tests.event_aws import connect, make_queue, put
from email_settings.tests import event_bodies as said
url = make_queue(VisibilityTimeout="1")
connect(url)
put(url, *(said.body(said.bounce(said.mail(messageId=f"0102-{n}"))) for n in range(10)))
print(url)
"""
_READ = """
import os, signal, threading
from email_settings.events.poller import Poller
from email_settings.gateway import queue
from email_settings.models import DeliveryEvent
queue.LONG_POLL_SECONDS = 1
{trap}
poller = Poller(stopping=threading.Event(), holder="{holder}")
poller.go(); poller.go(); poller.go()
print(DeliveryEvent.objects.count(), len(set(
    DeliveryEvent.objects.values_list("ses_message_id", flat=True))))
"""
_TRAPS = {
    "before it stores": "from email_settings.events import store\nstore.store = DIES",
    "before it deletes": "queue.EventQueue.delete = DIES",
}
_DIES = "DIES = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.mark.parametrize("where", _TRAPS)
def test_kill_loses_nothing_and_doubles_nothing(
    where: str, moto_url: str, tmp_path: Path
) -> None:
    site: Site = make_site(tmp_path, endpoint_url=moto_url)
    url = site.run(_FILL).splitlines()[-1]
    with pytest.raises(AssertionError):  # it dies in the middle
        site.run(_READ.format(trap=_DIES + _TRAPS[where], holder="killed"))
    assert left(url) == 10
    site.run(
        "from email_settings.models import EventFeed\n"
        "from django.utils import timezone\n"
        "EventFeed.objects.update(lease_until=timezone.now())"
    )
    printed = site.run(_READ.format(trap="", holder="next")).splitlines()[-1]
    assert printed == "10 10"
    assert left(url) == 0


# A real worker

_FILL_ONE = """
from email_settings.tests.event_aws import connect, make_queue, put
from email_settings.tests import event_bodies as said
url = make_queue()
connect(url)
put(url, said.body(said.send()))
"""
_LOOK = """
from email_settings.models import DeliveryEvent, EventFeed
print(DeliveryEvent.objects.count(), *EventFeed.objects.values_list("holder", flat=True))
"""


def test_worker_reads_and_gives_its_turn_away_when_it_ends(
    moto_url: str, tmp_path: Path
) -> None:
    site = make_site(tmp_path, endpoint_url=moto_url)
    site.run(_FILL_ONE)
    with running_worker(site) as worker:
        wait_until(lambda: site.run(_LOOK).startswith("1 "), seconds=60)
        count, holder = site.run(_LOOK).split()
        assert (count, holder.rpartition(":")[2]) == ("1", str(worker.process.pid))
        # Though it waits for the next event just now, for 20 seconds.
        assert worker.stop() == 0
    assert site.run(_LOOK).split() == ["1"]
