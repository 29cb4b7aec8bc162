"""What could not be read is read again, and becomes what it always was."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from email_settings.events import parse, replay, store
from email_settings.events.replay import read_again, read_all_again
from email_settings.models import DeliveryEvent, EventFeed, Fate, SesSettings
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.event_bodies import body

pytestmark = pytest.mark.django_db


def take_in(*bodies: str) -> None:
    store.store(bodies, installation=SesSettings.load().installation)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let everything be unreadable, as to a version that is too old; call it to end."""
    patch = pytest.MonkeyPatch()
    patch.setattr(store, "read", lambda text: parse.Reading(why_unreadable="Too new."))
    yield patch.undo
    patch.undo()


def count() -> int:
    return replay.unreadable().count()


def test_what_is_understood_now_takes_the_normal_road(blind: Any) -> None:
    sender = make_settings()
    claim = make_claim(message := make_message(), sender)
    EventFeed.objects.create(pk=EventFeed.ONLY_ID, unreadable_count=1)
    take_in(body(said.bounce(said.mail_of(message, claim.attempt))))
    assert count() == 1
    blind()
    event = replay.unreadable().get()
    outcome = read_again(event.pk)
    assert (outcome.read, outcome.tried) == (1, 1)
    message.refresh_from_db()
    assert message.fate == Fate.BOUNCED
    assert count() == 0
    feed = EventFeed.objects.get()
    assert (feed.event_count, feed.unreadable_count) == (1, 0)


def test_what_is_no_event_stays() -> None:
    make_settings()
    take_in("what is this?")
    event = replay.unreadable().get()
    assert read_again(event.pk).read == 0
    assert replay.unreadable().get().raw == "what is this?"


def test_three_of_five(panel: Client, blind: Any) -> None:
    make_settings()
    take_in(*(body(said.bounce(said.mail(messageId=f"0102-{n}"))) for n in range(3)))
    take_in("one", "two")
    blind()
    answer = panel.post(reverse("email_settings:events-read-all-again"), follow=True)
    assert "3 of 5 could be read." in answer.content.decode()
    assert count() == 2
    assert DeliveryEvent.objects.filter(kind="bounce").count() == 3


def test_cut_one_cannot_be_read_again_and_says_so(panel: Client) -> None:
    make_settings()
    take_in("x" * (parse.LONGEST_RAW + 1))
    event = replay.unreadable().get()
    shown = panel.get(reverse("email_settings:events")).content.decode()
    assert "Only its beginning was kept" in shown
    assert reverse("email_settings:events-read-again", args=[event.pk]) not in shown
    assert read_again(event.pk).read == 0
    assert read_all_again().tried == 0


def test_one_press_reads_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch, blind: Any
) -> None:
    make_settings()
    monkeypatch.setattr(replay, "MOST_AT_ONCE", 3)
    take_in(*(body(said.bounce(said.mail(messageId=f"0102-{n}"))) for n in range(5)))
    blind()
    assert read_all_again() == replay.Outcome(3, 5)
    assert read_all_again() == replay.Outcome(2, 2)


def test_what_can_never_be_read_stands_in_no_way_of_what_is_older(
    monkeypatch: pytest.MonkeyPatch, blind: Any
) -> None:
    make_settings()
    monkeypatch.setattr(replay, "MOST_AT_ONCE", 1)
    take_in(body(said.bounce()), "one", "two", "x" * (parse.LONGEST_RAW + 1))
    blind()
    assert read_all_again() == replay.Outcome(1, 3)


def test_one_that_cannot_be_kept_stays(
    monkeypatch: pytest.MonkeyPatch, blind: Any
) -> None:
    make_settings()
    take_in(body(said.bounce()))
    blind()

    def broken(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(store, "_keep", broken)
    assert read_all_again().read == 0
    assert count() == 1


def test_one_that_is_gone_is_told(panel: Client) -> None:
    make_settings()
    url = reverse("email_settings:events-read-again", args=[999])
    assert "0 of 1 could be read." in panel.post(url, follow=True).content.decode()


def test_one_is_read_by_its_button(panel: Client, blind: Any) -> None:
    make_settings()
    take_in(body(said.bounce()))
    blind()
    event = replay.unreadable().get()
    url = reverse("email_settings:events-read-again", args=[event.pk])
    assert url in panel.get(reverse("email_settings:events")).content.decode()
    assert "1 of 1 could be read." in panel.post(url, follow=True).content.decode()
    assert panel.get(url).status_code == 405
