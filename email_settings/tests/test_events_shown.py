"""What Amazon SES told, as people read it: on the page of a mail and in the list."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings.events.store import store
from email_settings.events.words import said as in_words
from email_settings.models import (
    DeliveryEvent,
    OutboxMessage,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.event_bodies import SES_ID, body, mail_of

pytestmark = pytest.mark.django_db


def told(*make: Callable[[dict[str, Any]], Any], kind: str = "") -> OutboxMessage:
    """Return a mail that was sent and that Amazon SES told this about."""
    claimed = make_claim(make_message(), make_settings())
    OutboxMessage.objects.filter(pk=claimed.message.pk).update(
        state="sent",
        sent_at=timezone.now(),
        claim_token="",
        lease_until=None,
        ses_message_id=SES_ID,
        **({"kind": kind} if kind else {}),
    )
    of = mail_of(claimed.message, claimed.attempt)
    store([body(one(of)) for one in make], installation=SesSettings.load().installation)
    claimed.message.refresh_from_db()
    return claimed.message


def show(panel: Client, message: OutboxMessage, page: str = "message") -> str:
    url = reverse(f"email_settings:{page}-detail", args=[message.uid])
    return panel.get(url).content.decode()


def test_story_goes_on_after_amazon_ses_took_it(panel: Client) -> None:
    shown = show(panel, told(said.complaint, said.delivery, said.send))
    legs = [
        "On its way",
        "The mail server of larkfield.example, 203.0.113.25, took it.",
        "250 2.6.0 Message received",
        "The recipient marked it as spam.",
    ]
    places = [shown.rindex(words) for words in legs]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("make", "verdict", "words"),
    [
        (said.bounce, "It bounced: nobody got it", "smtp; 550 5.1.1 user unknown"),
        (
            lambda of: said.bounce(of, "Transient", "MailboxFull"),
            "It was not delivered",
            "The mailbox is full.",
        ),
        (said.delay, "Not delivered yet", "Amazon SES goes on trying."),
        (said.complaint, "The recipient complained", "marked it as spam"),
        (said.reject, "Amazon SES did not send it", "Bad content"),
    ],
)
def test_trouble_is_said_first(
    panel: Client, make: Callable[[dict[str, Any]], Any], verdict: str, words: str
) -> None:
    shown = show(panel, told(make))
    assert verdict in shown
    assert words in shown


def test_what_arrived_is_no_trouble(panel: Client) -> None:
    WorkerHeartbeat.objects.create(name="here:1")
    shown = show(panel, told(said.delivery, said.auto_reply))
    assert "banner-bad" not in shown
    assert "banner-warn" not in shown
    assert "the mail arrived" in shown


def test_words_of_a_server_are_shown_as_text(panel: Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    shown = show(panel, told(lambda of: said.bounce(of, words=evil)))
    assert evil not in shown
    assert "&lt;img src=x" in shown


@pytest.mark.parametrize(
    ("make", "badge"),
    [
        (said.delivery, "Delivered"),
        (said.bounce, "Bounced"),
        (lambda of: said.bounce(of, "Transient", "MailboxFull"), "Not delivered"),
        (said.delay, "Delayed"),
        (said.complaint, "Complained"),
        (said.reject, "Rejected"),
    ],
)
def test_list_shows_what_became_of_it(
    panel: Client, make: Callable[[dict[str, Any]], Any], badge: str
) -> None:
    told(make)
    shown = panel.get(reverse("email_settings:message-list")).content.decode()
    row = shown[shown.rindex("<tbody>") : shown.rindex("</tbody>")]
    assert ">Sent</span>" in row
    assert f">{badge}</span>" in row


def test_test_mail_says_that_it_was_delivered_or_not(panel: Client) -> None:
    delivered = show(panel, told(said.delivery, kind="test"), "test")
    assert "It works: the test e-mail was delivered" in delivered
    bounced = show(panel, told(said.bounce, kind="test"), "test")
    assert "It works" not in bounced
    assert "It bounced: nobody got it" in bounced


def test_page_of_a_test_mail_waits_for_its_event_a_while(panel: Client) -> None:
    message = told(kind="test")
    assert "every 1s" not in show(panel, message, "test")  # nobody would tell
    SesSettings.objects.update(
        event_queue_url="https://sqs.eu-west-1.amazonaws.com/1/q"
    )
    assert "every 1s" in show(panel, message, "test")
    long_ago = timezone.now() - timedelta(minutes=3)
    OutboxMessage.objects.update(sent_at=long_ago)
    assert "every 1s" not in show(panel, message, "test")
    assert "every 1s" not in show(panel, told(said.delivery, kind="test"), "test")


@pytest.mark.parametrize("kind", DeliveryEvent.Kind.values)
@pytest.mark.parametrize("sub_kind", ["", "Permanent/New", "Transient/New", "not-spam"])
@pytest.mark.parametrize("raw", ["", "[", "[]", '{"delivery": 5}'])
def test_every_event_has_words(kind: str, sub_kind: str, raw: str) -> None:
    event = DeliveryEvent(kind=kind, sub_kind=sub_kind, raw=raw, diagnostic="said")
    words = in_words(event)
    assert words.title
    assert words.tone in {"ok", "warn", "bad", "idle"}
    assert words.in_one


def listed(panel: Client, query: str) -> str:
    url = reverse("email_settings:message-list")
    return panel.get(f"{url}?{query}").content.decode()


def test_list_is_narrowed_to_what_became_of_mail(panel: Client) -> None:
    bounced, delivered = told(said.bounce), make_message(subject="Another one")
    OutboxMessage.objects.filter(pk=delivered.pk).update(fate=4)
    shown = listed(panel, "fate=bounced")
    assert bounced.subject in shown
    assert "Another one" not in shown
    assert '<option value="bounced" selected>Bounced</option>' in shown
    assert "fate=bounced" in shown[shown.index('aria-label="State"') :]
    assert "Another one" in listed(panel, "fate=delivered")
    assert "Another one" in listed(panel, "fate=nonsense")
    assert "No message fits" in listed(panel, "fate=complained")


def test_list_offers_fates_only_where_events_tell_them(panel: Client) -> None:
    make_message()
    assert "Whatever became of it" not in listed(panel, "")
    SesSettings.load()
    SesSettings.objects.update(
        event_queue_url="https://sqs.eu-west-1.amazonaws.com/1/q"
    )
    assert "Whatever became of it" in listed(panel, "")


def test_list_says_why_a_mail_bounced(panel: Client) -> None:
    told(said.bounce)
    assert "The address does not exist.\nsmtp; 550 5.1.1" in listed(panel, "")


def test_index_finds_what_became_of_mail() -> None:
    found = OutboxMessage.objects.filter(fate=6).order_by("-created_at", "-id")[:51]
    assert "outbox_fate_newest" in found.explain()
