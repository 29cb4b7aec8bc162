"""How a ticket moves on, and who may move it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import services, transitions
from tickets.models import Ticket
from tickets.tests.builders import everything, last_mail, mails_since

Status = Ticket.Status


def test_a_solved_ticket_has_its_time_and_its_requester_knows(
    ticket: Ticket, requester: User, agent: User
) -> None:
    last = last_mail()
    services.change_status(actor=agent, number=ticket.number, status="solved")
    ticket.refresh_from_db()
    assert ticket.solved_at is not None
    assert mails_since(last) == [("ticket_solved", requester.email)]
    (event,) = ticket.events.filter(kind="status")
    assert (event.actor, event.old, event.new) == (agent, "New", "Solved")


def test_closing_a_solved_ticket_mails_nobody_again(
    ticket: Ticket, agent: User
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="solved")
    ticket.refresh_from_db()
    solved_at, last = ticket.solved_at, last_mail()
    services.change_status(actor=agent, number=ticket.number, status="closed")
    ticket.refresh_from_db()
    assert ticket.solved_at == solved_at
    assert mails_since(last) == []


def test_the_requester_closes_and_reopens(
    ticket: Ticket, requester: User, agent: User
) -> None:
    last = last_mail()
    services.close_ticket(actor=requester, number=ticket.number)
    ticket.refresh_from_db()
    assert ticket.status == Status.SOLVED
    assert ticket.solved_at is not None
    services.reopen_ticket(actor=requester, number=ticket.number)
    ticket.refresh_from_db()
    assert ticket.status == Status.OPEN
    assert ticket.solved_at is None
    # Never for one's own action.
    assert mails_since(last) == []


def test_agents_close_and_reopen_too(
    ticket: Ticket, requester: User, agent: User
) -> None:
    last = last_mail()
    services.close_ticket(actor=agent, number=ticket.number)
    services.reopen_ticket(actor=agent, number=ticket.number)
    ticket.refresh_from_db()
    assert ticket.status == Status.OPEN
    assert mails_since(last) == [("ticket_solved", requester.email)]


def test_closing_twice_is_closing_once(ticket: Ticket, requester: User) -> None:
    services.close_ticket(actor=requester, number=ticket.number)
    before = everything()
    services.close_ticket(actor=requester, number=ticket.number)
    assert everything() == before


def test_a_watcher_decides_nothing(
    ticket: Ticket, watcher: User, outsider: User
) -> None:
    before = everything()
    with pytest.raises(PermissionDenied):
        services.close_ticket(actor=watcher, number=ticket.number)
    with pytest.raises(PermissionDenied):
        services.reopen_ticket(actor=watcher, number=ticket.number)
    with pytest.raises(Http404):
        services.close_ticket(actor=outsider, number=ticket.number)
    assert everything() == before


def test_closed_is_final(ticket: Ticket, requester: User, agent: User) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    before = everything()
    for status in set(Status) - {Status.CLOSED}:
        with pytest.raises(DomainError, match="is closed"):
            services.change_status(actor=agent, number=ticket.number, status=status)
    with pytest.raises(DomainError, match="Open a new one"):
        services.reopen_ticket(actor=requester, number=ticket.number)
    with pytest.raises(DomainError, match="Open a new one"):
        services.close_ticket(actor=requester, number=ticket.number)
    assert everything() == before


@pytest.mark.parametrize("status", ["new", "nonsense", ""])
def test_a_ticket_never_becomes_that(ticket: Ticket, agent: User, status: str) -> None:
    services.change_status(actor=agent, number=ticket.number, status="open")
    before = everything()
    with pytest.raises(DomainError, match="cannot become"):
        services.change_status(actor=agent, number=ticket.number, status=status)
    assert everything() == before


def test_a_requester_reopens_only_what_is_solved(
    ticket: Ticket, requester: User, agent: User
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="on_hold")
    before = everything()
    with pytest.raises(DomainError, match="cannot become open"):
        services.reopen_ticket(actor=requester, number=ticket.number)
    assert everything() == before


def test_every_status_has_its_moves_for_everybody() -> None:
    for table in transitions.MOVES.values():
        assert set(table) == set(Status)
        assert all(Status.NEW not in targets for targets in table.values())
        assert table[Status.CLOSED] == set()


@pytest.mark.django_db(transaction=True)
def test_a_reply_that_races_with_closing_comes_before_it_or_not_at_all(
    ticket: Ticket, requester: User, agent: User
) -> None:
    def attempt(change: Callable[[], object]) -> bool:
        try:
            change()
        except DomainError:
            return False
        finally:
            connection.close()
        return True

    def write() -> None:
        services.add_public_reply(actor=requester, number=ticket.number, body="Wait")

    def close() -> None:
        services.change_status(actor=agent, number=ticket.number, status="closed")

    with ThreadPoolExecutor(6) as pool:
        was_done = list(pool.map(attempt, [write, write, close, write, close, write]))

    ticket.refresh_from_db()
    assert ticket.status == Status.CLOSED
    assert ticket.comments.count() == 1 + was_done.count(True) - 2
    assert ticket.events.filter(kind="status", new="Closed").count() == 1
    assert ticket.events.last() == ticket.events.get(new="Closed")
