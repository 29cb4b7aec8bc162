"""Agents are told of mail that did not arrive: on the ticket, by mail, and in the list."""

import logging
from datetime import timedelta
from email.parser import HeaderParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from conftest import make_user
from email_settings.delivery import by_hand
from email_settings.models import Fate, OutboxMessage
from email_settings.undelivered import is_any_untold, take_untold
from tickets import services, tasks, undelivered
from tickets.models import Comment, Notification, Queue, Ticket, TicketEvent
from tickets.tests.builders import make_ticket
from tickets.tests.lost_mail import LOST, WAYS, let_fare, mail_to
from tickets.undelivered import tell_undelivered

pytestmark = pytest.mark.django_db

LIST = reverse("tickets:ticket-list")


@pytest.fixture
def reply(agent: User, ticket: Ticket) -> Comment:
    return services.add_public_reply(
        actor=agent, number=ticket.number, body="Please sign in **again**."
    )


def events(ticket: Ticket) -> list[tuple[str, str]]:
    kind = TicketEvent.Kind.UNDELIVERED
    return list(ticket.events.filter(kind=kind).values_list("old", "new"))


def notices() -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(kind="reply_undelivered").order_by("pk"))


def receipt(ticket: Ticket) -> OutboxMessage:
    return OutboxMessage.objects.get(
        kind="ticket_received", about_label=f"#{ticket.pk}"
    )


def is_marked(client: Client, agent: User) -> bool:
    client.force_login(agent)
    return "tk-lost" in client.get(LIST).content.decode()


# On the ticket and by mail


@pytest.mark.parametrize("way", WAYS)
def test_what_is_lost_is_told_once_and_nothing_else_is(
    ticket: Ticket, requester: User, agent: User, reply: Comment, way: str
) -> None:
    let_fare(mail_to(reply, requester), way)
    assert tell_undelivered() == (way in LOST)
    assert tell_undelivered() == 0
    assert len(events(ticket)) == (way in LOST)
    assert [message.recipient for message in notices()] == (
        [agent.email] if way in LOST else []
    )


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("Bounced", "did not get the reply: it bounced. The address does not exist."),
        ("Not delivered", "did not get the reply. The mailbox is full."),
        ("Rejected", "did not get the reply: Amazon SES did not send it. Amazon SES"),
        ("Complained", "called the reply spam. The recipient marked it as spam."),
        ("Failed", "did not get the reply: it could not be sent. It waited too long."),
        ("Suppressed", "did not get the reply: it was not sent. Mail to this address"),
    ],
)
def test_each_in_its_own_words(
    ticket: Ticket, requester: User, reply: Comment, way: str, words: str
) -> None:
    let_fare(mail_to(reply, requester), way)
    tell_undelivered()
    ((who, told),) = events(ticket)
    assert who == "Hannah Brooks"
    assert told.startswith(words)
    (mail,) = notices()
    assert f"Hannah Brooks ({requester.email}) {told}" in mail.text
    assert f"</strong> {told}" in mail.html
    is_complaint = way == "Complained"
    assert ("Called spam by" in mail.subject) is is_complaint
    assert ("Not delivered to Hannah Brooks" in mail.subject) is not is_complaint


