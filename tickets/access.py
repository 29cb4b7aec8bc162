"""The only ways to one ticket or one attachment.

Http404 is raised for what is missing and for what somebody may not know of, so that
the two look the same; PermissionDenied for what may be known but not done.
"""

from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.models import User
from tickets.models import Attachment, Comment, Ticket


def get_ticket(user: User, number: int) -> Ticket:
    """Return the ticket if the person may read it. Raises Http404."""
    return _get(user, number, is_locked=False)


def get_ticket_to_reply(user: User, number: int) -> Ticket:
    """Return the ticket, locked until the transaction ends, if the person may answer.

    That is everybody who may read it. Raises Http404.
    """
    return _get(user, number, is_locked=True)


def get_ticket_to_manage(user: User, number: int) -> Ticket:
    """Return the ticket, locked until the transaction ends, for an agent.

    Raises Http404 when the person may not know the ticket, PermissionDenied when the
    person may read it but is no agent.
    """
    ticket = _get(user, number, is_locked=True)
    if not user.is_agent:
        raise PermissionDenied
    return ticket


def get_attachment(user: User, attachment_id: int) -> Attachment:
    """Return the file's row if the person may read its comment. Raises Http404."""
    comments = Comment.objects.visible_to(user).filter(
        ticket__in=Ticket.objects.visible_to(user)
    )
    try:
        return Attachment.objects.get(pk=attachment_id, comment__in=comments)
    except Attachment.DoesNotExist:
        raise Http404 from None


def _get(user: User, number: int, *, is_locked: bool) -> Ticket:
    tickets = Ticket.objects.visible_to(user).select_related(
        "requester", "assignee", "queue"
    )
    if is_locked:
        tickets = tickets.select_for_update(of=("self",))
    try:
        return tickets.get(pk=number)
    except Ticket.DoesNotExist:
        raise Http404 from None
