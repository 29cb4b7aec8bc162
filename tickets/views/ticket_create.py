"""/tickets/new/."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from ticketflow.errors import DomainError
from tickets import services
from tickets.forms import AgentTicketForm, TicketForm
from tickets.models import Ticket
from tickets.views.http import AuthenticatedRequest


@require_http_methods(["GET", "POST"])
def ticket_create(request: AuthenticatedRequest) -> HttpResponse:
    """Let a requester ask, or an agent write down what somebody asked."""
    form_class = AgentTicketForm if request.user.is_agent else TicketForm
    form = form_class(request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            ticket = _open(request, form.cleaned_data)
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Ticket #{ticket.number} is open.")
            return redirect("tickets:ticket-detail", number=ticket.number)
    page = "ticket_create" if request.user.is_agent else "my_ticket_create"
    return render(request, f"tickets/{page}.html", {"form": form})


def _open(request: AuthenticatedRequest, said: dict[str, Any]) -> Ticket:
    return services.open_ticket(
        actor=request.user,
        subject=said["subject"],
        body=said["body"],
        queue=said["queue"],
        priority=said["priority"],
        requester=said.get("requester"),
        watcher_emails=said["watchers"],
        files=said["files"],
        submission_key=said["submission_key"],
    )
