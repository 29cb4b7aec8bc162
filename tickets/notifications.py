"""Who is told what when something happens on a ticket. Pure: nothing is read or written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from accounts.models import User
from email_settings.models import Lane
from tickets.models import Ticket

# RFC 3834: what a machine wrote says so, or two machines answer each other for ever.
GENERATED = "auto-generated"
REPLIED = "auto-replied"
BY_HAND = ""  # a person's own words: it may be answered by a machine

# The mail that tells an agent of mail that did not arrive. Whatever becomes of it,
# nobody is told, or a mail about a mail would never end.
LOST = "reply_undelivered"
# What a recipient missed, by the kind of mail; of others no ticket tells.
LOSSES = {
    "public_reply": "the reply",
    "ticket_received": "the receipt",
    "ticket_solved": "the news that it is solved",
    "ticket_assigned": "the news that it is theirs",
}


@dataclass(frozen=True)
class Notice:
    """One mail to one person; `kind` names its template, too."""

    recipient: User
    kind: str
    reason: str  # why this person gets it, a whole sentence
    lane: Lane = Lane.NOTICE
    auto_submitted: str = GENERATED


def of_new_ticket(
    ticket: Ticket, *, actor: User, members: Iterable[User], agents: Iterable[User]
) -> list[Notice]:
    """The requester gets a receipt, the agents of the queue the news.

    A queue that nobody is in would be a place where tickets wait unseen, so all
    `agents` are told of those.
    """
    number = ticket.number
    opened_by = "you" if actor == ticket.requester else str(actor)
    receipt = Notice(
        ticket.requester,
        "ticket_received",
        f"You get this because {opened_by} opened ticket #{number}"
        + (" for you." if actor != ticket.requester else "."),
        lane=Lane.REPLY,
        auto_submitted=REPLIED,
    )
    told, reason = (
        list(members),
        f"You get this because you are in the queue {ticket.queue.name}.",
    )
    if not told:
        told, reason = (
            list(agents),
            f"You get this because you are an agent and nobody is in the queue "
            f"{ticket.queue.name}.",
        )
    news = [Notice(agent, "ticket_new", reason) for agent in told if agent != actor]
    return _one_each([receipt, *news])


def of_public_reply(
    ticket: Ticket, *, actor: User, watchers: Iterable[User]
) -> list[Notice]:
    """Requester, watchers and assignee read it, its author does not."""
    number = ticket.number
    readers = [(ticket.requester, f"You get this because you opened ticket #{number}.")]
    readers += [
        (watcher, f"You get this because you watch ticket #{number}.")
        for watcher in watchers
    ]
    # Somebody who is no agent any more may not read a ticket for having been assigned.
    if ticket.assignee and ticket.assignee.is_agent:
        readers.append(
            (
                ticket.assignee,
                f"You get this because ticket #{number} is assigned to you.",
            )
        )
    return _one_each(
        Notice(
            reader,
            "public_reply",
            reason,
            lane=Lane.NOTICE if reader.is_agent else Lane.REPLY,
            auto_submitted=BY_HAND
            if actor.is_agent and not reader.is_agent
            else GENERATED,
        )
        for reader, reason in readers
        if reader != actor
    )


def of_assignment(ticket: Ticket, *, actor: User) -> list[Notice]:
    """The new assignee is told, unless they took the ticket themselves."""
    if ticket.assignee is None or ticket.assignee == actor:
        return []
    reason = f"You get this because {actor} assigned ticket #{ticket.number} to you."
    return _one_each([Notice(ticket.assignee, "ticket_assigned", reason)])


def of_solution(ticket: Ticket, *, actor: User) -> list[Notice]:
    """The requester is told, unless they said themselves that it is solved."""
    if ticket.requester == actor:
        return []
    reason = f"You get this because you opened ticket #{ticket.number}."
    return _one_each([Notice(ticket.requester, "ticket_solved", reason)])


def of_lost_reply(ticket: Ticket, *, author: User, is_by_agent: bool) -> list[Notice]:
    """The agent who wrote it is told that somebody did not get it.

    When that is no agent any more, the assignee is, and when there is none, nobody.
    `is_by_agent` says that it was an agent who wrote it, then.
    """
    if not is_by_agent:
        return []
    if author.is_agent and author.is_active:
        reason = (
            f"You get this because you wrote this reply on ticket #{ticket.number}."
        )
        return _one_each([Notice(author, LOST, reason)])
    if ticket.assignee is None or not ticket.assignee.is_agent:
        return []
    reason = (
        f"You get this because ticket #{ticket.number} is assigned to you, and {author}, "
        "who wrote this reply, is no agent any more."
    )
    return _one_each([Notice(ticket.assignee, LOST, reason)])


def headers(notice: Notice, ticket: Ticket, *, site_url: str) -> Mapping[str, str]:
    """Return the mail's extra headers: one thread a ticket, and marks for machines."""
    root = f"<ticket-{ticket.uid}@{urlsplit(site_url).hostname}>"
    threading = {"In-Reply-To": root, "References": root}
    if notice.auto_submitted == BY_HAND:
        return threading
    return {
        **threading,
        "Auto-Submitted": notice.auto_submitted,
        "X-Auto-Response-Suppress": "OOF, AutoReply",
    }


def _one_each(notices: Iterable[Notice]) -> list[Notice]:
    """Drop people who may not sign in, and a second mail to the same person."""
    first: dict[int, Notice] = {}
    for notice in notices:
        if notice.recipient.is_active:
            first.setdefault(notice.recipient.pk, notice)
    return list(first.values())
