"""Fills an empty help desk with Larkfield's people and tickets, in bulk.

The same seed, size and moment give the same rows. Rules that the services keep are kept
here by construction, as 100,000 tickets one by one would take an hour.
"""

import gc
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from django.contrib.auth.hashers import make_password
from django.db import transaction

from accounts.models import User
from email_settings.models import Brand, DeliveryAttempt, OutboxMessage
from ticketflow.demo import company, lost_mail, stories
from ticketflow.demo.stories import Who
from tickets import search, wording
from tickets.models import (
    Comment,
    Notification,
    Queue,
    Ticket,
    TicketEvent,
    Watcher,
)

BATCH = 1000  # tickets
MAILED = 300  # the newest tickets have mails in Email Activity
SPAN = timedelta(days=540)  # from the oldest ticket to now
REST = timedelta(days=7)  # after it a solved ticket is closed

Kind = TicketEvent.Kind
Status = Ticket.Status


@dataclass(frozen=True)
class Cast:
    """Who may be in a ticket."""

    admin: User
    agents: list[User]
    requesters: list[User]
    queues: dict[str, Queue]
    members: dict[str, list[User]]  # by the queue's name


@dataclass
class Draft:
    """One ticket with all that happened on it, not saved yet."""

    ticket: Ticket
    comments: list[Comment] = field(default_factory=list)
    events: list[TicketEvent] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)

    def record(
        self,
        kind: TicketEvent.Kind,
        actor: User,
        moment: datetime,
        old: str = "",
        new: str = "",
    ) -> None:
        self.events.append(
            TicketEvent(
                ticket=self.ticket,
                kind=kind,
                actor=actor,
                created_at=moment,
                old=old,
                new=new,
            )
        )
        self.ticket.updated_at = moment

    def say(
        self,
        author: User,
        text: str,
        moment: datetime,
        visibility: Comment.Visibility = Comment.Visibility.PUBLIC,
    ) -> None:
        self.comments.append(
            Comment(
                ticket=self.ticket,
                author=author,
                visibility=visibility,
                body=text,
                created_at=moment,
            )
        )
        self.ticket.updated_at = moment

    def snippet(self) -> str:
        newest = next(c for c in reversed(self.comments) if not c.is_internal)
        return wording.snippet(newest.body)

    def move(self, status: Ticket.Status, actor: User, moment: datetime) -> None:
        old = Status(self.ticket.status)
        if old == status:
            return
        self.record(Kind.STATUS, actor, moment, old.label, status.label)
        self.ticket.status = status
        if status not in {Status.SOLVED, Status.CLOSED}:
            self.ticket.solved_at = None
        elif self.ticket.solved_at is None:
            self.ticket.solved_at = moment


