"""Amazon SES can't be reached, or something else answers in its place."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from email_settings.delivery import retry
from email_settings.models import OutboxMessage, SesSettings
from email_settings.tests.builders import make_message
from email_settings.tests.fake_ses import page, refusal
from email_settings.tests.faults_inside.aws import (
    Deed,
    Misdeed,
    Post,
    ScriptedSes,
    accept,
)
from email_settings.tests.faults_inside.mail import (
    put_many,
    send_due,
    send_until_nothing_waits,
    states,
)
from ticketflow.tests.processes import free_port

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
Prepare = Callable[[pytest.MonkeyPatch, ScriptedSes], None]


def answer(deed: Deed) -> Prepare:
    def prepare(monkeypatch: pytest.MonkeyPatch, aws: ScriptedSes) -> None:
        aws.decide = lambda post: deed

    return prepare


def nobody_listens(monkeypatch: pytest.MonkeyPatch, aws: ScriptedSes) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


def name_is_unknown(monkeypatch: pytest.MonkeyPatch, aws: ScriptedSes) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://email.aws.invalid")


def no_tls(monkeypatch: pytest.MonkeyPatch, aws: ScriptedSes) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url.replace("http:", "https:"))


def proxy_is_away(monkeypatch: pytest.MonkeyPatch, aws: ScriptedSes) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://email.aws.invalid")


@dataclass(frozen=True)
class Outage:
    """What happens, and what must become of a mail that meets it."""

    prepare: Prepare
    reason: str
    state: str


OUTAGES = {
    "503 of AWS": Outage(
        answer(refusal(503, "ServiceUnavailable", "Service is unavailable.")),
        "aws_unavailable",
        State.QUEUED,
    ),
    "500 of AWS": Outage(
        answer(refusal(500, "InternalServiceErrorException", "Internal failure.")),
        "aws_failed",
        State.UNKNOWN,
    ),
    "reset": Outage(answer(Misdeed.RESET), "no_answer", State.UNKNOWN),
    "nobody listens": Outage(nobody_listens, "cannot_connect", State.QUEUED),
    "no such name": Outage(name_is_unknown, "cannot_connect", State.QUEUED),
    "no TLS": Outage(no_tls, "tls_failed", State.QUEUED),
    "proxy is away": Outage(proxy_is_away, "proxy_unreachable", State.QUEUED),
    "502 of a proxy": Outage(answer(page(502)), "not_aws", State.QUEUED),
    "503 of a proxy": Outage(answer(page(503)), "not_aws", State.QUEUED),
    "407 of a proxy": Outage(answer(page(407)), "not_aws", State.QUEUED),
    "403 of a portal": Outage(answer(page(403)), "not_aws", State.QUEUED),
    "200 of a portal": Outage(answer(page(200)), "empty_answer", State.UNKNOWN),
    "504 of a proxy": Outage(answer(page(504)), "aws_failed", State.UNKNOWN),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_mail_that_never_left_waits_and_mail_that_may_have_left_is_unknown(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    outage = OUTAGES[name]
    endpoint = aws.url
    outage.prepare(monkeypatch, aws)
    message = make_message()
    before = timezone.now()
    send_due()
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (outage.state, outage.reason)
    assert message.reason
    asked = len(aws.log)
    send_due()
    assert len(aws.log) == asked  # not again at once

    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    live.version += 1
    live.save(update_fields=["version"])
    aws.decide = accept
    if outage.state == State.QUEUED:
        assert waited(message, since=before) >= timedelta(seconds=1)
        send_until_nothing_waits()
        assert states() == {State.SENT: 1}
        assert len(aws.accepted) == 1
    else:
        send_until_nothing_waits()
        assert states() == {State.UNKNOWN: 1}
        assert len(aws.log) == asked


def waited(message: OutboxMessage, *, since: datetime) -> timedelta:
    return message.due_at - since


def test_pauses_grow_by_chance_and_end_at_a_day(
    aws: ScriptedSes, live: SesSettings
) -> None:
    aws.decide = lambda post: refusal(503, "ServiceUnavailable", "Unavailable.")
    put_many(6)
    OutboxMessage.objects.update(expires_at=timezone.now() + timedelta(days=60))
    longest = timedelta(0)
    for tries in range(1, len(retry.LADDER) + 3):
        OutboxMessage.objects.update(due_at=timezone.now())
        SesSettings.objects.update(hold_code="", probe_at=None)
        before = timezone.now()
        while OutboxMessage.objects.filter(attempts__lt=tries).exists():
            OutboxMessage.objects.filter(attempts__lt=tries).update(due_at=before)
            SesSettings.objects.update(hold_code="", probe_at=None)
            send_due()
        pauses = {
            waited(message, since=before) for message in OutboxMessage.objects.all()
        }
        step = retry.LADDER[min(tries, len(retry.LADDER)) - 1]
        slack = timedelta(seconds=30)
        assert all(step * 0.75 <= pause <= step * 1.25 + slack for pause in pauses)
        assert len(pauses) == 6  # no two come back together
        longest = max(longest, *pauses)
    assert timedelta(hours=18) < longest <= timedelta(hours=30)
    assert OutboxMessage.objects.filter(state=State.QUEUED, attempts=10).count() == 6


def test_each_kind_is_given_up_when_its_own_time_is_over(
    aws: ScriptedSes, live: SesSettings
) -> None:
    aws.decide = lambda post: refusal(503, "ServiceUnavailable", "Unavailable.")
    short = make_message(lifetime=timedelta(hours=1), is_secret=True)
    long = make_message(lifetime=timedelta(days=3))
    send_due()
    in_two_hours(short, long)
    send_due()
    short.refresh_from_db()
    long.refresh_from_db()
    assert (short.state, short.reason_code) == (State.FAILED, "expired")
    assert "not available" in short.reason  # what kept it from leaving
    assert short.text_body == ""
    assert long.state == State.QUEUED
    aws.decide = accept
    send_until_nothing_waits()
    long.refresh_from_db()
    assert long.state == State.SENT
    assert [post.message for post in aws.accepted] == [long.uid.hex]


def in_two_hours(*messages: OutboxMessage) -> None:
    """Move everything that is written about these messages two hours back."""
    for message in messages:
        message.refresh_from_db()
        assert message.expires_at
        message.due_at -= timedelta(hours=2)
        message.expires_at -= timedelta(hours=2)
        message.save()


def test_whole_backlog_survives_an_outage_of_mixed_faults(
    aws: ScriptedSes, live: SesSettings
) -> None:
    """Every third POST fails in a way that left nothing behind, until AWS is well."""
    faults: list[Deed] = [
        refusal(503, "ServiceUnavailable", "Unavailable."),
        page(502),
        refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
    ]

    def flaky(post: Post) -> Deed:
        number = len(aws.log)
        return faults[number // 3 % 3] if number % 3 == 0 else accept(post)

    aws.decide = flaky
    put_many(60)
    send_until_nothing_waits()
    assert states() == {State.SENT: 60}
    assert len(aws.accepted) == 60
    assert aws.doubled() == []
