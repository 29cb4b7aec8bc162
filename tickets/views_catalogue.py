"""The agent's ready-made views of the ticket list, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from ticketflow.lib.counting import CappedCount
from tickets.models import Ticket
from tickets.querysets import TicketQuerySet
from tickets.undelivered import still_undelivered

# Counting stops here: 1,000 is shown as "999+", and costs the same at a million tickets.
COUNT_CAP = 1000
RECENTLY = timedelta(days=7)
# The view that is shown only while something is in it: nobody has to look at nothing.
UNDELIVERED = "undelivered"


@dataclass(frozen=True)
class TicketView:
    """One entry of the side bar: an address, a name, and which tickets it shows."""

    slug: str
    title: str
    icon: str
    tickets: Callable[[TicketQuerySet, User], TicketQuerySet]


def _recently_solved(tickets: TicketQuerySet, agent: User) -> TicketQuerySet:
    since = timezone.now() - RECENTLY
    # Solving a ticket touches it, so that the last condition follows from the one
    # before; it is there for the index.
    return tickets.finished().filter(solved_at__gte=since, updated_at__gte=since)


def _undelivered(tickets: TicketQuerySet, agent: User) -> TicketQuerySet:
    """What is done and forgotten is not work any more, whoever got it or not."""
    is_fresh = Q(updated_at__gte=timezone.now() - RECENTLY)
    return tickets.filter(
        Q(is_unsolved=True) | is_fresh,
        still_undelivered(),
        undelivered_comment__isnull=False,
    )


VIEWS = {
    view.slug: view
    for view in [
        TicketView(
            "mine", "Mine", "user", lambda all_, me: all_.unsolved().assigned_to(me)
        ),
        TicketView(
            "unassigned",
            "Unassigned",
            "inbox",
            lambda all_, me: all_.unsolved().unassigned(),
        ),
        TicketView("open", "All open", "layers", lambda all_, me: all_.unsolved()),
        TicketView("solved", "Recently solved", "check-circle", _recently_solved),
        TicketView(UNDELIVERED, "Not delivered", "alert", _undelivered),
    ]
}
DEFAULT_VIEW = VIEWS["open"]


def count_columns(user: User) -> dict[str, CappedCount]:
    """Return how many tickets each view holds, COUNT_CAP at most, to be put in a query.

    None of them depends on a row, so a database counts once, however many rows there are.
    """
    visible = Ticket.objects.visible_to(user)
    return {
        slug: CappedCount(view.tickets(visible, user).values("pk")[:COUNT_CAP])
        for slug, view in VIEWS.items()
    }


def counts(user: User) -> dict[str, int]:
    """Return how many tickets each view holds, COUNT_CAP at most, in one query."""
    columns = count_columns(user)
    (row,) = User.objects.filter(pk=user.pk).values_list(*columns.values())
    return dict(zip(columns, row, strict=True))


def shown_count(count: int) -> str:
    """Return the count as shown to people, such as "16" or "999+"."""
    return f"{COUNT_CAP - 1}+" if count >= COUNT_CAP else str(count)
