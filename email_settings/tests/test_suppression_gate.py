"""Mail to an address that gets none does not leave, and says so."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from email_settings.delivery import by_hand, hold
from email_settings.delivery.claim import MOST_LOOKS, claim_due, claim_held
from email_settings.models import Lane, OutboxMessage, SesSettings, Suppression
from email_settings.suppression.wishes import allow_security, release, suppressed_mails
from email_settings.tests.builders import make_message, make_settings

pytestmark = pytest.mark.django_db
State = OutboxMessage.State
Reason = Suppression.Reason
HANNAH, OLIVER = "hannah@larkfield.example", "oliver@larkfield.example"


def bar(
    address: str = HANNAH,
    *,
    reason: str = Reason.BOUNCED,
    hours: float | None = None,
    detail: str = "The address does not exist. smtp; 550 5.1.1",
) -> Suppression:
    return Suppression.objects.create(
        address=address,
        address_lower=address.lower(),
        reason=reason,
        detail=detail,
        held_until=timezone.now() + timedelta(hours=hours) if hours else None,
    )


def claim(limit: int = 16) -> list[str]:
    sender = SesSettings.load()
    with transaction.atomic():
        claims = claim_due(limit, token="t", sender=sender)
    return [claimed.message.recipient for claimed in claims]


def test_mail_to_a_suppressed_address_ends_without_a_try() -> None:
    make_settings()
    message = make_message(recipient="HANNAH@larkfield.example")
    make_message(recipient=OLIVER)
    bar()
    assert claim() == [OLIVER]
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (State.SUPPRESSED, "suppressed")
    assert message.reason == "Mail to this address bounced for good."
    assert "550 5.1.1" in message.reason_detail
    assert (message.attempts, message.claims) == (0, 0)
    assert (message.claim_token, message.lease_until) == ("", None)
    assert not message.attempt_set.exists()


def test_secret_of_suppressed_mail_is_wiped() -> None:
    make_settings()
    message = make_message(is_secret=True, lane=Lane.SECURITY)
    bar()
    assert claim() == []
    message.refresh_from_db()
    assert (message.state, message.text_body, message.html_body) == (
        State.SUPPRESSED,
        "",
        "",
    )


def test_security_mail_passes_when_an_admin_says_so(admin: Any) -> None:
    make_settings()
    secret = make_message(lane=Lane.SECURITY, subject="Reset")
    reply = make_message(lane=Lane.REPLY)
    allow_security(bar(reason=Reason.COMPLAINED).pk, actor=admin)
    assert claim() == [HANNAH]
    secret.refresh_from_db()
    reply.refresh_from_db()
    assert (secret.state, reply.state) == (State.SENDING, State.SUPPRESSED)


def test_probe_of_events_passes() -> None:
    make_settings()
    make_message()
    OutboxMessage.objects.update(kind=OutboxMessage.SIMULATOR)
    bar()
    assert claim() == [HANNAH]


def test_temporary_hold_keeps_mail_and_lets_it_go_by_itself() -> None:
    sender = make_settings()
    message = make_message()
    bar(reason=Reason.FAILING, hours=1)
    assert claim() == []
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (State.HELD, "address_held")
    assert (message.attempts, message.claims) == (0, 0)
    assert hold.held_for_the_account().count() == 0
    now = timezone.now()
    assert hold.release_what_may_go(sender, None, waiting_since=now) == 0
    Suppression.objects.update(held_until=now - timedelta(seconds=1))
    assert hold.release_what_may_go(sender, None, waiting_since=now) == 1
    assert claim() == [HANNAH]


def test_hold_that_becomes_final_suppresses_what_waited() -> None:
    sender = make_settings()
    message = make_message()
    entry = bar(reason=Reason.FAILING, hours=1)
    claim()
    Suppression.objects.filter(pk=entry.pk).update(closed_at=timezone.now())
    bar()
    assert hold.release_what_may_go(sender, None, waiting_since=timezone.now()) == 1
    assert claim() == []
    message.refresh_from_db()
    assert message.state == State.SUPPRESSED


def test_security_mail_leaves_a_hold_once_it_is_let_through(admin: Any) -> None:
    sender = make_settings()
    make_message(lane=Lane.SECURITY)
    make_message(lane=Lane.REPLY)
    entry = bar(reason=Reason.FAILING, hours=1)
    claim()
    allow_security(entry.pk, actor=admin)
    assert hold.release_what_may_go(sender, None, waiting_since=timezone.now()) == 1
    assert claim() == [HANNAH]


def test_probe_of_a_broken_account_passes_over_suppressed_mail() -> None:
    sender = make_settings()
    barred, free = make_message(), make_message(recipient=OLIVER)
    OutboxMessage.objects.update(state=State.HELD, reason_code="key_unknown")
    bar()
    with transaction.atomic():
        (claimed,) = claim_held(token="t", sender=sender)
    assert claimed.message.pk == free.pk
    barred.refresh_from_db()
    assert barred.state == State.SUPPRESSED


def test_suppressed_mail_in_front_keeps_nobody_waiting() -> None:
    make_settings()
    for _ in range(40):
        make_message(lane=Lane.SECURITY)
    make_message(recipient=OLIVER, lane=Lane.DIGEST)
    bar()
    assert claim(16) == [OLIVER]
    assert OutboxMessage.objects.filter(state=State.SUPPRESSED).count() == 40


def test_claim_ends_some_day_and_the_worker_is_woken(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    make_settings()
    for _ in range(MOST_LOOKS + 2):
        make_message()
    bar()
    with django_capture_on_commit_callbacks() as callbacks:
        assert claim(1) == []
    assert len(callbacks) == 1
    assert OutboxMessage.objects.filter(state=State.QUEUED).count() == 2


def test_one_question_a_claim_however_many_messages() -> None:
    make_settings()

    def questions(count: int) -> int:
        for number in range(count):
            make_message(recipient=f"p{number}@larkfield.example")
        with CaptureQueriesContext(connection) as queries:
            assert len(claim(count)) == count
        return sum(
            "email_settings_suppression" in query["sql"].lower()
            for query in queries.captured_queries
        )

    assert questions(1) == questions(16) == 1


# After a release


def suppressed() -> OutboxMessage:
    make_settings()
    message = make_message()
    bar()
    claim()
    message.refresh_from_db()
    return message


def test_retry_is_refused_until_the_address_is_released(admin: Any) -> None:
    message = suppressed()
    with pytest.raises(by_hand.NotRetryableError, match="still gets no mail"):
        by_hand.retry_message(message.uid)
    release(HANNAH, actor=admin)
    assert by_hand.retry_message(message.uid).state == State.QUEUED
    assert claim() == [HANNAH]


def test_all_suppressed_mails_of_an_address_are_sent_again(admin: Any) -> None:
    suppressed()
    make_message(subject="Another")
    other = make_message(recipient=OLIVER)
    bar(OLIVER)
    claim()
    release(HANNAH, actor=admin)
    mails = suppressed_mails("HANNAH@larkfield.example")
    assert by_hand.retry_suppressed(mails, actor=admin).count == 2
    assert claim() == [HANNAH, HANNAH]
    other.refresh_from_db()
    assert other.state == State.SUPPRESSED
