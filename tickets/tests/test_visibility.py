"""Who sees which ticket; and that internal notes reach agents only."""

from collections.abc import Callable

import pytest
from django.db import models
from django.http import Http404

from accounts.models import Role, User
from email_settings.models import OutboxMessage
from tickets import access, search, services
from tickets.models import Attachment, Comment, Notification, Queue, Ticket, TicketEvent
from tickets.tests.builders import make_file, make_ticket

CANARY = "zanzibar"


@pytest.fixture
def noted(ticket: Ticket, watcher: User, agent: User, colleague: User) -> Ticket:
    """A ticket with a note, and all that may happen after one."""
    number = ticket.number
    services.assign(actor=agent, number=number, assignee=colleague)
    services.add_internal_note(
        actor=agent,
        number=number,
        body=f"The {CANARY} is down",
        files=[make_file(f"{CANARY}.png")],
    )
    services.add_public_reply(actor=agent, number=number, body="Looking into it.")
    services.assign(actor=agent, number=number, assignee=agent)
    services.change_status(actor=agent, number=number, status="solved")
    services.reopen_ticket(actor=ticket.requester, number=number)
    services.add_public_reply(actor=ticket.requester, number=number, body="Still bad.")
    ticket.refresh_from_db()
    return ticket


def test_people_see_what_they_asked_for_and_what_they_watch(
    ticket: Ticket,
    requester: User,
    watcher: User,
    outsider: User,
    agent: User,
    admin: User,
    queue: Queue,
) -> None:
    foreign = make_ticket(requester=outsider, queue=queue)
    seen = {
        requester: {ticket},
        watcher: {ticket},
        outsider: {foreign},
        agent: {ticket, foreign},
        admin: {ticket, foreign},
    }
    for person, tickets in seen.items():
        assert set(Ticket.objects.visible_to(person)) == tickets


def test_foreign_and_missing_tickets_look_the_same(
    ticket: Ticket, outsider: User
) -> None:
    for number in (ticket.number, ticket.number + 1000, 10**30):
        with pytest.raises(Http404) as error:
            access.get_ticket(outsider, number)
        assert error.value.args == ()


@pytest.mark.parametrize("who", ["requester", "watcher", "agent"])
def test_a_deactivated_person_sees_nothing(
    request: pytest.FixtureRequest, ticket: Ticket, watcher: User, who: str
) -> None:
    person = request.getfixturevalue(who)
    person.is_active = False
    assert not Ticket.objects.visible_to(person).exists()
    with pytest.raises(Http404):
        access.get_ticket(person, ticket.number)


def test_who_is_no_agent_any_more_sees_no_foreign_ticket(
    ticket: Ticket, agent: User
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    agent.role = Role.REQUESTER
    with pytest.raises(Http404):
        access.get_ticket(agent, ticket.number)


@pytest.mark.parametrize("who", ["requester", "watcher"])
def test_no_query_gives_a_requester_an_internal_note(
    request: pytest.FixtureRequest, noted: Ticket, who: str
) -> None:
    person = request.getfixturevalue(who)
    seen: list[models.QuerySet[models.Model]] = [
        Ticket.objects.visible_to(person),
        noted.comments.visible_to(person),
        noted.events.visible_to(person),
    ]
    for rows in seen:
        assert rows.exists()
        assert CANARY not in str(list(rows.values()))
    assert "noted" not in noted.events.visible_to(person).values_list("kind", flat=True)


@pytest.mark.parametrize("who", ["requester", "watcher", "outsider"])
def test_a_notes_files_are_for_agents(
    request: pytest.FixtureRequest, noted: Ticket, agent: User, who: str
) -> None:
    attachment = Attachment.objects.get()
    with pytest.raises(Http404):
        access.get_attachment(request.getfixturevalue(who), attachment.pk)
    assert access.get_attachment(agent, attachment.pk) == attachment


def test_a_replys_files_are_for_all_who_read_it(
    ticket: Ticket, requester: User, watcher: User, agent: User, outsider: User
) -> None:
    services.add_public_reply(
        actor=agent, number=ticket.number, body="See", files=[make_file()]
    )
    attachment = Attachment.objects.get()
    for person in (requester, watcher, agent):
        assert access.get_attachment(person, attachment.pk) == attachment
    with pytest.raises(Http404):
        access.get_attachment(outsider, attachment.pk)


def test_no_mail_carries_an_internal_note(noted: Ticket) -> None:
    assert OutboxMessage.objects.count() > 5
    for message in OutboxMessage.objects.values():
        assert CANARY not in str(message)
    notes = Comment.objects.filter(visibility="internal")
    assert not Notification.objects.filter(comment__in=notes).exists()


def test_a_note_is_in_no_column_of_the_ticket(noted: Ticket) -> None:
    assert CANARY not in str(Ticket.objects.values().get(pk=noted.pk))
    assert CANARY not in str(list(TicketEvent.objects.values()))


def test_agents_find_what_a_note_says(noted: Ticket, agent: User) -> None:
    assert list(search.matching(Ticket.objects.visible_to(agent), CANARY)) == [noted]


def test_a_requesters_list_keeps_its_order_when_agents_take_notes(
    ticket: Ticket, requester: User, agent: User, queue: Queue
) -> None:
    newer = make_ticket(requester=requester, queue=queue)
    services.add_internal_note(actor=agent, number=ticket.number, body="Hm.")
    newest_first = Ticket.objects.visible_to(requester).order_by("-updated_at")
    assert list(newest_first) == [newer, ticket]


@pytest.mark.parametrize(
    "get",
    [access.get_ticket, access.get_ticket_to_reply, access.get_ticket_to_manage],
)
def test_no_door_opens_for_outsiders(
    ticket: Ticket, outsider: User, get: Callable[[User, int], Ticket]
) -> None:
    with pytest.raises(Http404):
        get(outsider, ticket.number)
