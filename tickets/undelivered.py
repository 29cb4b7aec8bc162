"""Tells agents of mail about tickets that did not arrive: on the ticket, and by mail."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from email_settings import undelivered
from email_settings.models import Fate, OutboxMessage
from tickets import notifications
from tickets.fares import COMPLAINED, TROUBLES, fares, told_of
from tickets.marks import and_others
from tickets.models import Comment, Notification, Ticket, TicketEvent
from tickets.notifications import LOSSES, LOST
from tickets.telling import tell

logger = logging.getLogger(__name__)

# Messages in one transaction, and transactions in one run; the next run, some seconds
# later, goes on.
AT_ONCE = 200
STEPS = 20
# Of one reply an agent is mailed once in this time, however its mails come back.
TOLD_EVERY = timedelta(hours=1)
# The page says before that an address gets no mail: of that, once in this time a ticket.
FOREWARNED_EVERY = timedelta(days=1)
# What makes people watch the list: the newest words did not arrive.
PUBLIC_WORDS = ("public_reply", "ticket_received")
LONGEST_EVENT = 160  # characters

State = OutboxMessage.State


@dataclass(frozen=True)
class Loss:
    """People who missed the same thing for the same reason."""

    people: Sequence[User]
    told: str  # "did not get the reply: it bounced. The address does not exist."
    advice: str
    is_complaint: bool

    @property
    def who(self) -> str:
        return and_others([str(person) for person in self.people])

    @property
    def who_with_address(self) -> str:
        """The same with addresses: who reads it may see what is wrong with one."""
        return and_others([f"{person} ({person.email})" for person in self.people])


def tell_for_a_while() -> None:
    """Tell of all there is, as far as one run goes."""
    for _ in range(STEPS):
        if tell_undelivered() < AT_ONCE:
            return


def tell_undelivered() -> int:
    """Tell agents of mail that was not delivered, each once; return how many there were.

    What belongs to no ticket is only taken note of. Takes one look at an index when there
    is nothing, and may run in several workers at once.
    """
    if not undelivered.is_any_untold():
        return 0
    with transaction.atomic():
        messages = undelivered.take_untold(AT_ONCE)
        for ticket, lost in _by_ticket(messages):
            _tell_guarded(ticket, lost)
    return len(messages)


def still_undelivered() -> Exists:
    """Return whether somebody still has not got the newest words of a ticket.

    For a query of tickets. Mail that was sent again and arrived does not count, nor does
    a complaint: who calls a mail spam has got it.
    """
    lost = Q(outbox_message__state__in=[State.FAILED, State.SUPPRESSED]) | Q(
        outbox_message__state=State.SENT,
        outbox_message__fate__in=[Fate.SOFT_BOUNCED, Fate.REJECTED, Fate.BOUNCED],
    )
    return Exists(
        Notification.objects.filter(
            lost,
            comment=OuterRef("undelivered_comment"),
            outbox_message__kind__in=PUBLIC_WORDS,
        )
    )


def _by_ticket(
    messages: Sequence[OutboxMessage],
) -> Iterable[tuple[Ticket, list[Notification]]]:
    """Yield what was lost with its ticket, which is locked, in one order for all."""
    told: dict[int, list[Notification]] = defaultdict(list)
    for one in (
        Notification.objects.filter(outbox_message__in=messages)
        .select_related("recipient", "comment__author", "outbox_message")
        .defer("outbox_message__text_body", "outbox_message__html_body")
    ):
        if one.outbox_message.kind in LOSSES:
            told[one.ticket_id].append(one)
    tickets = Ticket.objects.select_related("requester", "assignee", "queue")
    locked = tickets.select_for_update(of=("self",)).filter(pk__in=told).order_by("pk")
    return [(ticket, told[ticket.pk]) for ticket in locked]


def _tell_guarded(ticket: Ticket, lost: Sequence[Notification]) -> None:
    """Tell of one ticket; whatever is wrong with it keeps no other waiting."""
    try:
        with transaction.atomic():
            _tell(ticket, lost)
    except (OperationalError, InterfaceError):
        raise  # the database is away: all of it is told later
    except Exception:
        logger.exception("tickets: agents could not be told of #%s", ticket.pk)


def _tell(ticket: Ticket, lost: Sequence[Notification]) -> None:
    by_comment: dict[int | None, list[Notification]] = defaultdict(list)
    for one in lost:
        by_comment[one.comment_id].append(one)
    for of_one in by_comment.values():
        _record(ticket, _losses(of_one))
        if comment := of_one[0].comment:
            readers = [one for one in of_one if _is_reader(one, ticket)]
            _mark(ticket, comment, readers)
            _mail(ticket, comment, readers)


def _losses(lost: Iterable[Notification]) -> list[Loss]:
    """Group what happened by what is said of it."""
    heaps: dict[tuple[str, str], list[User]] = defaultdict(list)
    for one in lost:
        how = fares(one.outbox_message)
        if how in TROUBLES:
            told = told_of(one.outbox_message, LOSSES[one.outbox_message.kind])
            heaps[how, told].append(one.recipient)
    return [
        Loss(people, told, TROUBLES[how].advice, is_complaint=how == COMPLAINED)
        for (how, told), people in heaps.items()
    ]


def _record(ticket: Ticket, losses: Iterable[Loss]) -> None:
    TicketEvent.objects.bulk_create(
        TicketEvent(
            ticket=ticket,
            kind=TicketEvent.Kind.UNDELIVERED,
            old=Truncator(loss.who).chars(LONGEST_EVENT),
            new=Truncator(loss.told).chars(LONGEST_EVENT),
        )
        for loss in losses
    )


def _is_reader(one: Notification, ticket: Ticket) -> bool:
    """Requester and watchers wait for it; agents have it before them on the ticket."""
    return one.recipient_id == ticket.requester_id or not one.recipient.is_agent


def _mark(ticket: Ticket, comment: Comment, lost: Iterable[Notification]) -> None:
    """Have the list show that the newest words did not arrive."""
    if not any(
        one.outbox_message.kind in PUBLIC_WORDS
        and fares(one.outbox_message) != COMPLAINED
        for one in lost
    ):
        return
    public = ticket.comments.filter(visibility=Comment.Visibility.PUBLIC)
    if public.order_by("-created_at", "-id").first() == comment:
        ticket.undelivered_comment = comment
        ticket.save(update_fields=["undelivered_comment"])


def _mail(ticket: Ticket, comment: Comment, lost: Sequence[Notification]) -> None:
    """Tell the agent who wrote it, unless that was done a moment ago."""
    lost = [one for one in lost if one.outbox_message.kind == "public_reply"]
    if not lost:
        return
    was_forewarned = all(
        one.outbox_message.state == State.SUPPRESSED for one in lost
    ) and _was_told(FOREWARNED_EVERY, ticket=ticket)
    if was_forewarned or _was_told(TOLD_EVERY, comment=comment):
        return
    losses = _losses(lost)
    author = comment.author
    notices = notifications.of_lost_reply(
        ticket, author=author, is_by_agent=_was_agent(author, ticket)
    )
    who = and_others([str(one.recipient) for one in lost], named=1)
    is_complaint = all(loss.is_complaint for loss in losses)
    tell(
        notices,
        ticket,
        author,
        comment,
        {"losses": losses, "who": who, "is_complaint": is_complaint},
    )


def _was_told(span: timedelta, **about: Ticket | Comment) -> bool:
    """Whether an agent was mailed about the comment, or the ticket, in this time."""
    return Notification.objects.filter(
        **about,
        outbox_message__kind=LOST,
        outbox_message__created_at__gt=timezone.now() - span,
    ).exists()


def _was_agent(author: User, ticket: Ticket) -> bool:
    """Whether an agent wrote it: also one who is none any more."""
    if author.is_agent:
        return True
    if author.pk == ticket.requester_id:
        return False
    return not ticket.watchers.filter(user=author).exists()
