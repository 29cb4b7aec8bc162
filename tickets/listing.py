"""The agents' list: filters, order and pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q

from accounts.models import User
from ticketflow.lib.pagination import Page, paginate
from tickets import search
from tickets.models import Ticket
from tickets.querysets import TicketQuerySet
from tickets.services import FINISHED
from tickets.undelivered import still_undelivered
from tickets.views_catalogue import (
    DEFAULT_VIEW,
    UNDELIVERED,
    VIEWS,
    TicketView,
    shown_count,
)

PAGE_SIZE = 50
SHOWN = ("requester", "assignee", "queue")

# A search from anywhere looks everywhere; it is not a place in the side bar.
EVERYTHING = TicketView("all", "All tickets", "ticket", lambda all_, me: all_)
LIST_VIEWS = {**VIEWS, EVERYTHING.slug: EVERYTHING}

ORDERS = {
    "updated": ("-updated_at", "-id"),
    "oldest": ("updated_at", "id"),
    "priority": ("-priority", "-updated_at", "-id"),
}


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to. Empty means: not narrowed."""

    view: TicketView = DEFAULT_VIEW
    text: str = ""
    statuses: Sequence[str] = ()
    priorities: Sequence[int] = ()
    assignees: Sequence[str] = ()  # ids of agents, "me", "nobody"
    queues: Sequence[str] = ()  # ids
    requester: int | None = None
    sort: str = "updated"

    @classmethod
    def from_cleaned(cls, cleaned: Mapping[str, Any]) -> "Filters":
        """Take what made sense of a form's cleaned data."""
        text = cleaned.get("q") or ""
        fallback = EVERYTHING if text else DEFAULT_VIEW
        view = LIST_VIEWS.get(cleaned.get("view") or "", fallback)
        sort = cleaned.get("sort") or "updated"
        return cls(
            view=view,
            text=text,
            statuses=cleaned.get("status") or (),
            priorities=cleaned.get("priority") or (),
            assignees=cleaned.get("assignee") or (),
            queues=cleaned.get("queue") or (),
            requester=cleaned.get("requester"),
            sort=sort if sort in sorts_of(view) else "updated",
        )

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the view itself decides what is shown."""
        return bool(self.text) or self.is_more_than_text

    @property
    def is_more_than_text(self) -> bool:
        return bool(
            self.statuses
            or self.priorities
            or self.assignees
            or self.queues
            or self.requester
        )


def statuses_in(view: TicketView) -> list[Ticket.Status]:
    """Return the statuses that tickets of this view can have: no filter finds nothing."""
    if view.slug in {EVERYTHING.slug, UNDELIVERED}:
        return list(Ticket.Status)
    is_past = view.slug == "solved"
    return [one for one in Ticket.Status if (one in FINISHED) == is_past]


def sorts_of(view: TicketView) -> list[str]:
    """Return the orders a view can be shown in; urgency is for work that is left."""
    is_work = view.slug not in {EVERYTHING.slug, "solved", UNDELIVERED}
    return [sort for sort in ORDERS if is_work or sort != "priority"]


def find_tickets(user: User, filters: Filters, cursor: str) -> Page[Ticket]:
    """Return the page of tickets the cursor points at; one query, two by urgency.

    By urgency SQLite starts from people or queues if it may join them, and then sorts
    every ticket it finds. Asked for narrow rows it reads the page off the index.
    """
    order = ORDERS[filters.sort]
    visible = filters.view.tickets(Ticket.objects.visible_to(user), user)
    tickets = narrow(visible, user, filters)
    if filters.sort != "priority" or filters.text:  # a search finds few
        return _page(_shown(tickets), order, cursor)
    found = _page(tickets.only("priority", "updated_at"), order, cursor)
    rows = Ticket.objects.filter(pk__in=[ticket.pk for ticket in found.rows])
    return replace(found, rows=list(_shown(rows).order_by(*order)))


def _shown(tickets: TicketQuerySet) -> TicketQuerySet:
    """Add what a row shows besides its own columns."""
    return tickets.select_related(*SHOWN).annotate(is_undelivered=still_undelivered())


def _page(tickets: TicketQuerySet, order: Sequence[str], cursor: str) -> Page[Ticket]:
    return paginate(tickets, order=order, cursor=cursor, size=PAGE_SIZE)


def narrow(tickets: TicketQuerySet, user: User, filters: Filters) -> TicketQuerySet:
    """Keep the tickets that match every filter; inside one filter any value will do."""
    if filters.statuses:
        tickets = tickets.filter(status__in=filters.statuses)
    if filters.priorities:
        tickets = tickets.filter(priority__in=filters.priorities)
    if filters.queues:
        tickets = tickets.filter(queue__in=[int(one) for one in filters.queues])
    if filters.requester:
        tickets = tickets.filter(requester=filters.requester)
    if filters.assignees:
        tickets = tickets.filter(_assigned_to(user, filters.assignees))
    if filters.text:
        tickets = search.matching(tickets, filters.text)
    return tickets


def _assigned_to(user: User, assignees: Sequence[str]) -> Q:
    people = [user.pk if one == "me" else one for one in assignees if one != "nobody"]
    nobody = Q(assignee=None) if "nobody" in assignees else Q()
    return Q(assignee__in=people) | nobody


def how_many(filters: Filters, page: Page[Ticket], counts: Mapping[str, int]) -> str:
    """Say how many tickets there are, as far as it is known without counting them."""
    slug = filters.view.slug
    if slug in counts and not filters.is_narrowed:
        number, shown = counts[slug], shown_count(counts[slug])
    elif page.next_cursor or page.previous_cursor:
        return f"more than {PAGE_SIZE} tickets"
    else:
        number, shown = len(page.rows), str(len(page.rows))
    return f"{shown} ticket{'' if number == 1 else 's'}"
