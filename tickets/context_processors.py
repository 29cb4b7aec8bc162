"""What the agents' side bar shows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import OuterRef
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User
from ticketflow.lib.counting import CappedCount
from tickets.models import Queue, Ticket
from tickets.views_catalogue import (
    COUNT_CAP,
    DEFAULT_VIEW,
    UNDELIVERED,
    VIEWS,
    count_columns,
    counts,
    shown_count,
)


@dataclass(frozen=True)
class SideLink:
    """One line of the side bar."""

    slug: str
    title: str
    icon: str
    url: str
    is_current: bool
    sidebar: "Sidebar"

    @property
    def count(self) -> str:
        """How many tickets are behind it; asking costs the side bar's one query."""
        return shown_count(self.sidebar.counts[self.slug])


class Sidebar:
    """The views and queues of one agent, asked for when the page shows them."""

    def __init__(self, user: User, current: str = "") -> None:
        self.user = user
        self.current = current

    @classmethod
    def of(cls, request: HttpRequest) -> "Sidebar":
        """Return the side bar of this request, so that page and layout share it."""
        sidebar = getattr(request, "_sidebar", None)
        if sidebar is None:
            assert isinstance(request.user, User)
            sidebar = cls(request.user, _current(request))
            request._sidebar = sidebar  # type: ignore[attr-defined]
        return sidebar

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many tickets each view holds; they come with the queues."""
        if not self.queues:
            return counts(self.user)
        return {slug: getattr(self.queues[0], _column(slug)) for slug in VIEWS}

    @cached_property
    def queues(self) -> list[Queue]:
        """Every queue, each with `open_tickets`, COUNT_CAP at most. One query."""
        unsolved = Ticket.objects.filter(queue=OuterRef("pk")).unsolved()
        views = count_columns(self.user).items()
        return list(
            Queue.objects.annotate(
                open_tickets=CappedCount(unsolved.values("pk")[:COUNT_CAP]),
                **{_column(slug): count for slug, count in views},
            )
        )

    @cached_property
    def views(self) -> list[SideLink]:
        return [
            SideLink(
                slug=view.slug,
                title=view.title,
                icon=view.icon,
                url=_list_url(view=view.slug),
                is_current=self.current == f"view {view.slug}",
                sidebar=self,
            )
            for view in VIEWS.values()
            if view.slug != UNDELIVERED
            or self.counts[view.slug]
            or self.current == f"view {view.slug}"
        ]

    @cached_property
    def queue_links(self) -> list[dict[str, Any]]:
        return [
            {
                "title": queue.name,
                "icon": queue.icon,
                "url": _list_url(view=DEFAULT_VIEW.slug, queue=queue.pk),
                "is_current": self.current == f"queue {queue.pk}",
                "count": shown_count(queue.open_tickets),  # type: ignore[attr-defined]
            }
            for queue in self.queues
            if queue.is_active
        ]


def sidebar(request: HttpRequest) -> dict[str, Any]:
    """Give agents' pages their navigation; pages that do not show it pay nothing."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_agent:
        return {}
    shared = Sidebar.of(request)
    return {
        "ticket_views": lambda: shared.views,
        "ticket_queues": lambda: shared.queue_links,
    }


def _column(slug: str) -> str:
    return f"tickets_{slug}"


def _list_url(**query: Any) -> str:
    return f"{reverse('tickets:ticket-list')}?{urlencode(query)}"


def _current(request: HttpRequest) -> str:
    """Name the line that this page is behind: a view, or one queue alone."""
    if request.path != reverse("tickets:ticket-list"):
        return ""
    chosen = request.GET.getlist("queue")
    if len(chosen) == 1:
        return f"queue {chosen[0]}"
    if request.GET.get("q") and not request.GET.get("view"):
        return ""
    return f"view {request.GET.get('view') or DEFAULT_VIEW.slug}"