def test_the_notice_says_all_that_the_agent_needs(
    ticket: Ticket, requester: User, reply: Comment
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    (mail,) = notices()
    link = f"/tickets/{ticket.number}/#comment-{reply.pk}"
    for body in (mail.text, mail.html):
        assert ticket.subject in body
        assert "Call them, or ask an admin to correct the address." in body
        assert link in body
        assert "Please sign in again." in body
        assert "because you wrote this reply" in body
        assert "550 5.1.1" not in body  # jargon is for the delivery details
    assert mail.lane == 2
    assert mail.headers["Auto-Submitted"] == "auto-generated"
    assert mail.headers["X-Auto-Response-Suppress"]
    assert HeaderParser().parsestr(f"Subject: {mail.subject}")["Subject"]


def test_names_are_text_in_the_mail(
    ticket: Ticket, requester: User, reply: Comment
) -> None:
    User.objects.filter(pk=requester.pk).update(name="<b>Eve</b>")
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    (mail,) = notices()
    assert "<b>Eve</b>" not in mail.html
    assert "&lt;b&gt;Eve&lt;/b&gt;" in mail.html


def test_forty_watchers_are_one_mail_and_one_line(
    ticket: Ticket, agent: User, requester: User
) -> None:
    for number in range(40):
        person = make_user(
            f"p{number}@larkfield.example", f"P {number}", Role.REQUESTER
        )
        services.add_watcher(actor=agent, number=ticket.number, email=person.email)
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    for one in Notification.objects.filter(comment=reply).exclude(recipient=requester):
        let_fare(one.outbox_message, "Bounced")
    with CaptureQueriesContext(connection) as queries:
        assert tell_undelivered() == 40
    assert len(queries) < 30
    assert [who for who, _ in events(ticket)] == ["P 0, P 1, P 2 and 37 others"]
    (mail,) = notices()
    assert "P 0 and 39 others" in mail.subject
    # The last one comes back later: another line, but no other mail for a while.
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    assert len(events(ticket)) == 2
    assert len(notices()) == 1


def test_after_a_while_the_agent_is_mailed_again(
    ticket: Ticket, requester: User, watcher: User, agent: User
) -> None:
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    long_ago = timezone.now() - undelivered.TOLD_EVERY
    OutboxMessage.objects.filter(kind="reply_undelivered").update(created_at=long_ago)
    let_fare(mail_to(reply, watcher), "Bounced")
    tell_undelivered()
    assert len(notices()) == 2


@pytest.mark.parametrize(
    ("way", "mails"), [("Suppressed", 1), ("Bounced", 2), ("Failed", 2)]
)
def test_what_the_page_said_before_is_mailed_once_a_day(
    ticket: Ticket, requester: User, agent: User, reply: Comment, way: str, mails: int
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    second = services.add_public_reply(actor=agent, number=ticket.number, body="Well?")
    let_fare(mail_to(second, requester), way)
    tell_undelivered()
    assert len(notices()) == mails
    assert len(events(ticket)) == 2
    OutboxMessage.objects.filter(kind="reply_undelivered").update(
        created_at=timezone.now() - undelivered.FOREWARNED_EVERY
    )
    third = services.add_public_reply(actor=agent, number=ticket.number, body="Well?")
    let_fare(mail_to(third, requester), way)
    tell_undelivered()
    assert len(notices()) == mails + 1


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": Role.REQUESTER}])
def test_when_the_author_has_gone_the_assignee_is_told(
    ticket: Ticket,
    requester: User,
    agent: User,
    colleague: User,
    reply: Comment,
    change: dict[str, object],
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=colleague)
    User.objects.filter(pk=agent.pk).update(**change)
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    (mail,) = notices()
    assert mail.recipient == colleague.email
    assert "who wrote this reply, is no agent any more" in mail.text


def test_without_anybody_to_tell_the_line_stays(
    ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    User.objects.filter(pk=agent.pk).update(is_active=False)
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    assert notices() == []
    assert len(events(ticket)) == 1


@pytest.mark.parametrize("writer", ["requester", "watcher"])
def test_no_mail_when_it_was_no_agent_who_wrote(
    request: pytest.FixtureRequest,
    ticket: Ticket,
    requester: User,
    watcher: User,
    agent: User,
    writer: str,
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=agent)
    author = request.getfixturevalue(writer)
    reply = services.add_public_reply(actor=author, number=ticket.number, body="Hm")
    for one in Notification.objects.filter(comment=reply):
        let_fare(one.outbox_message, "Bounced")
    tell_undelivered()
    assert notices() == []
    assert events(ticket)


def test_a_colleague_who_did_not_get_it_has_it_before_them(
    client: Client, ticket: Ticket, agent: User, colleague: User, requester: User
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=colleague)
    reply = services.add_public_reply(actor=agent, number=ticket.number, body="Hello")
    let_fare(mail_to(reply, colleague), "Bounced")
    tell_undelivered()
    assert notices() == []
    assert [who for who, _ in events(ticket)] == ["Jonas Lindqvist"]
    assert not is_marked(client, agent)


@pytest.mark.parametrize("way", LOST)
def test_a_notice_that_is_lost_is_told_to_nobody(
    caplog: pytest.LogCaptureFixture,
    ticket: Ticket,
    requester: User,
    reply: Comment,
    way: str,
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    (notice,) = notices()
    let_fare(notice, way)
    before = TicketEvent.objects.count()
    for _ in range(3):
        tell_undelivered()
    assert len(notices()) == 1
    assert TicketEvent.objects.count() == before
    assert not is_any_untold()
    assert "could not be told" not in caplog.text


def test_the_notice_is_no_mark_of_the_reply(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    client.force_login(agent)
    text = client.get(f"/tickets/{ticket.number}/").content.decode()
    assert text.count('<div class="msg-foot') == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ticket_received", "did not get the receipt: it bounced."),
        ("ticket_solved", "did not get the news that it is solved: it bounced."),
        ("ticket_assigned", "did not get the news that it is theirs: it bounced."),
    ],
)
def test_other_mail_of_a_ticket_is_told_on_it_alone(
    ticket: Ticket, agent: User, colleague: User, kind: str, words: str
) -> None:
    services.assign(actor=agent, number=ticket.number, assignee=colleague)
    services.close_ticket(actor=agent, number=ticket.number)
    let_fare(OutboxMessage.objects.get(kind=kind), "Bounced")
    tell_undelivered()
    ((_, told),) = events(ticket)
    assert told.startswith(words)
    assert notices() == []


def test_mail_of_no_ticket_is_only_taken_note_of() -> None:
    message = OutboxMessage.objects.create(
        kind="invitation", recipient="new@x.example", state="failed"
    )
    assert tell_undelivered() == 1
    message.refresh_from_db()
    assert message.undelivered_told_at
    assert not TicketEvent.objects.exists()
    assert OutboxMessage.objects.count() == 1


def test_agents_read_it_in_the_conversation_and_requesters_do_not(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    client.force_login(agent)
    text = client.get(f"/tickets/{ticket.number}/").content.decode()
    assert "<b>Hannah Brooks</b> did not get the reply: it bounced." in text
    assert "Somebody who left" not in text
    client.force_login(requester)
    text = client.get(f"/tickets/{ticket.number}/").content.decode()
    assert "bounced" not in text
    kinds = ticket.events.visible_to(requester).values_list("kind", flat=True)
    assert "undelivered" not in kinds


def test_what_is_wrong_with_one_ticket_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ticket: Ticket,
    requester: User,
    agent: User,
    queue: Queue,
    reply: Comment,
) -> None:
    other = make_ticket(requester=requester, queue=queue)
    second = services.add_public_reply(actor=agent, number=other.number, body="Hello")
    for comment in (reply, second):
        let_fare(mail_to(comment, requester), "Bounced")
    real = undelivered._record

    def fail_at_the_first(one: Ticket, losses: list[undelivered.Loss]) -> None:
        if one == ticket:
            raise ValueError
        real(one, losses)

    monkeypatch.setattr(undelivered, "_record", fail_at_the_first)
    with caplog.at_level(logging.ERROR):
        tell_undelivered()
    assert events(other)
    assert f"could not be told of #{ticket.pk}" in caplog.text
    assert not is_any_untold()


def test_one_run_tells_of_many_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undelivered, "AT_ONCE", 2)
    monkeypatch.setattr(undelivered, "STEPS", 3)
    for _ in range(7):
        OutboxMessage.objects.create(kind="x", recipient="a@x.example", state="failed")
    tasks.tell_undelivered()
    assert OutboxMessage.objects.filter(undelivered_told_at=None).count() == 1
    tasks.tell_undelivered()
    assert not is_any_untold()


def test_nothing_to_tell_costs_one_query() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert tell_undelivered() == 0
    assert len(queries) == 1


# Sent again


def test_sent_again_and_delivered_shows_delivered_and_keeps_the_line(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    message = let_fare(mail_to(reply, requester), "Failed")
    tell_undelivered()
    assert is_marked(client, agent)
    by_hand.retry_message(message.uid)
    assert not is_marked(client, agent)
    let_fare(message, "Delivered")
    text = client.get(f"/tickets/{ticket.number}/").content.decode()
    assert "msg-foot-bad" not in text
    assert "Delivered" in text
    assert len(events(ticket)) == 1


def test_what_leaves_once_more_is_not_lost_yet(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    message = let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    OutboxMessage.objects.filter(pk=message.pk).update(state="queued")
    assert not is_marked(client, agent)


def test_failing_again_is_news(ticket: Ticket, requester: User, reply: Comment) -> None:
    message = let_fare(mail_to(reply, requester), "Failed")
    tell_undelivered()
    by_hand.retry_message(message.uid)
    let_fare(message, "Bounced")
    assert tell_undelivered() == 1
    assert len(events(ticket)) == 2


# The list


@pytest.mark.parametrize("way", LOST)
def test_the_list_marks_a_reply_that_did_not_arrive(
    client: Client,
    ticket: Ticket,
    requester: User,
    agent: User,
    reply: Comment,
    way: str,
) -> None:
    assert not is_marked(client, agent)
    let_fare(mail_to(reply, requester), way)
    tell_undelivered()
    # Who calls a mail spam has got it.
    is_expected = way != "Complained"
    assert is_marked(client, agent) is is_expected
    text = client.get(f"{LIST}?view=undelivered").content.decode()
    assert (ticket.subject in text) is is_expected


def test_the_next_reply_clears_the_mark(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    services.add_public_reply(actor=requester, number=ticket.number, body="I see")
    assert not is_marked(client, agent)


def test_an_older_reply_does_not_mark(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    services.add_public_reply(actor=agent, number=ticket.number, body="And more")
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    assert not is_marked(client, agent)


def test_a_note_leaves_the_mark_alone(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    let_fare(mail_to(reply, requester), "Bounced")
    services.add_internal_note(actor=agent, number=ticket.number, body="I call her")
    tell_undelivered()
    assert is_marked(client, agent)


def test_a_receipt_that_did_not_arrive_marks_too(
    client: Client, ticket: Ticket, agent: User
) -> None:
    let_fare(receipt(ticket), "Bounced")
    tell_undelivered()
    assert is_marked(client, agent)


def test_the_view_is_offered_only_while_it_holds_something(
    client: Client, ticket: Ticket, requester: User, agent: User, reply: Comment
) -> None:
    client.force_login(agent)
    assert "view=undelivered" not in client.get(LIST).content.decode()
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    assert "view=undelivered" in client.get(LIST).content.decode()
    services.close_ticket(actor=agent, number=ticket.number)
    long_ago = timezone.now() - timedelta(days=8)
    Ticket.objects.update(updated_at=long_ago, solved_at=long_ago)
    assert "view=undelivered" not in client.get(LIST).content.decode()


def test_the_mark_costs_no_query(
    client: Client, requester: User, agent: User, queue: Queue
) -> None:
    client.force_login(agent)
    with CaptureQueriesContext(connection) as without:
        client.get(LIST)
    for _ in range(5):
        one = make_ticket(requester=requester, queue=queue)
        reply = services.add_public_reply(actor=agent, number=one.number, body="Hello")
        let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    with CaptureQueriesContext(connection) as with_marks:
        text = client.get(LIST).content.decode()
    assert text.count("tk-lost") == 5
    assert len(with_marks) <= len(without)


# The taking


def test_takes_each_once_and_no_more_than_asked(reply: Comment) -> None:
    for _ in range(5):
        OutboxMessage.objects.create(
            kind="x", recipient="a@x.example", fate=Fate.BOUNCED
        )
    first, rest = take_untold(3), take_untold()
    assert len(first) == 3
    assert len(rest) == 2
    assert not {one.pk for one in first} & {one.pk for one in rest}
    assert take_untold() == []