def fill(
    *,
    tickets: int,
    users: int,
    seed: int,
    now: datetime,
    report: Callable[[int], None] = lambda _: None,
) -> Cast:
    """Add people, queues and that many tickets, and make them findable.

    `report` is told how many tickets there are after each batch. People and queues
    that exist already, by address and name, are used as they are.
    """
    cast = _fill_company(random.Random(seed), users, now)  # noqa: S311
    # Told a second time in the same place, the stories differ and so do the tickets' ids.
    rng = random.Random(f"{seed} {Ticket.objects.count()}")  # noqa: S311
    moments = sorted(now - SPAN * rng.random() ** 2 for _ in range(tickets))
    drafts = (_play(rng, cast, moment, now) for moment in moments)
    done = 0
    mailed: list[lost_mail.Mailed] = []
    with _no_search_for_cycles():
        while batch := list(islice(drafts, BATCH)):
            with transaction.atomic():
                _save(batch)
                newest = max(0, done + len(batch) - (tickets - MAILED))
                if newest:
                    mailed += _save_mails(rng, batch[-newest:])
            done += len(batch)
            report(done)
        lost_mail.lose_some(mailed, now)
        search.reindex_all()
    return cast


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Millions of rows and no reference cycle: looking for some costs a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@transaction.atomic
def _fill_company(rng: random.Random, count: int, now: datetime) -> Cast:
    if not Brand.objects.exists():
        Brand.objects.create(company_name=company.NAME)
    people = {person.email: person for person in company.people(rng, count)}
    known = set(User.objects.filter(email__in=people).values_list("email", flat=True))
    password = make_password(company.PASSWORD)
    User.objects.bulk_create(
        User(
            email=person.email,
            name=person.name,
            role=person.role,
            password=password,
            time_zone="Europe/London",
            date_joined=now - SPAN,
        )
        for person in people.values()
        if person.email not in known
    )
    found = User.objects.in_bulk(list(people), field_name="email")
    everybody = [found[email] for email in people]
    by_name = {user.name: user for user in reversed(everybody)}
    queues, members = {}, {}
    for position, team in enumerate(company.TEAMS):
        queue, _ = Queue.objects.get_or_create(
            name=team.queue,
            defaults={
                "description": team.description,
                "icon": team.icon,
                "position": position,
            },
        )
        queues[team.queue] = queue
        members[team.queue] = [by_name[name] for name in team.members]
        queue.members.add(*members[team.queue])
    return Cast(
        admin=by_name[company.ADMIN],
        agents=[user for user in everybody if user.is_agent],
        requesters=[user for user in everybody if not user.is_agent],
        queues=queues,
        members=members,
    )


def _play(rng: random.Random, cast: Cast, opened: datetime, now: datetime) -> Draft:
    """Let one story happen as far as it has come by now."""
    (team,) = rng.choices(company.TEAMS, [team.weight for team in company.TEAMS])
    story = stories.tell(rng, team.queue)
    requester = rng.choice(cast.requesters)
    agent = rng.choice(cast.members[team.queue] if rng.random() < 0.8 else cast.agents)
    draft = Draft(
        Ticket(
            uid=_uid(rng),
            subject=story.subject,
            requester=requester,
            queue=cast.queues[team.queue],
            priority=story.priority,
            created_at=opened,
        )
    )
    draft.say(requester, story.opening, opened)
    draft.record(Kind.OPENED, requester, opened)
    if rng.random() < 0.15:
        _watch(rng, draft, cast, opened)
    _answer(rng, draft, story, agent, now)
    draft.ticket.snippet = draft.snippet()
    return draft


def _watch(rng: random.Random, draft: Draft, cast: Cast, moment: datetime) -> None:
    requester = draft.ticket.requester
    for person in rng.sample(cast.requesters, k=min(2, len(cast.requesters))):
        if person != requester:
            draft.watchers.append(
                Watcher(
                    ticket=draft.ticket,
                    user=person,
                    added_by=requester,
                    created_at=moment,
                )
            )
            draft.record(Kind.WATCHER_ADDED, requester, moment, new=str(person))


def _answer(
    rng: random.Random, draft: Draft, story: stories.Told, agent: User, now: datetime
) -> None:
    ticket = draft.ticket
    for line in story.lines:
        moment = _later(rng, ticket.updated_at)
        if moment > now:
            return
        if ticket.assignee is None:
            draft.record(Kind.ASSIGNED, agent, moment, new=str(agent))
            draft.ticket.assignee = agent
            draft.move(Status.OPEN, agent, moment)
        match line.who:
            case Who.NOTE:
                draft.say(agent, line.text, moment, Comment.Visibility.INTERNAL)
                draft.record(Kind.NOTED, agent, moment)
                if rng.random() < 0.1:
                    draft.move(Status.ON_HOLD, agent, moment)
            case Who.AGENT:
                draft.say(agent, line.text, moment)
                draft.record(Kind.REPLIED, agent, moment)
                draft.move(Status.PENDING, agent, moment)
            case Who.REQUESTER:
                draft.say(ticket.requester, line.text, moment)
                draft.record(Kind.REPLIED, ticket.requester, moment)
                draft.move(Status.OPEN, ticket.requester, moment)
    moment = _later(rng, ticket.updated_at)
    # A few are forgotten, as everywhere.
    if moment < now and rng.random() < 0.985:
        draft.move(Status.SOLVED, agent, moment)
        if moment + REST < now:
            draft.move(Status.CLOSED, agent, moment + REST)


