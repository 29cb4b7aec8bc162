"""Mail that is over is removed when an admin says so, and nothing else ever is."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings import retention
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_message, make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


def aged(state: State, days: float) -> OutboxMessage:
    """A message in that state, written so many days ago."""
    message = make_message()
    now = timezone.now()
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=state,
        created_at=now - timedelta(days=days),
        sent_at=now - timedelta(days=days) if state == State.SENT else None,
        claim_token="x" if state == State.SENDING else "",
        lease_until=now if state == State.SENDING else None,
    )
    DeliveryAttempt.objects.create(message=message, number=1)
    return message


def keep_for(days: int | None) -> None:
    make_settings()
    SesSettings.objects.update(retention_days=days)


def test_what_is_over_and_too_old_goes_with_its_attempts() -> None:
    keep_for(90)
    for state in OutboxMessage.FINAL_STATES:
        aged(state, days=91)
    young = aged(State.SENT, days=89)
    assert retention.how_many_would_go(90) == 4
    assert retention.prune() == 4
    assert list(OutboxMessage.objects.all()) == [young]
    assert DeliveryAttempt.objects.count() == 1
    row = SesSettings.load()
    assert row.pruned_count == 4
    assert row.pruned_at


@pytest.mark.parametrize(
    "state", [State.QUEUED, State.SENDING, State.HELD, State.UNKNOWN]
)
def test_what_is_not_over_stays_however_old(state: State) -> None:
    keep_for(90)
    aged(state, days=4000)
    assert retention.prune() == 0
    assert OutboxMessage.objects.count() == 1


def test_nothing_goes_while_mail_is_kept_for_ever() -> None:
    keep_for(None)
    aged(State.SENT, days=4000)
    assert retention.prune() == 0
    assert OutboxMessage.objects.count() == 1


def test_many_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    keep_for(90)
    for _ in range(5):
        aged(State.SENT, days=100)
    assert retention.prune() == 5
    assert SesSettings.load().pruned_count == 5


def test_it_is_done_once_a_day() -> None:
    keep_for(90)
    aged(State.SENT, days=100)
    assert retention.prune() == 1
    aged(State.SENT, days=100)
    assert retention.prune() == 0
    SesSettings.objects.update(pruned_at=timezone.now() - timedelta(hours=25))
    assert retention.prune() == 1


def test_page_says_what_was_removed(panel: Client) -> None:
    keep_for(90)
    url = reverse("email_settings:settings")
    assert "Old mail was last looked for" not in panel.get(url).content.decode()
    aged(State.SENT, days=100)
    retention.prune()
    page = panel.get(url).content.decode()
    assert "1\xa0message was removed" in page
