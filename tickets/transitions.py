"""Who may move a ticket from which status to which, as data."""

from enum import Enum

from accounts.models import User
from tickets.models import Ticket

Status = Ticket.Status


class Mover(Enum):
    """What a person is to one ticket."""

    AGENT = "agent"
    REQUESTER = "requester"
    WATCHER = "watcher"  # reads along and may answer, decides nothing


WORK = {Status.OPEN, Status.PENDING, Status.ON_HOLD}

MOVES: dict[Mover, dict[Status, set[Status]]] = {
    Mover.AGENT: {
        Status.NEW: WORK | {Status.SOLVED, Status.CLOSED},
        Status.OPEN: {Status.PENDING, Status.ON_HOLD, Status.SOLVED, Status.CLOSED},
        Status.PENDING: {Status.OPEN, Status.ON_HOLD, Status.SOLVED, Status.CLOSED},
        Status.ON_HOLD: {Status.OPEN, Status.PENDING, Status.SOLVED, Status.CLOSED},
        Status.SOLVED: WORK | {Status.CLOSED},
        Status.CLOSED: set(),
    },
    Mover.REQUESTER: {
        Status.NEW: {Status.SOLVED},
        Status.OPEN: {Status.SOLVED},
        Status.PENDING: {Status.SOLVED},
        Status.ON_HOLD: {Status.SOLVED},
        Status.SOLVED: {Status.OPEN},
        Status.CLOSED: set(),
    },
    Mover.WATCHER: {status: set() for status in Status},
}


def mover(user: User, ticket: Ticket) -> Mover:
    """Tell what the person is to this ticket; the person can see it already."""
    if user.is_agent:
        return Mover.AGENT
    if ticket.requester_id == user.pk:
        return Mover.REQUESTER
    return Mover.WATCHER


def moves(user: User, ticket: Ticket) -> list[Status]:
    """Return where the person may move the ticket now, in the usual order."""
    allowed = MOVES[mover(user, ticket)][Status(ticket.status)]
    return [status for status in Status if status in allowed]


def after_reply(user: User, ticket: Ticket) -> Status:
    """Return the status that a public reply leads to when its author chooses none."""
    if user.is_agent and ticket.requester_id != user.pk:
        return Status.PENDING
    if ticket.status in {Status.PENDING, Status.SOLVED}:
        return Status.OPEN
    return Status(ticket.status)
