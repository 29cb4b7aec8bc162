"""/tickets/<number>/ and the small forms beside the conversation."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from ticketflow.errors import DomainError
from ticketflow.lib.access import agent_required
from tickets import services
from tickets.access import get_ticket
from tickets.forms import PropertiesForm, WatcherForm
from tickets.models import Queue, Ticket
from tickets.views.http import AuthenticatedRequest, attempt
from tickets.views.page import crowd_of, show_ticket

SETTERS: dict[str, Callable[..., Ticket]] = {
    "status": services.change_status,
    "priority": services.change_priority,
    "assignee": services.assign,
    "queue": services.change_queue,
}


@require_safe
def ticket_detail(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Show one ticket, as much of it as the person may know."""
    return show_ticket(request, get_ticket(request.user, number))


@require_POST
@agent_required
def ticket_properties(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Change what the agent changed of status, priority, assignee and queue."""
    ticket = get_ticket(request.user, number)
    form = PropertiesForm(
        request.POST,
        user=request.user,
        ticket=ticket,
        agents=crowd_of(ticket).agents,
        queues=list(Queue.objects.all()),
    )
    if not form.is_valid():
        return show_ticket(request, ticket, properties_form=form)
    for name, value in form.changes().items():
        attempt(
            request,
            SETTERS[name],
            actor=request.user,
            number=number,
            **{name: value},
        )
    return redirect("tickets:ticket-detail", number=number)


@require_POST
def watcher_add(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Let one more person read along."""
    ticket = get_ticket(request.user, number)
    form = WatcherForm(request.POST)
    if form.is_valid():
        try:
            watcher = services.add_watcher(
                actor=request.user, number=number, email=form.cleaned_data["email"]
            )
        except DomainError as error:
            form.add_error("email", str(error))
        else:
            messages.success(request, f"{watcher.user} reads along from now on.")
            return redirect("tickets:ticket-detail", number=number)
    return show_ticket(request, ticket, watcher_form=form)


@require_POST
def watcher_remove(
    request: AuthenticatedRequest, number: int, user_id: int
) -> HttpResponse:
    """Stop telling one person of this ticket."""
    get_ticket(request.user, number)
    attempt(
        request,
        services.remove_watcher,
        actor=request.user,
        number=number,
        user_id=user_id,
    )
    if Ticket.objects.visible_to(request.user).filter(pk=number).exists():
        return redirect("tickets:ticket-detail", number=number)
    messages.success(request, f"You do not hear of #{number} any more.")
    return redirect("tickets:ticket-list")
