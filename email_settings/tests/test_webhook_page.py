"""The webhook on the page of delivery events: switched on and off, and what it says."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings.events import webhook
from email_settings.models import EventFeed
from email_settings.standin import posting
from email_settings.standin.account import Account
from email_settings.standin.server import running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.event_aws import session
from email_settings.tests.sns_posts import TOPIC, switched_on

pytestmark = pytest.mark.django_db
PAGE = "email_settings:events"


@pytest.fixture(autouse=True)
def public(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SITE_URL = "https://help.larkfield.example"
    settings.SECURE_SSL_REDIRECT = False
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Any:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    monkeypatch.setattr(posting, "post", lambda post: None)
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        client = session().client("sns")
        client.create_topic(Name=TOPIC.rpartition(":")[2])
        client.close()
        yield account


def show(panel: Client) -> str:
    return panel.get(reverse(PAGE)).content.decode()


def press(panel: Client, name: str) -> str:
    answer = panel.post(reverse(f"email_settings:{name}"), follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def off() -> None:
    switched_on()
    webhook.switch_off()


def test_off_it_says_what_it_is_for_and_where(panel: Client) -> None:
    off()
    shown = show(panel)
    for words in (
        "Webhook (optional)",
        "works behind a firewall",
        "posts for an hour only",
        "https://help.larkfield.example/webhooks/ses/",
        "Switch on",
    ):
        assert words in shown
    assert reverse("email_settings:webhook-off") not in shown


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("http://help.larkfield.example", "which is not https"),
        ("https://10.0.0.1", "is no public address"),
    ],
)
def test_without_a_public_address_the_button_is_off_with_the_reason(
    panel: Client, settings: Any, site: str, words: str
) -> None:
    settings.SITE_URL = site
    off()
    shown = show(panel)
    assert words in shown
    assert 'disabled aria-describedby="webhook-why"' in shown
    assert "The webhook was not switched on." in press(panel, "webhook-on")
    assert EventFeed.objects.get().webhook_topic_arn == ""


def test_switched_on_and_off_again(panel: Client, aws: Account) -> None:
    off()
    shown = press(panel, "webhook-on")
    assert "The webhook is on." in shown
    assert "Not confirmed" in shown
    assert "Make the subscription by hand" in shown
    assert "&quot;numRetries&quot;: 30" in shown
    [one] = aws.region("eu-west-1").topics[TOPIC].subscriptions
    assert one.endpoint == "https://help.larkfield.example/webhooks/ses/"
    one.token = ""
    webhook.note_confirmed(one.arn)
    shown = show(panel)
    assert "Confirmed" in shown
    assert "Without a queue nobody hears of bounces while it is off" in shown
    assert "The webhook is off." in press(panel, "webhook-off")
    assert aws.region("eu-west-1").topics[TOPIC].subscriptions == []


def test_what_the_key_may_not_do_is_told_with_the_statement(
    panel: Client, aws: Account
) -> None:
    off()
    aws.keys[ACCESS_KEY_ID].actions = ["ses:*"]
    shown = press(panel, "webhook-on")
    assert "The webhook is on, and Amazon SNS does not know of it yet." in shown
    assert "sns:Subscribe" in shown
    assert "Make the subscription by hand" in shown
    webhook.note_confirmed(f"{TOPIC}:1")
    shown = press(panel, "webhook-off")
    assert "The webhook is off, and Amazon SNS still tries to post." in shown
    assert "sns:Unsubscribe" in shown


def test_refusals_are_shown_with_the_last_reason(panel: Client) -> None:
    switched_on()
    EventFeed.objects.update(
        webhook_refused_count=3,
        webhook_refused_at=timezone.now(),
        webhook_refusal="The signature does not fit. <script>",
    )
    shown = show(panel)
    assert "3\N{NO-BREAK SPACE}posts, the last" in shown
    assert "The signature does not fit. &lt;script&gt;" in shown


def test_ended_is_a_warning(panel: Client) -> None:
    switched_on()
    webhook.note_confirmed(f"{TOPIC}:1")
    webhook.note_ended()
    shown = show(panel)
    assert "Amazon SNS posts no more" in shown
    assert "Nobody hears of bounces until it is switched on again." in shown
    assert "Try again" in shown


def test_waiting_for_too_long_is_told(panel: Client) -> None:
    switched_on()
    assert "every 3s" in show(panel)
    EventFeed.objects.update(webhook_wanted_at=timezone.now() - timedelta(days=4))
    shown = show(panel)
    assert "Nobody asked to be confirmed" in shown
    assert "every 3s" not in shown


def test_fragment_brings_the_webhook_too(panel: Client) -> None:
    switched_on()
    shown = panel.get(reverse(PAGE), headers={"HX-Request": "true"}).content.decode()
    assert 'id="webhook"' in shown
    assert 'hx-swap-oob="true"' in shown
    assert "https://help.larkfield.example/webhooks/ses/" in shown
    assert 'hx-swap-oob="true"' not in show(panel)


def test_page_asks_as_much_with_the_webhook_as_without(
    panel: Client, django_assert_max_num_queries: Any
) -> None:
    switched_on()
    show(panel)
    with django_assert_max_num_queries(26):
        show(panel)
