"""Tickets and all that happens on them."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from email_settings.models import OutboxMessage
from tickets.querysets import (
    CommentQuerySet,
    TicketEventQuerySet,
    TicketQuerySet,
)
from tickets.words import WordsField

UNSOLVED = ["new", "open", "pending", "on_hold"]


class Queue(models.Model):
    """A heap of work with the people who do it, such as IT Support."""

    name = models.CharField(max_length=60, unique=True)
    description = models.CharField(max_length=120, blank=True)
    icon = models.CharField(max_length=20, default="inbox")
    position = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    # Agents who are told of new tickets here; every agent sees every queue.
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="queues"
    )

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class Ticket(models.Model):
    """One request of one person; its primary key is its number, shown as #42.

    Changed through tickets.services only.
    """

    class Status(models.TextChoices):
        NEW = "new", "New"  # nobody has looked at it
        OPEN = "open", "Open"  # with us
        PENDING = "pending", "Waiting"  # for the requester
        ON_HOLD = "on_hold", "On hold"  # for us or a third party
        SOLVED = "solved", "Solved"  # answered; the requester may reopen
        CLOSED = "closed", "Closed"  # final

    class Priority(models.IntegerChoices):
        LOW = 1, "Low"
        NORMAL = 2, "Normal"
        HIGH = 3, "High"
        URGENT = 4, "Urgent"

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    subject = models.CharField(max_length=150)
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="tickets"
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="assigned_tickets",
    )
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="tickets")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.NEW)
    # Work that is left. A column of its own, because an index gives rows in order for
    # one value of its first field, and unsolved is four values of status. For queries:
    # an instance does not learn of it when it is saved.
    is_unsolved = models.GeneratedField(
        expression=Q(status__in=UNSOLVED),  # type: ignore[arg-type] # a Q is one, too
        output_field=models.BooleanField(),
        db_persist=True,
    )
    priority = models.PositiveSmallIntegerField(
        choices=Priority.choices, default=Priority.NORMAL
    )
    created_at = models.DateTimeField(default=timezone.now)
    # The last thing that its requester may know of; lists are sorted by it. An internal
    # note leaves it alone, or its hour would tell of the note.
    updated_at = models.DateTimeField(default=timezone.now)
    solved_at = models.DateTimeField(null=True, blank=True)
    # The newest public words, once somebody who was to be mailed did not get them;
    # whether that is still so is read from the mails. Null after the next ones.
    undelivered_comment = models.ForeignKey(
        "Comment",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
    )
    # The start of the last public words as plain text: lists show it.
    snippet = models.CharField(max_length=160, blank=True)
    # One form sent twice makes one ticket.
    submission_key = models.UUIDField(null=True, blank=True, unique=True)

    objects: ClassVar[TicketQuerySet] = TicketQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="ticket_solved_has_solved_at",
                condition=~Q(status__in=["solved", "closed"])
                | Q(solved_at__isnull=False),
            )
        ]
        indexes = [
            models.Index(fields=["status", "-updated_at", "-id"], name="ticket_status"),
            models.Index(
                fields=["is_unsolved", "-updated_at", "-id"], name="ticket_unsolved"
            ),
            models.Index(
                fields=["is_unsolved", "-priority", "-updated_at", "-id"],
                name="ticket_most_urgent",
            ),
            models.Index(
                fields=["assignee", "is_unsolved", "-updated_at", "-id"],
                name="ticket_assignee",
            ),
            models.Index(
                fields=["requester", "-updated_at", "-id"], name="ticket_requester"
            ),
            models.Index(
                fields=["queue", "is_unsolved", "-updated_at", "-id"],
                name="ticket_queue",
            ),
            models.Index(fields=["-updated_at", "-id"], name="ticket_updated"),
            models.Index(
                fields=["-updated_at", "-id"],
                name="ticket_undelivered",
                condition=Q(undelivered_comment__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.subject}"

    @property
    def number(self) -> int:
        return self.pk


class Comment(models.Model):
    """What somebody wrote on a ticket; the first one is the request itself."""

    class Visibility(models.TextChoices):
        PUBLIC = "public"  # a public reply: requester and watchers read it
        INTERNAL = "internal"  # an internal note: agents only

    ticket = models.ForeignKey(
        Ticket, on_delete=models.CASCADE, related_name="comments"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    visibility = models.CharField(max_length=8, choices=Visibility.choices)
    body = models.TextField()  # Markdown
    created_at = models.DateTimeField(default=timezone.now)
    submission_key = models.UUIDField(null=True, blank=True, unique=True)

    objects: ClassVar[CommentQuerySet] = CommentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["ticket", "created_at", "id"], name="comment_thread")
        ]

    def __str__(self) -> str:
        return f"{self.visibility} comment on #{self.ticket_id}"

    @property
    def is_internal(self) -> bool:
        return self.visibility == self.Visibility.INTERNAL


def attachment_path(attachment: "Attachment", file_name: str = "") -> str:
    """A random name without an ending: what people call a file never becomes a path."""
    name = uuid.uuid4().hex
    return f"attachments/{name[:2]}/{name}"


class Attachment(models.Model):
    """A file on a comment; whoever may read the comment may have it."""

    comment = models.ForeignKey(
        Comment, on_delete=models.CASCADE, related_name="attachments"
    )
    file = models.FileField(upload_to=attachment_path, max_length=120)
    file_name = models.CharField(max_length=200)  # as the person called it
    content_type = models.CharField(max_length=100)  # from our own table
    size = models.PositiveIntegerField()  # bytes

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.file_name


class TicketEvent(models.Model):
    """One change to a ticket, append-only: who, what, from, to."""

    class Kind(models.TextChoices):
        OPENED = "opened"
        REPLIED = "replied"
        NOTED = "noted"  # agents only
        ASSIGNED = "assigned"
        STATUS = "status"
        PRIORITY = "priority"
        QUEUE = "queue"
        WATCHER_ADDED = "watcher_added"
        WATCHER_REMOVED = "watcher_removed"
        UNDELIVERED = "undelivered"  # agents only; nobody did it

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="events")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    old = models.CharField(max_length=160, blank=True)  # as shown to people
    new = models.CharField(max_length=160, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[TicketEventQuerySet] = TicketEventQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["ticket", "created_at", "id"], name="event_of")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.old} → {self.new}"


class Watcher(models.Model):
    """Somebody besides the requester who reads along and is told of public replies."""

    ticket = models.ForeignKey(
        Ticket, on_delete=models.CASCADE, related_name="watchers"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ticket", "user"], name="watcher_once")
        ]

    def __str__(self) -> str:
        return f"{self.user} watches #{self.ticket_id}"


class Notification(models.Model):
    """That one person was told of one thing on a ticket, and the mail that told them.

    Its mail's fate is read from the outbox row, never copied here.
    """

    ticket = models.ForeignKey(
        Ticket, on_delete=models.CASCADE, related_name="notifications"
    )
    comment = models.ForeignKey(
        Comment,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="notifications",
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    outbox_message = models.ForeignKey(
        OutboxMessage, on_delete=models.CASCADE, related_name="+"
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.outbox_message_id} for #{self.ticket_id}"


class TicketWords(models.Model):
    """All words of one ticket, internal notes among them: agents search in it.

    An FTS5 table in SQLite, a column with a GIN index in PostgreSQL; made by the
    migration, written by search.py only. Its primary key is the ticket's.
    """

    # FTS5 calls its key rowid and knows no foreign keys.
    ticket_number = models.BigIntegerField(primary_key=True, db_column="rowid")
    words = WordsField()

    def __str__(self) -> str:
        return f"words of #{self.ticket_number}"
