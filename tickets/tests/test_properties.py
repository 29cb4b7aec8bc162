"""Status, priority, assignee and queue, beside the conversation."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tickets import services
from tickets.models import Queue, Ticket


@pytest.fixture
def agents_client(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


def as_on_page(ticket: Ticket) -> dict[str, Any]:
    """Return what a browser sends when nothing was changed."""
    values = {
        "status": ticket.status,
        "priority": ticket.priority,
        "assignee": ticket.assignee_id or "",
        "queue": ticket.queue_id,
    }
    return values | {f"initial-{name}": value for name, value in values.items()}


def post(client: Client, ticket: Ticket, **changes: Any) -> Any:
    address = reverse("tickets:ticket-properties", args=[ticket.number])
    return client.post(address, as_on_page(ticket) | changes)


@pytest.mark.parametrize(
    ("field", "value"), [("status", "on_hold"), ("priority", 4), ("queue", None)]
)
def test_a_change_is_saved_with_one_line_of_history(
    agents_client: Client, ticket: Ticket, field: str, value: Any
) -> None:
    value = value or Queue.objects.create(name="Facilities").pk
    before = ticket.events.count()
    assert post(agents_client, ticket, **{field: value}).status_code == 302
    ticket.refresh_from_db()
    saved = ticket.queue_id if field == "queue" else getattr(ticket, field)
    assert saved == value
    assert ticket.events.count() == before + 1


def test_a_ticket_is_given_to_an_agent_and_back_to_nobody(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    post(agents_client, ticket, assignee=agent.pk)
    ticket.refresh_from_db()
    assert ticket.assignee == agent
    post(agents_client, ticket, assignee="")
    ticket.refresh_from_db()
    assert ticket.assignee is None


def test_nothing_changed_is_nothing_done(agents_client: Client, ticket: Ticket) -> None:
    before = ticket.events.count()
    assert post(agents_client, ticket).status_code == 302
    assert ticket.events.count() == before


def test_a_stale_page_does_not_undo_what_a_colleague_did(
    agents_client: Client, admin: User, ticket: Ticket
) -> None:
    stale = as_on_page(ticket)
    services.change_status(actor=admin, number=ticket.number, status="on_hold")
    agents_client.post(
        reverse("tickets:ticket-properties", args=[ticket.number]),
        stale | {"priority": 4},
    )
    ticket.refresh_from_db()
    assert (ticket.status, ticket.priority) == ("on_hold", 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "nonsense"), ("priority", 9), ("assignee", 99999), ("queue", "x")],
)
def test_values_that_are_not_offered_are_refused(
    agents_client: Client, ticket: Ticket, field: str, value: Any
) -> None:
    response = post(agents_client, ticket, **{field: value})
    assert response.status_code == 200
    assert "Select a valid choice" in response.content.decode()
    ticket.refresh_from_db()
    assert as_on_page(ticket) == as_on_page(Ticket.objects.get())
    assert ticket.events.count() == 1


def test_requesters_are_never_offered_as_assignees(
    agents_client: Client, requester: User, ticket: Ticket
) -> None:
    post(agents_client, ticket, assignee=requester.pk)
    ticket.refresh_from_db()
    assert ticket.assignee is None


def test_a_closed_ticket_stays_as_it_is(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    ticket.refresh_from_db()
    address = reverse("tickets:ticket-properties", args=[ticket.number])
    response = agents_client.post(
        address, as_on_page(ticket) | {"priority": 4}, follow=True
    )
    assert "This ticket is closed." in response.content.decode()
    ticket.refresh_from_db()
    assert ticket.priority == 2


def test_only_agents_may(
    client: Client, requester: User, outsider: User, ticket: Ticket
) -> None:
    client.force_login(requester)
    assert post(client, ticket, priority=4).status_code == 403
    client.force_login(outsider)
    assert post(client, ticket, priority=4).status_code == 403
    ticket.refresh_from_db()
    assert ticket.priority == 2
