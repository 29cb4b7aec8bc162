"""Letters: what SNS posted is read once, by whichever worker, through kill -9 and repeats."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from email_settings import nudge, sns, tasks
from email_settings.delivery import pump
from email_settings.events import letters, store, webhook
from email_settings.events.simulator import send_simulator_mails, why_no_trial
from email_settings.events.status import FeedStatus, feed_status
from email_settings.events.webhook import _Refusals
from email_settings.gateway import certificates as kept
from email_settings.gateway.certificates import Certificates
from email_settings.models import (
    DeliveryEvent,
    EventFeed,
    EventLetter,
    Fate,
    SesSettings,
)
from email_settings.readiness import webhook as buttons
from email_settings.readiness.fixes import FixError
from email_settings.standin import posting
from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_claim,
    make_message,
)
from email_settings.tests.event_aws import publish_events, session
from email_settings.tests.sns_posts import (
    TOPIC,
    Shelf,
    confirmation,
    notification,
    post,
    signed,
    switched_on,
)
from email_settings.tests.workers import make_site
from ticketflow.tests.processes import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kept, "certificates", Certificates(made.fetch))
    monkeypatch.setattr(webhook, "refusals", _Refusals())
    return made


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Iterator[Account]:
    """The stand-in, whose SNS has our topic and one who wants to subscribe."""
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setattr(kept, "certificates", Certificates())
        yield account


def arrives(fields: dict[str, str]) -> None:
    """Let a verified post be stored; how it is verified is another test's matter."""
    body = json.dumps(signed(fields)).encode()
    letters.receive(sns.read_envelope(body), body)


def status(sender: SesSettings) -> FeedStatus:
    return feed_status(sender)


def a_bounce(number: int = 0) -> str:
    return said.body(said.bounce(said.mail(messageId=f"0102-{number}", tags={})))


# Reading


def test_what_was_posted_is_read_by_the_worker() -> None:
    sender = switched_on()
    make_claim(message := make_message(), sender)
    attempt = message.attempt_set.get()
    of = said.mail_of(message, attempt)
    assert post(signed(notification(said.body(said.bounce(of))))).status_code == 200
    assert not DeliveryEvent.objects.exists()
    assert letters.read_all() == 1
    message.refresh_from_db()
    assert message.fate == Fate.BOUNCED
    letter = EventLetter.objects.get()
    assert (letter.body, letter.read_at is not None) == ("", True)
    shown = status(sender)
    assert (shown.event_count, shown.unreadable_count) == (1, 0)
    assert shown.last_event_at is not None
    assert shown.webhook.posted_at == letter.received_at
    assert letters.read_all() == 0


def test_message_that_is_no_event_is_set_aside() -> None:
    sender = switched_on()
    post(signed(notification("what is this?")))
    post(signed(notification(said.VALIDATION)))
    assert letters.read_all() == 2
    assert DeliveryEvent.objects.get().raw == "what is this?"
    shown = status(sender)
    assert shown.validated_at is not None
    assert shown.unreadable_count == 1


def test_task_of_the_schedule_reads() -> None:
    switched_on()
    post(signed(notification(a_bounce())))
    tasks.read_letters()
    assert DeliveryEvent.objects.count() == 1


def test_post_wakes_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    switched_on()
    woken: list[str] = []
    monkeypatch.setattr(nudge, "_nudge", woken.append)
    post(signed(notification()))
    assert woken == [nudge.LETTERS]
    assert letters.are_unread()


def test_letter_that_breaks_something_keeps_none_behind_it_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switched_on()
    for number in range(3):
        arrives(notification(a_bounce(number)))
    take_in, met = store.store, []

    def breaks_once(*arguments: Any, **more: Any) -> Any:
        met.append(1)
        if len(met) == 1:
            raise RuntimeError("a bug")
        return take_in(*arguments, **more)

    monkeypatch.setattr(store, "store", breaks_once)
    assert letters.read_all() == 2
    assert letters.read_all() == 1
    assert DeliveryEvent.objects.count() == 3


