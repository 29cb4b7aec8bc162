"""Fix it from here: each page does what it says in AWS, or says plainly why not."""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from email_settings.gateway import setup
from email_settings.models import (
    OutboxMessage,
    PaceClock,
    ReadinessLine,
    SesSettings,
)
from email_settings.readiness import fixes
from email_settings.readiness.request_text import request_text
from email_settings.standin import presets, server
from email_settings.standin.account import ACCOUNT_ID, Account, Identity, Region
from email_settings.standin.faults import Fault, reply_of
from email_settings.standin.server import running
from email_settings.standin.ses.sets import VALIDATED
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)

DOMAIN = "larkfield.example"
FROM = f"help@{DOMAIN}"
PAGES = {
    "fix-identity": {"name": DOMAIN},
    "fix-mail-from": {"domain": f"bounce.{DOMAIN}"},
    "fix-production": {
        "website": "https://help.larkfield.example",
        "use_case": "Answers to tickets.",
        "contacts": "",
    },
    "fix-events": {},
}
MAKING = {
    "fix-identity": "ses:CreateEmailIdentity",
    "fix-mail-from": "ses:PutEmailIdentityMailFromAttributes",
    "fix-production": "ses:PutAccountDetails",
    "fix-events": "ses:CreateConfigurationSet",
}
LINES = {
    "fix-identity": {"sender", "dkim", "mail_from"},
    "fix-mail-from": {"mail_from"},
    "fix-production": {"account"},
}

FRIENDLY_PORTAL = Fault.IS_A_FRIENDLY_PORTAL
IN_TIME = setup.TOTAL_SECONDS

pytestmark = pytest.mark.django_db


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    account = Account()
    account.domain = DOMAIN
    account.add_key(ACCESS_KEY_ID, SECRET)
    presets.begin_new(account, DOMAIN)
    # For a machine that is busy; the tests of the limit put it back.
    monkeypatch.setattr(setup, "TOTAL_SECONDS", 60.0)
    monkeypatch.setattr(setup, "CALL_SECONDS", 20.0)
    with running(account) as http:
        monkeypatch.setenv("AWS_ENDPOINT_URL", http.url)
        yield account


@pytest.fixture
def region(aws: Account) -> Region:
    return aws.region("eu-west-1")


@pytest.fixture(autouse=True)
def sender() -> SesSettings:
    return make_settings()


def show(panel: Client, name: str) -> str:
    return panel.get(reverse(f"email_settings:{name}")).content.decode()


def press(panel: Client, page: str, /, **changes: str) -> str:
    answer = panel.post(reverse(f"email_settings:{page}"), {**PAGES[page], **changes})
    assert answer.status_code == 200
    return answer.content.decode()


def its_turn() -> None:
    """Let the next question come at once, where a test is not about waiting."""
    PaceClock.objects.all().delete()


def wanted() -> set[str]:
    lines = ReadinessLine.objects.filter(wanted_at__isnull=False)
    return set(lines.values_list("key", flat=True))


# All of them


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_aws_nothing_before_the_button_is_pressed(
    panel: Client, aws: Account, name: str
) -> None:
    assert "<form" in show(panel, name)
    assert list(aws.calls) == []
    assert not wanted()


@pytest.mark.parametrize("name", PAGES)
def test_without_settings_there_is_nothing_to_do_it_with(
    panel: Client, aws: Account, name: str
) -> None:
    SesSettings.objects.all().delete()
    for method in (panel.get, panel.post):
        answer = method(reverse(f"email_settings:{name}"))
        assert answer.status_code == 302
        assert answer["Location"] == reverse("email_settings:settings")
    assert list(aws.calls) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_right_that_is_missing_is_named_with_the_statement_to_add(
    panel: Client, aws: Account, region: Region, name: str
) -> None:
    aws.keys[ACCESS_KEY_ID].actions = presets.SENDING
    page = press(panel, name)
    assert "The access key may not do this" in page
    assert "&quot;Effect&quot;: &quot;Allow&quot;" in page
    assert f"&quot;{MAKING[name]}&quot;" in page
    assert "is not authorized to perform" in page  # AWS's own words
    by_hand = "The safer way is a script" if name == "fix-events" else "By hand instead"
    assert by_hand in page
    assert SECRET not in page
    assert [*region.identities, *region.sets] == []
    assert SesSettings.load().configuration_set == ""


@pytest.mark.parametrize("name", PAGES)
def test_aws_that_takes_no_more_questions_is_told_as_such(
    panel: Client, aws: Account, region: Region, name: str
) -> None:
    aws.one_call_a_second = True
    region.last_turn = aws.now() + timedelta(seconds=30)
    page = press(panel, name)
    assert "takes only one such question a second" in page
    assert "Press the button again" in page
    assert [*region.identities, *region.sets] == []


