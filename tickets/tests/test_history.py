"""The history of a ticket, as each reader sees it."""

from accounts.models import User
from tickets import services
from tickets.models import Queue, Ticket
from tickets.tests.builders import everything
from tickets.timeline import timeline_for


def events_seen_by(user: User, ticket: Ticket) -> list[tuple[str, str, str]]:
    rows = ticket.events.visible_to(user).values_list("kind", "old", "new")
    return list(rows)


def test_every_change_is_written_down_as_people_read_it(
    ticket: Ticket, requester: User, agent: User, outsider: User
) -> None:
    number = ticket.number
    payroll = Queue.objects.create(name="Payroll")
    services.assign(actor=agent, number=number, assignee=agent)
    services.change_priority(actor=agent, number=number, priority=4)
    services.change_queue(actor=agent, number=number, queue=payroll)
    services.add_watcher(actor=agent, number=number, email=outsider.email)
    services.add_internal_note(actor=agent, number=number, body="Hm.")
    services.add_public_reply(actor=agent, number=number, body="Done.")
    services.remove_watcher(actor=agent, number=number, user_id=outsider.pk)
    services.close_ticket(actor=requester, number=number)

    assert events_seen_by(agent, ticket) == [
        ("opened", "", ""),
        ("assigned", "", "Maya Okafor"),
        ("status", "New", "Open"),
        ("priority", "Normal", "Urgent"),
        ("queue", "IT Support", "Payroll"),
        ("watcher_added", "", "Oliver Grant"),
        ("noted", "", ""),
        ("replied", "", ""),
        ("status", "Open", "Waiting"),
        ("watcher_removed", "Oliver Grant", ""),
        ("status", "Waiting", "Solved"),
    ]
    assert {kind for kind, _, _ in events_seen_by(requester, ticket)} == {
        "opened",
        "assigned",
        "status",
        "watcher_added",
        "replied",
        "watcher_removed",
    }


def test_history_says_who_took_a_ticket_and_whom_it_was_taken_off(
    ticket: Ticket, agent: User, colleague: User
) -> None:
    for assignee in (agent, colleague, None):
        services.assign(actor=agent, number=ticket.number, assignee=assignee)
    told = [
        f"{entry.actor} {entry.text} {entry.value}".strip()
        for entry in timeline_for(agent, ticket).history
        if entry.event.kind == "assigned"
    ]
    assert told == [
        f"Maya Okafor took it off {colleague}",
        f"Maya Okafor assigned {colleague}",
        "Maya Okafor took the ticket",
    ]


def test_what_is_as_it_should_be_leaves_no_trace(ticket: Ticket, agent: User) -> None:
    number = ticket.number
    before = everything()
    services.assign(actor=agent, number=number, assignee=None)
    services.change_status(actor=agent, number=number, status="new")
    services.change_priority(actor=agent, number=number, priority=2)
    services.change_queue(actor=agent, number=number, queue=ticket.queue)
    assert everything() == before


def test_the_longest_names_fit_into_the_history(
    ticket: Ticket, agent: User, colleague: User
) -> None:
    colleague.name = "J" * 120
    colleague.save()
    services.assign(actor=agent, number=ticket.number, assignee=colleague)
    assert ticket.events.get(kind="assigned").new == "J" * 120
