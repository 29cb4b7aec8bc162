"""What the admins are told by mail when mail was in trouble, and how seldom."""

import html
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.template import TemplateDoesNotExist
from django.utils import timezone

from email_settings import alerts, outbox
from email_settings.delivery import recovery
from email_settings.delivery.settle import Outcome, settle
from email_settings.events import store
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import Brand, Lane, OutboxMessage, SesSettings
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import make_claim, make_message, make_settings

ACTIVITY = "https://help.example.com/admin-panel/email-activity/"


@dataclass(frozen=True)
class Used:
    used: float = 45_001
    limit: float = 50_000


def held_settings(*, minutes: float, is_live: bool = True) -> SesSettings:
    """Settings as they were while all mail was held."""
    row = make_settings(is_live=is_live)
    row.hold_code = "key_unknown"
    row.held_since = timezone.now() - timedelta(minutes=minutes)
    row.save()
    return row


def told() -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(kind__in=alerts.KINDS).order_by("id"))


def whole(message: OutboxMessage) -> list[str]:
    """Both bodies, each on one line."""
    return [
        " ".join(html.unescape(body).replace("\xa0", " ").split())
        for body in (message.text_body, message.html_body)
    ]


def test_admins_read_what_held_their_mail_and_for_how_long(
    brand: Brand, admin: Any, agent: Any
) -> None:
    alerts.mail_was_held(held_settings(minutes=51), released=37)
    (message,) = told()
    assert message.recipient == admin.email
    assert message.headers["Auto-Submitted"] == "auto-generated"
    for body in whole(message):
        assert "Mail was held for 51 minutes and leaves again" in body
        assert "AWS does not know this access key." in body
        assert "37 messages waited and leave now." in body
        assert "given up" not in body
        assert ACTIVITY in body


def test_times_name_their_zone(settings: LazySettings) -> None:
    settings.TIME_ZONE = "Europe/Warsaw"
    at = datetime.fromisoformat("2026-11-24T08:12:00+00:00")
    assert alerts.moment(at) == "24 November 2026, 09:12 CET"


def test_one_message_is_told_as_one(brand: Brand, admin: Any) -> None:
    alerts.mail_was_held(held_settings(minutes=9), released=1)
    for body in whole(told()[0]):
        assert "1 message waited and leaves now." in body


def test_what_got_too_old_meanwhile_is_told(brand: Brand, admin: Any) -> None:
    row = held_settings(minutes=60)
    for minutes in (30, 90):
        message = make_message()
        message.state = OutboxMessage.State.FAILED
        message.reason_code = "expired"
        message.expires_at = timezone.now() - timedelta(minutes=minutes)
        message.save()
    alerts.mail_was_held(row, released=0)
    for body in whole(told()[0]):
        assert "No message waited. 1 message got too old meanwhile" in body


@pytest.mark.parametrize(
    ("minutes", "is_live", "code"),
    [(4, True, "key_unknown"), (60, False, "key_unknown"), (60, True, "")],
    ids=["short", "rehearsal", "not held"],
)
def test_nobody_is_told_of_what_was_no_trouble(
    brand: Brand, admin: Any, minutes: int, *, is_live: bool, code: str
) -> None:
    row = held_settings(minutes=minutes, is_live=is_live)
    row.hold_code = code
    alerts.mail_was_held(row, released=3)
    assert not told()


def test_only_admins_who_may_sign_in_are_told(
    brand: Brand, admin: Any, agent: Any, requester: Any
) -> None:
    admin.is_active = False
    admin.save()
    alerts.mail_was_held(held_settings(minutes=51), released=2)
    assert not told()


def test_quota_is_told_once_a_day_ahead_of_what_waits(brand: Brand, admin: Any) -> None:
    row = make_settings()
    alerts.quota_nearly_used(row, Used())
    alerts.quota_nearly_used(row, Used())
    (message,) = told()
    assert message.lane == Lane.SECURITY
    for body in whole(message):
        assert "45,001 of 50,000 recipients in the last 24 hours" in body
    SesSettings.objects.update(quota_told_at=timezone.now() - timedelta(hours=25))
    alerts.quota_nearly_used(row, Used())
    assert len(told()) == 2


