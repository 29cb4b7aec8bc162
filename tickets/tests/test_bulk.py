"""One change to the selected tickets."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from email_settings.models import OutboxMessage
from tickets import services
from tickets.bulk import HANDFUL
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket

URL = reverse("tickets:ticket-bulk")


@pytest.fixture
def agents_client(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


@pytest.fixture
def tickets(requester: User, queue: Queue) -> list[Ticket]:
    return [make_ticket(requester=requester, queue=queue) for _ in range(3)]


def post(client: Client, tickets: list[Ticket], do: str, **fields: Any) -> Any:
    said = {"ticket": [ticket.pk for ticket in tickets], "do": do, **fields}
    return client.post(URL, said)


@pytest.mark.parametrize(
    ("do", "field", "value"),
    [("status:on_hold", "status", "on_hold"), ("priority:4", "priority", 4)],
)
def test_changes_every_selected_ticket_and_no_other(
    agents_client: Client, tickets: list[Ticket], do: str, field: str, value: Any
) -> None:
    post(agents_client, tickets[:2], do)
    values = [getattr(ticket, field) for ticket in Ticket.objects.order_by("pk")]
    assert values[:2] == [value, value]
    assert values[2] == getattr(tickets[2], field)


def test_assigns_to_the_agent_who_asks(
    agents_client: Client, agent: User, tickets: list[Ticket]
) -> None:
    post(agents_client, tickets, "assign")
    assert {ticket.assignee for ticket in Ticket.objects.all()} == {agent}


def test_goes_back_to_the_same_list(
    agents_client: Client, tickets: list[Ticket]
) -> None:
    response = post(agents_client, tickets, "assign", back="view=open&sort=oldest")
    assert response["Location"] == "/tickets/?view=open&sort=oldest"


def test_never_leads_to_another_site(
    agents_client: Client, tickets: list[Ticket]
) -> None:
    response = post(agents_client, tickets, "assign", back="//evil.example/")
    assert response["Location"].startswith("/tickets/?")


def test_asks_first_when_it_sends_more_than_a_handful_of_mails(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    many = [make_ticket(requester=requester, queue=queue) for _ in range(HANDFUL + 1)]
    before = OutboxMessage.objects.count()
    text = post(agents_client, many, "status:solved").content.decode()
    assert "This sends 6\N{NO-BREAK SPACE}mails" in text
    assert set(Ticket.objects.values_list("status", flat=True)) == {"new"}
    assert OutboxMessage.objects.count() == before
    post(agents_client, many, "status:solved", is_confirmed="on")
    assert set(Ticket.objects.values_list("status", flat=True)) == {"solved"}
    assert OutboxMessage.objects.count() == before + HANDFUL + 1


def test_asks_before_even_one_ticket_is_closed_for_good(
    agents_client: Client, tickets: list[Ticket]
) -> None:
    text = post(agents_client, tickets[:1], "status:closed").content.decode()
    assert "for good" in text
    assert not Ticket.objects.filter(status="closed").exists()
    post(agents_client, tickets[:1], "status:closed", is_confirmed="on")
    assert Ticket.objects.get(status="closed") == tickets[0]


def test_does_not_ask_for_changes_that_send_nothing(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    many = [make_ticket(requester=requester, queue=queue) for _ in range(HANDFUL + 1)]
    assert post(agents_client, many, "status:open").status_code == 302
    assert post(agents_client, many, "assign").status_code == 302


def test_one_refusal_stops_no_other(
    agents_client: Client, agent: User, tickets: list[Ticket]
) -> None:
    closed = tickets[0]
    services.change_status(actor=agent, number=closed.number, status="closed")
    said = {"ticket": [ticket.pk for ticket in tickets], "do": "priority:4"}
    text = agents_client.post(URL, said, follow=True).content.decode()
    assert "2 tickets changed." in text
    assert f"#{closed.number} stays as it is. This ticket is closed." in text
    priorities = Ticket.objects.order_by("pk").values_list("priority", flat=True)
    assert list(priorities) == [2, 4, 4]


def test_many_refusals_do_not_hide_the_list(agents_client: Client) -> None:
    said = {"ticket": [str(number) for number in range(101, 106)], "do": "assign"}
    text = agents_client.post(URL, said, follow=True).content.decode()
    assert text.count("stays as it is.") == 3
    assert "Refused, too: #104, #105." in text


@pytest.mark.parametrize(
    "said",
    [
        {"do": "assign"},
        {"ticket": "x", "do": "assign"},
        {"ticket": "1", "do": "delete"},
        {"ticket": "1"},
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(
    agents_client: Client, tickets: list[Ticket], said: dict[str, str]
) -> None:
    assert agents_client.post(URL, said).status_code == 302
    assert not Ticket.objects.exclude(assignee=None).exists()


def test_a_number_that_is_gone_is_named(agents_client: Client, agent: User) -> None:
    said = {"ticket": "424242", "do": "assign"}
    text = agents_client.post(URL, said, follow=True).content.decode()
    assert "#424242 stays as it is." in text


def test_requesters_may_not(
    client: Client, requester: User, tickets: list[Ticket]
) -> None:
    client.force_login(requester)
    assert post(client, tickets, "status:solved").status_code == 403
    assert set(Ticket.objects.values_list("status", flat=True)) == {"new"}
