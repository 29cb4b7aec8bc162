"""What agents see on a reply of what became of its mails, and what requesters do not."""

import uuid
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from email_settings.models import OutboxMessage
from tickets import services
from tickets.marks import MOST_REASONS, SEVERAL, Told, and_others, grouped
from tickets.models import Comment, Notification, Ticket
from tickets.tests.lost_mail import BAD, WAYS, let_fare, mail_to


def page(client: Client, ticket: Ticket) -> str:
    response = client.get(reverse("tickets:ticket-detail", args=[ticket.number]))
    assert response.status_code == 200
    return response.content.decode()


def marks(text: str) -> list[str]:
    """Return the HTML of each mark."""
    return [part.split("</div>")[0] for part in text.split('<div class="msg-foot')[1:]]


@pytest.fixture
def reply(agent: User, ticket: Ticket) -> Comment:
    return services.add_public_reply(
        actor=agent, number=ticket.number, body="Hello Hannah"
    )


@pytest.mark.parametrize("who", ["agent", "admin"])
@pytest.mark.parametrize("way", WAYS)
def test_a_reply_says_how_its_mail_fares(
    client: Client,
    request: pytest.FixtureRequest,
    ticket: Ticket,
    requester: User,
    reply: Comment,
    way: str,
    who: str,
) -> None:
    message = let_fare(mail_to(reply, requester), way)
    client.force_login(request.getfixturevalue(who))
    (mark,) = marks(page(client, ticket))
    assert f">{way}<" in mark.replace("</svg>", ">")
    assert mark.startswith(" msg-foot-bad") is (way in BAD)
    assert "Hannah Brooks" in mark
    details = reverse("email_settings:message-detail", args=[message.uid])
    assert (details in mark) is (who == "admin")
    assert "5.1.1" not in mark
    assert "5.2.2" not in mark


@pytest.mark.parametrize("way", BAD)
def test_what_is_bad_says_why_and_what_to_do(
    client: Client,
    agent: User,
    ticket: Ticket,
    requester: User,
    reply: Comment,
    way: str,
) -> None:
    message = let_fare(mail_to(reply, requester), way)
    client.force_login(agent)
    (mark,) = marks(page(client, ticket))
    why = (message.fate_detail or message.reason).partition("\n")[0]
    assert f"Hannah Brooks: {why} <span" in mark
    assert mark.split('class="soft">')[1].split("</span>")[0].endswith(".")


@pytest.mark.parametrize(
    ("way", "has_link"),
    [
        ("Bounced", True),
        ("Suppressed", True),
        ("Complained", True),
        ("Failed", False),
        ("Delivered", False),
    ],
)
def test_admins_get_links_to_where_the_address_is_mended(
    client: Client,
    admin: User,
    agent: User,
    ticket: Ticket,
    requester: User,
    reply: Comment,
    way: str,
    *,
    has_link: bool,
) -> None:
    let_fare(mail_to(reply, requester), way)
    client.force_login(agent)
    agents = page(client, ticket)
    client.force_login(admin)
    admins = page(client, ticket)
    for link in (
        reverse("accounts:user-detail", args=[requester.pk]),
        f"{reverse('email_settings:suppression-find')}?address={quote(requester.email)}",
    ):
        assert link not in agents
        assert (link in admins) is has_link


@pytest.mark.parametrize("way", WAYS)
def test_requesters_see_nothing_of_mail(
    client: Client,
    ticket: Ticket,
    requester: User,
    watcher: User,
    agent: User,
    way: str,
) -> None:
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    let_fare(mail_to(reply, watcher), way)
    client.force_login(requester)
    text = page(client, ticket)
    assert "msg-foot" not in text
    assert watcher.email not in text
    why = WAYS[way][2].partition("\n")[0]
    assert not why or why not in text


def test_people_who_fare_alike_share_a_mark_whatever_their_servers_said(
    client: Client, agent: User, requester: User, watcher: User, ticket: Ticket
) -> None:
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    for person in (requester, watcher):
        let_fare(
            mail_to(reply, person),
            "Bounced",
            fate_detail=f"The address does not exist.\n550 <{person.email}> unknown",
        )
    client.force_login(agent)
    (mark,) = marks(page(client, ticket))
    assert "Hannah Brooks, Daniel Whitlock: The address does not exist." in mark


def test_what_went_well_comes_first(
    client: Client, agent: User, requester: User, watcher: User, ticket: Ticket
) -> None:
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    let_fare(mail_to(reply, requester), "Bounced")
    let_fare(mail_to(reply, watcher), "Delivered")
    client.force_login(agent)
    first, second = marks(page(client, ticket))
    assert "Daniel Whitlock" in first
    assert "Hannah Brooks" in second


def test_500_watchers_take_the_room_and_the_queries_of_one(
    client: Client, admin: User, agent: User, ticket: Ticket, reply: Comment
) -> None:
    client.force_login(admin)
    page(client, ticket)
    with CaptureQueriesContext(connection) as of_one:
        page(client, ticket)
    crowd(reply, 500, reasons=500)
    with CaptureQueriesContext(connection) as of_many:
        text = page(client, ticket)
    assert len(of_many) == len(of_one) <= 12
    told = marks(text)
    assert len(told) <= 2 + MOST_REASONS
    assert sum(mark.count("<a ") for mark in told) < 20
    assert "others" in text
    assert SEVERAL in text


def crowd(reply: Comment, size: int, *, reasons: int = 1) -> None:
    """Have many more people get the reply, whose mail fails for that many reasons."""
    people = User.objects.bulk_create(
        User(email=f"p{n}@larkfield.example", name=f"Person {n}") for n in range(size)
    )
    mails = OutboxMessage.objects.bulk_create(
        OutboxMessage(
            kind="public_reply",
            recipient=person.email,
            state="failed",
            reason=f"Reason {n % reasons}.",
        )
        for n, person in enumerate(people)
    )
    Notification.objects.bulk_create(
        Notification(
            ticket_id=reply.ticket_id,
            comment=reply,
            recipient=person,
            outbox_message=mail,
        )
        for person, mail in zip(people, mails, strict=True)
    )


def told(reason: str) -> Told:
    return Told(
        1, 1, "Ada Finn", "a@x.example", uuid.uuid4(), "failed", "", reason, None, ""
    )


def test_reasons_that_most_share_are_told_and_the_rest_is_one_heap() -> None:
    people = [told("rare 1"), told("rare 2"), *[told("first")] * 3, *[told("two")] * 2]
    assert [(mark.reason, len(mark.people)) for mark in grouped(people)] == [
        ("first", 3),
        ("two", 2),
        (SEVERAL, 2),
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["A"], "A"),
        (["A", "B", "C"], "A, B, C"),
        (["A", "B", "C", "D"], "A, B, C and 1 other"),
        (list("ABCDE"), "A, B, C and 2 others"),
    ],
)
def test_the_first_few_are_named(names: list[str], words: str) -> None:
    assert and_others(names) == words


def test_the_composer_names_a_few_watchers_and_counts_the_rest(
    client: Client, agent: User, ticket: Ticket
) -> None:
    for number in range(9):
        person = User.objects.create_user(f"p{number}@x.example", name=f"P {number}")
        services.add_watcher(actor=agent, number=ticket.number, email=person.email)
    client.force_login(agent)
    text = page(client, ticket)
    assert ", cc P 0, P 1, P 2, P 3, P 4, P 5 and 3 others</span>" in text
