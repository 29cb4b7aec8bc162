"""Larkfield, the invented company: always the same, whole, and never mailed to."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F, Model, Q
from django.test import Client

from accounts.models import Role, User
from email_settings.models import Fate, OutboxMessage
from email_settings.suppression.standing import standing_of
from email_settings.undelivered import is_any_untold
from ticketflow.demo.company import PASSWORD
from ticketflow.demo.filling import fill
from tickets import search
from tickets.models import Comment, Queue, Ticket, TicketEvent, Watcher

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def seed(**options: Any) -> str:
    out = StringIO()
    call_command("seed_demo", stdout=out, **options)
    return out.getvalue()


def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows, but for keys and what holds them, which the database chooses."""
    models: list[type[Model]] = [User, Ticket, Comment, TicketEvent, OutboxMessage]
    return {
        model.__name__: [
            {
                name: value
                for name, value in row.items()
                if not name.endswith(("id", "password", "subject", "label", "path"))
            }
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in models
    }


def test_the_same_seed_gives_the_same_company() -> None:
    fill(tickets=30, users=20, seed=7, now=NOW)
    first = everything()
    for model in (Ticket, OutboxMessage, User, Queue):
        model._default_manager.all().delete()

    fill(tickets=30, users=20, seed=7, now=NOW)
    assert everything() == first


def test_one_reply_bounced_and_one_is_delayed() -> None:
    fill(tickets=60, users=20, seed=7, now=NOW)
    bounced = OutboxMessage.objects.get(fate=Fate.BOUNCED)
    assert OutboxMessage.objects.filter(fate=Fate.DELAYED).count() == 1
    (event,) = TicketEvent.objects.filter(kind=TicketEvent.Kind.UNDELIVERED)
    assert event.ticket.undelivered_comment is not None
    assert event.old == bounced.recipient_name
    assert standing_of(bounced.recipient)
    assert not is_any_untold()


def test_another_seed_gives_another_company() -> None:
    fill(tickets=30, users=20, seed=7, now=NOW)
    first = everything()
    for model in (Ticket, OutboxMessage, User, Queue):
        model._default_manager.all().delete()

    fill(tickets=30, users=20, seed=8, now=NOW)
    assert everything()["Comment"] != first["Comment"]


def test_numbers_are_as_asked_and_each_ticket_begins_with_its_request() -> None:
    seed(tickets=40, users=25)

    assert Ticket.objects.count() == 40
    assert User.objects.count() == 25
    assert User.objects.admins().count() == 1
    for ticket in Ticket.objects.all():
        opening = ticket.comments.first()
        assert opening is not None
        assert opening.author == ticket.requester
        assert not opening.is_internal
        assert ticket.events.filter(kind=TicketEvent.Kind.OPENED).count() == 1


def test_rows_agree_with_each_other() -> None:
    fill(tickets=120, users=30, seed=3, now=NOW)

    assert not Ticket.objects.filter(updated_at__lt=F("created_at")).exists()
    assert not Ticket.objects.filter(updated_at__gt=NOW).exists()
    assert not Ticket.objects.filter(~Q(status="new"), assignee=None).exists()
    assert not Comment.objects.filter(
        visibility=Comment.Visibility.INTERNAL, author__role=Role.REQUESTER
    ).exists()
    assert not Watcher.objects.filter(user=F("ticket__requester")).exists()
    notes = Comment.objects.filter(visibility=Comment.Visibility.INTERNAL)
    for ticket in Ticket.objects.all():
        last_public = ticket.comments.exclude(visibility="internal").last()
        assert last_public is not None
        assert ticket.snippet[:5] in last_public.body.replace("*", "").replace("`", "")
        last_move = ticket.events.filter(kind=TicketEvent.Kind.STATUS).last()
        if last_move:
            assert last_move.new == Ticket.Status(ticket.status).label
    assert notes.exists()


def test_no_mail_of_it_can_ever_leave() -> None:
    fill(tickets=60, users=20, seed=1, now=NOW)

    states = set(OutboxMessage.objects.values_list("state", flat=True))
    assert states == {OutboxMessage.State.SENT, OutboxMessage.State.HELD}
    addresses = OutboxMessage.objects.exclude(recipient__endswith="@larkfield.example")
    assert not addresses.exists()
    noted = OutboxMessage.objects.filter(
        text_body__in=Comment.objects.filter(visibility="internal").values("body")
    )
    assert not noted.exists()


def test_tickets_are_found_by_their_words() -> None:
    fill(tickets=30, users=20, seed=1, now=NOW)
    ticket = Ticket.objects.latest("pk")
    assert ticket in search.matching(Ticket.objects.all(), ticket.subject)


def test_logins_are_printed_and_work(client: Client) -> None:
    printed = seed(tickets=5, users=10)
    for role, email in [
        ("Admin", "ewa.kowalska@larkfield.example"),
        ("Agent", "maya.okafor@larkfield.example"),
        ("Requester", "hannah.brooks@larkfield.example"),
    ]:
        assert any(role in line and email in line for line in printed.splitlines())
        assert client.login(username=email, password=PASSWORD)
    assert PASSWORD in printed


def test_tickets_that_are_there_are_left_alone_unless_forced() -> None:
    seed(tickets=5, users=10)
    with pytest.raises(CommandError, match="There are tickets already"):
        seed(tickets=5, users=10)
    assert Ticket.objects.count() == 5

    seed(tickets=5, users=10, force=True)
    assert Ticket.objects.count() == 10
    assert User.objects.count() == 10
