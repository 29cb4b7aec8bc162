"""What admins do with queues."""

from collections.abc import Iterable

from django.core.exceptions import PermissionDenied
from django.db import transaction

from accounts.models import AuditEntry, User
from ticketflow.errors import DomainError
from tickets.models import Queue


class LastQueueError(DomainError):
    """Without a queue nobody could open a ticket."""


@transaction.atomic
def create_queue(
    *,
    actor: User,
    name: str,
    description: str = "",
    icon: str = "inbox",
    members: Iterable[User] = (),
    is_active: bool = True,
) -> Queue:
    """Make a queue, at the end of the list. Raises PermissionDenied but for admins."""
    _require_admin(actor)
    queue = Queue.objects.create(
        name=name,
        description=description,
        icon=icon,
        is_active=is_active,
        position=Queue.objects.count(),
    )
    queue.members.set(members)
    AuditEntry.objects.create(actor=actor, action="made the queue", target=name)
    return queue


@transaction.atomic
def update_queue(
    *,
    actor: User,
    queue_id: int,
    name: str,
    description: str,
    icon: str,
    members: Iterable[User],
    is_active: bool,
) -> Queue:
    """Change a queue; its tickets stay in it.

    Raises LastQueueError when no queue would be left to take new tickets, and
    PermissionDenied but for admins.
    """
    _require_admin(actor)
    # All of them, or two admins could each switch off one of the last two at once.
    locked = {one.pk: one for one in Queue.objects.select_for_update().order_by("pk")}
    queue = locked.pop(queue_id)
    others_are_active = any(other.is_active for other in locked.values())
    if queue.is_active and not is_active and not others_are_active:
        raise LastQueueError(
            "This is the only queue that takes new tickets. "
            "Make another one first, then switch this one off."
        )
    queue.name = name
    queue.description = description
    queue.icon = icon
    queue.is_active = is_active
    queue.save(update_fields=["name", "description", "icon", "is_active"])
    queue.members.set(members)
    AuditEntry.objects.create(actor=actor, action="changed the queue", target=name)
    return queue


def _require_admin(actor: User) -> None:
    if not actor.is_admin:
        raise PermissionDenied
