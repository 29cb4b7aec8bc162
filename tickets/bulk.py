"""One change to many tickets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.http import Http404

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import services
from tickets.models import Ticket

# More mails than this are asked about first.
HANDFUL = 5

Change = Callable[[int], object]


@dataclass
class Outcome:
    changed: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)  # number: why


def change_many(*, actor: User, numbers: Sequence[int], change: str) -> Outcome:
    """Change each ticket in a transaction of its own, so that one refusal stops no other.

    `change` is "assign", "status:solved" or "priority:3".
    """
    one = _change(actor, change)
    outcome = Outcome()
    for number in numbers:
        try:
            one(number)
        except DomainError as error:
            outcome.refused[number] = str(error)
        except Http404:
            outcome.refused[number] = "There is no such ticket."
        else:
            outcome.changed.append(number)
    return outcome


def is_final(change: str) -> bool:
    """Return whether the change can't be undone: a closed ticket stays closed."""
    return change == f"status:{Ticket.Status.CLOSED}"


def count_mails(*, actor: User, numbers: Sequence[int], change: str) -> int:
    """Return how many mails change_many would cause, at most. One query.

    Only an end tells anybody: the requester of each ticket that is not the actor's own.
    """
    if change not in {f"status:{status}" for status in services.FINISHED}:
        return 0
    tickets = Ticket.objects.visible_to(actor).filter(pk__in=numbers).unsolved()
    return tickets.exclude(requester=actor).count()


def _change(actor: User, change: str) -> Change:
    kind, _, value = change.partition(":")
    if kind == "assign":
        return lambda number: services.assign(
            actor=actor, number=number, assignee=actor
        )
    if kind == "status":
        return lambda number: services.change_status(
            actor=actor, number=number, status=Ticket.Status(value)
        )
    return lambda number: services.change_priority(
        actor=actor, number=number, priority=Ticket.Priority(int(value))
    )
