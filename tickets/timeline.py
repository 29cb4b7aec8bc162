"""What happened on a ticket, in order, as pages tell it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal

from django.db.models import QuerySet
from django.utils.safestring import SafeString

from accounts.models import User
from ticketflow.lib.markdown import to_html
from tickets.marks import DeliveryMark, marks_of
from tickets.models import Attachment, Comment, Ticket, TicketEvent

# A page shows so many of each, the newest, unless the whole is asked for.
RECENT_COMMENTS = 50
RECENT_EVENTS = 100
# Longer texts are rendered each time: the cache stays under ten megabytes.
MAX_CACHED_LENGTH = 4_000  # characters


@dataclass(frozen=True)
class CommentEntry:
    """One comment, ready to be shown."""

    comment: Comment
    body: SafeString
    style: Literal["requester", "agent", "note"]
    marks: list[DeliveryMark] = field(default_factory=list)

    @property
    def at(self) -> datetime:
        return self.comment.created_at

    @property
    def files(self) -> Iterable[Attachment]:
        return self.comment.attachments.all()


@dataclass(frozen=True)
class EventEntry:
    """One change, as a sentence: who, did what, with the values in bold."""

    event: TicketEvent
    actor: str
    icon: str
    text: str
    value: str = ""
    after: str = ""

    @property
    def at(self) -> datetime:
        return self.event.created_at

    @property
    def is_bad(self) -> bool:
        return self.event.kind == TicketEvent.Kind.UNDELIVERED


@dataclass(frozen=True)
class Timeline:
    entries: list[CommentEntry | EventEntry]
    history: list[EventEntry]  # newest first
    is_cut: bool  # there is more than is shown
    newest_id: int  # of a comment; 0 when there is none


def timeline_for(user: User, ticket: Ticket, *, whole: bool = False) -> Timeline:
    """Return what the user may know of the ticket; four queries, however long it is."""
    comments = list(
        ticket.comments.visible_to(user)
        .select_related("author")
        .prefetch_related("attachments")
        .order_by("-created_at", "-id")[: None if whole else RECENT_COMMENTS + 1]
    )
    events = list(_events(user, ticket)[: None if whole else RECENT_EVENTS + 1])
    is_cut = not whole and (
        len(comments) > RECENT_COMMENTS or len(events) > RECENT_EVENTS
    )
    if not whole:
        del comments[RECENT_COMMENTS:], events[RECENT_EVENTS:]
    # What became of mail is for agents: it names people and addresses.
    marks = marks_of(comments) if user.is_agent else {}
    history = [entry for event in events if (entry := _told(user, event))]
    since = comments[-1].created_at if is_cut and comments else None
    spoken = [
        entry
        for entry in history
        if entry.event.kind not in _SHOWN_AS_COMMENT and (not since or entry.at > since)
    ]
    entries: list[CommentEntry | EventEntry] = [
        *(
            _comment_entry(comment, ticket, marks.get(comment.pk, []))
            for comment in reversed(comments)
        ),
        *reversed(spoken),
    ]
    return Timeline(
        entries=sorted(entries, key=lambda entry: entry.at),
        history=history,
        is_cut=is_cut,
        newest_id=max((comment.pk for comment in comments), default=0),
    )


def newer_than(user: User, ticket: Ticket, seen: int) -> list[Comment]:
    """Return public comments by others that came after the one with the id `seen`."""
    return list(
        ticket.comments.filter(visibility=Comment.Visibility.PUBLIC, pk__gt=seen)
        .exclude(author=user)
        .select_related("author")
        .order_by("created_at", "id")
    )


def _comment_entry(
    comment: Comment, ticket: Ticket, marks: list[DeliveryMark]
) -> CommentEntry:
    style: Literal["requester", "agent", "note"] = "requester"
    if comment.is_internal:
        style = "note"
    elif comment.author.is_agent and comment.author_id != ticket.requester_id:
        style = "agent"
    return CommentEntry(comment, _html(comment.body), style, marks)


def _html(text: str) -> SafeString:
    return _short_html(text) if len(text) <= MAX_CACHED_LENGTH else to_html(text)


@lru_cache(maxsize=1_000)
def _short_html(text: str) -> SafeString:
    """What was said never changes, and parsing it is most of the work of a page."""
    return to_html(text)


# The comment itself tells these.
_SHOWN_AS_COMMENT = {
    TicketEvent.Kind.OPENED,
    TicketEvent.Kind.REPLIED,
    TicketEvent.Kind.NOTED,
}
_ENDED = {Ticket.Status.SOLVED.label, Ticket.Status.CLOSED.label}


def _events(user: User, ticket: Ticket) -> QuerySet[TicketEvent]:
    events = ticket.events.visible_to(user).select_related("actor")
    if not user.is_agent:
        # How the desk works inside is not the requester's concern.
        events = events.filter(kind=TicketEvent.Kind.STATUS)
    return events.order_by("-created_at", "-id")


def _told(user: User, event: TicketEvent) -> EventEntry | None:
    return _for_agents(event) if user.is_agent else _for_requesters(event)


# For agents: icon, words, the value in bold, words after it
_SENTENCES = {
    TicketEvent.Kind.OPENED: ("ticket", "opened the ticket", "", ""),
    TicketEvent.Kind.REPLIED: ("reply", "replied", "", ""),
    TicketEvent.Kind.NOTED: ("lock", "added an internal note", "", ""),
    TicketEvent.Kind.STATUS: ("refresh", "set status", "{old} → {new}", ""),
    TicketEvent.Kind.PRIORITY: ("sort", "set priority", "{old} → {new}", ""),
    TicketEvent.Kind.QUEUE: ("inbox", "moved it", "{old} → {new}", ""),
    TicketEvent.Kind.ASSIGNED: ("user-plus", "assigned", "{new}", ""),
    TicketEvent.Kind.WATCHER_ADDED: ("eye", "added", "{new}", "as a watcher"),
    TicketEvent.Kind.WATCHER_REMOVED: ("eye", "removed", "{old}", "as a watcher"),
    TicketEvent.Kind.UNDELIVERED: ("alert", "", "{old}", "{new}"),
}


def _for_agents(event: TicketEvent) -> EventEntry:
    actor = _name(event)
    if event.kind == TicketEvent.Kind.ASSIGNED and event.new == actor:
        return EventEntry(event, actor, "user", "took the ticket")
    if event.kind == TicketEvent.Kind.ASSIGNED and not event.new:
        return EventEntry(event, actor, "user", "took it off", event.old)
    icon, text, value, after = _SENTENCES[TicketEvent.Kind(event.kind)]
    shown = value.format(old=event.old, new=event.new)
    return EventEntry(event, actor, icon, text, shown, after.format(new=event.new))


def _for_requesters(event: TicketEvent) -> EventEntry | None:
    actor = _name(event)
    if event.new == Ticket.Status.SOLVED.label:
        return EventEntry(event, actor, "check", "marked this as", "solved")
    if event.new == Ticket.Status.CLOSED.label:
        return EventEntry(event, actor, "check", "closed the ticket")
    if event.old in _ENDED:
        return EventEntry(event, actor, "undo", "opened the ticket again")
    return None


def _name(event: TicketEvent) -> str:
    if event.kind == TicketEvent.Kind.UNDELIVERED:
        return ""  # nobody did it
    return str(event.actor) if event.actor is not None else "Somebody who left"
