"""All that changes a ticket. Each function saves rows, history and mail, or nothing."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import attachments, notifications, search, transitions, wording
from tickets.access import get_ticket_to_manage, get_ticket_to_reply
from tickets.attachments import AnyFile
from tickets.errors import (
    AssignmentRefusedError,
    MoveRefusedError,
    QueueRefusedError,
    SubmissionReusedError,
    TicketClosedError,
    UnknownPersonError,
)
from tickets.models import Comment, Queue, Ticket, TicketEvent, Watcher
from tickets.telling import tell

Kind = TicketEvent.Kind
Status = Ticket.Status
FINISHED = {Status.SOLVED, Status.CLOSED}


@attachments.removed_on_failure()
@transaction.atomic
def open_ticket(
    *,
    actor: User,
    subject: str,
    body: str,
    queue: Queue,
    priority: int = Ticket.Priority.NORMAL,
    requester: User | None = None,
    watcher_emails: Iterable[str] = (),
    files: Sequence[AnyFile] = (),
    submission_key: UUID | None = None,
) -> Ticket:
    """Open a ticket; the requester gets a receipt, the agents of the queue the news.

    Agents may open one for somebody else: `requester`. A form sent twice, that is the
    same `submission_key`, gives the first ticket again. Raises PermissionDenied, and
    DomainError for words, files, people or a queue that can't be taken.
    """
    requester = requester or actor
    if not actor.is_active or (requester != actor and not actor.is_agent):
        raise PermissionDenied
    if first := _ticket_of(submission_key, actor):
        return first
    if not requester.is_active:
        raise UnknownPersonError(
            f"{requester} is deactivated and cannot have new tickets."
        )
    _check_queue(queue)
    attachments.check(files)
    text = wording.body(body)
    ticket = Ticket(
        subject=wording.subject(subject),
        requester=requester,
        queue=queue,
        priority=_checked_priority(priority),
        snippet=wording.snippet(text),
        submission_key=submission_key,
    )
    watchers = _people(watcher_emails)
    try:
        with transaction.atomic():
            ticket.save(force_insert=True)
    except IntegrityError:
        # Sent twice at once: the unique key lets one through, and it has committed.
        if first := _ticket_of(submission_key, actor):
            return first
        raise
    comment = _comment(ticket, actor, Comment.Visibility.PUBLIC, text, files, None)
    _record(ticket, actor, Kind.OPENED)
    for person in watchers:
        if person != requester:
            _watch(ticket, person, actor)
    search.index_ticket(ticket)
    agents = User.objects.active().agents()
    tell(
        notifications.of_new_ticket(
            ticket, actor=actor, members=agents.filter(queues=queue), agents=agents
        ),
        ticket,
        actor,
        comment,
    )
    return ticket


@attachments.removed_on_failure()
@transaction.atomic
def add_public_reply(
    *,
    actor: User,
    number: int,
    body: str,
    files: Sequence[AnyFile] = (),
    then_status: str = "",
    submission_key: UUID | None = None,
) -> Comment:
    """Answer on the ticket and tell requester, watchers and assignee.

    An agent's reply waits for the requester, the requester's reopens, unless
    `then_status` says otherwise. A form sent twice gives the first reply again.
    Raises Http404, and DomainError for a closed ticket, a status that may not follow,
    or words and files that can't be taken.
    """
    ticket = get_ticket_to_reply(actor, number)
    if first := _comment_of(submission_key, ticket, actor):
        return first
    _check_not_closed(ticket)
    attachments.check(files)
    status = Status(transitions.after_reply(actor, ticket))
    if then_status and then_status != ticket.status:
        status = _checked_move(actor, ticket, then_status)
    elif then_status:
        status = Status(ticket.status)
    comment = _comment(
        ticket,
        actor,
        Comment.Visibility.PUBLIC,
        wording.body(body),
        files,
        submission_key,
    )
    ticket.snippet = wording.snippet(comment.body)
    ticket.undelivered_comment = None
    _record(ticket, actor, Kind.REPLIED)
    _move(ticket, actor, status)
    _save(ticket)
    search.index_ticket(ticket)
    watchers = User.objects.filter(
        is_active=True, pk__in=ticket.watchers.values("user")
    )
    tell(
        notifications.of_public_reply(ticket, actor=actor, watchers=watchers),
        ticket,
        actor,
        comment,
    )
    return comment


@attachments.removed_on_failure()
@transaction.atomic
def add_internal_note(
    *,
    actor: User,
    number: int,
    body: str,
    files: Sequence[AnyFile] = (),
    submission_key: UUID | None = None,
) -> Comment:
    """Leave a note that agents alone can read; nobody is mailed, and nothing moves.

    Raises Http404, PermissionDenied, and DomainError for words and files that can't be
    taken.
    """
    ticket = get_ticket_to_manage(actor, number)
    if first := _comment_of(submission_key, ticket, actor):
        return first
    attachments.check(files)
    comment = _comment(
        ticket,
        actor,
        Comment.Visibility.INTERNAL,
        wording.body(body),
        files,
        submission_key,
    )
    _record(ticket, actor, Kind.NOTED)
    search.index_ticket(ticket)
    return comment


@transaction.atomic
def assign(*, actor: User, number: int, assignee: User | None) -> Ticket:
    """Give the ticket to an agent, or to nobody; a new ticket is open then.

    Raises Http404, PermissionDenied, and DomainError for a closed ticket or for
    somebody who can't be given tickets.
    """
    ticket = get_ticket_to_manage(actor, number)
    _check_not_closed(ticket)
    if ticket.assignee == assignee:
        return ticket
    if assignee and not (assignee.is_active and assignee.is_agent):
        raise AssignmentRefusedError(
            f"{assignee} cannot be given tickets, only active agents can. "
            "Choose somebody else."
        )
    _record(
        ticket, actor, Kind.ASSIGNED, str(ticket.assignee or ""), str(assignee or "")
    )
    ticket.assignee = assignee
    if assignee and ticket.status == Status.NEW:
        _move(ticket, actor, Status.OPEN)
    _save(ticket)
    tell(notifications.of_assignment(ticket, actor=actor), ticket, actor)
    return ticket


@transaction.atomic
def change_status(*, actor: User, number: int, status: str) -> Ticket:
    """Move the ticket on; the requester hears when it is solved.

    Raises Http404, PermissionDenied, and DomainError for a move that is not allowed.
    """
    ticket = get_ticket_to_manage(actor, number)
    return _change_status(ticket, actor, status)


@transaction.atomic
def close_ticket(*, actor: User, number: int) -> Ticket:
    """Call the ticket solved: the requester says so, or an agent.

    Raises Http404, PermissionDenied for somebody who only watches, and DomainError
    when it is closed for good.
    """
    return _change_status(
        _ticket_to_decide_on(actor, number), actor, Ticket.Status.SOLVED
    )


@transaction.atomic
def reopen_ticket(*, actor: User, number: int) -> Ticket:
    """Take a solved ticket up again: the requester does, or an agent.

    Raises Http404, PermissionDenied for somebody who only watches, and DomainError
    when it is closed for good.
    """
    return _change_status(
        _ticket_to_decide_on(actor, number), actor, Ticket.Status.OPEN
    )


@transaction.atomic
def change_priority(*, actor: User, number: int, priority: int) -> Ticket:
    """Say how urgent the ticket is. Its requester is not told and sees no change.

    Raises Http404, PermissionDenied, and DomainError for a closed ticket.
    """
    ticket = get_ticket_to_manage(actor, number)
    _check_not_closed(ticket)
    new = _checked_priority(priority)
    if ticket.priority == new:
        return ticket
    old = Ticket.Priority(ticket.priority)
    _record(ticket, actor, Kind.PRIORITY, old.label, new.label)
    ticket.priority = new
    ticket.save(update_fields=["priority"])
    return ticket


@transaction.atomic
def change_queue(*, actor: User, number: int, queue: Queue) -> Ticket:
    """Move the ticket to another queue. Nobody is mailed.

    Raises Http404, PermissionDenied, and DomainError for a closed ticket or a queue
    that takes none.
    """
    ticket = get_ticket_to_manage(actor, number)
    _check_not_closed(ticket)
    if ticket.queue == queue:
        return ticket
    _check_queue(queue)
    _record(ticket, actor, Kind.QUEUE, ticket.queue.name, queue.name)
    ticket.queue = queue
    ticket.save(update_fields=["queue"])
    return ticket


@transaction.atomic
def add_watcher(*, actor: User, number: int, email: str) -> Watcher:
    """Let somebody read along and be told of public replies. Twice is once.

    The requester and agents may. Raises Http404, PermissionDenied, and DomainError for
    a closed ticket and for an address that nobody has.
    """
    ticket = _ticket_to_decide_on(actor, number)
    _check_not_closed(ticket)
    (person,) = _people([email])
    if person == ticket.requester:
        raise UnknownPersonError(
            f"{person} opened this ticket and hears of every reply anyway."
        )
    return _watch(ticket, person, actor)


@transaction.atomic
def remove_watcher(*, actor: User, number: int, user_id: int) -> None:
    """Stop telling somebody; a person who does not watch is no error.

    The requester, agents, and the watcher may. Raises Http404 and PermissionDenied.
    """
    ticket = get_ticket_to_reply(actor, number)
    if user_id != actor.pk:
        _check_may_decide(actor, ticket)
    # By the person's own key: SQLite can't even compare one that is too long.
    watcher = ticket.watchers.filter(user__pk=user_id).select_related("user").first()
    if watcher is None:
        return
    watcher.delete()
    _record(ticket, actor, Kind.WATCHER_REMOVED, old=str(watcher.user))


# What the functions above are made of


def _ticket_to_decide_on(actor: User, number: int) -> Ticket:
    ticket = get_ticket_to_reply(actor, number)
    _check_may_decide(actor, ticket)
    return ticket


def _check_may_decide(actor: User, ticket: Ticket) -> None:
    if transitions.mover(actor, ticket) is transitions.Mover.WATCHER:
        raise PermissionDenied


def _check_not_closed(ticket: Ticket) -> None:
    if ticket.status == Status.CLOSED:
        raise TicketClosedError(
            f"This ticket is closed. Open a new one and mention #{ticket.number}."
        )


def _check_queue(queue: Queue) -> None:
    if not queue.is_active:
        raise QueueRefusedError(
            f"{queue.name} takes no tickets any more. Choose another queue."
        )


def _checked_priority(priority: int) -> Ticket.Priority:
    try:
        return Ticket.Priority(priority)
    except ValueError:
        raise DomainError("Choose one of the priorities in the list.") from None


def _checked_move(actor: User, ticket: Ticket, status: str) -> Status:
    """Return the status if the ticket may go there, and say in words why not."""
    _check_not_closed(ticket)
    if status not in transitions.moves(actor, ticket):
        label = Status(status).label if status in Status.values else "that"
        raise MoveRefusedError(
            f"This ticket is {Status(ticket.status).label.lower()} and cannot become "
            f"{label.lower()}. Reload the page to see where it stands."
        )
    return Status(status)


def _change_status(ticket: Ticket, actor: User, status: str) -> Ticket:
    if ticket.status == status:
        return ticket
    was_finished = ticket.status in FINISHED
    _move(ticket, actor, _checked_move(actor, ticket, status))
    _save(ticket)
    if status in FINISHED and not was_finished:
        tell(notifications.of_solution(ticket, actor=actor), ticket, actor)
    return ticket


def _move(ticket: Ticket, actor: User, status: Status) -> None:
    """Set the status with its event and its time; the caller saves."""
    old = Status(ticket.status)
    if old == status:
        return
    _record(ticket, actor, Kind.STATUS, old.label, status.label)
    ticket.status = status
    if status not in FINISHED:
        ticket.solved_at = None
    elif old not in FINISHED:
        ticket.solved_at = timezone.now()


def _save(ticket: Ticket) -> None:
    ticket.updated_at = timezone.now()
    ticket.save(
        update_fields=[
            "status",
            "assignee",
            "snippet",
            "solved_at",
            "updated_at",
            "undelivered_comment",
        ]
    )


def _record(
    ticket: Ticket, actor: User, kind: TicketEvent.Kind, old: str = "", new: str = ""
) -> None:
    ticket.events.create(kind=kind, actor=actor, old=old[:160], new=new[:160])


def _comment(
    ticket: Ticket,
    author: User,
    visibility: Comment.Visibility,
    body: str,
    files: Sequence[AnyFile],
    submission_key: UUID | None,
) -> Comment:
    comment = ticket.comments.create(
        author=author, visibility=visibility, body=body, submission_key=submission_key
    )
    attachments.attach(comment, files)
    return comment


def _ticket_of(submission_key: UUID | None, actor: User) -> Ticket | None:
    """Return the ticket that this very form made already."""
    if submission_key is None:
        return None
    ticket = Ticket.objects.filter(submission_key=submission_key).first()
    if ticket and not ticket.events.filter(kind=Kind.OPENED, actor=actor).exists():
        raise _reused()
    return ticket


def _comment_of(
    submission_key: UUID | None, ticket: Ticket, actor: User
) -> Comment | None:
    """Return the comment that this very form made already; the ticket is locked."""
    if submission_key is None:
        return None
    comment = Comment.objects.filter(submission_key=submission_key).first()
    if comment and (comment.ticket_id, comment.author_id) != (ticket.pk, actor.pk):
        raise _reused()
    return comment


def _reused() -> SubmissionReusedError:
    return SubmissionReusedError(
        "This form was sent before. Reload the page, your words go into a fresh one."
    )


def _people(emails: Iterable[str]) -> list[User]:
    """Return the active people with these addresses."""
    wanted = dict.fromkeys(wording.one_line(email).lower() for email in emails)
    found = {
        user.email: user
        for user in User.objects.filter(is_active=True, email__in=wanted)
    }
    for email in wanted:
        if email not in found:
            raise UnknownPersonError(
                f"Nobody here has the address {email[:254]}. "
                "Ask an admin to invite them first."
            )
    return [found[email] for email in wanted]


def _watch(ticket: Ticket, person: User, actor: User) -> Watcher:
    watcher, is_new = ticket.watchers.get_or_create(
        user=person, defaults={"added_by": actor}
    )
    if is_new:
        _record(ticket, actor, Kind.WATCHER_ADDED, new=str(person))
    return watcher
