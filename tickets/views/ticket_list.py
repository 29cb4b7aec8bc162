"""/tickets/: the agents' list, or a requester's own tickets."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from ticketflow.lib.pagination import Page, paginate
from tickets.context_processors import Sidebar
from tickets.filters import SORTS, TicketFilterForm
from tickets.forms import BULK_STATUSES
from tickets.listing import Filters, find_tickets, how_many, sorts_of
from tickets.models import Ticket
from tickets.services import FINISHED
from tickets.views.http import AuthenticatedRequest

# A requester's page shows so many open tickets and so many solved ones.
MAX_OPEN = 100
MAX_SOLVED = 5
SOLVED_PAGE_SIZE = 30


@require_safe
def ticket_list(request: AuthenticatedRequest) -> HttpResponse:
    """Show agents everybody's tickets and requesters their own."""
    if request.user.is_agent:
        return _agents_list(request)
    if "solved" in request.GET:
        return _my_solved_tickets(request)
    return _my_tickets(request)


def _agents_list(request: AuthenticatedRequest) -> HttpResponse:
    sidebar = Sidebar.of(request)
    agents = list(User.objects.active().agents().order_by("name", "id"))
    form = TicketFilterForm(request.GET, agents=agents, queues=sidebar.queues)
    form.is_valid()
    filters = Filters.from_cleaned(form.cleaned_data)
    page = find_tickets(request.user, filters, form.cleaned_data.get("cursor", ""))
    context = {
        "menus": form.menus(filters.view),
        "sorts": [(key, SORTS[key]) for key in sorts_of(filters.view)],
        "filters": filters,
        "page": page,
        "meta": how_many(filters, page, sidebar.counts),
        "requester": _requester(filters, page),
        "bulk_statuses": BULK_STATUSES,
        "bulk_priorities": Ticket.Priority.values,
    }
    return render(request, "tickets/ticket_list.html", context)


def _requester(filters: Filters, page: Page[Ticket]) -> User | None:
    if filters.requester is None:
        return None
    if page.rows:
        return page.rows[0].requester
    return User.objects.filter(pk=filters.requester).first()


def _my_tickets(request: AuthenticatedRequest) -> HttpResponse:
    mine = Ticket.objects.visible_to(request.user).select_related("requester")
    newest = mine.order_by("-updated_at", "-id")
    open_ones = list(newest.unsolved()[:MAX_OPEN])
    solved = list(newest.filter(status__in=FINISHED)[: MAX_SOLVED + 1])
    mine_to_answer = [one for one in open_ones if _waits_for(request.user, one)]
    context = {
        "waiting_for_me": mine_to_answer,
        "with_us": [one for one in open_ones if one not in mine_to_answer],
        "solved": solved[:MAX_SOLVED],
        "has_more_solved": len(solved) > MAX_SOLVED,
    }
    return render(request, "tickets/my_tickets.html", context)


def _waits_for(user: User, ticket: Ticket) -> bool:
    """A watcher may answer, and nobody waits for them."""
    return ticket.status == Ticket.Status.PENDING and ticket.requester_id == user.pk


def _my_solved_tickets(request: AuthenticatedRequest) -> HttpResponse:
    page = paginate(
        Ticket.objects.visible_to(request.user)
        .filter(status__in=FINISHED)
        .select_related("requester"),
        order=("-updated_at", "-id"),
        cursor=request.GET.get("cursor", ""),
        size=SOLVED_PAGE_SIZE,
    )
    return render(request, "tickets/my_solved_tickets.html", {"page": page})
