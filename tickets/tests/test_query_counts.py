"""Pages cost the same number of queries, however much there is to show."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from tickets import services
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_file, make_ticket

LIST = reverse("tickets:ticket-list")
MOST_ON_LIST = 8
MOST_ON_TICKET = 12


def cost(client: Client, address: str) -> int:
    """Return how many queries the page takes when it is asked for again."""
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def fill(ticket: Ticket, agent: User, requester: User, rounds: int) -> None:
    for index in range(rounds):
        services.add_public_reply(
            actor=requester, number=ticket.number, body="Still", files=[make_file()]
        )
        services.add_internal_note(actor=agent, number=ticket.number, body="Hm")
        services.add_public_reply(actor=agent, number=ticket.number, body=f"{index}")
        services.change_priority(
            actor=agent, number=ticket.number, priority=3 + index % 2
        )


@pytest.mark.parametrize(
    "query", ["", "?view=mine", "?q=vpn", "?status=new&sort=priority"]
)
def test_the_list(
    client: Client, agent: User, requester: User, queue: Queue, query: str
) -> None:
    client.force_login(agent)
    first = make_ticket(requester=requester, queue=queue)
    if "mine" in query:
        services.assign(actor=agent, number=first.number, assignee=agent)
    small = cost(client, LIST + query)
    for index in range(12):
        other = Queue.objects.create(name=f"Queue {index}")
        one = make_ticket(requester=requester, queue=other)
        services.assign(actor=agent, number=one.number, assignee=agent)
    assert cost(client, LIST + query) == small <= MOST_ON_LIST


@pytest.mark.parametrize("who", ["agent", "admin", "requester"])
def test_the_ticket(
    client: Client,
    request: pytest.FixtureRequest,
    agent: User,
    requester: User,
    outsider: User,
    ticket: Ticket,
    who: str,
) -> None:
    client.force_login(request.getfixturevalue(who))
    address = reverse("tickets:ticket-detail", args=[ticket.number])
    fill(ticket, agent, requester, rounds=1)
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    make_ticket(requester=requester, queue=ticket.queue)
    small = cost(client, address)
    fill(ticket, agent, requester, rounds=8)
    for index in range(5):
        make_ticket(requester=requester, queue=ticket.queue, subject=f"Other {index}")
    assert cost(client, address) == small <= MOST_ON_TICKET


def test_my_tickets(client: Client, requester: User, queue: Queue) -> None:
    client.force_login(requester)
    make_ticket(requester=requester, queue=queue)
    small = cost(client, LIST)
    for _ in range(12):
        make_ticket(requester=requester, queue=queue)
    assert cost(client, LIST) == small <= MOST_ON_LIST
