"""How an address stands by all that was told about it. Pure.

The same for every order of the same events, and however often each of them came.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from email_settings.models import DeliveryEvent, Suppression
from email_settings.suppression.rules import GRAVITY, Rule, rule_for

Reason = Suppression.Reason

FAILURES = 3  # mails that failed without one that arrived in between …
WITHIN = timedelta(days=7)  # … hold mail back
# The first time so long, then longer. Mail lives three days: after the first hold most
# of what waited still leaves.
HOLDS = (timedelta(days=1), timedelta(days=3), timedelta(days=7))
# So far back an earlier hold makes the next one longer.
REMEMBERED = timedelta(days=30)


@dataclass(frozen=True)
class Past:
    """What is known of an address besides its events."""

    released_at: datetime | None = None  # what happened before counts no more
    arrived_at: datetime | None = None  # the last mail that got through
    holds: tuple[datetime, ...] = ()  # when earlier holds ran out by themselves


@dataclass(frozen=True)
class Judgement:
    """Why an address shall get no mail, and the event that shows it."""

    reason: Suppression.Reason
    event: DeliveryEvent
    held_until: datetime | None = None


def judge(events: Iterable[DeliveryEvent], past: Past) -> Judgement | None:
    """Return the gravest that the events say, of that the latest; None for nothing."""
    told = [
        (rule_for(event), event)
        for event in events
        if past.released_at is None or event.happened_at > past.released_at
    ]
    forgiven_at = forgiven(event for _, event in told)
    for_good = [
        Judgement(rule.reason, event)
        for rule, event in told
        if rule.reason
        and not (
            rule is Rule.COMPLAINED and forgiven_at and event.happened_at <= forgiven_at
        )
    ]
    if for_good:
        return max(for_good, key=lambda one: (GRAVITY.index(one.reason), *when(one)))
    return _hold([event for rule, event in told if rule is Rule.COUNTS], past)


def forgiven(events: Iterable[DeliveryEvent]) -> datetime | None:
    """Return when the recipient last said that it is no spam."""
    times = (e.happened_at for e in events if rule_for(e) is Rule.FORGIVES)
    return max(times, default=None)


def when(judgement: Judgement) -> tuple[datetime, str]:
    """Return what puts judgements of one reason in order."""
    return judgement.event.happened_at, judgement.event.mark


def _hold(failures: list[DeliveryEvent], past: Past) -> Judgement | None:
    """Hold mail back when enough of it failed in a row, longer from time to time."""
    failures = [
        event
        for event in failures
        if past.arrived_at is None or event.happened_at > past.arrived_at
    ]
    if not failures:
        return None
    last = max(failures, key=lambda event: (event.happened_at, event.mark))
    holds = [
        ended
        for ended in past.holds
        if last.happened_at - REMEMBERED < ended <= last.happened_at
        and (past.arrived_at is None or ended > past.arrived_at)
    ]
    since = max([last.happened_at - WITHIN, *holds])
    # One mail fails once, whatever it is told by.
    failed = {event.message_id for event in failures if event.happened_at >= since}
    if len(failed) < (1 if holds else FAILURES):
        return None
    length = HOLDS[min(len(holds), len(HOLDS) - 1)]
    return Judgement(Reason.FAILING, last, last.happened_at + length)
