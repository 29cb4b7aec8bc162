"""One message on its way to the gateway, and who is told what about it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from email_settings.delivery import send as sending
from email_settings.delivery.claim import LATEST_START, Claim, uptime
from email_settings.delivery.settle import Outcome
from email_settings.delivery.slots import Slots
from email_settings.models import SesSettings
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway

pytestmark = pytest.mark.django_db


class Notes:
    """Stands in for the journal, the pace and the gateway; says who was asked when."""

    ahead = 1
    is_away = False

    def __init__(self, *, lets_start: bool = True) -> None:
        self.told: list[str] = []
        self.lets_start = lets_start
        self.gateway = FakeGateway()

    def take(self, stopping: threading.Event, *, seconds: float) -> bool:
        self.told.append("turn")
        return True

    def may_start(self, attempt: object) -> bool:
        self.told.append("noted")
        return self.lets_start

    def accepted(self, attempt: object, ses_message_id: str) -> None:
        self.told.append(f"accepted {ses_message_id}")

    def send(self, outgoing: Any) -> str:
        self.told.append("call")
        return self.gateway.send(outgoing)


def make(**changes: Any) -> Claim:
    return replace(make_claim(make_message(), SesSettings.load()), **changes)


def send(
    claim: Claim,
    notes: Notes,
    *,
    is_called_off: Callable[[], bool] = lambda: False,
) -> Outcome:
    journal: Any = notes
    return sending.send(
        claim,
        journal=journal,
        choose_gateway=lambda sender: notes,
        pace=notes,
        stopping=threading.Event(),
        started=lambda: notes.told.append("started"),
        is_called_off=is_called_off,
    )


def code_of(outcome: Outcome) -> str:
    assert outcome.error
    return outcome.error.problem.code


def test_the_journal_is_told_before_the_call_and_after() -> None:
    make_settings()
    notes = Notes()
    outcome = send(make(), notes)
    assert outcome.ses_message_id == "fake-1"
    assert notes.told == ["turn", "started", "noted", "call", "accepted fake-1"]


def test_rehearsal_is_not_noted_before_its_call() -> None:
    SesSettings.load()
    notes = Notes()
    send(make(), notes)
    assert "noted" not in notes.told
    assert "call" in notes.told


def test_no_call_is_made_that_the_journal_can_not_note() -> None:
    make_settings()
    notes = Notes(lets_start=False)
    assert code_of(send(make(), notes)) == "not_started"
    assert "call" not in notes.told


def test_no_call_is_made_that_could_outlast_its_lease() -> None:
    make_settings()
    notes = Notes()
    late = make(claimed_at=uptime() - LATEST_START.total_seconds())
    assert code_of(send(late, notes)) == "not_started"
    assert notes.told == ["turn", "started"]


def test_what_is_called_off_takes_no_turn() -> None:
    make_settings()
    notes = Notes()
    assert code_of(send(make(), notes, is_called_off=lambda: True)) == "called_off"
    assert notes.told == ["started"]


def test_what_is_called_off_while_it_waits_for_its_turn_makes_no_call() -> None:
    make_settings()
    notes = Notes()
    outcome = send(make(), notes, is_called_off=lambda: "turn" in notes.told)
    assert code_of(outcome) == "called_off"
    assert notes.told == ["turn", "started"]


def test_pump_learns_that_it_waits_no_more_whatever_the_reason() -> None:
    """Else there would be room for one less until the end of the run."""
    make_settings()

    class Broken(Notes):
        def take(self, stopping: threading.Event, *, seconds: float) -> bool:
            raise ZeroDivisionError("a bug")

    notes = Broken()
    assert code_of(send(make(), notes)) == "sender_failed"
    assert notes.told == ["started"]


def test_mail_that_can_not_be_built_takes_no_turn() -> None:
    make_settings()
    notes = Notes()
    broken = make()
    broken.message.subject = "Hello\nBcc: all@larkfield.example"
    assert code_of(send(broken, notes)) == "header_refused"
    assert notes.told == ["started"]


# The slots


def test_threads_are_made_once_and_keep_no_process_from_ending() -> None:
    slots = Slots(3)
    done = threading.Semaphore(0)
    slots.submit(done.release)
    made = slots._threads
    for _ in range(9):
        slots.submit(done.release)
    for _ in range(10):
        assert done.acquire(timeout=10)
    assert slots._threads is made
    assert [one.daemon for one in made] == [True] * 3
