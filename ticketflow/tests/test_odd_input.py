"""Addresses that somebody edited: no list answers them with an error."""

import base64
import json
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts.models import User
from email_settings.models import OutboxMessage
from ticketflow.lib.pagination import Page, paginate
from tickets.models import Queue, Ticket

pytestmark = pytest.mark.django_db

AGENTS_LIST = {
    *("view", "q", "status", "priority", "assignee", "queue", "requester"),
    *("sort", "cursor", "whole", "surprise"),
}
MAILS = {"state", "q", "kind", "period", "cursor"}
PEOPLE = {"q", "show", "page", "invitations", "invited"}
REQUESTERS_LIST = {"solved", "cursor"}

ODD = [
    quote(text)
    for text in [
        *("\0", "a\0b", "\u202e", "\U0010ffff", "a" * 4000, "%", "\\", '"', "(", "*"),
        *("0", "-1", "1e400", "NaN", "9" * 19, "9" * 400, "٣", "²"),
        *("[]", "{}", "None", "' OR 1=1 --", "a:b", "NEAR(", "x\r\nSet-Cookie: y"),
    ]
]
ODD_BYTES = ["%FF", "%ED%A0%80", "%C0%80", "%", "%u0000"]


def as_cursor(values: object) -> str:
    """Write a cursor as somebody would who knows what is in one."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


ODD_CURSORS = [
    as_cursor([is_backwards, values])
    for is_backwards in (True, False)
    for values in [
        *(["\0", 1], ["\ud800", 1], [None, None], [{}, []], [True, True], []),
        ["0001-01-01T00:00:00+14:00", 1],
        ["9999-12-31T23:59:59-14:00", 1],
        ["2026-11-24T09:00:00+00:00", float("inf")],
        ["2026-11-24T09:00:00+00:00", 10**30],
        [10**30, "2026-11-24T09:00:00+00:00", 1],
    ]
] + [base64.urlsafe_b64encode(b"[" * 3000).decode()]


@pytest.fixture
def ticket(requester: User, queue: Queue) -> Ticket:
    return Ticket.objects.create(
        subject="Projector", requester=requester, queue=queue, status="new"
    )


def ask(client: Client, path: str, query: str) -> None:
    # An error in the view is raised here: the test client passes it on.
    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 200, query


@pytest.mark.parametrize("name", sorted(AGENTS_LIST | MAILS | PEOPLE))
def test_any_value_of_any_parameter_gives_a_page(
    name: str, client: Client, admin: User, ticket: Ticket
) -> None:
    client.force_login(admin)
    for path, names in [
        (reverse("tickets:ticket-list"), AGENTS_LIST),
        (reverse("email_settings:message-list"), MAILS),
        (reverse("accounts:user-list"), PEOPLE),
    ]:
        if name in names:
            for value in [*ODD, *ODD_BYTES]:
                ask(client, path, f"{name}={value}")
            ask(client, path, f"{name}=1&{name}=2&{name}[]=3&{name}")


@pytest.mark.parametrize("name", sorted(REQUESTERS_LIST))
def test_any_value_gives_a_requester_a_page(
    name: str, client: Client, requester: User, ticket: Ticket
) -> None:
    client.force_login(requester)
    for value in [*ODD, *ODD_BYTES]:
        ask(client, reverse("tickets:ticket-list"), f"solved=1&{name}={value}")


@pytest.mark.parametrize("cursor", ODD_CURSORS)
def test_cursor_that_somebody_wrote_gives_the_first_page(
    cursor: str, client: Client, admin: User, requester: User, ticket: Ticket
) -> None:
    client.force_login(admin)
    for sort in ("updated", "oldest", "priority"):
        ask(client, reverse("tickets:ticket-list"), f"sort={sort}&cursor={cursor}")
    ask(client, reverse("email_settings:message-list"), f"cursor={cursor}")
    users = reverse("accounts:user-list")
    ask(client, users, f"page={cursor}")
    ask(client, users, f"invited={cursor}")
    client.force_login(requester)
    ask(client, reverse("tickets:ticket-list"), f"solved=1&cursor={cursor}")


def test_cursor_of_another_list_gives_the_first_page(admin: User, agent: User) -> None:
    def people(cursor: str) -> Page[User]:
        return paginate(User.objects.all(), order=["name", "id"], cursor=cursor, size=1)

    forwards = people("").next_cursor
    backwards = people(forwards).previous_cursor
    first, _ = (
        OutboxMessage.objects.create(
            kind="test", recipient=admin.email, subject="Test", text_body="Hello"
        )
        for _ in range(2)
    )
    for cursor in (forwards, backwards):
        for order in (["id"], ["created_at", "id"]):
            mails = paginate(
                OutboxMessage.objects.all(), order=order, cursor=cursor, size=1
            )
            assert mails.rows == [first]


def test_session_cookie_that_somebody_wrote_is_nobodys(client: Client) -> None:
    cookie = f'{settings.SESSION_COOKIE_NAME}="\\000abcdefgh"'  # read as a NUL
    answer = client.get(reverse("tickets:ticket-list"), HTTP_COOKIE=cookie)
    assert answer.status_code == 302


@pytest.mark.parametrize("number", ["0", "9" * 19, "9" * 400])
def test_number_of_nobody_is_no_watcher(
    number: str, client: Client, agent: User, ticket: Ticket
) -> None:
    client.force_login(agent)
    answer = client.post(f"/tickets/{ticket.number}/watchers/{number}/remove/")
    assert answer.status_code == 302
