"""Notices become mails in the outbox, each distinct text rendered once."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from django.conf import settings

from accounts.models import User
from email_settings import outbox
from email_settings.models import OutboxMessage
from ticketflow.lib import markdown
from ticketflow.lib.many_rows import insert_copies
from tickets import notifications, wording
from tickets.models import Comment, Notification, Ticket
from tickets.notifications import Notice


def tell(
    notices: list[Notice],
    ticket: Ticket,
    actor: User,
    comment: Comment | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Put the mails in the outbox and note who was told of what.

    `more` is what their templates need besides. They leave only if the caller's
    transaction commits.
    """
    told: list[Told] = []
    if notices:
        context = {**_context(ticket, actor, comment), **(more or {})}
        for _, alike in groupby(sorted(notices, key=_text), key=_text):
            told += _tell_alike(list(alike), ticket, context)
    _note(told, ticket, comment)


def follow_mail(first: OutboxMessage, second: OutboxMessage) -> None:
    """Let what was told by the first mail be told by the second from now on.

    What agents see of it is the fate of the second. Needs the transaction that put it in
    the outbox.
    """
    Notification.objects.filter(outbox_message=first).update(outbox_message=second)


class Told(NamedTuple):
    """One person, and the message that tells them."""

    recipient_id: int
    message_id: int


def _text(notice: Notice) -> tuple[str, str, int, str, bool]:
    """Return what a mail's text and headers depend on."""
    return (
        notice.kind,
        notice.reason,
        notice.lane,
        notice.auto_submitted,
        notice.recipient.is_agent,
    )


def _context(ticket: Ticket, actor: User, comment: Comment | None) -> dict[str, Any]:
    context: dict[str, Any] = {
        "ticket": ticket,
        "ticket_url": settings.SITE_URL + _path(ticket),
        "actor": actor,
        "is_solved": ticket.solved_at is not None,
    }
    if comment:
        context |= {
            "body_text": comment.body,
            "body_html": markdown.to_html(comment.body),
            "comment_url": f"{context['ticket_url']}#comment-{comment.pk}",
            "preview": wording.snippet(comment.body),
            "file_names": [file.file_name for file in comment.attachments.all()],
        }
    return context


def _tell_alike(
    notices: list[Notice], ticket: Ticket, context: dict[str, Any]
) -> list[Told]:
    """Mail one text to everybody it is for."""
    first = notices[0]
    messages = outbox.enqueue_many(
        kind=first.kind,
        template=f"tickets/mail/{first.kind}",
        context={
            **context,
            "reason": first.reason,
            "reader_is_agent": first.recipient.is_agent,
        },
        recipients=[
            (notice.recipient.email, notice.recipient.name) for notice in notices
        ],
        lane=first.lane,
        headers=notifications.headers(first, ticket, site_url=settings.SITE_URL),
        about_label=f"#{ticket.number}",
        about_path=_path(ticket),
    )
    return [
        Told(notice.recipient.pk, message)
        for notice, message in zip(notices, messages, strict=True)
    ]


def _note(told: list[Told], ticket: Ticket, comment: Comment | None) -> None:
    insert_copies(
        Notification(ticket=ticket, comment=comment),
        [
            {"outbox_message": message_id, "recipient": recipient_id}
            for recipient_id, message_id in told
        ],
    )


def _path(ticket: Ticket) -> str:
    return f"/tickets/{ticket.number}/"
