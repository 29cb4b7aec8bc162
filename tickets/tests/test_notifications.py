"""Who is told what: as a pure function, and as mails in the outbox."""

import pytest

from accounts.models import Role, User
from email_settings.models import Brand, Lane, OutboxMessage
from tickets import notifications, services
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_file, make_ticket


def person(pk: int, name: str, role: Role = Role.REQUESTER, **fields: bool) -> User:
    email = f"{name.lower()}@larkfield.example"
    return User(pk=pk, email=email, name=name, role=role, **fields)


HANNAH = person(1, "Hannah")
DANIEL = person(2, "Daniel")
MAYA = person(3, "Maya", Role.AGENT)
JONAS = person(4, "Jonas", Role.AGENT)
GONE = person(5, "Gone", Role.AGENT, is_active=False)


def ticket_of(requester: User, assignee: User | None = None) -> Ticket:
    return Ticket(
        pk=42, requester=requester, assignee=assignee, queue=Queue(name="IT Support")
    )


def told(notices: list[notifications.Notice]) -> dict[str, str]:
    return {notice.recipient.name: notice.reason for notice in notices}


def test_news_of_a_ticket_says_why() -> None:
    ticket = ticket_of(HANNAH)
    notices = notifications.of_new_ticket(
        ticket, actor=HANNAH, members=[MAYA, GONE, HANNAH], agents=[JONAS]
    )
    assert told(notices) == {
        "Hannah": "You get this because you opened ticket #42.",
        "Maya": "You get this because you are in the queue IT Support.",
    }
    receipt, news = notices
    assert (receipt.lane, receipt.auto_submitted) == (Lane.REPLY, "auto-replied")
    assert (news.lane, news.auto_submitted) == (Lane.NOTICE, "auto-generated")


def test_all_agents_hear_of_a_ticket_where_nobody_looks() -> None:
    notices = notifications.of_new_ticket(
        ticket_of(HANNAH), actor=HANNAH, members=[], agents=[MAYA, JONAS]
    )
    why = "You get this because you are an agent and nobody is in the queue IT Support."
    assert told(notices[1:]) == {"Maya": why, "Jonas": why}


def test_a_receipt_says_who_opened_it_for_you() -> None:
    notices = notifications.of_new_ticket(
        ticket_of(HANNAH), actor=MAYA, members=[MAYA], agents=[]
    )
    assert told(notices) == {
        "Hannah": "You get this because Maya opened ticket #42 for you."
    }


def test_an_agent_who_asks_gets_one_mail_not_two() -> None:
    notices = notifications.of_new_ticket(
        ticket_of(MAYA), actor=JONAS, members=[MAYA, JONAS], agents=[]
    )
    assert [notice.kind for notice in notices] == ["ticket_received"]


def test_a_reply_reaches_all_who_read_it_but_its_author() -> None:
    ticket = ticket_of(HANNAH, assignee=JONAS)
    notices = notifications.of_public_reply(
        ticket, actor=MAYA, watchers=[DANIEL, JONAS, MAYA, GONE]
    )
    assert told(notices) == {
        "Hannah": "You get this because you opened ticket #42.",
        "Daniel": "You get this because you watch ticket #42.",
        "Jonas": "You get this because you watch ticket #42.",
    }


def test_an_agents_words_to_a_requester_are_no_machines() -> None:
    ticket = ticket_of(HANNAH, assignee=JONAS)
    to_hannah, to_jonas = notifications.of_public_reply(ticket, actor=MAYA, watchers=[])
    assert (to_hannah.lane, to_hannah.auto_submitted) == (Lane.REPLY, "")
    assert (to_jonas.lane, to_jonas.auto_submitted) == (Lane.NOTICE, "auto-generated")


def test_a_requesters_reply_is_passed_on_by_a_machine() -> None:
    ticket = ticket_of(HANNAH, assignee=MAYA)
    notices = notifications.of_public_reply(ticket, actor=HANNAH, watchers=[DANIEL])
    assert {notice.auto_submitted for notice in notices} == {"auto-generated"}


@pytest.mark.parametrize("assignee", [GONE, DANIEL])
def test_an_assignee_who_is_no_active_agent_reads_nothing(assignee: User) -> None:
    ticket = ticket_of(HANNAH, assignee=assignee)
    notices = notifications.of_public_reply(ticket, actor=HANNAH, watchers=[])
    assert notices == []


def test_nobody_is_told_of_what_they_did_themselves() -> None:
    ticket = ticket_of(HANNAH, assignee=MAYA)
    assert notifications.of_assignment(ticket, actor=MAYA) == []
    assert notifications.of_solution(ticket, actor=HANNAH) == []
    assert told(notifications.of_assignment(ticket, actor=JONAS)) == {
        "Maya": "You get this because Jonas assigned ticket #42 to you."
    }
    assert told(notifications.of_solution(ticket, actor=MAYA)) == {
        "Hannah": "You get this because you opened ticket #42."
    }


