"""Replies and notes as agents write them."""

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from email_settings.models import OutboxMessage
from tickets import services
from tickets.models import Comment, Queue, Ticket
from tickets.tests.builders import make_file, make_ticket


@pytest.fixture
def agents_client(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


def post(client: Client, ticket: Ticket, **fields: Any) -> Any:
    said = {
        "kind": "reply",
        "body": "Try the legacy profile.",
        "then": "pending",
        "submission_key": str(uuid.uuid4()),
        "seen": str(newest(ticket)),
        **fields,
    }
    return client.post(reverse("tickets:ticket-reply", args=[ticket.number]), said)


def newest(ticket: Ticket) -> int:
    return ticket.comments.filter(visibility="public").latest("pk").pk


def bodies(ticket: Ticket) -> list[str]:
    return [comment.body for comment in ticket.comments.all()]


def test_a_reply_is_saved_and_its_status_set(
    agents_client: Client, ticket: Ticket
) -> None:
    response = post(agents_client, ticket, then="on_hold")
    assert response.status_code == 302
    comment = ticket.comments.latest("pk")
    assert response["Location"] == f"/tickets/{ticket.number}/#comment-{comment.pk}"
    ticket.refresh_from_db()
    assert ticket.status == "on_hold"
    assert bodies(ticket) == ["It began this morning.", "Try the legacy profile."]


def test_an_agent_who_answers_their_own_new_ticket_leaves_it_new(
    agents_client: Client, agent: User, queue: Queue
) -> None:
    own = make_ticket(requester=agent, queue=queue)
    page = agents_client.get(reverse("tickets:ticket-detail", args=[own.number]))
    then = page.context["reply_form"]["then"].value()
    post(agents_client, own, then=then)
    own.refresh_from_db()
    assert own.status == "new"


def test_a_note_stays_a_note_and_mails_nobody(
    agents_client: Client, ticket: Ticket
) -> None:
    before = OutboxMessage.objects.count()
    post(agents_client, ticket, kind="note", body="Gateway", then="solved")
    ticket.refresh_from_db()
    assert ticket.status == "new"
    assert ticket.comments.get(body="Gateway").visibility == "internal"
    assert OutboxMessage.objects.count() == before


def test_files_come_along(agents_client: Client, ticket: Ticket) -> None:
    files = [make_file("one.png"), make_file("two.png")]
    post(agents_client, ticket, files=files)
    names = ticket.comments.latest("pk").attachments.values_list("file_name", flat=True)
    assert list(names) == ["one.png", "two.png"]


def test_the_same_form_twice_is_one_reply(
    agents_client: Client, ticket: Ticket
) -> None:
    key, seen = str(uuid.uuid4()), str(newest(ticket))
    for _ in range(2):
        response = post(agents_client, ticket, submission_key=key, seen=seen)
        assert response.status_code == 302
    assert len(bodies(ticket)) == 2
    assert OutboxMessage.objects.filter(kind="public_reply").count() == 1


@pytest.mark.parametrize(
    "second",
    [{"body": "Try the modern one."}, {"kind": "note"}, {"files": [make_file()]}],
    ids=["words", "kind", "files"],
)
def test_a_form_that_back_brought_again_loses_nothing_new(
    agents_client: Client, ticket: Ticket, second: dict[str, Any]
) -> None:
    key, seen = str(uuid.uuid4()), str(newest(ticket))
    post(agents_client, ticket, submission_key=key, seen=seen)
    post(agents_client, ticket, submission_key=key, seen=seen, **second)
    assert len(bodies(ticket)) == 3


@pytest.mark.parametrize("kind", ["reply", "note"])
def test_an_empty_text_is_refused(
    agents_client: Client, ticket: Ticket, kind: str
) -> None:
    response = post(agents_client, ticket, kind=kind, body="  \n ")
    assert response.status_code == 200
    assert "The reply is empty." in response.content.decode()
    assert len(bodies(ticket)) == 1


def test_a_refused_file_keeps_the_text_and_asks_for_the_files_again(
    agents_client: Client, ticket: Ticket
) -> None:
    liar = make_file("photo.png", b"MZ this is a program")
    response = post(agents_client, ticket, body="Look at this", files=[liar])
    text = response.content.decode()
    assert "“photo.png” is not what its name says." in text
    assert "Look at this</textarea>" in text
    assert "Choose your files again" in text
    assert len(bodies(ticket)) == 1


def test_a_closed_ticket_keeps_the_text_and_says_what_to_do(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    response = post(agents_client, ticket, body="A long and careful answer")
    text = response.content.decode()
    assert response.status_code == 200
    assert f"Open a new one and mention #{ticket.number}." in text
    assert "A long and careful answer</textarea>" in text
    assert len(bodies(ticket)) == 1


@pytest.fixture
def seen(ticket: Ticket) -> str:
    return str(newest(ticket))


def test_a_reply_that_crossed_is_stopped_and_shown_under_the_newer_message(
    agents_client: Client, requester: User, ticket: Ticket, seen: str
) -> None:
    services.add_public_reply(
        actor=requester, number=ticket.number, body="It works again, thank you"
    )
    before = OutboxMessage.objects.count()
    response = post(agents_client, ticket, seen=seen, body="Please restart it")
    text = response.content.decode()
    assert response.status_code == 200
    assert "Hannah Brooks wrote while you were writing" in text
    assert "It works again, thank you" in text
    assert "Please restart it</textarea>" in text
    assert "Send anyway" in text
    assert "Please restart it" not in bodies(ticket)
    assert OutboxMessage.objects.count() == before


def test_a_stopped_reply_goes_when_it_is_sent_from_there(
    agents_client: Client, requester: User, ticket: Ticket, seen: str
) -> None:
    services.add_public_reply(
        actor=requester, number=ticket.number, body="One more thing"
    )
    stopped = post(agents_client, ticket, seen=seen)
    shown = stopped.context["timeline"].newest_id
    assert f'name="seen" value="{shown}"' in stopped.content.decode()
    response = post(agents_client, ticket, seen=shown)
    assert response.status_code == 302
    assert bodies(ticket)[-1] == "Try the legacy profile."


def test_a_colleagues_reply_stops_it_too(
    agents_client: Client, admin: User, ticket: Ticket, seen: str
) -> None:
    services.add_public_reply(actor=admin, number=ticket.number, body="Done")
    response = post(agents_client, ticket, seen=seen)
    assert "Ewa Kowalska wrote while you were writing" in response.content.decode()


def test_ones_own_words_and_notes_stop_nothing(
    agents_client: Client,
    agent: User,
    admin: User,
    ticket: Ticket,
    seen: str,
) -> None:
    services.add_public_reply(actor=agent, number=ticket.number, body="First")
    services.add_internal_note(actor=admin, number=ticket.number, body="Psst")
    assert post(agents_client, ticket, seen=seen).status_code == 302


def test_a_note_is_never_stopped(
    agents_client: Client, requester: User, ticket: Ticket, seen: str
) -> None:
    services.add_public_reply(actor=requester, number=ticket.number, body="Hello?")
    assert post(agents_client, ticket, kind="note", seen=seen).status_code == 302


@pytest.mark.parametrize(
    "field",
    ["author", "author_id", "visibility", "ticket_id", "created_at", "is_internal"],
)
def test_fields_that_are_not_in_the_form_change_nothing(
    agents_client: Client, agent: User, outsider: User, ticket: Ticket, field: str
) -> None:
    post(agents_client, ticket, **{field: str(outsider.pk)})
    comment = Comment.objects.latest("pk")
    assert comment.author == agent
    assert comment.visibility == "public"
    assert comment.ticket == ticket
