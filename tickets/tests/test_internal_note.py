"""Notes between agents."""

import uuid

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import services
from tickets.models import Ticket
from tickets.tests.builders import everything, last_mail, mails_since


def note(actor: User, ticket: Ticket, body: str = "Ask Northway.") -> None:
    services.add_internal_note(actor=actor, number=ticket.number, body=body)


def test_a_note_is_internal_and_in_the_history(ticket: Ticket, agent: User) -> None:
    note(agent, ticket)
    comment = ticket.comments.get(author=agent)
    assert comment.is_internal
    assert ticket.events.filter(kind="noted", actor=agent).count() == 1


def test_a_note_changes_nothing_that_the_requester_sees(
    ticket: Ticket, watcher: User, agent: User
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    before = Ticket.objects.values().get(pk=ticket.pk)
    last = last_mail()
    note(agent, ticket)
    assert Ticket.objects.values().get(pk=ticket.pk) == before
    assert mails_since(last) == []


@pytest.mark.parametrize(
    ("who", "error"),
    [
        ("requester", PermissionDenied),
        ("watcher", PermissionDenied),
        ("outsider", Http404),
    ],
)
def test_agents_alone_leave_notes(
    request: pytest.FixtureRequest,
    ticket: Ticket,
    watcher: User,
    who: str,
    error: type[Exception],
) -> None:
    actor = request.getfixturevalue(who)
    before = everything()
    with pytest.raises(error):
        note(actor, ticket)
    assert everything() == before


def test_a_closed_ticket_still_takes_notes(ticket: Ticket, agent: User) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    note(agent, ticket)
    assert ticket.comments.filter(visibility="internal").count() == 1


def test_an_empty_note_is_refused(ticket: Ticket, agent: User) -> None:
    before = everything()
    with pytest.raises(DomainError, match="text is empty"):
        note(agent, ticket, " ")
    assert everything() == before


def test_a_form_sent_twice_makes_one_note(ticket: Ticket, agent: User) -> None:
    key = uuid.uuid4()
    for _ in range(2):
        services.add_internal_note(
            actor=agent, number=ticket.number, body="Once.", submission_key=key
        )
    assert ticket.comments.filter(visibility="internal").count() == 1
