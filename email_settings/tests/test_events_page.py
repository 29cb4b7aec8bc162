"""Delivery events in the panel: connecting them, and the proof that they come."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings.events import feed
from email_settings.events.connect import Connection, save_connection
from email_settings.events.feed import Tally
from email_settings.events.simulator import send_simulator_mails
from email_settings.events.store import store
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import (
    DeliveryEvent,
    EventFeed,
    OutboxMessage,
    ReadinessLine,
    SesSettings,
)
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import make_claim, make_settings
from email_settings.tests.event_aws import connect
from email_settings.tests.event_bodies import body, mail_of
from ticketflow.errors import DomainError

pytestmark = pytest.mark.django_db

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/ticketflow-ses-events"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ticketflow-ses-events"
GOOD = {
    "configuration_set": "ticketflow-ses",
    "event_queue_url": QUEUE,
    "event_topic_arn": TOPIC,
}
URL = "email_settings:events"


def show(panel: Client) -> str:
    return panel.get(reverse(URL)).content.decode()


def save(panel: Client, **changes: str) -> Any:
    return panel.post(reverse(URL), GOOD | changes, follow=True)


@pytest.fixture(autouse=True)
def no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.mark.parametrize("person", ["agent", "requester"])
@pytest.mark.parametrize("name", [URL, "email_settings:events-simulator"])
def test_only_admins_come_here(
    client: Client, person: str, name: str, request: pytest.FixtureRequest
) -> None:
    make_settings()
    client.force_login(request.getfixturevalue(person))
    assert client.get(reverse(name)).status_code in {403, 405}
    assert client.post(reverse(name), GOOD).status_code == 403
    assert SesSettings.load().configuration_set == ""
    assert not OutboxMessage.objects.exists()


def test_what_the_script_printed_is_saved(panel: Client) -> None:
    before = make_settings().version
    saved = save(panel, event_queue_url=f"  {QUEUE}\n")
    assert "Saved. The worker reads the queue within seconds." in saved.content.decode()
    row = SesSettings.load()
    assert {name: getattr(row, name) for name in GOOD} == GOOD
    assert row.version == before + 1
    wanted = ReadinessLine.objects.filter(wanted_at__isnull=False)
    assert {"events", "simulator"} <= set(wanted.values_list("key", flat=True))


def test_all_empty_ends_it(panel: Client) -> None:
    connect(QUEUE)
    shown = save(panel, **dict.fromkeys(GOOD, "")).content.decode()
    assert "not connected any more" in shown
    assert SesSettings.load().event_queue_url == ""


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("configuration_set", "a b!", "This is no name of a configuration set."),
        ("configuration_set", "x" * 65, "at most 64 characters"),
        ("configuration_set", "", "Paste the configuration set, too."),
        ("event_queue_url", "ticketflow-ses-events", "This is no URL of a queue."),
        (
            "event_queue_url",
            QUEUE.replace("https", "http"),
            "This is no URL of a queue.",
        ),
        (
            "event_queue_url",
            QUEUE.replace("eu-west-1", "us-east-1"),
            "is in us-east-1.",
        ),
        ("event_queue_url", f"{QUEUE}.fifo", "This is a FIFO queue."),
        ("event_queue_url", QUEUE.replace(".com/", ".com.evil.example/"), "no URL"),
        ("event_queue_url", QUEUE.replace("//", "//user@"), "no URL of a queue"),
        ("event_queue_url", QUEUE.replace(".com/", ".com:8443/"), "no URL of a queue"),
        ("event_queue_url", QUEUE.replace(".com/", ".com:port/"), "no URL of a queue"),
        ("event_queue_url", f"{QUEUE}?Action=x", "no URL of a queue"),
        ("event_queue_url", "https://[::1/123456789012/q", "no URL of a queue"),
        (
            "event_queue_url",
            "http://169.254.169.254/123456789012/q",
            "no URL of a queue",
        ),
        (
            "event_queue_url",
            "http://127.0.0.1:5000/123456789012/q",
            "no URL of a queue",
        ),
        ("event_topic_arn", "topic", "This is no ARN of a topic."),
        (
            "event_topic_arn",
            TOPIC.replace("eu-west-1", "us-east-1"),
            "is in us-east-1.",
        ),
        (
            "event_topic_arn",
            TOPIC.replace("aws", "aws-cn"),
            "This is no ARN of a topic.",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_with_the_reason(
    panel: Client, field: str, value: str, words: str
) -> None:
    make_settings()
    shown = save(panel, **{field: value}).content.decode()
    assert words in shown
    assert "Not saved" in shown
    assert SesSettings.load().configuration_set == ""


def test_set_without_queue_and_topic_is_refused(panel: Client) -> None:
    make_settings()
    shown = save(panel, event_queue_url="", event_topic_arn="").content.decode()
    assert "Paste the queue’s URL, too." in shown
    assert SesSettings.load().configuration_set == ""


def test_set_and_topic_alone_are_for_the_webhook(panel: Client) -> None:
    make_settings()
    shown = save(panel, event_queue_url="").content.decode()
    assert "Saved. Switch the webhook on" in shown
    assert SesSettings.load().event_topic_arn == TOPIC


def test_stand_in_on_this_machine_is_taken_where_the_environment_says_so(
    panel: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    make_settings()
    save(panel, event_queue_url="http://127.0.0.1:5000/123456789012/q")
    assert SesSettings.load().event_queue_url == "http://127.0.0.1:5000/123456789012/q"
    away = save(panel, event_queue_url="http://10.0.0.1:5000/123456789012/q")
    assert "This is no URL of a queue." in away.content.decode()


def test_other_partitions_have_hosts_of_their_own(panel: Client) -> None:
    make_settings(region="eusc-de-east-1")
    ours = "https://sqs.eusc-de-east-1.amazonaws.eu/123456789012/q"
    save(panel, event_queue_url=ours, event_topic_arn="")
    assert SesSettings.load().event_queue_url == ours


def test_nothing_is_connected_before_there_are_settings(panel: Client) -> None:
    SesSettings.load()
    assert (
        "Save working settings for sending first."
        in save(
            panel, event_queue_url="", configuration_set="", event_topic_arn=""
        ).content.decode()
    )


def test_mail_that_a_missing_set_held_is_tried_with_the_new_one(panel: Client) -> None:
    row = make_settings()
    later = timezone.now() + timedelta(hours=1)
    SesSettings.objects.filter(pk=row.pk).update(
        hold_code="configuration_set_missing", held_since=timezone.now(), probe_at=later
    )
    save(panel)
    probe_at = SesSettings.load().probe_at
    assert probe_at is None or probe_at < later


def test_page_before_anything_came(panel: Client) -> None:
    make_settings()
    shown = show(panel)
    assert "Not connected" in shown
    assert "Save the configuration set and the queue first" in shown
    assert "disabled" in shown


def test_page_shows_what_has_come(panel: Client, admin: Any) -> None:
    sender = connect(QUEUE)
    feed.take_lease("here:1", QUEUE)
    feed.note_answer(Tally(events=3, validations=1, foreign=2, unreadable=1))
    feed.note_depth(17)
    bounced = send_simulator_mails(admin)[1]
    claim = make_claim(bounced, sender)
    bounced.refresh_from_db()
    of = mail_of(bounced, claim.attempt)
    store(
        [body(said.bounce(of)), "<script>alert(1)</script>"],
        installation=sender.installation,
    )
    shown = show(panel)
    for words in (
        "that it may publish to the topic, and that reached us",
        "17\N{NO-BREAK SPACE}messages wait",
        "3\N{NO-BREAK SPACE}events since this queue was connected",
        "2 events of another TicketFlow",
        "It is no event of Amazon SES.",
        "&lt;script&gt;",
        "Watching for their events",
    ):
        assert words in shown
    assert "<script>alert" not in shown


def test_fragment_alone_answers_htmx(panel: Client) -> None:
    connect(QUEUE)
    shown = panel.get(reverse(URL), headers={"HX-Request": "true"}).content.decode()
    assert shown.startswith(("{#", "\n<div", "<div"))
    assert "<html" not in shown
    # What was waited for has come: the checklist may show it.
    wanted = ReadinessLine.objects.filter(wanted_at__isnull=False)
    assert "simulator" in wanted.values_list("key", flat=True)


def test_problem_is_shown_with_its_statement(panel: Client) -> None:
    sender = connect(QUEUE)
    feed.take_lease("here:1", QUEUE)
    feed.note_problem(SendError(problem_for("access_denied"), "AWS’s words"), sender)
    shown = show(panel)
    assert "sqs:ReceiveMessage" in shown
    assert "AWS’s words" in shown


def test_page_says_when_nobody_reads(panel: Client) -> None:
    connect(QUEUE)
    feed.take_lease("here:1", QUEUE)
    feed.note_answer(Tally())
    assert "Nobody reads the queue" not in show(panel)
    EventFeed.objects.update(asked_at=timezone.now() - timedelta(minutes=4))
    assert "Nobody reads the queue" in show(panel)


def test_a_queue_that_was_just_saved_is_told_about_before_a_worker_read_it(
    panel: Client, admin: Any
) -> None:
    make_settings()
    values = Connection("ticketflow-ses", QUEUE)
    save_connection(actor=admin, values=values)
    send_simulator_mails(admin)
    shown = show(panel)
    assert "Watching for their events" in shown
    assert "Nobody reads the queue" not in shown
    EventFeed.objects.update(began_at=timezone.now() - timedelta(minutes=4))
    assert "Nobody reads the queue" in show(panel)


# The simulator


def test_simulator_gets_one_mail_for_each_kind(panel: Client) -> None:
    connect(QUEUE, is_live=False)
    shown = panel.post(reverse("email_settings:events-simulator"), follow=True)
    assert "3 mails are on their way to the simulator." in shown.content.decode()
    mails = OutboxMessage.objects.order_by("pk")
    boxes = [mail.recipient.partition("+")[0] for mail in mails]
    assert boxes == ["success", "bounce", "complaint"]
    assert {mail.kind for mail in mails} == {"simulator"}
    assert all(mail.recipient.endswith("@simulator.amazonses.com") for mail in mails)
    labels = {mail.recipient.partition("@")[0].partition("+")[2] for mail in mails}
    assert len(labels) == 1
    assert len(labels.pop()) == 8


def test_without_events_nothing_goes_to_the_simulator(
    panel: Client, admin: Any
) -> None:
    make_settings()
    with pytest.raises(DomainError, match="Save the configuration set"):
        send_simulator_mails(admin)
    panel.post(reverse("email_settings:events-simulator"))
    assert not OutboxMessage.objects.exists()


def test_what_another_queue_brought_proves_nothing(panel: Client, admin: Any) -> None:
    sender = connect(QUEUE)
    feed.take_lease("here:1", QUEUE)
    for message in send_simulator_mails(admin):
        claim = make_claim(message, sender)
        make: dict[str, Any] = {
            "s": said.delivery,
            "b": said.bounce,
            "c": said.complaint,
        }
        event = make[message.recipient[0]](
            mail_of(message, claim.attempt, messageId=message.uid.hex)
        )
        store([body(event)], installation=sender.installation)
    assert "Proven" in show(panel)
    DeliveryEvent.objects.update(received_at=timezone.now() - timedelta(seconds=1))
    EventFeed.objects.update(queue_url="before")
    feed.take_lease("here:1", QUEUE)
    assert "Proven" not in show(panel)
