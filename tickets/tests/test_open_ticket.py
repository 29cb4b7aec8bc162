"""Opening a ticket."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import services
from tickets.models import Comment, Queue, Ticket
from tickets.tests.builders import (
    everything,
    last_mail,
    mails,
    mails_since,
    make_ticket,
)


def test_a_ticket_begins_as_its_requester_wrote_it(
    requester: User, queue: Queue
) -> None:
    ticket = make_ticket(requester=requester, queue=queue, body="It is **gone**.")

    assert ticket.status == Ticket.Status.NEW
    assert ticket.priority == Ticket.Priority.NORMAL
    assert ticket.requester == requester
    assert ticket.snippet == "It is gone."
    comment = ticket.comments.get()
    assert (comment.author, comment.visibility) == (requester, "public")
    assert comment.body == "It is **gone**."
    assert ticket.events.get().kind == "opened"


def test_the_requester_gets_a_receipt_and_the_queue_the_news(
    requester: User, agent: User, admin: User, queue: Queue
) -> None:
    queue.members.add(agent, admin)

    ticket = make_ticket(requester=requester, queue=queue)

    assert sorted(mails()) == [
        ("ticket_new", admin.email),
        ("ticket_new", agent.email),
        ("ticket_received", requester.email),
    ]
    assert ticket.notifications.count() == 3


def test_a_queue_without_members_tells_every_agent(
    requester: User, outsider: User, agent: User, admin: User, queue: Queue
) -> None:
    agent_elsewhere = agent
    Queue.objects.create(name="Facilities").members.add(agent_elsewhere)
    make_ticket(requester=requester, queue=queue)
    assert sorted(mails()) == [
        ("ticket_new", admin.email),
        ("ticket_new", agent.email),
        ("ticket_received", requester.email),
    ]


def test_an_agent_opens_one_for_somebody_else(
    requester: User, agent: User, queue: Queue
) -> None:
    queue.members.add(agent)

    ticket = services.open_ticket(
        actor=agent,
        subject="Called me",
        body="Printer is on fire",
        queue=queue,
        requester=requester,
    )

    assert ticket.requester == requester
    assert ticket.comments.get().author == agent
    # The agent knows already.
    assert mails() == [("ticket_received", requester.email)]


def test_a_requester_opens_none_for_somebody_else(
    requester: User, outsider: User, queue: Queue
) -> None:
    before = everything()
    with pytest.raises(PermissionDenied):
        services.open_ticket(
            actor=outsider, subject="a", body="b", queue=queue, requester=requester
        )
    assert everything() == before


def test_watchers_are_named_in_the_form(
    requester: User, outsider: User, queue: Queue
) -> None:
    ticket = make_ticket(
        requester=requester,
        queue=queue,
        watcher_emails=[f" {outsider.email.upper()} ", requester.email],
    )
    assert [row.user for row in ticket.watchers.all()] == [outsider]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"subject": " \r\n "}, "summary is empty"),
        ({"subject": "x" * 151}, "up to 150 fit"),
        ({"body": "\x00 \n"}, "text is empty"),
        ({"body": "x" * 50_001}, "up to 50,000 fit"),
        ({"priority": 9}, "priorities"),
        ({"watcher_emails": ["nobody@larkfield.example"]}, "invite them first"),
        ({"watcher_emails": ["\x00"]}, "invite them first"),
    ],
)
def test_what_cannot_be_taken_leaves_nothing_behind(
    requester: User, queue: Queue, fields: dict[str, object], words: str
) -> None:
    before = everything()
    with pytest.raises(DomainError, match=words):
        make_ticket(requester=requester, queue=queue, **fields)  # type: ignore[arg-type]
    assert everything() == before


def test_a_retired_queue_takes_no_tickets(requester: User, queue: Queue) -> None:
    queue.is_active = False
    queue.save()
    before = everything()
    with pytest.raises(DomainError, match="Choose another queue"):
        make_ticket(requester=requester, queue=queue)
    assert everything() == before


def test_a_deactivated_person_has_no_new_tickets(
    requester: User, agent: User, queue: Queue
) -> None:
    requester.is_active = False
    requester.save()
    before = everything()
    with pytest.raises(PermissionDenied):
        make_ticket(requester=requester, queue=queue)
    with pytest.raises(DomainError, match="deactivated"):
        services.open_ticket(
            actor=agent, subject="a", body="b", queue=queue, requester=requester
        )
    assert everything() == before


@pytest.mark.parametrize(
    "sign", ["\r\n", "\n", "\x00", "\x0b", "\u2028", "\u2029", "\x85"]
)
def test_a_subject_is_one_line_whatever_was_pasted(
    requester: User, queue: Queue, sign: str
) -> None:
    ticket = make_ticket(
        requester=requester, queue=queue, subject=f"Help{sign}Bcc: all@example.com"
    )
    assert ticket.subject == "Help Bcc: all@example.com"
    (subject,) = ticket.notifications.values_list("outbox_message__subject", flat=True)
    assert subject == (
        f"We received your request [#{ticket.number}] Help Bcc: all@example.com"
    )


def test_the_longest_words_fit(requester: User, queue: Queue) -> None:
    ticket = make_ticket(
        requester=requester, queue=queue, subject="ß" * 150, body="ü" * 50_000
    )
    assert len(ticket.subject) == 150
    assert len(ticket.snippet) == 160


def test_a_form_sent_twice_makes_one_ticket(requester: User, queue: Queue) -> None:
    key = uuid.uuid4()
    first = make_ticket(requester=requester, queue=queue, submission_key=key)
    before = everything()

    second = make_ticket(requester=requester, queue=queue, submission_key=key)

    assert second == first
    assert everything() == before


def test_somebody_elses_form_key_opens_nothing(
    requester: User, outsider: User, queue: Queue
) -> None:
    key = uuid.uuid4()
    make_ticket(requester=requester, queue=queue, submission_key=key)
    before = everything()
    with pytest.raises(DomainError, match="was sent before"):
        make_ticket(requester=outsider, queue=queue, submission_key=key)
    assert everything() == before


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_eight_times_at_once_makes_one_ticket(
    requester: User, queue: Queue
) -> None:
    key = uuid.uuid4()

    def send(_: int) -> int:
        try:
            return make_ticket(
                requester=requester, queue=queue, submission_key=key
            ).number
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        numbers = set(pool.map(send, range(8)))

    assert len(numbers) == 1
    assert Ticket.objects.count() == Comment.objects.count() == 1
    assert mails() == [("ticket_received", requester.email)]


def test_the_first_queue_is_there_from_the_start(db: None) -> None:
    assert Queue.objects.get().name == "Help desk"


def test_someone_in_the_queue_who_is_no_agent_any_more_hears_nothing(
    requester: User, outsider: User, agent: User, queue: Queue
) -> None:
    agent.is_active = False
    agent.save()
    queue.members.add(outsider, agent)
    last = last_mail()
    make_ticket(requester=requester, queue=queue)
    assert mails_since(last) == [("ticket_received", requester.email)]
