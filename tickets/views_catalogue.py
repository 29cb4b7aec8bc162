"""The agent's ready-made views of the ticket list, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from ticketflow.lib.counting import CappedCount
from tickets.models import Ticket
from tickets.querysets import TicketQuerySet

# Counting stops here: 1,000 is shown as "999+", and costs the same at a million tickets.
COUNT_CAP = 1000
RECENTLY = timedelta(days=7)


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
    ]
}
DEFAULT_VIEW = VIEWS["open"]


def counts(user: User) -> dict[str, int]:
    """Return how many tickets each view holds, COUNT_CAP at most, in one query."""
    visible = Ticket.objects.visible_to(user)
    columns = {
        slug: CappedCount(view.tickets(visible, user).values("pk")[:COUNT_CAP])
        for slug, view in VIEWS.items()
    }
    (row,) = User.objects.filter(pk=user.pk).values_list(*columns.values())
    return dict(zip(columns, row, strict=True))


def shown_count(count: int) -> str:
    """Return the count as shown to people, such as "16" or "999+"."""
    return f"{COUNT_CAP - 1}+" if count >= COUNT_CAP else str(count)