def test_letter_is_unread_when_what_it_says_could_not_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switched_on()
    arrives(notification(a_bounce()))

    def away(*arguments: Any, **more: Any) -> None:
        raise OperationalError("server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr(letters, "_mark_read", away)
        with pytest.raises(OperationalError):
            letters.read_all()
    # One transaction: what it says is not kept either.
    assert not DeliveryEvent.objects.exists()
    assert letters.read_all() == 1
    assert DeliveryEvent.objects.count() == 1


def test_read_letters_are_forgotten_after_a_month_and_unread_ones_never() -> None:
    switched_on()
    for _ in range(3):
        arrives(notification(a_bounce()))
    old = timezone.now() - timedelta(days=31)
    first, second, _ = EventLetter.objects.order_by("pk")
    EventLetter.objects.filter(pk__in=[first.pk, second.pk]).update(received_at=old)
    EventLetter.objects.exclude(pk=second.pk).update(read_at=timezone.now())
    tasks.prune()
    assert second in EventLetter.objects.all()
    assert EventLetter.objects.count() == 2


# Once


@pytest.mark.django_db(transaction=True)
def test_hundred_times_the_same_post_is_one_letter_and_one_effect() -> None:
    sender = switched_on()
    fields = signed(notification(a_bounce()))
    assert post(signed(notification())).status_code == 200  # fetches the certificate
    letters.read_all()
    before = status(sender)
    answers: list[int] = []
    ready = threading.Barrier(10)

    def send_ten() -> None:
        ready.wait(30)
        try:
            for _ in range(10):
                answers.append(post(fields).status_code)
                letters.read_all()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send_ten) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    letters.read_all()
    assert answers == [200] * 100
    assert EventLetter.objects.filter(sns_message_id=fields["MessageId"]).count() == 1
    assert DeliveryEvent.objects.filter(kind="bounce").count() == 1
    assert status(sender).event_count == before.event_count + 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_read_each_letter_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = switched_on()
    for number in range(30):
        arrives(notification(a_bounce(number)))
    counts: list[int] = []
    ready = threading.Barrier(4)

    def read() -> None:
        ready.wait(30)
        try:
            counts.append(letters.read_all())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 30
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
    assert status(sender).event_count == 30
    assert DeliveryEvent.objects.count() == 30


_FILL = """
from email_settings.tests.test_letters import a_bounce, arrives
from email_settings.tests.event_aws import publish_events, session
from email_settings.tests.sns_posts import notification, switched_on
switched_on()
for number in range(10):
    arrives(notification(a_bounce(number)))
"""
_READ = """
import os, signal
from email_settings.events import letters, store
from email_settings.models import DeliveryEvent, EventFeed, EventLetter
{trap}
letters.read_all()
print(DeliveryEvent.objects.count(), EventLetter.objects.filter(read_at=None).count(),
    EventFeed.objects.get().event_count)
"""
_DIES = """
met = []
def dies_at_the_fifth(there):
    def does(*a, **k):
        met.append(1)
        if len(met) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return there(*a, **k)
    return does
"""
_TRAPS = {
    "before it stores": "store.store = dies_at_the_fifth(store.store)",
    "between storing and reading": (
        "letters._mark_read = dies_at_the_fifth(letters._mark_read)"
    ),
}


@pytest.mark.parametrize("where", _TRAPS)
def test_kill_loses_nothing_and_doubles_nothing(where: str, tmp_path: Path) -> None:
    site = make_site(tmp_path, endpoint_url="")
    site.run(_FILL)
    with pytest.raises(AssertionError):  # it dies in the middle
        site.run(_READ.format(trap=_DIES + _TRAPS[where]))
    assert site.run(_READ.format(trap="")).splitlines()[-1] == "10 0 10"


# The subscription


def subscribe(sender: SesSettings) -> None:
    """Have the stand-in's topic be there."""
    client = session().client("sns")
    assert client.create_topic(Name=TOPIC.rpartition(":")[2])["TopicArn"] == TOPIC
    client.close()