def _later(rng: random.Random, moment: datetime) -> datetime:
    """Minutes later at best, a few hours mostly, now and then days."""
    return moment + timedelta(minutes=rng.lognormvariate(5, 1.2))


def _uid(rng: random.Random) -> uuid.UUID:
    return uuid.UUID(int=rng.getrandbits(128), version=4)


def _save(drafts: Sequence[Draft]) -> None:
    # The tickets get their keys here, and hand them on to the rows that point at them.
    Ticket.objects.bulk_create(draft.ticket for draft in drafts)
    Comment.objects.bulk_create(row for draft in drafts for row in draft.comments)
    TicketEvent.objects.bulk_create(row for draft in drafts for row in draft.events)
    Watcher.objects.bulk_create(row for draft in drafts for row in draft.watchers)


def _save_mails(rng: random.Random, drafts: Sequence[Draft]) -> list[lost_mail.Mailed]:
    """Write what was mailed about the drafts: kept in rehearsal, or sent in the past.

    None is queued: nothing of an invented company may ever leave.
    """
    told = [
        (_mail(rng, draft, comment, person), comment, person)
        for draft in drafts
        for comment, person in _readers(draft)
    ]
    messages = [message for message, _, _ in told]
    OutboxMessage.objects.bulk_create(messages)
    DeliveryAttempt.objects.bulk_create(_attempt(rng, message) for message in messages)
    Notification.objects.bulk_create(
        Notification(
            ticket=comment.ticket,
            comment=comment,
            recipient=person,
            outbox_message=message,
        )
        for message, comment, person in told
    )
    return told


def _readers(draft: Draft) -> Iterator[tuple[Comment, User]]:
    """Yield each public comment with each person who was mailed about it."""
    requester = draft.ticket.requester
    for comment in draft.comments:
        if comment.is_internal:
            continue
        is_opening = comment is draft.comments[0]
        if is_opening or comment.author != requester:
            yield comment, requester
        elif draft.ticket.assignee:
            yield comment, draft.ticket.assignee
        if not is_opening:
            yield from ((comment, watcher.user) for watcher in draft.watchers)


def _mail(
    rng: random.Random, draft: Draft, comment: Comment, person: User
) -> OutboxMessage:
    ticket = draft.ticket
    is_receipt = comment is draft.comments[0]
    words = "We received your request" if is_receipt else "Re:"
    message = OutboxMessage(
        uid=_uid(rng),
        kind="ticket_received" if is_receipt else "public_reply",
        recipient=person.email,
        recipient_name=person.name,
        subject=f"{words} [#{ticket.pk}] {ticket.subject}",
        text_body=comment.body,
        about_label=f"#{ticket.pk}",
        about_path=f"/tickets/{ticket.pk}/",
        attempts=1,
        created_at=comment.created_at,
        due_at=comment.created_at,
    )
    if rng.random() < 0.8:
        message.state = OutboxMessage.State.SENT
        message.sent_at = comment.created_at + timedelta(seconds=1)
        message.ses_message_id = f"demo-{rng.getrandbits(64):016x}-000000"
    else:
        message.state = OutboxMessage.State.HELD
        message.reason_code = "rehearsal"
        message.reason = "Rehearsal: the message was kept here and not sent."
    return message


def _attempt(rng: random.Random, message: OutboxMessage) -> DeliveryAttempt:
    is_sent = message.state == OutboxMessage.State.SENT
    outcomes = DeliveryAttempt.Outcome
    return DeliveryAttempt(
        message=message,
        number=1,
        uid=_uid(rng),
        outcome=outcomes.ACCEPTED if is_sent else outcomes.CAPTURED,
        started_at=message.created_at,
        finished_at=message.created_at + timedelta(seconds=1),
        worker="demo",
        region="eu-west-1" if is_sent else "",
        ses_message_id=message.ses_message_id,
    )
