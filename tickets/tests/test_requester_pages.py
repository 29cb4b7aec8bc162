"""My tickets, a new ticket, one ticket: what requesters see and do."""

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tickets import services
from tickets.models import Comment, Queue, Ticket
from tickets.tests.builders import make_file, make_ticket

LIST = reverse("tickets:ticket-list")
CREATE = reverse("tickets:ticket-create")
CANARY = "canary-between-agents"


@pytest.fixture
def my_client(client: Client, requester: User) -> Client:
    client.force_login(requester)
    return client


def url(ticket: Ticket, name: str = "ticket-detail") -> str:
    return reverse(f"tickets:{name}", args=[ticket.number])


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def reply(client: Client, ticket: Ticket, body: str, **fields: Any) -> Any:
    said = {"body": body, "submission_key": str(uuid.uuid4()), **fields}
    return client.post(url(ticket, "ticket-reply"), said)


def new_ticket(queue: Queue, **fields: Any) -> dict[str, Any]:
    return {
        "queue": queue.pk,
        "subject": "Projector turns itself off",
        "body": "After ten minutes, with HDMI too.",
        "priority": "3",
        "submission_key": str(uuid.uuid4()),
        **fields,
    }


# My tickets


def test_my_tickets_are_sorted_by_whose_turn_it_is(
    my_client: Client, agent: User, requester: User, queue: Queue
) -> None:
    new = make_ticket(requester=requester, queue=queue, subject="Received one")
    asked = make_ticket(requester=requester, queue=queue, subject="Asked back")
    done = make_ticket(requester=requester, queue=queue, subject="Done one")
    services.add_public_reply(actor=agent, number=asked.number, body="Which browser?")
    services.change_status(actor=agent, number=done.number, status="solved")
    context = my_client.get(LIST).context
    assert context["waiting_for_me"] == [asked]
    assert context["with_us"] == [new]
    assert context["solved"] == [done]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("new", "Received"),
        ("open", "In progress"),
        ("on_hold", "In progress"),
        ("pending", "Needs your reply"),
        ("solved", "Solved"),
        ("closed", "Solved"),
    ],
)
def test_requesters_read_plain_words_for_each_status(
    my_client: Client, agent: User, ticket: Ticket, status: str, words: str
) -> None:
    services.change_status(actor=agent, number=ticket.number, status=status)
    for address in [LIST, url(ticket)]:
        assert f"{words}</span>" in page(my_client, address)


def test_nobody_sees_foreign_tickets(
    client: Client, outsider: User, ticket: Ticket
) -> None:
    client.force_login(outsider)
    text = page(client, LIST)
    assert "You have not asked us anything yet" in text
    assert ticket.subject not in text


def test_a_watcher_finds_the_ticket_among_their_own(
    client: Client, agent: User, outsider: User, ticket: Ticket
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    client.force_login(outsider)
    assert ticket.subject in page(client, LIST)
    assert "You read along" in page(client, url(ticket))


def test_nobody_waits_for_a_watcher(
    client: Client, agent: User, outsider: User, ticket: Ticket
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    services.add_public_reply(actor=agent, number=ticket.number, body="Which browser?")
    client.force_login(outsider)
    response = client.get(LIST)
    assert response.context["waiting_for_me"] == []
    assert response.context["with_us"] == [ticket]
    assert "Needs your reply" not in response.content.decode()


def test_older_solved_tickets_have_pages_of_their_own(
    my_client: Client, agent: User, requester: User, queue: Queue
) -> None:
    for index in range(6):
        one = make_ticket(requester=requester, queue=queue, subject=f"Done {index}")
        services.change_status(actor=agent, number=one.number, status="solved")
    text = page(my_client, LIST)
    assert "Done 0" not in text
    assert "All solved tickets" in text
    assert "Done 0" in page(my_client, LIST + "?solved=1")


# A new ticket


def test_opens_a_ticket_with_all_that_was_said(
    my_client: Client, requester: User, outsider: User, queue: Queue
) -> None:
    said = new_ticket(queue, watchers=outsider.email, files=[make_file("room.png")])
    response = my_client.post(CREATE, said)
    ticket = Ticket.objects.get()
    assert response["Location"] == url(ticket)
    assert (ticket.requester, ticket.queue, ticket.priority) == (requester, queue, 3)
    assert [watcher.user for watcher in ticket.watchers.all()] == [outsider]
    comment = ticket.comments.get()
    assert comment.body == "After ten minutes, with HDMI too."
    assert comment.attachments.get().file_name == "room.png"


def test_the_same_form_twice_is_one_ticket(my_client: Client, queue: Queue) -> None:
    said = new_ticket(queue)
    places = {my_client.post(CREATE, said)["Location"] for _ in range(2)}
    assert len(places) == Ticket.objects.count() == 1


def test_a_form_that_back_brought_again_opens_what_it_says_now(
    my_client: Client, queue: Queue
) -> None:
    said = new_ticket(queue)
    my_client.post(CREATE, said)
    my_client.post(CREATE, {**said, "subject": "The beamer, too"})
    subjects = Ticket.objects.order_by("pk").values_list("subject", flat=True)
    assert list(subjects) == ["Projector turns itself off", "The beamer, too"]


def test_queues_are_offered_as_cards_with_what_belongs_there(
    my_client: Client, queue: Queue
) -> None:
    Queue.objects.create(name="Facilities", description="Rooms, badges, heating")
    Queue.objects.create(name="Old heap", is_active=False)
    text = page(my_client, CREATE)
    assert "Rooms, badges, heating" in text
    assert "Old heap" not in text


def test_one_queue_is_no_question(my_client: Client, queue: Queue) -> None:
    Queue.objects.exclude(pk=queue.pk).delete()
    text = page(my_client, CREATE)
    assert "What is it about?" not in text
    assert my_client.post(CREATE, new_ticket(queue)).status_code == 302


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("subject", "", "The summary is missing."),
        ("subject", "x" * 151, "The summary has 151 characters, 150 fit."),
        ("body", " ", "The description is missing."),
        ("queue", "", "Choose what it is about"),
        ("queue", "99999", "This choice is no longer offered."),
        ("priority", "4", "Select a valid choice"),
        ("watchers", "not-an-address", "“not-an-address” is not an e-mail address."),
        ("watchers", "who@larkfield.example", "who@larkfield.example"),
        ("files", make_file("empty.log", b""), "“empty.log” is empty."),
    ],
)
def test_a_refused_form_keeps_what_was_typed(
    my_client: Client, queue: Queue, field: str, value: Any, words: str
) -> None:
    said = new_ticket(queue) | {field: value}
    response = my_client.post(CREATE, said)
    text = response.content.decode()
    assert response.status_code == 200
    assert words in text
    for kept in {"subject", "body"} - {field}:
        assert said[kept] in text
    assert not Ticket.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requester", "oliver@larkfield.example"),
        ("status", "solved"),
        ("assignee", "1"),
    ],
)
def test_requesters_cannot_say_more_than_the_form_asks(
    my_client: Client,
    requester: User,
    outsider: User,
    queue: Queue,
    field: str,
    value: str,
) -> None:
    my_client.post(CREATE, new_ticket(queue) | {field: value})
    ticket = Ticket.objects.get()
    assert (ticket.requester, ticket.status, ticket.assignee) == (
        requester,
        "new",
        None,
    )