@pytest.mark.parametrize("name", PAGES)
def test_aws_that_can_not_be_reached_changes_nothing(
    panel: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    page = press(panel, name)
    assert 'role="alert"' in page
    assert "doing it twice changes nothing" in page
    assert SesSettings.load().configuration_set == ""


@pytest.mark.parametrize("name", PAGES)
def test_aws_that_never_answers_is_not_waited_for_longer_than_5_seconds(
    panel: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        page = press(panel, name)
    # What the page itself takes comes on top, on a machine that has other things to do.
    assert time.monotonic() - started < IN_TIME + 3
    assert "doing it twice changes nothing" in page


@pytest.mark.parametrize("name", PAGES)
def test_a_turn_that_does_not_come_is_not_waited_for_longer_than_5_seconds(
    panel: Client, aws: Account, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(setup, "TOTAL_SECONDS", IN_TIME)
    PaceClock.objects.create(
        account=f"questions:{ACCESS_KEY_ID}:sesv2:eu-west-1",
        # It would come, but too late.
        next_start_at=timezone.now() + timedelta(seconds=15),
    )
    started = time.monotonic()
    page = press(panel, name)
    assert time.monotonic() - started < IN_TIME + 3
    assert "Press the button again" in page
    assert list(aws.calls) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_somebody_else_in_the_place_of_aws_is_no_success(
    panel: Client, aws: Account, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:

    monkeypatch.setattr(server, "answer", lambda *_: reply_of(FRIENDLY_PORTAL))
    page = press(panel, name)
    assert 'role="alert"' in page
    assert 'class="banner banner-ok"' not in page
    assert SesSettings.load().configuration_set == ""


@pytest.mark.parametrize("name", LINES)
def test_its_lines_are_looked_at_again(panel: Client, aws: Account, name: str) -> None:
    press(panel, name)
    assert wanted() == LINES[name]


def test_a_secret_that_can_not_be_read_is_told(panel: Client, aws: Account) -> None:
    SesSettings.objects.update(secret_access_key_encrypted="v1:nonsense")
    page = press(panel, "fix-identity")
    assert 'role="alert"' in page
    assert list(aws.calls) == []


def test_every_fix_leads_to_a_page(panel: Client) -> None:
    for fix in fixes.FIXES.values():
        assert panel.get(reverse(fix.url_name)).status_code == 200


# The sender


def test_a_domain_is_created_and_its_records_are_shown(
    panel: Client, aws: Account, region: Region
) -> None:
    assert f'value="{DOMAIN}"' in show(panel, "fix-identity")
    page = press(panel, "fix-identity")
    assert f"{DOMAIN} is created in Amazon SES" in page
    identity = region.identities[DOMAIN]
    for token in identity.tokens:
        assert f"{token}._domainkey.{DOMAIN}" in page
        assert f"{token}.dkim.amazonses.com" in page
    names = re.findall(r'data-copy="([^"]+)"', page)
    assert len(names) == len(set(names)) == 6
    assert not identity.is_verified


def test_a_domain_that_is_there_is_as_good(
    panel: Client, aws: Account, region: Region
) -> None:
    first = press(panel, "fix-identity")
    its_turn()
    again = press(panel, "fix-identity")
    assert "was there already" in again
    records = re.compile(r"[0-9a-f]{32}\._domainkey\S+?(?=<)")
    assert records.findall(again) == records.findall(first)
    assert list(region.identities) == [DOMAIN]

    presets.publish_records(aws, region, region.identities[DOMAIN])
    its_turn()
    assert "It is verified" in press(panel, "fix-identity")


def test_the_zone_of_the_records_is_the_one_that_aws_names(
    panel: Client, aws: Account
) -> None:
    make_settings(region="eu-south-1")
    assert ".dkim.eu-south-1.amazonses.com" in press(panel, "fix-identity")


def test_an_address_alone_can_be_created(
    panel: Client, aws: Account, region: Region
) -> None:
    page = press(panel, "fix-identity", name=FROM)
    assert "Press the link in it" in page
    assert "_domainkey" not in page
    assert list(region.identities) == [FROM]


@pytest.mark.parametrize("name", ["", "elsewhere.example", "example", "help@x.example"])
def test_nothing_but_the_sender_can_be_created(
    panel: Client, aws: Account, region: Region, name: str
) -> None:
    page = press(panel, "fix-identity", name=name)
    assert "<title>Error: " in page
    assert region.identities == {}
    assert list(aws.calls) == []


def test_a_domain_above_the_sender_can_be_created(
    panel: Client, aws: Account, region: Region
) -> None:
    make_settings(from_email=f"help@desk.{DOMAIN}")
    shown = show(panel, "fix-identity")
    assert f'value="desk.{DOMAIN}"' in shown
    press(panel, "fix-identity", name=DOMAIN)
    assert list(region.identities) == [DOMAIN]


def test_a_free_mail_address_is_warned_of(panel: Client, aws: Account) -> None:
    make_settings(from_email="larkfield@gmail.com")
    assert "belongs to a free mail provider" in show(panel, "fix-identity")


# MAIL FROM


def test_mail_from_is_set_and_its_records_are_shown(
    panel: Client, aws: Account, region: Region
) -> None:
    region.identities[DOMAIN] = Identity(DOMAIN)
    assert f'value="bounce.{DOMAIN}"' in show(panel, "fix-mail-from")
    page = press(panel, "fix-mail-from", domain=f" Bounce.{DOMAIN}. ")
    assert f"bounce.{DOMAIN} is set for {DOMAIN}" in page
    assert "10 feedback-smtp.eu-west-1.amazonses.com" in page
    assert "v=spf1 include:amazonses.com ~all" in page
    mail_from = region.identities[DOMAIN].mail_from
    assert mail_from is not None
    assert mail_from.domain == f"bounce.{DOMAIN}"
    assert mail_from.on_failure == "USE_DEFAULT_VALUE"
    its_turn()
    assert f"bounce.{DOMAIN} is set" in press(panel, "fix-mail-from")


def test_mail_from_belongs_to_the_domain_above_where_that_is_known(
    panel: Client, aws: Account, region: Region
) -> None:
    make_settings(from_email=f"help@desk.{DOMAIN}")
    region.identities[DOMAIN] = Identity(DOMAIN)
    page = press(panel, "fix-mail-from", domain=f"bounce.desk.{DOMAIN}")
    assert f"is set for {DOMAIN}" in page


def test_mail_from_needs_the_domain_first(panel: Client, aws: Account) -> None:
    page = press(panel, "fix-mail-from")
    assert f"Amazon SES does not know {DOMAIN} in eu-west-1" in page
    assert "Create the domain in Amazon SES first" in page


@pytest.mark.parametrize(
    "domain",
    ["", DOMAIN, "bounce.elsewhere.example", "a b", "bounce..larkfield.example", "<b>"],
)
def test_a_mail_from_that_is_none_is_refused_here(
    panel: Client, aws: Account, domain: str
) -> None:
    page = press(panel, "fix-mail-from", domain=domain)
    assert 'aria-invalid="true"' in page
    assert "<b>.</b>" not in page
    assert list(aws.calls) == []


# Production access


def test_production_access_is_asked_for_with_what_was_written(
    panel: Client, aws: Account, region: Region
) -> None:
    page = press(
        panel,
        "fix-production",
        use_case="Answers.",
        contacts="a@larkfield.example, b@larkfield.example",
    )
    assert "The request is sent" in page
    details = region.review.details
    assert details["MailType"] == "TRANSACTIONAL"
    assert details["WebsiteURL"] == "https://help.larkfield.example"
    assert details["UseCaseDescription"] == "Answers."
    assert details["AdditionalContactEmailAddresses"] == [
        "a@larkfield.example",
        "b@larkfield.example",
    ]
    assert region.review.status == "PENDING"


def test_a_second_request_is_not_sent_while_one_is_open(
    panel: Client, aws: Account, region: Region
) -> None:
    press(panel, "fix-production", use_case="The first.")
    its_turn()
    page = press(panel, "fix-production", use_case="The second.")
    assert "AWS looks at a request already" in page
    assert "This one was not sent" in page
    assert region.review.details["UseCaseDescription"] == "The first."


def test_a_request_that_is_not_allowed_keeps_the_text_to_copy(
    panel: Client, aws: Account
) -> None:
    aws.keys[ACCESS_KEY_ID].actions = presets.SENDING
    page = press(panel, "fix-production", use_case="My own words.")
    assert "My own words.</textarea>" in page
    assert "#/account" in page


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("website", ""),
        ("website", "nonsense"),
        ("use_case", ""),
        ("use_case", "x" * 5001),
        ("contacts", "nonsense"),
        ("contacts", ",".join(f"{n}@larkfield.example" for n in range(5))),
    ],
)
def test_a_request_that_aws_would_not_take_is_refused_here(
    panel: Client, aws: Account, field: str, value: str
) -> None:
    page = press(panel, "fix-production", **{field: value})
    assert 'aria-invalid="true"' in page
    assert list(aws.calls) == []


def test_the_text_says_what_is_so_and_no_more(
    sender: SesSettings, settings: Settings
) -> None:
    settings.SITE_URL = "https://help.larkfield.example"
    text = request_text(sender)
    assert "https://help.larkfield.example" in text
    assert FROM in text
    assert "is new and has sent nothing yet" in text
    assert "That is not connected yet" in text

    now = timezone.now()
    for days in (1, 29, 31):
        message = make_message()
        OutboxMessage.objects.filter(pk=message.pk).update(
            state=OutboxMessage.State.SENT,
            sent_at=now - timedelta(days=days),
            created_at=now - timedelta(days=days),
        )
    assert "2 mails left in the last 30 days" in request_text(sender)
    OutboxMessage.objects.update(
        state=OutboxMessage.State.QUEUED, sent_at=None, created_at=now
    )
    assert "None of them has been sent yet" in request_text(sender)

    sender.configuration_set, sender.event_queue_url = "tf", "https://sqs.example/q"
    assert "configuration set (tf)" in request_text(sender)
    assert "not connected" not in request_text(sender)
    assert len(request_text(sender)) < 5000


@pytest.mark.parametrize(
    "site", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"]
)
def test_an_address_that_aws_can_not_open_is_not_told(
    panel: Client, aws: Account, settings: Settings, site: str
) -> None:
    settings.SITE_URL = site
    page = show(panel, "fix-production")
    assert site not in page
    assert "runs a help desk with the software" in page


# Events


def test_events_are_connected_by_one_press(
    panel: Client, aws: Account, region: Region
) -> None:
    shown = show(panel, "fix-events")
    names = [made.name for made in fixes.what_events_need(SesSettings.load())]
    assert all(name in shown for name in names)
    version = SesSettings.load().version
    page = press(panel, "fix-events")
    assert "Delivery events are connected" in page

    stored = SesSettings.load()
    assert stored.version == version + 1
    assert list(region.sets) == [stored.configuration_set]
    queue = region.queues[stored.event_queue_url.rpartition("/")[2]]
    # SES was let into the topic, and the topic into the queue.
    assert [letter.body for letter in queue.letters] == [VALIDATED]
    topic = region.topics[stored.event_topic_arn]
    assert topic.attributes["SignatureVersion"] == "2"
    assert topic.arn.split(":")[4] == ACCOUNT_ID
    assert queue.redrive["deadLetterTargetArn"].endswith("-failed")
    assert queue.redrive["deadLetterTargetArn"].split(":")[-1] in region.queues
    assert {"permission", "events", "simulator"} <= wanted()
    assert stored.saved_by is not None


def test_pressing_twice_makes_nothing_twice(
    panel: Client, aws: Account, region: Region
) -> None:
    press(panel, "fix-events")
    version = SesSettings.load().version
    its_turn()
    assert "They are connected already" in show(panel, "fix-events")
    assert "Delivery events are connected" in press(panel, "fix-events")
    assert SesSettings.load().version == version
    assert len(region.sets) == len(region.topics) == 1
    assert len(region.queues) == 2
    [topic] = region.topics.values()
    assert len(topic.subscriptions) == 1


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_once_make_one_of_each(
    admin: Any, aws: Account, region: Region
) -> None:
    def press_once(_: int) -> str:
        browser = Client()
        browser.force_login(admin)
        try:
            return press(browser, "fix-events")
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        pages = list(pool.map(press_once, range(2)))
    assert all("Delivery events are connected" in page for page in pages)
    assert len(region.sets) == len(region.topics) == 1
    [topic] = region.topics.values()
    assert len(topic.subscriptions) == 1
    assert SesSettings.load().configuration_set in region.sets


def test_all_steps_together_ask_ses_once_a_second(
    panel: Client, aws: Account, region: Region
) -> None:
    aws.one_call_a_second = True
    assert "Delivery events are connected" in press(panel, "fix-events")
    its_turn()
    region.last_turn = None
    assert "Delivery events are connected" in press(panel, "fix-events")
    asked = [call for call in aws.calls if call.action.startswith("ses:")]
    assert [call.refused for call in asked] == [
        *["", ""],
        # They are there already, and the last step brings them up to date.
        *["AlreadyExistsException", "AlreadyExistsException", ""],
    ]


def test_what_stops_half_way_goes_on_where_it_ended(
    panel: Client, aws: Account, region: Region
) -> None:
    key = aws.keys[ACCESS_KEY_ID]
    key.policy = {
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "sns:Subscribe", "Resource": "*"},
        ]
    }
    key.actions = ()
    page = press(panel, "fix-events")
    assert "&quot;sns:Subscribe&quot;" in page
    assert SesSettings.load().configuration_set == ""
    assert len(region.sets) == 1
    key.policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    its_turn()
    assert "Delivery events are connected" in press(panel, "fix-events")


def test_settings_that_were_saved_meanwhile_are_not_changed(
    panel: Client, aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = setup.Setup.publish_events

    def publish_and_meet(*given: object) -> None:
        publish(*given)  # type: ignore[arg-type]
        make_settings(region="us-east-1")

    monkeypatch.setattr(setup.Setup, "publish_events", publish_and_meet)
    page = press(panel, "fix-events")
    assert "Somebody saved other settings" in page
    assert SesSettings.load().configuration_set == ""
