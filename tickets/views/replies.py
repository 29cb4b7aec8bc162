"""Answers: the composer of agents, the reply form of requesters, closing and reopening."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from ticketflow.errors import DomainError
from tickets import services
from tickets.access import get_ticket
from tickets.forms import ReplyForm, RequesterReplyForm
from tickets.models import Comment, Ticket
from tickets.timeline import newer_than
from tickets.views.http import AuthenticatedRequest, attempt
from tickets.views.page import show_ticket


@require_POST
def ticket_reply(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Send a reply or save a note; whatever is refused comes back as it was typed.

    A reply that crossed with somebody else's is not sent: it is shown under the newer
    one, and goes when it is sent from there.
    """
    ticket = get_ticket(request.user, number)
    form = _form(request, ticket)
    if not form.is_valid():
        return show_ticket(request, ticket, reply_form=form)
    if newer := _crossed_with(request, ticket, form):
        return show_ticket(request, ticket, reply_form=form, newer=newer)
    try:
        comment = _send(request, number, form)
    except DomainError as error:
        form.add_error(None, str(error))
        return show_ticket(request, ticket, reply_form=form)
    page = reverse("tickets:ticket-detail", args=[number])
    return redirect(f"{page}#comment-{comment.pk}")


@require_POST
def ticket_close(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Close the ticket; what stands in the reply form is said first."""
    ticket = get_ticket(request.user, number)
    if request.POST.get("body", "").strip() or request.FILES:
        form = _form(request, ticket)
        try:
            if form.is_valid():
                _send(request, number, form)
        except DomainError as error:
            form.add_error(None, str(error))
        if form.errors:
            return show_ticket(request, ticket, reply_form=form)
    if attempt(request, services.close_ticket, actor=request.user, number=number):
        messages.success(request, f"#{number} is solved. Reopen it if it comes back.")
    return redirect("tickets:ticket-detail", number=number)


@require_POST
def ticket_reopen(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Open a solved ticket again."""
    get_ticket(request.user, number)
    if attempt(request, services.reopen_ticket, actor=request.user, number=number):
        messages.success(request, f"#{number} is open again.")
    return redirect("tickets:ticket-detail", number=number)


def _form(request: AuthenticatedRequest, ticket: Ticket) -> RequesterReplyForm:
    if request.user.is_agent:
        return ReplyForm(request.POST, request.FILES, status=ticket.status)
    return RequesterReplyForm(request.POST, request.FILES)


def _is_note(form: RequesterReplyForm) -> bool:
    return isinstance(form, ReplyForm) and form.is_note


def _crossed_with(
    request: AuthenticatedRequest, ticket: Ticket, form: RequesterReplyForm
) -> list[Comment]:
    seen = form.cleaned_data["seen"]
    if seen is None or _is_note(form):
        return []
    return newer_than(request.user, ticket, seen)


def _send(
    request: AuthenticatedRequest, number: int, form: RequesterReplyForm
) -> Comment:
    said = form.cleaned_data
    if _is_note(form):
        return services.add_internal_note(
            actor=request.user,
            number=number,
            body=said["body"],
            files=said["files"],
            submission_key=said["submission_key"],
        )
    return services.add_public_reply(
        actor=request.user,
        number=number,
        body=said["body"],
        files=said["files"],
        then_status=said.get("then", ""),
        submission_key=said["submission_key"],
    )
