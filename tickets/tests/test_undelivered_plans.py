"""What was not delivered is found by an index, on both databases."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from email_settings.models import OutboxMessage
from email_settings.tests.builders import begin_with_an_empty_file
from email_settings.undelivered import is_any_untold, take_untold
from ticketflow.lib.many_rows import insert_copies
from tickets import services, views_catalogue
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket
from tickets.tests.lost_mail import let_fare, mail_to
from tickets.undelivered import tell_undelivered

pytestmark = pytest.mark.django_db

MANY = 3000


def analyze(*models: type[Any]) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for model in models:
                cursor.execute(f"ANALYZE {model._meta.db_table}")


@contextmanager
def explained(table: str) -> Iterator[list[str]]:
    """Collect how each statement about the table finds its rows."""
    plans: list[str] = []
    how = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    is_explaining = False

    def explain(
        execute: Callable[..., Any], sql: str, params: Any, *others: Any
    ) -> Any:
        nonlocal is_explaining
        if re.match(r"\s*SELECT", sql) and table in sql and not is_explaining:
            is_explaining = True
            with connection.cursor() as cursor:
                cursor.execute(how + sql, params)
                plans.append("\n".join(str(line[-1]) for line in cursor.fetchall()))
            is_explaining = False
        return execute(sql, params, *others)

    with connection.execute_wrapper(explain):
        yield plans


def test_the_look_for_untold_mail_reads_its_partial_index() -> None:
    begin_with_an_empty_file(OutboxMessage)
    now = timezone.now()
    insert_copies(
        OutboxMessage(subject="Hi", kind="public_reply", sent_at=now),
        [
            {
                "uid": uuid.uuid4(),
                "recipient": f"p{number}@x.example",
                "state": "sent",
                "fate": 6 if number % 300 == 0 else 4,
                # Nearly all that bounced was told long ago.
                "undelivered_told_at": None if number % 600 == 0 else now,
            }
            for number in range(MANY)
        ],
    )
    analyze(OutboxMessage)
    with explained(OutboxMessage._meta.db_table) as plans:
        assert is_any_untold()
        assert len(take_untold()) == 5
    for plan in plans[:2]:
        assert "outbox_undelivered" in plan, plan
        assert "outbox_fate_newest" not in plan
        assert "TEMP B-TREE" not in plan


@pytest.fixture
def tickets(agent: User, requester: User, queue: Queue) -> list[Ticket]:
    """Very many tickets, a few of which have a reply that did not arrive."""
    begin_with_an_empty_file(Ticket)
    now = timezone.now()
    insert_copies(
        Ticket(subject="Hi", requester=requester, queue=queue, updated_at=now),
        [{"uid": uuid.uuid4(), "status": "open"} for _ in range(MANY)],
    )
    lost = []
    for _ in range(3):
        ticket = make_ticket(requester=requester, queue=queue)
        reply = services.add_public_reply(
            actor=agent, number=ticket.number, body="Hello"
        )
        let_fare(mail_to(reply, requester), "Bounced")
        lost.append(ticket)
    tell_undelivered()
    analyze(Ticket, OutboxMessage)
    return lost


def test_the_view_and_its_count_read_their_partial_index(
    tickets: list[Ticket], agent: User
) -> None:
    with explained(Ticket._meta.db_table) as plans:
        view = views_catalogue.VIEWS["undelivered"]
        found = view.tickets(Ticket.objects.visible_to(agent), agent)
        assert len(found.order_by("-updated_at", "-id")[:51]) == len(tickets)
    (plan,) = plans
    assert "ticket_undelivered" in plan, plan
    with explained(Ticket._meta.db_table) as plans:
        assert views_catalogue.counts(agent)["undelivered"] == len(tickets)
    (plan,) = plans
    assert "ticket_undelivered" in plan, plan


def test_the_list_shows_the_mark_without_looking_through_mail(
    client: Client, tickets: list[Ticket], agent: User
) -> None:
    client.force_login(agent)
    table = OutboxMessage._meta.db_table
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # so small a table
    with explained(table) as plans:
        text = client.get(reverse("tickets:ticket-list")).content.decode()
    assert text.count("tk-lost") == len(tickets)
    assert plans
    for plan in plans:
        assert not re.search(rf"Seq Scan on {table}|\bSCAN {table}(?! USING)", plan)
