"""How mail fares, as admins read it: rates, what waits for them, silence, the canary."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from email_settings.canary import canary_of
from email_settings.gateway.reader import Reader
from email_settings.models import Fate, MailWatch, OutboxMessage, SesSettings
from email_settings.readiness.checks.events import _of_the_mails, _with_canary
from email_settings.readiness.dns import Dns
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.test_reputation_guard import look, sent
from email_settings.tests.test_simulator_canary import come_back, connect, fly

pytestmark = pytest.mark.django_db

ACTIVITY = reverse("email_settings:message-list")
EVENTS = reverse("email_settings:events")
GO = reverse("email_settings:notices-release")
HOLD = reverse("email_settings:notices-hold")
CANARY = reverse("email_settings:events-canary")


def text(panel: Client, url: str = ACTIVITY) -> str:
    shown = panel.get(url).content.decode()
    return " ".join(
        shown.replace("&nbsp;", " ").replace("\N{NO-BREAK SPACE}", " ").split()
    )


def guarded() -> None:
    connect()
    sent(180)
    sent(20, Fate.BOUNCED)
    look()
    OutboxMessage.objects.filter(pk=make_message().pk).update(
        state="held", reason_code="reputation_guard"
    )


def silent() -> None:
    MailWatch.load()
    MailWatch.objects.update(
        silence="unheard",
        silent_since=timezone.now() - timedelta(hours=2),
        silent_count=27,
    )


# The card


def test_card_says_that_nobody_tells(panel: Client) -> None:
    make_settings()
    assert "connect delivery events</a> to know" in text(panel)


def test_card_has_rates_with_their_bounds(panel: Client) -> None:
    connect()
    sent(990)
    sent(8, Fate.BOUNCED)
    look()
    shown = text(panel)
    assert "Bounce rate 0.8 %: 8 of 998 mails. AWS reviews an account at 5 %" in shown
    assert "Complaint rate 0 %: 0 of 998 mails" in shown
    assert "8 of 998 mails, review at 5 %." in shown
    assert 'href="/admin-panel/email-activity/?fate=bounced"' in shown
    assert "just now</time> over mail since" in shown


def test_card_says_when_there_are_too_few(panel: Client) -> None:
    connect()
    sent(9)
    sent(1, Fate.BOUNCED)
    look()
    shown = text(panel)
    assert "Too few mails to say" in shown
    assert "1 of 10 mails; a rate needs 100." in shown


def test_card_says_when_its_figures_are_old(panel: Client) -> None:
    connect()
    sent(200)
    look()
    MailWatch.objects.update(counted_at=timezone.now() - timedelta(hours=3))
    assert "which is long ago: see that a worker runs." in text(panel)


@pytest.mark.parametrize(
    ("status", "word"),
    [("HEALTHY", "Healthy"), ("PROBATION", "Under review"), ("SHUTDOWN", "Stopped")],
)
def test_card_has_the_word_of_aws(panel: Client, status: str, word: str) -> None:
    connect()
    MailWatch.load()
    MailWatch.objects.update(enforcement=status)
    assert f"AWS: {word}" in text(panel)


def test_card_costs_no_question(panel: Client) -> None:
    connect()

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            panel.get(ACTIVITY)
        return len(queries)

    before = cost()
    sent(300)
    sent(40, Fate.BOUNCED)
    look()
    assert cost() == before


# Notices that wait


def test_every_page_says_that_notices_wait_and_the_card_lets_them_go(
    panel: Client,
) -> None:
    guarded()
    said = "<b>Notices are held: too much mail bounces or is called spam"
    assert said in text(panel, reverse("email_settings:settings"))
    shown = text(panel)
    assert said not in shown  # the card says more
    assert "1 notice waits" in shown
    assert f'href="{GO}"' in shown


def test_question_says_how_many_it_concerns_and_changes_nothing(panel: Client) -> None:
    guarded()
    shown = text(panel, GO)
    assert "1 message waits and leaves now" in shown
    assert "Bounces are at 10 %" in shown
    assert SesSettings.load().unguarded_until is None


def test_admin_lets_notices_go_and_holds_them_again(panel: Client, admin: Any) -> None:
    guarded()
    panel.post(GO)
    assert SesSettings.load().unguarded_by == admin
    shown = text(panel)
    assert "Notices leave until" in shown
    assert "lets notices go</b> until" in shown
    assert (
        "not held for the reputation just now"
        in panel.get(GO, follow=True).content.decode()
    )
    panel.post(HOLD)
    assert SesSettings.load().unguarded_until is None


@pytest.mark.parametrize("url", [GO, HOLD])
def test_who_is_late_is_told_so(panel: Client, url: str) -> None:
    make_settings()
    shown = panel.post(url, follow=True).content.decode()
    assert "any more" in shown or "just now" in shown


def test_held_notice_says_what_it_waits_for(panel: Client) -> None:
    guarded()
    message = OutboxMessage.objects.get(reason_code="reputation_guard")
    shown = text(panel, reverse("email_settings:message-detail", args=[message.uid]))
    assert "when less mail bounces, or when an admin says so" in shown
    assert "AWS stops an account for that." in shown
    assert "Retry" not in shown.partition("<main")[2]  # it would only be held again


# Silence and the canary


def test_events_page_names_the_causes(panel: Client) -> None:
    connect()
    silent()
    shown = text(panel, EVENTS)
    assert "27 mails left, and no event about any came." in shown
    assert "The access policy of the queue" in shown
    assert shown.count("Mail leaves, and no news of it comes") == 1
    assert "Mail leaves, and no news of it comes" in text(panel)


def test_events_page_shows_the_canary(panel: Client) -> None:
    connect()
    come_back(fly(ago=timedelta(minutes=12)), seconds=4)
    shown = text(panel, EVENTS)
    assert "It came back 11 minutes ago, after 4 seconds." in shown
    assert "less than $0.08" in shown


def test_canary_is_switched_off_and_on(panel: Client) -> None:
    connect()
    answer = panel.post(CANARY, {"is_on": "0"}, follow=True).content.decode()
    assert "noticed by the mail of people only" in answer
    assert not SesSettings.load().is_canary_on
    assert "It is switched off." in text(panel, EVENTS)
    panel.post(CANARY, {"is_on": "1"})
    assert SesSettings.load().is_canary_on


def test_canary_is_switched_by_a_form_only(panel: Client) -> None:
    connect()
    assert panel.get(CANARY).status_code == 405
    assert SesSettings.load().is_canary_on


# The checklist


def look_at() -> Look:
    sender = SesSettings.load()
    return Look(sender, Reader(sender), Dns(), {})


def test_checklist_says_that_no_news_comes() -> None:
    connect()
    assert _of_the_mails(look_at()) is None
    silent()
    found = _of_the_mails(look_at())
    assert found
    assert (found.state, found.said) == (State.WRONG, "No news")
    assert "27 mails left" in found.evidence


def test_checklist_has_the_canary_as_evidence() -> None:
    connect()
    fine = Finding(State.DONE, "Connected", "The last event came just now.")
    fly(ago=timedelta(minutes=30))
    late = _with_canary(fine, look_at())
    assert (late.state, late.said) == (State.TODO, "Canary late")
    come_back(OutboxMessage.objects.get(), seconds=4)
    assert "after 4 seconds" in _with_canary(fine, look_at()).evidence
    assert not canary_of(SesSettings.load()).is_trouble
