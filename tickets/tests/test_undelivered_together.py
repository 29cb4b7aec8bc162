"""Several workers look for mail that did not arrive at the same time: each is told once."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection

from accounts.models import Role, User
from conftest import make_user
from email_settings import undelivered as below
from email_settings.models import OutboxMessage
from tickets import services, undelivered
from tickets.models import Notification, Ticket, TicketEvent
from tickets.tests.lost_mail import let_fare

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4
READERS = 24


@pytest.fixture
def lost(ticket: Ticket, agent: User) -> list[OutboxMessage]:
    """Many mails of one reply, all of which bounced."""
    for number in range(READERS - 1):
        person = make_user(
            f"p{number}@larkfield.example", f"P {number}", Role.REQUESTER
        )
        services.add_watcher(actor=agent, number=ticket.number, email=person.email)
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    return [
        let_fare(one.outbox_message, "Bounced")
        for one in Notification.objects.filter(comment=reply)
    ]


def run_together(work: Callable[[], None]) -> list[BaseException]:
    """Run the work in several threads that begin at once; return what they raised."""
    start = threading.Barrier(WORKERS)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            start.wait()
            work()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_each_is_told_once_and_the_agent_gets_one_mail(
    monkeypatch: pytest.MonkeyPatch, lost: list[OutboxMessage]
) -> None:
    monkeypatch.setattr(undelivered, "AT_ONCE", 5)
    taken: list[int] = []
    take = below.take_untold

    def take_slowly(limit: int) -> list[OutboxMessage]:
        found = take(limit)
        taken.extend(message.pk for message in found)
        time.sleep(0.02)  # the others look while this one has them
        return found

    monkeypatch.setattr(below, "take_untold", take_slowly)

    def work() -> None:
        while undelivered.tell_undelivered():
            pass

    assert run_together(work) == []
    while undelivered.tell_undelivered():  # what another one held just then
        pass
    assert Counter(taken) == Counter(message.pk for message in lost)
    assert OutboxMessage.objects.filter(kind="reply_undelivered").count() == 1
    kinds = TicketEvent.objects.filter(kind=TicketEvent.Kind.UNDELIVERED)
    assert sum(_people_in(event.old) for event in kinds) == READERS


def _people_in(text: str) -> int:
    """Return how many people the line names or counts."""
    named, _, others = text.partition(" and ")
    return len(named.split(", ")) + int(others.split(" ")[0] or 0 if others else 0)