def test_a_deactivated_requester_gets_nothing() -> None:
    ticket = ticket_of(GONE)
    assert notifications.of_solution(ticket, actor=MAYA) == []
    assert notifications.of_public_reply(ticket, actor=MAYA, watchers=[]) == []


# The mails themselves


def mail_to(user: User, kind: str) -> OutboxMessage:
    return OutboxMessage.objects.get(recipient=user.email, kind=kind)


def test_a_reply_comes_as_a_persons_letter_in_the_tickets_thread(
    brand: Brand, ticket: Ticket, requester: User, agent: User
) -> None:
    services.add_public_reply(
        actor=agent,
        number=ticket.number,
        body="Switch it **off** & on.\n\n<script>alert(1)</script>",
        files=[make_file("steps.png")],
    )

    mail = mail_to(requester, "public_reply")
    root = f"<ticket-{ticket.uid}@help.example.com>"
    assert mail.headers == {"In-Reply-To": root, "References": root}
    assert mail.subject == f"[#{ticket.number}] VPN drops every 20 minutes"
    assert mail.recipient_name == "Hannah Brooks"
    assert (mail.about_label, mail.about_path) == (
        f"#{ticket.number}",
        f"/tickets/{ticket.number}/",
    )
    for part in (mail.text_body, mail.html_body):
        assert "Maya Okafor" in part
        assert "IT Support" in part
        assert "steps.png" in part
        assert f"https://help.example.com/tickets/{ticket.number}/" in part
        assert f"You get this because you opened ticket #{ticket.number}." in part
        assert "Larkfield" in part
    assert "Switch it **off** & on." in mail.text_body
    assert "<strong>off</strong> &amp; on." in mail.html_body
    assert "<script" not in mail.html_body


def test_automatic_mails_say_so(
    ticket: Ticket, requester: User, agent: User, colleague: User, queue: Queue
) -> None:
    queue.members.add(agent)
    second = make_ticket(requester=requester, queue=queue)
    services.assign(actor=agent, number=second.number, assignee=colleague)
    services.add_public_reply(actor=requester, number=second.number, body="And?")
    services.change_status(actor=agent, number=second.number, status="solved")

    for message in OutboxMessage.objects.all():
        expected = (
            "auto-replied" if message.kind == "ticket_received" else "auto-generated"
        )
        assert message.headers["Auto-Submitted"] == expected
        assert message.headers["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert set(OutboxMessage.objects.values_list("kind", flat=True)) == {
        "ticket_received",
        "ticket_new",
        "ticket_assigned",
        "public_reply",
        "ticket_solved",
    }


def test_every_mail_says_why_and_where_and_leaves_no_gap(
    brand: Brand, requester: User, agent: User, colleague: User, queue: Queue
) -> None:
    queue.members.add(agent)
    ticket = make_ticket(
        requester=requester, queue=queue, subject="Röntgen <b> & {{ 7 }}"
    )
    number = ticket.number
    services.assign(actor=agent, number=number, assignee=colleague)
    services.add_public_reply(
        actor=agent, number=number, body="Done.", then_status="solved"
    )
    services.reopen_ticket(actor=requester, number=number)
    services.change_status(actor=agent, number=number, status="solved")

    messages = OutboxMessage.objects.all()
    assert len(messages) == 6
    for message in messages:
        assert "Röntgen <b> & {{ 7 }}" in message.text_body
        assert "Röntgen &lt;b&gt; &amp; {{ 7 }}" in message.html_body
        assert message.subject.endswith(f"[#{number}] Röntgen <b> & {{{{ 7 }}}}")
        for part in (message.text_body, message.html_body):
            assert "You get this because" in part
            assert f"https://help.example.com/tickets/{number}/" in part
        assert "\n\n\n" not in message.text_body
        assert "src=" not in message.html_body


def test_names_and_subjects_never_make_a_header(
    ticket: Ticket, requester: User, agent: User
) -> None:
    agent.name = "Maya\r\nBcc: all@example.com"
    agent.save()
    services.add_public_reply(actor=agent, number=ticket.number, body="Done.")
    mail = mail_to(requester, "public_reply")
    assert "\n" not in mail.subject + "".join(mail.headers.values())


def test_nothing_is_mailed_when_the_change_is_not_saved(
    ticket: Ticket, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = OutboxMessage.objects.count()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the last step fails")

    monkeypatch.setattr("tickets.telling._note", fail)
    with pytest.raises(RuntimeError, match="last step"):
        services.add_public_reply(actor=agent, number=ticket.number, body="Done.")
    assert OutboxMessage.objects.count() == count
    assert ticket.comments.count() == 1


def test_a_mail_to_many_expires_like_every_other(ticket: Ticket) -> None:
    message = OutboxMessage.objects.get()
    assert message.expires_at is not None
    assert message.expires_at > message.due_at