def test_an_agent_opens_a_ticket_for_somebody_else(
    client: Client, agent: User, requester: User, queue: Queue
) -> None:
    client.force_login(agent)
    said = new_ticket(queue, requester="Hannah@larkfield.example", priority="4")
    client.post(CREATE, said)
    ticket = Ticket.objects.get()
    assert (ticket.requester, ticket.priority) == (requester, 4)


def test_an_agent_is_told_when_nobody_has_the_address(
    client: Client, agent: User, queue: Queue
) -> None:
    client.force_login(agent)
    said = new_ticket(queue, requester="who@larkfield.example")
    text = client.post(CREATE, said).content.decode()
    assert "Nobody with this address can sign in here." in text
    assert not Ticket.objects.exists()


# One ticket


def test_no_note_ever_reaches_a_requester(
    client: Client, agent: User, requester: User, outsider: User, ticket: Ticket
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    note = services.add_internal_note(
        actor=agent,
        number=ticket.number,
        body=CANARY,
        files=[make_file(f"{CANARY}.png")],
    )
    file = reverse("tickets:attachment-detail", args=[note.attachments.get().pk])
    for person in [requester, outsider]:
        client.force_login(person)
        for address in [
            LIST,
            LIST + f"?q={CANARY}",
            url(ticket),
            url(ticket) + "?whole=1",
            LIST + "?solved=1",
        ]:
            response = client.get(address)
            shown = response.content.decode().replace(f"?q={CANARY}", "")
            assert CANARY not in shown
            assert "internal note" not in shown.lower()
        assert client.get(file).status_code == 404
        refused = reply(client, ticket, " ").content.decode()
        assert CANARY not in refused


def test_a_requester_cannot_write_a_note(my_client: Client, ticket: Ticket) -> None:
    reply(my_client, ticket, "Hello", kind="note")
    assert ticket.comments.latest("pk").visibility == Comment.Visibility.PUBLIC


def test_a_requester_cannot_choose_a_status_with_a_reply(
    my_client: Client, ticket: Ticket
) -> None:
    reply(my_client, ticket, "Hello", then="closed")
    ticket.refresh_from_db()
    assert ticket.status == "new"


def test_only_changes_that_concern_the_requester_are_told(
    my_client: Client, agent: User, ticket: Ticket
) -> None:
    services.change_priority(actor=agent, number=ticket.number, priority=1)
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    services.change_status(actor=agent, number=ticket.number, status="on_hold")
    services.change_status(actor=agent, number=ticket.number, status="solved")
    text = page(my_client, url(ticket))
    assert "Maya Okafor marked this as <b>solved</b>" in text
    for inner in ["priority", "On hold", "Low"]:
        assert inner not in text


def test_foreign_and_missing_tickets_look_the_same(
    client: Client, outsider: User, ticket: Ticket
) -> None:
    client.force_login(outsider)
    missing = ticket.number + 1000
    answers = {
        (response.status_code, _without_ids(response.content))
        for response in [
            client.get(reverse("tickets:ticket-detail", args=[number]))
            for number in [ticket.number, missing]
        ]
    }
    assert len(answers) == 1
    assert answers.pop()[0] == 404


@pytest.mark.parametrize(
    "name", ["ticket-reply", "ticket-close", "ticket-reopen", "watcher-add"]
)
def test_nobody_acts_on_a_foreign_ticket(
    client: Client, outsider: User, ticket: Ticket, name: str
) -> None:
    client.force_login(outsider)
    said = {"body": "x", "email": outsider.email, "submission_key": str(uuid.uuid4())}
    assert client.post(url(ticket, name), said).status_code == 404
    ticket.refresh_from_db()
    assert ticket.status == "new"
    assert ticket.comments.count() == 1
    assert not ticket.watchers.exists()


def test_it_works_now_closes_it_and_says_what_was_typed(
    my_client: Client, ticket: Ticket
) -> None:
    said = {"body": "A restart helped", "submission_key": str(uuid.uuid4())}
    my_client.post(url(ticket, "ticket-close"), said)
    ticket.refresh_from_db()
    assert ticket.status == "solved"
    assert ticket.comments.latest("pk").body == "A restart helped"


def test_it_works_now_needs_no_words(my_client: Client, ticket: Ticket) -> None:
    my_client.post(url(ticket, "ticket-close"), {"body": ""})
    ticket.refresh_from_db()
    assert ticket.status == "solved"
    assert ticket.comments.count() == 1


def test_it_works_now_drops_no_files(my_client: Client, ticket: Ticket) -> None:
    said = {"submission_key": str(uuid.uuid4()), "files": [make_file()]}
    response = my_client.post(url(ticket, "ticket-close"), said)
    assert "The reply is empty." in response.content.decode()
    ticket.refresh_from_db()
    assert ticket.status == "new"


def test_a_reply_that_crossed_with_an_agents_is_shown_under_it(
    my_client: Client, agent: User, ticket: Ticket
) -> None:
    seen = ticket.comments.get().pk
    services.add_public_reply(actor=agent, number=ticket.number, body="Restart it")
    text = reply(my_client, ticket, "Any news?", seen=str(seen)).content.decode()
    assert "Maya Okafor wrote while you were writing" in text
    assert "Any news?</textarea>" in text
    assert "Send anyway" in text
    assert ticket.comments.count() == 2


def test_a_solved_ticket_is_reopened(
    my_client: Client, agent: User, ticket: Ticket
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="solved")
    assert "Reopen" in page(my_client, url(ticket))
    my_client.post(url(ticket, "ticket-reopen"))
    ticket.refresh_from_db()
    assert ticket.status == "open"


def test_a_reply_on_a_closed_ticket_keeps_the_text(
    my_client: Client, agent: User, ticket: Ticket
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    text = reply(my_client, ticket, "It is back again").content.decode()
    assert f"Open a new one and mention #{ticket.number}." in text
    assert "It is back again</textarea>" in text
    assert ticket.comments.count() == 1


def test_a_watcher_answers_but_decides_nothing(
    client: Client, agent: User, outsider: User, ticket: Ticket
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    client.force_login(outsider)
    assert reply(client, ticket, "Same here").status_code == 302
    assert "It works now, close it" not in page(client, url(ticket))
    assert client.post(url(ticket, "ticket-close")).status_code == 403


def test_a_watcher_who_stops_watching_lands_where_they_may_be(
    client: Client, agent: User, outsider: User, ticket: Ticket
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    client.force_login(outsider)
    leave = reverse("tickets:watcher-remove", args=[ticket.number, outsider.pk])
    response = client.post(leave, follow=True)
    assert response.redirect_chain == [("/tickets/", 302)]
    assert f"You do not hear of #{ticket.number} any more." in response.content.decode()
    assert client.get(url(ticket)).status_code == 404


def test_a_requester_keeps_somebody_informed(
    my_client: Client, outsider: User, ticket: Ticket
) -> None:
    assert 'name="email"' in page(my_client, url(ticket))
    my_client.post(url(ticket, "watcher-add"), {"email": outsider.email})
    assert ticket.watchers.get().user == outsider


def test_a_requester_reads_why_somebody_cannot_be_informed(
    my_client: Client, ticket: Ticket
) -> None:
    said = {"email": "who@larkfield.example"}
    text = my_client.post(url(ticket, "watcher-add"), said).content.decode()
    assert "Nobody here has the address who@larkfield.example." in text
    assert 'value="who@larkfield.example"' in text


def _without_ids(content: bytes) -> str:
    """Drop what differs between any two answers: tokens and request ids."""
    lines = content.decode().splitlines()
    return "\n".join(
        line for line in lines if "csrf" not in line.lower() and "code>" not in line
    )
