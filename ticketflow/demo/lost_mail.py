"""Two replies of the demo whose mail did not go well: one bounced, one is delayed.

What SES told about them and what follows from it, as the events room would write it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from accounts.models import User
from email_settings.events.fate import fate_of
from email_settings.models import DeliveryEvent, OutboxMessage, Suppression
from tickets.fares import told_of
from tickets.models import Comment, Ticket, TicketEvent
from tickets.notifications import LOSSES

Kind = DeliveryEvent.Kind
Mailed = tuple[OutboxMessage, Comment, User]

BOUNCE = (
    Kind.BOUNCE,
    "Permanent/NoEmail",
    "smtp; 550 5.1.1 <{address}>: user unknown",
)
DELAY = (
    Kind.DELAY,
    "MailboxFull",
    "smtp; 452 4.2.2 <{address}>: mailbox over quota",
)


def lose_some(told: Sequence[Mailed], now: datetime) -> None:
    """Let the newest reply that nobody has answered bounce, and delay the one before."""
    newest = _unanswered(told)
    for (message, comment, person), news in zip(newest, (BOUNCE, DELAY), strict=False):
        moment = min(comment.created_at + timedelta(seconds=4), now)
        _tell(message, news, moment)
        if news is BOUNCE:
            _bounced(message, comment, person, moment)


def _unanswered(told: Sequence[Mailed]) -> Iterable[Mailed]:
    """Yield agents' last words on tickets that wait for their requester, newest first."""
    asked = set()
    for message, comment, person in sorted(
        told, key=lambda one: (one[1].created_at, one[1].pk), reverse=True
    ):
        ticket = comment.ticket
        is_sent = message.state == OutboxMessage.State.SENT
        is_waiting = ticket.status == Ticket.Status.PENDING
        is_for_requester = person == ticket.requester and comment.author != person
        # Each from another person, or one who gets no mail would have some delayed.
        if is_sent and is_waiting and is_for_requester and person not in asked:
            asked.add(person)
            yield message, comment, person


def _tell(message: OutboxMessage, news: tuple[str, str, str], moment: datetime) -> None:
    kind, sub_kind, words = news
    event = DeliveryEvent.objects.create(
        message=message,
        kind=kind,
        sub_kind=sub_kind,
        recipient=message.recipient,
        ses_message_id=message.ses_message_id,
        mark=f"demo-{kind}",
        happened_at=moment,
        received_at=moment,
        diagnostic=words.format(address=message.recipient),
    )
    verdict = fate_of([event])
    assert verdict
    message.fate, message.fate_at = verdict.fate, verdict.at
    message.fate_detail = verdict.detail
    message.save(update_fields=["fate", "fate_at", "fate_detail"])


def _bounced(
    message: OutboxMessage, comment: Comment, person: User, moment: datetime
) -> None:
    """What TicketFlow does about a bounce: agents read of it, the address gets none."""
    message.undelivered_told_at = moment
    message.save(update_fields=["undelivered_told_at"])
    ticket = comment.ticket
    ticket.undelivered_comment = comment
    ticket.save(update_fields=["undelivered_comment"])
    TicketEvent.objects.create(
        ticket=ticket,
        kind=TicketEvent.Kind.UNDELIVERED,
        old=str(person),
        new=told_of(message, LOSSES[message.kind]),
        created_at=moment,
    )
    Suppression.objects.get_or_create(
        address_lower=person.email,
        closed_at=None,
        defaults={
            "address": person.email,
            "reason": Suppression.Reason.BOUNCED,
            "detail": message.fate_detail,
            "message": message,
            "event": message.event_set.last(),
            "happened_at": moment,
            "created_at": moment,
        },
    )
