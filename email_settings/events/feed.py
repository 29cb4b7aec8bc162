"""Who reads the events, and how that goes: the one row of EventFeed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from email_settings.delivery.clock import database_now
from email_settings.gateway.errors import ErrorClass, SendError
from email_settings.gateway.queue import statement_for_queue
from email_settings.models import EventFeed, SesSettings

# Longer than one call to the queue with what follows it. Two that read at once do no
# harm, so that it need not be long.
LEASE = timedelta(seconds=60)


@dataclass
class Tally:
    """What came out of the queue in one go."""

    events: int = 0
    validations: int = 0
    foreign: int = 0
    unreadable: int = 0


def take_lease(holder: str, queue_url: str) -> bool:
    """Return whether this worker may read now. One statement decides between all."""
    begin(queue_url)
    now = database_now()
    is_free = Q(lease_until=None) | Q(lease_until__lte=now) | Q(holder=holder)
    is_ours = EventFeed.objects.filter(is_free, pk=EventFeed.ONLY_ID).update(
        holder=holder, lease_until=now + LEASE
    )
    return bool(is_ours)


def give_up_lease(holder: str) -> None:
    """Let another worker read at once."""
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID, holder=holder).update(
        holder="", lease_until=None
    )


def begin(queue_url: str) -> None:
    """Let this be the queue that is told about; forget what another one has shown."""
    EventFeed.objects.get_or_create(pk=EventFeed.ONLY_ID)
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).exclude(queue_url=queue_url).update(
        queue_url=queue_url,
        began_at=database_now(),
        validated_at=None,
        asked_at=None,
        last_event_at=None,
        queue_depth=None,
        depth_at=None,
        event_count=0,
        foreign_count=0,
        unreadable_count=0,
        problem=None,
        problem_since=None,
    )


def note_answer(tally: Tally) -> None:
    """Note that the queue answered, and with what."""
    now = database_now()
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        asked_at=now, problem=None, problem_since=None, **_counted(tally, now)
    )


def note_letter(tally: Tally, received_at: datetime) -> None:
    """Note what one post of SNS was. In the transaction that reads it."""
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        webhook_posted_at=received_at, **_counted(tally, database_now())
    )


def _counted(tally: Tally, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if tally.events:
        values |= {"last_event_at": now, "event_count": F("event_count") + tally.events}
    if tally.validations:
        values["validated_at"] = now
    if tally.foreign:
        values["foreign_count"] = F("foreign_count") + tally.foreign
    if tally.unreadable:
        values["unreadable_count"] = F("unreadable_count") + tally.unreadable
    return values


def note_depth(depth: int | None) -> None:
    """Note how many messages wait in the queue; None when AWS does not tell."""
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        queue_depth=depth, depth_at=database_now()
    )


def note_problem(error: SendError, sender: SesSettings) -> None:
    """Note why the queue can't be read, and since when."""
    problem = error.problem
    is_denied = problem.kind is ErrorClass.IAM
    told = {
        "code": problem.code,
        "title": problem.title,
        "why": problem.why,
        "fix": problem.fix,
        "words": error.record,
        "statement": statement_for_queue(sender.event_queue_url, sender.region)
        if is_denied
        else "",
    }
    feed = EventFeed.objects.filter(pk=EventFeed.ONLY_ID)
    feed.filter(problem_since=None).update(problem_since=database_now())
    feed.update(problem=told)