def test_doubt_is_told_once_an_hour(brand: Brand, admin: Any) -> None:
    alerts.mails_in_doubt(0)
    assert not told()
    alerts.mails_in_doubt(2)
    alerts.mails_in_doubt(5)
    (message,) = told()
    assert message.subject.replace("\xa0", " ") == (
        "Nobody knows whether 2 messages arrived"
    )
    for body in whole(message):
        assert f"{ACTIVITY}?state=unknown" in body
    OutboxMessage.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    alerts.mails_in_doubt(1)
    assert "They were" in told()[0].text_body
    assert "It was" in told()[1].text_body


def test_alert_that_fails_stops_no_other_mail(
    brand: Brand,
    admin: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        make_message(subject="Half an alert")
        raise TemplateDoesNotExist("alert_held.txt")

    monkeypatch.setattr(outbox, "enqueue_many", fail)
    make_message(subject="A reply")
    alerts.mail_was_held(held_settings(minutes=51), released=1)
    assert [message.subject for message in OutboxMessage.objects.all()] == ["A reply"]
    assert "the admins could not be told" in caplog.text


def test_mail_that_a_dead_worker_left_in_doubt_is_told(
    brand: Brand, admin: Any
) -> None:
    sender = make_settings()
    claim = make_claim(make_message(), sender)
    alert = make_message()
    OutboxMessage.objects.filter(pk=alert.pk).update(kind=alerts.WAS_HELD)
    make_claim(OutboxMessage.objects.get(pk=alert.pk), sender)
    OutboxMessage.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    recovery.recover()
    claim.message.refresh_from_db()
    assert claim.message.state == OutboxMessage.State.UNKNOWN
    (told_of,) = OutboxMessage.objects.filter(kind=alerts.IN_DOUBT)
    assert "whether 1 message arrived" in told_of.subject


def test_mail_without_an_answer_is_told(brand: Brand, admin: Any) -> None:
    claim = make_claim(make_message(), make_settings())
    settle([Outcome(claim, error=SendError(problem_for("no_answer")))])
    assert OutboxMessage.objects.filter(kind=alerts.IN_DOUBT).count() == 1


def test_alert_in_doubt_raises_no_alert(brand: Brand, admin: Any) -> None:
    message = make_message()
    message.kind = alerts.IN_DOUBT
    claim = make_claim(message, make_settings())
    OutboxMessage.objects.update(created_at=timezone.now() - timedelta(hours=2))
    settle([Outcome(claim, error=SendError(problem_for("no_answer")))])
    assert OutboxMessage.objects.count() == 1


def report_of_a_forgery(message: OutboxMessage, hours: float = 0) -> None:
    """A provider's word on the mail, so many hours ago."""
    at = (timezone.now() - timedelta(hours=hours)).isoformat()
    of = said.mail_of(message, message.attempt_set.get())
    event = said.complaint(of, "auth-failure")
    event["complaint"] |= {"timestamp": at, "feedbackId": f"f-{message.pk}"}
    store.store([said.body(event)], installation=SesSettings.load().installation)


def test_provider_that_could_not_tell_our_mail_is_told_once_a_day(
    brand: Brand, admin: Any
) -> None:
    sender = make_settings()
    mails = [make_message() for _ in range(2)]
    for mail in mails:
        make_claim(mail, sender)
        report_of_a_forgery(mail)
    (message,) = told()
    assert message.kind == alerts.UNSIGNED
    for body in whole(message):
        assert "the mail provider of larkfield.example reported" in body
        assert "DKIM, MAIL FROM and DMARC" in body
        assert f"{ACTIVITY}{mails[0].uid}/" in body


@pytest.mark.parametrize(("kind", "hours"), [("public_reply", 25), ("alert_held", 0)])
def test_old_report_and_one_about_an_alert_are_no_news(
    brand: Brand, admin: Any, kind: str, hours: float
) -> None:
    make_claim(mail := make_message(), make_settings())
    OutboxMessage.objects.filter(pk=mail.pk).update(kind=kind)
    report_of_a_forgery(mail, hours)
    assert not OutboxMessage.objects.filter(kind=alerts.UNSIGNED).exists()
