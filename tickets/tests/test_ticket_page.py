"""/tickets/<number>/ as agents see it."""

from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from email_settings.models import OutboxMessage
from tickets import services
from tickets.models import Comment, Notification, Ticket
from tickets.tests.builders import make_file
from tickets.timeline import RECENT_COMMENTS


def url(ticket: Ticket) -> str:
    return reverse("tickets:ticket-detail", args=[ticket.number])


@pytest.fixture
def agents_client(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


def page(client: Client, ticket: Ticket, query: str = "") -> str:
    response = client.get(url(ticket) + query)
    assert response.status_code == 200
    return response.content.decode()


def test_shows_what_was_said_and_done_in_order(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    services.add_internal_note(actor=agent, number=ticket.number, body="Gateway again")
    services.change_priority(actor=agent, number=ticket.number, priority=4)
    services.add_public_reply(actor=agent, number=ticket.number, body="We are on it")
    text = page(agents_client, ticket)
    places = [
        text.index(words)
        for words in [
            "It began this morning.",
            "Gateway again",
            "<b>Normal → Urgent</b>",
            "We are on it",
            "<b>New → Waiting</b>",
        ]
    ]
    assert places == sorted(places)


def test_markdown_is_shown_as_html_and_html_as_text(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    services.add_public_reply(
        actor=agent, number=ticket.number, body="**Bold** <img src=x onerror=alert(1)>"
    )
    text = page(agents_client, ticket)
    assert "<strong>Bold</strong>" in text
    assert "<img" not in text


def test_times_are_in_the_persons_zone(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    agent.time_zone = "Asia/Tokyo"
    agent.save(update_fields=["time_zone"])
    opened = ticket.created_at.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f'datetime="{opened.isoformat(timespec="seconds")}"' in page(
        agents_client, ticket
    )


def test_a_note_looks_like_a_note(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    services.add_internal_note(actor=agent, number=ticket.number, body="Between us")
    text = page(agents_client, ticket)
    assert '<article class="msg msg-note"' in text
    assert "Internal note" in text


def test_files_are_links_to_downloads(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    comment = services.add_public_reply(
        actor=agent, number=ticket.number, body="See file", files=[make_file("a.png")]
    )
    attachment = comment.attachments.get()
    link = reverse("tickets:attachment-detail", args=[attachment.pk])
    text = page(agents_client, ticket)
    assert f'href="{link}"' in text
    assert "a.png" in text


@pytest.mark.parametrize("state", ["queued", "sent"])
def test_a_reply_says_quietly_that_its_mail_is_on_its_way(
    agents_client: Client, agent: User, requester: User, ticket: Ticket, state: str
) -> None:
    _reply_whose_mail_is(state, agent, ticket)
    text = page(agents_client, ticket)
    assert "badge-quiet" in text
    assert state.capitalize() in text
    assert "msg-foot-bad" not in text


def test_a_mail_that_failed_is_shown_with_its_reason(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    _reply_whose_mail_is("failed", agent, ticket, "This mailbox does not exist.")
    text = page(agents_client, ticket)
    assert "msg-foot-bad" in text
    assert "Hannah Brooks: This mailbox does not exist." in text


def test_a_mail_that_rehearsal_captured_is_no_trouble(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    message = _reply_whose_mail_is("held", agent, ticket, "Kept here.")
    assert "msg-foot-bad" in page(agents_client, ticket)
    message.reason_code = "rehearsal"
    message.save()
    text = page(agents_client, ticket)
    assert "Captured" in text
    assert "msg-foot-bad" not in text


def test_admins_get_a_link_to_the_mail_itself(
    client: Client, admin: User, agent: User, ticket: Ticket
) -> None:
    message = _reply_whose_mail_is("failed", agent, ticket, "No such mailbox.")
    link = reverse("email_settings:message-detail", args=[message.uid])
    client.force_login(agent)
    assert link not in page(client, ticket)
    client.force_login(admin)
    assert link in page(client, ticket)


def test_people_whose_mails_fared_alike_share_a_line(
    agents_client: Client, agent: User, outsider: User, ticket: Ticket
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    assert "Hannah Brooks, Oliver Grant" in page(agents_client, ticket)


def test_the_requester_is_shown_with_their_other_tickets(
    agents_client: Client, requester: User, ticket: Ticket
) -> None:
    other = services.open_ticket(
        actor=requester, subject="Headset is silent", body="Left", queue=ticket.queue
    )
    text = page(agents_client, ticket)
    assert "Headset is silent" in text
    assert f'href="{url(other)}"' in text
    assert f"view=all&amp;requester={requester.pk}" in text


def test_a_long_conversation_shows_its_end_and_a_link_to_the_whole(
    agents_client: Client, requester: User, ticket: Ticket
) -> None:
    Comment.objects.bulk_create(
        Comment(
            ticket=ticket, author=requester, visibility="public", body=f"Word {index}."
        )
        for index in range(RECENT_COMMENTS)
    )
    text = page(agents_client, ticket)
    assert "It began this morning." not in text
    assert f"Word {RECENT_COMMENTS - 1}." in text
    assert "Show the whole conversation" in text
    assert "It began this morning." in page(agents_client, ticket, "?whole=1")


def test_a_closed_ticket_offers_no_composer_and_says_what_to_do(
    agents_client: Client, agent: User, ticket: Ticket
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    text = page(agents_client, ticket)
    assert "This ticket is closed for good" in text
    assert "<textarea" not in text
    assert text.count("select-quiet") == text.count(" disabled") == 4


def test_an_agent_adds_and_removes_a_watcher(
    agents_client: Client, outsider: User, ticket: Ticket
) -> None:
    add = reverse("tickets:watcher-add", args=[ticket.number])
    response = agents_client.post(add, {"email": "Oliver@Larkfield.example"})
    assert response.status_code == 302
    assert [watcher.user for watcher in ticket.watchers.all()] == [outsider]
    remove = reverse("tickets:watcher-remove", args=[ticket.number, outsider.pk])
    agents_client.post(remove)
    assert not ticket.watchers.exists()


@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("nobody@larkfield.example", "nobody@larkfield.example"),
        ("not an address", "This is not an e-mail address."),
        ("", "Write the e-mail address of the person to add."),
    ],
)
def test_a_watcher_who_cannot_be_added_stays_in_the_field(
    agents_client: Client, ticket: Ticket, email: str, words: str
) -> None:
    add = reverse("tickets:watcher-add", args=[ticket.number])
    response = agents_client.post(add, {"email": email})
    assert response.status_code == 200
    assert words in response.content.decode()
    assert f'value="{email}"' in response.content.decode() or not email
    assert not ticket.watchers.exists()


def test_the_history_tells_each_change(
    agents_client: Client, agent: User, outsider: User, ticket: Ticket
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    history = page(agents_client, ticket).split("<summary>History</summary>")[1]
    for words in [
        "Hannah Brooks opened the ticket",
        "Maya Okafor took the ticket",
        "Maya Okafor added Oliver Grant as a watcher",
    ]:
        assert words in history


def test_solve_and_reopen_are_one_press(agents_client: Client, ticket: Ticket) -> None:
    agents_client.post(reverse("tickets:ticket-close", args=[ticket.number]))
    ticket.refresh_from_db()
    assert ticket.status == "solved"
    agents_client.post(reverse("tickets:ticket-reopen", args=[ticket.number]))
    ticket.refresh_from_db()
    assert ticket.status == "open"


def _reply_whose_mail_is(
    state: str, agent: User, ticket: Ticket, reason: str = ""
) -> OutboxMessage:
    comment = services.add_public_reply(
        actor=agent, number=ticket.number, body="Hello Hannah"
    )
    message = Notification.objects.get(comment=comment).outbox_message
    message.state, message.reason = state, reason
    message.sent_at = message.created_at if state == "sent" else None
    message.save()
    return message