def token_of(aws: Account) -> str:
    [one] = aws.region("eu-west-1").topics[TOPIC].subscriptions
    return one.token


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let the stand-in post nothing; its posts are listed."""
    posts: list[Any] = []
    monkeypatch.setattr(posting, "post", posts.append)
    return posts


def test_switching_on_subscribes_and_the_worker_confirms(
    aws: Account, quiet: list[Any], settings: Any
) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    sender = switched_on()
    webhook.switch_off()
    subscribe(sender)
    buttons.switch_on(sender)
    [one] = aws.region("eu-west-1").topics[TOPIC].subscriptions
    assert (one.protocol, one.endpoint) == (
        "http",
        "http://127.0.0.1:8000/webhooks/ses/",
    )
    assert not one.is_confirmed
    assert aws.region("eu-west-1").topics[TOPIC].signature_version == "2"
    assert status(sender).webhook.is_pending
    assert post(dict(quiet[0].fields)).status_code == 200
    assert letters.read_all() == 1
    shown = status(sender)
    assert shown.webhook.is_working
    assert EventFeed.objects.get().webhook_subscription_arn == one.arn
    assert one.is_confirmed
    asked = [call.action for call in aws.calls if call.action.startswith("sns:")]
    assert "sns:ConfirmSubscription" in asked
    # Again: it is there already.
    buttons.switch_on(sender)
    assert status(sender).webhook.is_working
    buttons.switch_off(sender)
    assert aws.region("eu-west-1").topics[TOPIC].subscriptions == []
    assert not status(sender).webhook.is_on


@pytest.mark.parametrize(
    ("when", "how"),
    [
        ("nobody asked", lambda: EventFeed.objects.update(webhook_wanted_at=None)),
        (
            "long ago",
            lambda: EventFeed.objects.update(
                webhook_wanted_at=timezone.now() - timedelta(days=4)
            ),
        ),
        ("another topic", lambda: EventFeed.objects.update(webhook_topic_arn="x")),
        ("it is off", webhook.switch_off),
    ],
)
def test_confirmation_that_nobody_waits_for_is_left_alone(
    aws: Account, when: str, how: Any
) -> None:
    switched_on()
    arrives(confirmation())
    how()
    assert letters.read_all() == 1
    assert not aws.calls
    assert EventFeed.objects.get().webhook_confirmed_at is None


def test_denied_confirmation_shows_the_statement_and_is_tried_again(
    aws: Account, quiet: list[Any], settings: Any
) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    sender = switched_on()
    subscribe(sender)
    buttons.switch_on(sender)
    aws.keys[ACCESS_KEY_ID].actions = ["ses:*"]
    post(dict(quiet[-1].fields))
    assert letters.read_all() == 0
    problem = status(sender).webhook_problem
    assert problem is not None
    assert '"sns:ConfirmSubscription"' in problem.statement
    assert ":ticketflow-ses-events" in problem.statement
    assert "Add the statement below" in problem.fix
    aws.keys[ACCESS_KEY_ID].actions = ["*"]
    asked = len(aws.calls)
    assert letters.read_all() == 0  # not before a minute has passed
    assert len(aws.calls) == asked
    EventFeed.objects.update(webhook_next_at=timezone.now())
    assert letters.read_all() == 1
    assert status(sender).webhook.is_working
    assert status(sender).webhook_problem is None


def test_token_that_is_no_good_stands_in_no_way_of_the_next(
    aws: Account, quiet: list[Any], settings: Any
) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    sender = switched_on()
    arrives(confirmation(Token="old"))
    subscribe(sender)
    buttons.switch_on(sender)
    assert letters.read_all() == 0
    problem = status(sender).webhook_problem
    assert problem is not None
    assert "Press “Try again”" in problem.fix
    EventFeed.objects.update(webhook_next_at=None)
    post(dict(quiet[-1].fields))
    assert letters.read_all() == 1
    assert status(sender).webhook.is_working


def test_denied_subscription_leaves_it_on_for_doing_by_hand(
    aws: Account, quiet: list[Any], settings: Any
) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    sender = switched_on()
    webhook.switch_off()
    subscribe(sender)
    aws.keys[ACCESS_KEY_ID].actions = ["ses:*"]
    with pytest.raises(FixError) as refused:
        buttons.switch_on(sender)
    assert '"sns:Subscribe"' in refused.value.statement
    assert status(sender).webhook.is_pending


def test_better_signature_is_no_must(
    aws: Account, quiet: list[Any], settings: Any
) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    sender = switched_on()
    subscribe(sender)
    aws.keys[ACCESS_KEY_ID].actions = ["sns:Subscribe"]
    buttons.switch_on(sender)
    assert aws.region("eu-west-1").topics[TOPIC].signature_version == "1"


def test_ended_subscription_is_told_and_never_renewed(aws: Account) -> None:
    sender = switched_on()
    webhook.note_confirmed(f"{TOPIC}:1")
    assert status(sender).webhook.is_working
    arrives(confirmation("UnsubscribeConfirmation"))
    letters.read_all()
    shown = status(sender).webhook
    assert shown.ended_at is not None
    assert not shown.is_working
    arrives(confirmation())
    letters.read_all()
    assert not aws.calls


@pytest.mark.parametrize(
    ("site", "is_right"),
    [
        ("https://help.larkfield.example", True),
        ("http://help.larkfield.example", False),
        ("https://10.0.0.7", False),
        ("https://192.168.1.4:8443", False),
        ("https://[fd00::1]", False),
        ("https://127.0.0.1", False),
        ("https://helpdesk", False),
        ("https://helpdesk.internal", False),
        ("http://127.0.0.1:8000", False),
    ],
)
def test_address_that_sns_cannot_reach_is_told(
    settings: Any, site: str, *, is_right: bool
) -> None:
    settings.SITE_URL = site
    sender = switched_on()
    what, how = webhook.why_no_webhook(sender)
    assert (what == "", how == "") == (is_right, is_right)
    if not is_right:
        with pytest.raises(FixError):
            buttons.switch_on(sender)


def test_this_machine_is_reached_by_a_stand_in(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    sender = switched_on()
    assert webhook.why_no_webhook(sender) != ("", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    assert webhook.why_no_webhook(sender) == ("", "")


def test_without_a_topic_there_is_no_webhook() -> None:
    sender = switched_on()
    sender.event_topic_arn = ""
    assert webhook.why_no_webhook(sender)[0].startswith("The configuration set or")
    assert not webhook.is_on(sender)


# Webhook, queue, both


def test_webhook_alone_is_connected() -> None:
    sender = switched_on()
    shown = status(sender)
    assert (shown.is_connected, shown.has_queue) == (True, False)
    assert not shown.is_silent(timezone.now() + timedelta(days=1))
    assert why_no_trial(sender) == ""
    webhook.switch_off()
    assert not status(sender).is_connected
    assert why_no_trial(sender) != ""


def test_queue_and_webhook_are_both_told_about() -> None:
    sender = switched_on()
    sender.event_queue_url = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
    sender.save()
    webhook.switch_on(sender)
    shown = status(sender)
    assert (shown.has_queue, shown.webhook.is_on) == (True, True)
    assert shown.is_silent(timezone.now() + timedelta(minutes=4))


def test_another_topic_begins_anew() -> None:
    sender = switched_on()
    webhook.note_confirmed(f"{TOPIC}:1")
    EventFeed.objects.update(webhook_refused_count=4)
    sender.event_topic_arn = f"{TOPIC}-2"
    sender.save()
    assert not status(sender).webhook.is_on
    webhook.switch_on(sender)
    shown = status(sender).webhook
    assert (shown.is_pending, shown.refused_count) == (True, 0)


# The whole way, on the stand-in


@pytest.mark.django_db(transaction=True)
def test_simulator_proves_the_webhook(
    aws: Account, admin: Any, settings: Any, live_server: Any
) -> None:
    """A real web server is posted to; what comes is read as a worker does."""
    aws.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    publish_events()
    aws.region("eu-west-1").queues.clear()
    settings.SITE_URL = live_server.url.replace("localhost", "127.0.0.1")
    settings.ALLOWED_HOSTS = ["*"]
    sender = switched_on()
    webhook.switch_off()
    buttons.switch_on(sender)

    def is_confirmed() -> bool:
        letters.read_all()
        return status(sender).webhook.is_working

    wait_until(is_confirmed, seconds=20)
    send_simulator_mails(admin)
    pump.drain()

    def is_proven() -> bool:
        letters.read_all()
        return status(sender).is_proven

    wait_until(is_proven, seconds=20)
    assert status(sender).webhook.refused_count == 0
