"""Sends once more what went out without an answer, where a loss is worse than a double.

While delivery events are known to come, one that does not come says something: of a mail
that Amazon SES took, its own would be here by now, as those of later mails are. Then
security mail and receipts are sent a second time, and never a third. All other mail in
doubt waits for a person, and so does everything where no events come.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet

from email_settings import alerts
from email_settings.delivery.by_hand import (
    note_on_attempt,
    queue_again,
    why_not_sendable,
)
from email_settings.delivery.clock import database_now
from email_settings.events.status import FeedStatus, feed_status
from email_settings.models import DeliveryAttempt, Lane, OutboxMessage, SesSettings
from email_settings.nudge import nudge_worker

logger = logging.getLogger(__name__)

# Events come within seconds as a rule.
WAIT = timedelta(minutes=10)
# A mail that is older has been missed, or done without.
LATEST = timedelta(days=1)
AT_ONCE = 100

# A person waits for it, and would ask twice: that the request has come at all.
RECEIPT = "ticket_received"
# Though some of them are in the lane of security mail
NEVER = (*OutboxMessage.TRIALS, *alerts.WITHOUT_ALERT)

NOTE = (
    "No event about it came in ten minutes, while those of later mails did, so TicketFlow "
    "sent it once more. It may arrive twice."
)

State = OutboxMessage.State
Outcome = DeliveryAttempt.Outcome


def look() -> int:
    """Send what is due for a second try, and return how many mails that were."""
    since = _heard_since(feed_status(SesSettings.load()))
    if since is None:
        return 0
    doubted = list(_in_doubt(since)[:AT_ONCE])
    return sum(_send(attempt) for attempt in doubted if _would_have_come(attempt))


def _heard_since(feed: FeedStatus) -> datetime | None:
    """Return since when events of each mail come here; None where they do not."""
    if not feed.is_connected:
        return None
    by_queue = feed.began_at if feed.has_queue else None
    begun = (by_queue, feed.webhook.confirmed_at)
    return min(filter(None, begun), default=None)


def _in_doubt(since: datetime) -> QuerySet[DeliveryAttempt]:
    """Return tries of which nobody knows, whose mail is worth a second one."""
    now = database_now()
    is_worth_it = Q(message__lane=Lane.SECURITY) | Q(message__kind=RECEIPT)
    return (
        DeliveryAttempt.objects.filter(
            is_worth_it,
            outcome=Outcome.UNKNOWN,
            number=F("message__claims"),
            started_at__gte=max(since, now - LATEST),
            finished_at__lte=now - WAIT,
            message__state=State.UNKNOWN,
            message__created_at__gte=now - LATEST,
        )
        .exclude(message__kind__in=NEVER)
        .annotate(
            doubts=Count(
                "message__attempt_set",
                filter=Q(message__attempt_set__outcome=Outcome.UNKNOWN),
            )
        )
        .filter(doubts=1)
        .select_related("message")
        .order_by("pk")
    )


def _would_have_come(attempt: DeliveryAttempt) -> bool:
    """Whether an event has come of a mail that left after this try had ended."""
    assert attempt.finished_at is not None
    later = OutboxMessage.objects.filter(
        sent_at__gt=attempt.finished_at, fate__isnull=False
    )
    return later.order_by("sent_at").exists()


@transaction.atomic
def _send(attempt: DeliveryAttempt) -> bool:
    message = attempt.message
    if why_not_sendable(message):
        return False
    # The condition decides between workers, a person, and an event that comes now.
    still = OutboxMessage.objects.filter(
        pk=message.pk, state=State.UNKNOWN, claims=attempt.number
    )
    if not queue_again(still):
        return False
    note_on_attempt([message.pk], NOTE)
    transaction.on_commit(nudge_worker, robust=True)
    logger.info("events: no news of message %s, it is sent once more", message.uid)
    return True
