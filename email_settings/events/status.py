"""How reading the events goes, for whoever shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from email_settings.events.simulator import MAILBOXES, Trial, trials
from email_settings.events.webhook import NO_WEBHOOK, WebhookStatus, status_of
from email_settings.models import EventFeed, SesSettings

SILENT_AFTER = timedelta(minutes=3)


@dataclass(frozen=True)
class FeedProblem:
    """Why the queue can't be read, in plain words, with AWS's own."""

    code: str
    title: str
    why: str
    fix: str
    words: str = ""
    statement: str = ""  # what to add to the IAM policy, "" where that is no help


@dataclass(frozen=True)
class FeedStatus:
    """What is known of the events; None for what has not happened."""

    is_connected: bool  # by a queue, by the webhook, or by both
    began_at: datetime | None = None  # when this queue was connected
    validated_at: datetime | None = None  # SES's own proof that it reaches the queue
    last_event_at: datetime | None = None  # when the last one came
    last_received_at: datetime | None = None  # when the queue last answered
    queue_depth: int | None = None
    event_count: int = 0
    foreign_count: int = 0  # of other installations
    unreadable_count: int = 0
    problem: FeedProblem | None = None
    problem_since: datetime | None = None
    has_queue: bool = False
    webhook: WebhookStatus = NO_WEBHOOK
    webhook_problem: FeedProblem | None = None  # why it can't be confirmed
    # By the mailbox of the simulator: when the last was sent, and its event came
    trials: Mapping[str, Trial] = field(default_factory=dict)

    def is_silent(self, now: datetime) -> bool:
        """Whether nobody reads the queue: it is asked every 20 seconds."""
        last = self.last_received_at or self.began_at
        is_late = last is None or now - last > SILENT_AFTER
        return self.is_connected and self.has_queue and is_late

    @property
    def simulator(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        """By kind ("delivery", "bounce", "complaint"): when sent, and when seen."""
        return {
            kind: (trial.sent_at, trial.seen_at) for kind, trial in self.trials.items()
        }

    @property
    def is_proven(self) -> bool:
        """Whether each kind of event came back from the simulator."""
        return all(
            kind in self.trials and self.trials[kind].seen_at for kind in MAILBOXES
        )


def feed_status(sender: SesSettings) -> FeedStatus:
    """Return how reading the events of these settings goes. Asks the database only.

    What another queue has shown before counts no more.
    """
    feed = EventFeed.objects.filter(
        pk=EventFeed.ONLY_ID, queue_url=sender.event_queue_url
    ).first()
    has_queue = bool(sender.configuration_set and sender.event_queue_url)
    webhook = status_of(sender, feed)
    is_connected = has_queue or bool(sender.configuration_set and webhook.is_on)
    if feed is None or not (sender.event_queue_url or is_connected):
        return FeedStatus(is_connected, has_queue=has_queue)
    return FeedStatus(
        is_connected=is_connected,
        has_queue=has_queue,
        webhook=webhook,
        webhook_problem=_problem(feed.webhook_problem) if webhook.is_on else None,
        began_at=feed.began_at,
        validated_at=feed.validated_at,
        last_event_at=feed.last_event_at,
        last_received_at=feed.asked_at,
        queue_depth=feed.queue_depth,
        event_count=feed.event_count,
        foreign_count=feed.foreign_count,
        unreadable_count=feed.unreadable_count,
        problem=_problem(feed.problem) if has_queue else None,
        problem_since=feed.problem_since if has_queue else None,
        trials=trials(since=feed.began_at),
    )


def _problem(told: dict[str, str] | None) -> FeedProblem | None:
    return FeedProblem(**told) if told else None
