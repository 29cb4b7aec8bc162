"""Mail to the simulator of Amazon SES is nobody's mail: not in figures, nor alarming."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings import alerts
from email_settings.delivery import recovery
from email_settings.models import Brand, Fate, OutboxMessage, SesSettings
from email_settings.quota import Quota
from email_settings.status import MailStatus
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.traffic import Traffic
from email_settings.verdicts import verdict_on, verdict_on_test

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
PROBES = pytest.mark.parametrize("kind", OutboxMessage.PROBES)


def left(
    kind: str,
    recipient: str = "success+1@simulator.amazonses.com",
    fate: Fate | None = None,
    state: State = State.SENT,
) -> OutboxMessage:
    message = make_message(recipient=recipient)
    message.kind, message.state, message.fate = kind, state, fate
    if state == State.SENT:
        message.sent_at = timezone.now() - timedelta(minutes=2)
    message.save()
    return message


@PROBES
def test_probes_use_nothing_of_the_quota(kind: str) -> None:
    make_settings()
    SesSettings.objects.update(
        checked_at=timezone.now() - timedelta(minutes=5),
        sent_last_24_hours=100,
        max_24_hour_send=1000,
    )
    left(kind)
    left("public_reply")
    quota = Quota.of(SesSettings.load())
    assert quota
    assert quota.used == 101
    SesSettings.objects.update(checked_at=timezone.now() - timedelta(days=2))
    quota = Quota.of(SesSettings.load())
    assert quota
    assert quota.used == 1


@PROBES
def test_probes_are_not_in_the_charts(kind: str) -> None:
    make_settings()
    left(kind)
    left(kind, state=State.FAILED)
    left("public_reply")
    traffic = Traffic.of(MailStatus(), timezone.now())
    assert (traffic.sent_count, traffic.failed_count) == (1, 0)


@pytest.mark.parametrize("fate", [Fate.BOUNCED, Fate.COMPLAINED, Fate.DELIVERED])
@pytest.mark.parametrize("kind", [*OutboxMessage.PROBES, "test"])
def test_what_the_simulator_answers_alarms_nobody(kind: str, fate: Fate) -> None:
    verdict = verdict_on(left(kind, fate=fate), MailStatus())
    assert verdict
    assert verdict.tone == "info"
    assert "As intended: the mailbox simulator" in verdict.title


@pytest.mark.parametrize("fate", [None, Fate.SENT, Fate.DELIVERED, Fate.BOUNCED])
def test_nobody_looks_for_a_simulated_test_in_a_spam_folder(fate: Fate | None) -> None:
    verdict = verdict_on_test(left("test", fate=fate), MailStatus())
    assert verdict
    assert verdict.tone in {"ok", "info"}
    assert "spam folder" not in verdict.text
    assert "simulator" in verdict.title


def test_a_bounce_of_a_person_still_alarms() -> None:
    message = left("public_reply", "simulator.amazonses.com@larkfield.example")
    message.fate = Fate.BOUNCED
    verdict = verdict_on(message, MailStatus())
    assert verdict
    assert verdict.tone == "bad"


@PROBES
def test_doubt_about_a_probe_is_told_to_nobody(
    kind: str, brand: Brand, admin: Any
) -> None:
    assert kind in alerts.WITHOUT_ALERT
    claimed = make_claim(left(kind, state=State.QUEUED), make_settings())
    OutboxMessage.objects.update(lease_until=timezone.now() - timedelta(minutes=5))
    recovery.call_unknown_what_lost_its_lease()
    claimed.message.refresh_from_db()
    assert claimed.message.state == State.UNKNOWN
    assert not OutboxMessage.objects.filter(kind=alerts.IN_DOUBT).exists()
