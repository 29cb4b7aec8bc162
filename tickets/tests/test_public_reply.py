"""Answering where the requester reads it."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from conftest import make_user
from ticketflow.errors import DomainError
from tickets import services
from tickets.models import Ticket, Watcher
from tickets.tests.builders import everything, last_mail, mails_since, make_file

Status = Ticket.Status


def reply(
    actor: User, ticket: Ticket, body: str = "Done.", *, then_status: str = ""
) -> Ticket:
    services.add_public_reply(
        actor=actor, number=ticket.number, body=body, then_status=then_status
    )
    ticket.refresh_from_db()
    return ticket


def put(ticket: Ticket, status: str, agent: User) -> None:
    services.change_status(actor=agent, number=ticket.number, status=status)


def test_an_agents_reply_waits_for_the_requester(
    ticket: Ticket, requester: User, watcher: User, agent: User
) -> None:
    last = last_mail()

    reply(agent, ticket, "Switch it **off and on**.")

    assert ticket.status == Status.PENDING
    assert ticket.snippet == "Switch it off and on."
    assert mails_since(last) == [
        ("public_reply", requester.email),
        ("public_reply", watcher.email),
    ]
    comment = ticket.comments.get(author=agent)
    assert {row.recipient for row in comment.notifications.all()} == {
        requester,
        watcher,
    }


@pytest.mark.parametrize("status", ["open", "on_hold", "solved", "closed"])
def test_an_agent_may_choose_what_comes_next(
    ticket: Ticket, requester: User, agent: User, status: str
) -> None:
    last = last_mail()
    reply(agent, ticket, then_status=status)
    assert ticket.status == status
    assert (ticket.solved_at is not None) is (status in {"solved", "closed"})
    # One mail, even when the reply solves the ticket, too.
    assert mails_since(last) == [("public_reply", requester.email)]


@pytest.mark.parametrize("before", ["pending", "solved"])
def test_a_requesters_reply_takes_the_ticket_up_again(
    ticket: Ticket, requester: User, agent: User, before: str
) -> None:
    put(ticket, before, agent)
    reply(requester, ticket)
    assert ticket.status == Status.OPEN
    assert ticket.solved_at is None


def test_a_watchers_reply_takes_the_ticket_up_again(
    ticket: Ticket, requester: User, watcher: User, agent: User
) -> None:
    put(ticket, "pending", agent)
    last = last_mail()
    reply(watcher, ticket)
    assert ticket.status == Status.OPEN
    assert mails_since(last) == [("public_reply", requester.email)]


@pytest.mark.parametrize("before", ["new", "open", "on_hold"])
def test_a_requesters_further_words_leave_the_status_alone(
    ticket: Ticket, requester: User, agent: User, before: str
) -> None:
    if before != "new":
        put(ticket, before, agent)
    assert reply(requester, ticket).status == before


def test_a_requester_may_say_that_it_works_now(
    ticket: Ticket, requester: User, agent: User
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    last = last_mail()
    reply(requester, ticket, "Works now, thanks.", then_status="solved")
    assert ticket.status == Status.SOLVED
    assert mails_since(last) == [("public_reply", agent.email)]


@pytest.mark.parametrize(
    ("who", "then_status"),
    [
        ("requester", "on_hold"),
        ("requester", "closed"),
        ("watcher", "solved"),
        ("agent", "new"),
        ("agent", "nonsense"),
    ],
)
def test_nobody_moves_a_ticket_further_than_they_may(
    request: pytest.FixtureRequest,
    ticket: Ticket,
    watcher: User,
    agent: User,
    who: str,
    then_status: str,
) -> None:
    put(ticket, "open", agent)
    before = everything()
    with pytest.raises(DomainError, match="cannot become"):
        reply(request.getfixturevalue(who), ticket, then_status=then_status)
    assert everything() == before


@pytest.mark.parametrize("who", ["requester", "watcher", "agent"])
def test_a_closed_ticket_refuses_replies(
    request: pytest.FixtureRequest, ticket: Ticket, watcher: User, agent: User, who: str
) -> None:
    put(ticket, "closed", agent)
    before = everything()
    with pytest.raises(DomainError) as refusal:
        reply(request.getfixturevalue(who), ticket)
    assert str(refusal.value) == (
        f"This ticket is closed. Open a new one and mention #{ticket.number}."
    )
    assert everything() == before


def test_a_foreign_ticket_is_not_there(ticket: Ticket, outsider: User) -> None:
    before = everything()
    with pytest.raises(Http404):
        reply(outsider, ticket)
    assert everything() == before


def test_a_deactivated_person_writes_no_more(ticket: Ticket, requester: User) -> None:
    requester.is_active = False
    requester.save()
    before = everything()
    with pytest.raises(Http404):
        reply(requester, ticket)
    assert everything() == before


@pytest.mark.parametrize("body", ["", " \n\t", "\x00", "x" * 50_001])
def test_no_words_and_too_many_are_refused(
    ticket: Ticket, agent: User, body: str
) -> None:
    before = everything()
    with pytest.raises(DomainError):
        reply(agent, ticket, body)
    assert everything() == before


def test_a_form_sent_twice_makes_one_reply(ticket: Ticket, agent: User) -> None:
    key = uuid.uuid4()
    first = services.add_public_reply(
        actor=agent, number=ticket.number, body="Done.", submission_key=key
    )
    before = everything()
    again = services.add_public_reply(
        actor=agent, number=ticket.number, body="Done.", submission_key=key
    )
    assert again == first
    assert everything() == before


def test_a_form_key_works_on_its_own_ticket_only(
    ticket: Ticket, requester: User, agent: User
) -> None:
    key = uuid.uuid4()
    services.add_public_reply(
        actor=agent, number=ticket.number, body="Done.", submission_key=key
    )
    before = everything()
    with pytest.raises(DomainError, match="was sent before"):
        services.add_public_reply(
            actor=requester, number=ticket.number, body="Mine", submission_key=key
        )
    assert everything() == before


def test_an_agent_who_asks_is_a_requester_on_that_ticket(
    ticket: Ticket, agent: User
) -> None:
    ticket.requester = agent
    ticket.status = Status.PENDING
    ticket.save()
    assert reply(agent, ticket).status == Status.OPEN


def test_telling_many_takes_no_more_queries_than_telling_few(
    ticket: Ticket, agent: User
) -> None:
    def watch(name: str) -> None:
        person = make_user(f"{name}@larkfield.example", name, Role.REQUESTER)
        Watcher.objects.create(ticket=ticket, user=person)

    def queries_of_a_reply() -> int:
        with CaptureQueriesContext(connection) as queries:
            reply(agent, ticket, then_status="open")
        return len(queries)

    reply(agent, ticket, then_status="open")
    watch("ann")
    watch("ben")  # from two on, one statement stores what they read
    few = queries_of_a_reply()
    for number in range(20):
        watch(f"w{number}")
    assert queries_of_a_reply() == few


def test_a_fault_at_any_statement_leaves_nothing_behind(
    ticket: Ticket, watcher: User, agent: User, stored_files: Path
) -> None:
    def reply_failing_at(statement: int) -> bool:
        """Answer with a file while one statement fails; tell whether it was reached."""
        count = 0

        def fail(execute: Callable[..., Any], sql: str, params: Any, *more: Any) -> Any:
            nonlocal count
            count += 1
            if count == statement:
                raise DatabaseError("disk I/O error")
            return execute(sql, params, *more)

        with connection.execute_wrapper(fail):
            try:
                services.add_public_reply(
                    actor=agent,
                    number=ticket.number,
                    body="Done.",
                    files=[make_file()],
                )
            except DatabaseError:
                return True
        return False

    before, on_disk = everything(), set(stored_files.rglob("*/*"))
    statement = 1
    while reply_failing_at(statement):
        assert everything() == before
        assert set(stored_files.rglob("*/*")) == on_disk
        statement += 1
    assert statement > 10
    assert ticket.comments.count() == 2
