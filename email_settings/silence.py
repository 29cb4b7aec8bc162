"""Notices when mail leaves and no news of it comes, and tells the admins once.

Without news a bounce is not seen, nor that an address complained, until AWS stops the
account for it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from email_settings import alerts
from email_settings.delivery.by_hand import MARKED_SENT
from email_settings.events.status import FeedStatus, feed_status
from email_settings.models import (
    MailWatch,
    OutboxMessage,
    SesSettings,
    WorkerHeartbeat,
)

# Most events come within seconds; AWS promises no time.
PATIENCE = timedelta(minutes=15)
LOOKED_BACK = timedelta(hours=24)
LEAST_MAILS = 3  # one or two may be late by chance
COUNTED = 1_000
# A worker that lives has written its sign of life no longer ago.
FRESH = timedelta(seconds=35)


class Kind(StrEnum):
    """Why no news comes."""

    PROBLEM = "problem"  # AWS does not let the queue be read
    UNREAD = "unread"  # nobody asks the queue
    UNHEARD = "unheard"  # the queue is read, and nothing is in it


@dataclass(frozen=True)
class Silence:
    """Since when nobody learns what becomes of mail, and why."""

    kind: Kind
    since: datetime
    count: int = 0  # mails that left meanwhile, COUNTED for that many or more

    @property
    def title(self) -> str:
        return _TITLES[self.kind]

    @property
    def what(self) -> str:
        """What happened, a whole sentence."""
        if self.kind is Kind.UNHEARD:
            more = " or more" if self.count >= COUNTED else ""
            return f"{self.count:,}{more} mails left, and no event about any came."
        return _WHAT[self.kind]

    def causes(self, sender: SesSettings) -> list[str]:
        """What may be the cause and how to mend it, the likeliest first."""
        if self.kind is not Kind.UNHEARD:
            return _CAUSES[self.kind]
        return [
            *(_OF_THE_QUEUE if sender.event_queue_url else _OF_THE_WEBHOOK),
            f"The event destination of the configuration set {sender.configuration_set} "
            "is switched off, or the set was made anew without one: look at Amazon SES → "
            "Configuration sets → the set → Event destinations.",
        ]


_OF_THE_QUEUE = [
    "The access policy of the queue or topic was changed, or the subscription between "
    "them is gone: look at both in AWS, or connect the events again.",
    "Another program reads the same queue and takes the events out: give each a queue "
    "of its own.",
]
_OF_THE_WEBHOOK = [
    "The subscription of the webhook is gone or was never confirmed: switch the webhook "
    "off and on again on the page “Delivery events”.",
    "Amazon SNS can’t reach this server at its public address: look at the firewall, the "
    "proxy and the certificate.",
]
_TITLES = {
    Kind.PROBLEM: "The queue of events can’t be read",
    Kind.UNREAD: "Nobody reads the queue of events",
    Kind.UNHEARD: "Mail leaves, and no news of it comes",
}
_WHAT = {
    Kind.PROBLEM: "AWS does not let TicketFlow read the queue of delivery events.",
    Kind.UNREAD: "A worker runs, and has not asked the queue of events since.",
}
_CAUSES = {
    Kind.PROBLEM: [
        "A right is missing, the queue is gone, or AWS can’t be reached: the page "
        "“Delivery events” has AWS’s own words and what to add to the policy.",
    ],
    Kind.UNREAD: [
        "The part of the worker that reads events has ended or hangs: restart the "
        "worker. Its log says what happened before.",
        "The worker can’t reach the queue’s address: allow it in the firewall.",
    ],
}


def look() -> None:
    """Look whether news comes, and note and tell when it does not. For the schedule."""
    sender, now = SesSettings.load(), timezone.now()
    feed = feed_status(sender)
    if _is_unread(feed, now) and not _lives(now):
        return  # just started, a worker has not asked yet: nobody can tell
    note(find(sender, feed, now), sender)


def find(sender: SesSettings, feed: FeedStatus, now: datetime) -> Silence | None:
    """Return why no news comes; None while it does, or where none can be expected."""
    if not feed.is_connected or not sender.is_live:
        return None
    since = None if feed.webhook.is_working else feed.problem_since
    if since and now - since >= PATIENCE:
        return Silence(Kind.PROBLEM, since)
    last = feed.last_received_at or feed.began_at
    if last and _is_unread(feed, now) and now - last >= PATIENCE:
        return Silence(Kind.UNREAD, last)
    return _unheard(feed, now)


def _is_unread(feed: FeedStatus, now: datetime) -> bool:
    """Whether nobody asks the queue, and no webhook brings what is in it."""
    return feed.is_silent(now) and not feed.webhook.is_working


def _lives(now: datetime) -> bool:
    """Whether a worker runs that has had the time to ask."""
    return WorkerHeartbeat.objects.filter(
        beat_at__gt=now - FRESH, started_at__lte=now - PATIENCE
    ).exists()


def _unheard(feed: FeedStatus, now: datetime) -> Silence | None:
    """Look at the mails that left since anything came, without those of a moment ago."""
    heard = [feed.last_event_at, feed.began_at, now - LOOKED_BACK]
    sent = OutboxMessage.objects.filter(
        sent_at__gt=max(moment for moment in heard if moment),
        sent_at__lte=now - PATIENCE,
        fate__isnull=True,
    )
    # Whether events of the simulator come back is told by the canary.
    people = sent.exclude(kind__in=OutboxMessage.PROBES).exclude(
        reason_code=MARKED_SENT
    )
    moments = list(
        people.order_by("sent_at").values_list("sent_at", flat=True)[:COUNTED]
    )
    if len(moments) < LEAST_MAILS or moments[0] is None:
        return None
    return Silence(Kind.UNHEARD, moments[0], len(moments))


@transaction.atomic
def note(found: Silence | None, sender: SesSettings) -> None:
    """Keep what was found for the pages; tell the admins once an episode."""
    watch = MailWatch.load()
    if found is None and not watch.silence:
        return
    # Of the workers that noticed at the same time one tells.
    watch = MailWatch.objects.select_for_update().get(pk=watch.pk)
    is_new = found is not None and not watch.silence
    watch.silence = found.kind if found else ""
    watch.silent_since = found.since if found else None
    watch.silent_count = found.count if found else 0
    watch.save(update_fields=["silence", "silent_since", "silent_count"])
    if found and is_new:
        alerts.news_is_missing(
            what=found.what, causes=found.causes(sender), since=found.since
        )


def silence_of(watch: MailWatch) -> Silence | None:
    """Return what was found last; no question is asked."""
    if not watch.silence or watch.silent_since is None:
        return None
    return Silence(Kind(watch.silence), watch.silent_since, watch.silent_count)
