"""One ticket as a page, after a link or after a form that was refused."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.http import HttpResponse
from django.shortcuts import render

from accounts.models import User
from tickets import transitions
from tickets.context_processors import Sidebar
from tickets.forms import PropertiesForm, ReplyForm, RequesterReplyForm, WatcherForm
from tickets.marks import and_others
from tickets.models import Comment, Ticket, Watcher
from tickets.timeline import timeline_for
from tickets.unreachable import gap_of
from tickets.views.http import AuthenticatedRequest

OTHER_TICKETS = 4
# Above the composer so many watchers are named; all of them stand beside it.
CC_NAMED = 6


@dataclass(frozen=True)
class Crowd:
    """Who matters on one ticket besides its requester."""

    agents: list[User]
    watchers: list[User]


def crowd_of(ticket: Ticket) -> Crowd:
    """Return the agents it may be given to and the people who watch it; one query."""
    watchers = Watcher.objects.filter(ticket=ticket, user=OuterRef("pk"))
    people = list(
        User.objects.annotate(is_watching=Exists(watchers))
        .filter(
            Q(pk__in=User.objects.active().agents().values("pk"))
            | Q(pk__in=Watcher.objects.filter(ticket=ticket).values("user_id"))
        )
        .order_by("name", "id")
    )
    return Crowd(
        agents=[one for one in people if one.is_agent and one.is_active],
        watchers=[one for one in people if one.is_watching],
    )


def show_ticket(
    request: AuthenticatedRequest,
    ticket: Ticket,
    *,
    reply_form: RequesterReplyForm | None = None,
    newer: list[Comment] | None = None,
    properties_form: PropertiesForm | None = None,
    watcher_form: WatcherForm | None = None,
) -> HttpResponse:
    """Show the ticket to an agent or to a requester.

    Forms that are given were refused and are shown with what was typed. `newer` are
    the comments because of which a reply was not sent yet.
    """
    context: dict[str, Any] = {
        "ticket": ticket,
        "timeline": timeline_for(request.user, ticket, whole="whole" in request.GET),
        "newer": newer or [],
        "moves": transitions.moves(request.user, ticket),
        "watcher_form": watcher_form or WatcherForm(),
        "form": reply_form or properties_form or watcher_form,
    }
    if request.user.is_agent:
        context |= _for_agents(request, ticket, reply_form, properties_form)
        return render(request, "tickets/ticket_detail.html", context)
    context |= _for_requesters(ticket, reply_form)
    return render(request, "tickets/my_ticket.html", context)


def _for_requesters(
    ticket: Ticket, reply_form: RequesterReplyForm | None
) -> dict[str, Any]:
    return {
        "reply_form": reply_form or RequesterReplyForm(),
        "watchers": [one.user for one in ticket.watchers.select_related("user")],
    }


def _for_agents(
    request: AuthenticatedRequest,
    ticket: Ticket,
    reply_form: RequesterReplyForm | None,
    properties_form: PropertiesForm | None,
) -> dict[str, Any]:
    crowd = crowd_of(ticket)
    then = transitions.after_reply(request.user, ticket)
    return {
        "reply_form": reply_form
        or ReplyForm(status=ticket.status, initial={"then": then}),
        "properties_form": properties_form
        or PropertiesForm(
            user=request.user,
            ticket=ticket,
            agents=crowd.agents,
            queues=Sidebar.of(request).queues,
        ),
        "watchers": crowd.watchers,
        "cc": and_others([str(one) for one in crowd.watchers], named=CC_NAMED),
        "gap": gap_of(ticket, crowd.watchers),
        "other_tickets": _other_tickets(ticket),
    }


def _other_tickets(ticket: Ticket) -> list[Ticket]:
    others = Ticket.objects.filter(requester=ticket.requester_id).exclude(pk=ticket.pk)
    return list(others.order_by("-updated_at", "-id")[:OTHER_TICKETS])
