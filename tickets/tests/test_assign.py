"""Giving tickets to agents, and how urgent they are, and where they lie."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import services
from tickets.models import Queue, Ticket
from tickets.tests.builders import everything, last_mail, mails_since


def test_an_assigned_ticket_is_open_and_its_agent_knows(
    ticket: Ticket, agent: User, colleague: User
) -> None:
    last = last_mail()

    services.assign(actor=agent, number=ticket.number, assignee=colleague)

    ticket.refresh_from_db()
    assert ticket.assignee == colleague
    assert ticket.status == Ticket.Status.OPEN
    assert mails_since(last) == [("ticket_assigned", colleague.email)]
    events = ticket.events.exclude(kind="opened").values_list("kind", "old", "new")
    assert list(events) == [
        ("assigned", "", "Jonas Lindqvist"),
        ("status", "New", "Open"),
    ]


def test_taking_a_ticket_oneself_mails_nobody(ticket: Ticket, agent: User) -> None:
    last = last_mail()
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    assert mails_since(last) == []


def test_a_waiting_ticket_goes_on_waiting_with_its_new_agent(
    ticket: Ticket, agent: User
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="pending")
    changed = services.assign(actor=agent, number=ticket.number, assignee=agent)
    assert changed.status == Ticket.Status.PENDING


def test_a_ticket_can_be_given_back(ticket: Ticket, agent: User) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    last = last_mail()
    services.assign(actor=agent, number=ticket.number, assignee=None)
    ticket.refresh_from_db()
    assert ticket.assignee is None
    assert mails_since(last) == []


def test_assigning_the_same_agent_again_changes_nothing(
    ticket: Ticket, agent: User, colleague: User
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=colleague)
    before = everything()
    services.assign(actor=agent, number=ticket.number, assignee=colleague)
    assert everything() == before


def test_requesters_get_no_tickets_to_work_on(
    ticket: Ticket, agent: User, outsider: User
) -> None:
    before = everything()
    with pytest.raises(DomainError, match="only active agents"):
        services.assign(actor=agent, number=ticket.number, assignee=outsider)
    assert everything() == before


def test_a_deactivated_agent_gets_no_tickets(
    ticket: Ticket, agent: User, colleague: User
) -> None:
    colleague.is_active = False
    colleague.save()
    before = everything()
    with pytest.raises(DomainError, match="only active agents"):
        services.assign(actor=agent, number=ticket.number, assignee=colleague)
    assert everything() == before


def test_priority_has_its_place_in_the_history_and_mails_nobody(
    ticket: Ticket, agent: User
) -> None:
    last = last_mail()
    services.change_priority(
        actor=agent, number=ticket.number, priority=Ticket.Priority.URGENT
    )
    services.change_priority(
        actor=agent, number=ticket.number, priority=Ticket.Priority.URGENT
    )
    ticket.refresh_from_db()
    assert ticket.priority == Ticket.Priority.URGENT
    (event,) = ticket.events.filter(kind="priority")
    assert (event.actor, event.old, event.new) == (agent, "Normal", "Urgent")
    assert mails_since(last) == []


def test_an_unknown_priority_is_refused(ticket: Ticket, agent: User) -> None:
    before = everything()
    with pytest.raises(DomainError, match="priorities"):
        services.change_priority(actor=agent, number=ticket.number, priority=5)
    assert everything() == before


def test_a_ticket_moves_to_another_queue(
    ticket: Ticket, agent: User, queue: Queue
) -> None:
    payroll = Queue.objects.create(name="Payroll")
    services.change_queue(actor=agent, number=ticket.number, queue=payroll)
    ticket.refresh_from_db()
    assert ticket.queue == payroll
    (event,) = ticket.events.filter(kind="queue")
    assert (event.old, event.new) == ("IT Support", "Payroll")


def test_a_retired_queue_takes_no_tickets(ticket: Ticket, agent: User) -> None:
    retired = Queue.objects.create(name="Fax", is_active=False)
    before = everything()
    with pytest.raises(DomainError, match="Choose another queue"):
        services.change_queue(actor=agent, number=ticket.number, queue=retired)
    assert everything() == before


def test_a_closed_ticket_stays_as_it_is(
    ticket: Ticket, agent: User, colleague: User
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    payroll = Queue.objects.create(name="Payroll")
    before = everything()
    number = ticket.number
    with pytest.raises(DomainError, match="is closed"):
        services.assign(actor=agent, number=number, assignee=colleague)
    with pytest.raises(DomainError, match="is closed"):
        services.change_priority(actor=agent, number=number, priority=4)
    with pytest.raises(DomainError, match="is closed"):
        services.change_queue(actor=agent, number=number, queue=payroll)
    assert everything() == before


@pytest.mark.parametrize(
    ("who", "error"),
    [
        ("requester", PermissionDenied),
        ("watcher", PermissionDenied),
        ("outsider", Http404),
    ],
)
def test_agents_alone_manage_tickets(
    request: pytest.FixtureRequest,
    ticket: Ticket,
    watcher: User,
    agent: User,
    queue: Queue,
    who: str,
    error: type[Exception],
) -> None:
    actor, number = request.getfixturevalue(who), ticket.number
    before = everything()
    with pytest.raises(error):
        services.assign(actor=actor, number=number, assignee=agent)
    with pytest.raises(error):
        services.change_status(actor=actor, number=number, status="open")
    with pytest.raises(error):
        services.change_priority(actor=actor, number=number, priority=4)
    with pytest.raises(error):
        services.change_queue(actor=actor, number=number, queue=queue)
    assert everything() == before
