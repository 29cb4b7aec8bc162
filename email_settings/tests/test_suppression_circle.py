"""The whole circle over real HTTP: a mail bounces, the next one is not even posted."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings.delivery import by_hand
from email_settings.delivery.pump import Pump
from email_settings.events.poller import Poller
from email_settings.gateway import queue as queue_module
from email_settings.gateway import turns
from email_settings.models import AwsRelease, Fate, OutboxMessage, Suppression
from email_settings.pacing import NoPace
from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.suppression import aws, wishes
from email_settings.suppression.standing import Status, standing_of
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_message
from email_settings.tests.event_aws import REGION, connect, publish_events

pytestmark = pytest.mark.django_db(transaction=True)
State = OutboxMessage.State
HANNAH = "Hannah@elsewhere.example"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The stand-in's account, out of the sandbox, its events connected."""
    monkeypatch.setattr(queue_module, "LONG_POLL_SECONDS", 0)
    monkeypatch.setattr(turns, "APART", turns.APART * 0)
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    region = account.region(REGION)
    region.identities["larkfield.example"] = Identity("larkfield.example")
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        connect(publish_events())
        yield account


def mail_goes_out() -> OutboxMessage:
    message = make_message(recipient=HANNAH)
    worker_works()
    message.refresh_from_db()
    return message


def worker_works() -> None:
    """Send what is due, read the events, look after AWS's list."""
    Pump(pace_for=lambda sender: NoPace()).run()
    poller = Poller(stopping=threading.Event(), holder="here:1")
    for _ in range(4):
        poller.go()
    aws.look()


def posts(account: Account) -> int:
    return len(account.calls_of("ses:SendRawEmail"))


def test_bounce_suppresses_and_release_lets_mail_leave(
    account: Account, admin: Any
) -> None:
    account.bouncing.add("@elsewhere.example")
    first = mail_goes_out()
    assert (first.state, first.fate) == (State.SENT, Fate.BOUNCED)
    assert list(account.region(REGION).suppressed) == [HANNAH]
    posted = posts(account)

    second = mail_goes_out()
    assert (second.state, second.reason_code) == (State.SUPPRESSED, "suppressed")
    assert posts(account) == posted
    assert not second.attempt_set.exists()

    # The mailbox is there again, and an admin releases the address.
    account.bouncing.clear()
    wishes.release(HANNAH.lower(), actor=admin)
    aws.want_release(HANNAH.lower(), actor=admin)
    for _ in range(3):
        aws.look()
    assert account.region(REGION).suppressed == {}
    assert AwsRelease.objects.get().outcome == AwsRelease.Outcome.DONE
    mails = wishes.suppressed_mails(HANNAH)
    assert by_hand.retry_suppressed(mails, actor=admin).count == 1
    worker_works()
    second.refresh_from_db()
    assert (second.state, second.fate) == (State.SENT, Fate.DELIVERED)
    assert standing_of(HANNAH) is None


def test_released_here_and_not_at_aws_it_comes_back(
    account: Account, admin: Any
) -> None:
    account.bouncing.add("@elsewhere.example")
    mail_goes_out()
    account.bouncing.clear()
    wishes.release(HANNAH, actor=admin)
    again = mail_goes_out()
    assert again.fate == Fate.BOUNCED
    standing = standing_of(HANNAH)
    assert standing
    assert standing.entry.reason == Suppression.Reason.AWS_LISTED


def test_complaint_suppresses(account: Account) -> None:
    account.complaining.add(HANNAH.lower())
    mail_goes_out()
    standing = standing_of(HANNAH)
    assert standing
    assert standing.entry.reason == Suppression.Reason.COMPLAINED
    assert mail_goes_out().state == State.SUPPRESSED


def test_full_mailbox_holds_for_a_while_and_lets_go_by_itself(
    account: Account,
) -> None:
    account.full.add("@elsewhere.example")
    for _ in range(3):
        assert mail_goes_out().fate == Fate.SOFT_BOUNCED
    posted = posts(account)
    fourth = mail_goes_out()
    assert (fourth.state, fourth.reason_code) == (State.HELD, "address_held")
    assert posts(account) == posted
    standing = standing_of(HANNAH)
    assert standing
    assert standing.status == Status.HELD
    account.full.clear()
    Suppression.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    worker_works()
    fourth.refresh_from_db()
    assert (fourth.state, fourth.fate) == (State.SENT, Fate.DELIVERED)
