"""Admin Panel, Queues."""

from django.contrib import messages
from django.db.models import prefetch_related_objects
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required
from tickets import queues
from tickets.context_processors import Sidebar
from tickets.forms import QueueForm
from tickets.models import Queue
from tickets.views.http import AuthenticatedRequest


@require_safe
@admin_required
def queue_list(request: AuthenticatedRequest) -> HttpResponse:
    """Show every queue with its people and its open work."""
    shown = Sidebar.of(request).queues
    prefetch_related_objects(shown, "members")
    return render(request, "tickets/queue_list.html", {"queues": shown})


@require_http_methods(["GET", "POST"])
@admin_required
def queue_create(request: AuthenticatedRequest) -> HttpResponse:
    """Make a queue."""
    form = QueueForm(request.POST or None)
    if form.is_valid():
        queue = queues.create_queue(actor=request.user, **form.cleaned_data)
        messages.success(request, f"{queue.name} takes tickets from now on.")
        return redirect("tickets:queue-list")
    return render(request, "tickets/queue_form.html", {"form": form})


@require_http_methods(["GET", "POST"])
@admin_required
def queue_update(request: AuthenticatedRequest, queue_id: int) -> HttpResponse:
    """Change a queue's name, words and people, or close it for new tickets."""
    queue = get_object_or_404(Queue, pk=queue_id)
    name = queue.name  # checking the form writes to the queue
    form = QueueForm(request.POST or None, instance=queue)
    if form.is_valid():
        try:
            queues.update_queue(
                actor=request.user, queue_id=queue_id, **form.cleaned_data
            )
        except DomainError as error:
            form.add_error("is_active", str(error))
        else:
            messages.success(request, f"Saved {form.cleaned_data['name']}.")
            return redirect("tickets:queue-list")
    return render(request, "tickets/queue_form.html", {"form": form, "name": name})
