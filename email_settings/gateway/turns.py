"""Keeps all processes together to one question a second to an account and region.

Amazon SES allows each action other than sending once a second
(https://docs.aws.amazon.com/ses/latest/dg/quotas.html). A row of the database is the
clock, so that web and workers, on any number of machines, take their turns from it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models import (
    DateTimeField,
    Expression,
    ExpressionWrapper,
    F,
    QuerySet,
)
from django.db.models.functions import Now

from email_settings.models import PaceClock

# From one answer to the next question: however long a network takes with the first of
# two, AWS then sees them no nearer than that.
APART = timedelta(seconds=1)
# So long nobody else asks while one waits for its answer; if it dies, the next may.
LONGEST_QUESTION = timedelta(seconds=8)
# So long one waits for its turn: that many processes which all ask are not foreseen.
LONGEST_WAIT_SECONDS = 20.0

_never = threading.Event()


@contextmanager
def turn(account: str, stopping: threading.Event = _never) -> Iterator[bool]:
    """Wait until the account and region may be asked, and keep others away meanwhile.

    Gives False, and waits no longer, when `stopping` was set or no turn came in 20
    seconds. Not in a transaction: it would keep the others from their turns.
    """
    clock = _clock(account)
    is_ours = _wait(clock, stopping)
    try:
        yield is_ours
    finally:
        if is_ours:
            clock.update(next_start_at=_in(APART))


def _clock(account: str) -> QuerySet[PaceClock]:
    key = f"questions:{account}"
    PaceClock.objects.get_or_create(account=key)
    return PaceClock.objects.filter(account=key)


def _wait(clock: QuerySet[PaceClock], stopping: threading.Event) -> bool:
    give_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
    while not stopping.is_set():
        # The conditional update decides between all who ask, by the database's clock.
        free = clock.filter(next_start_at__lte=Now())
        if free.update(next_start_at=_in(LONGEST_QUESTION)):
            return True
        wait = _seconds_left(clock)
        if time.monotonic() + wait > give_up_at:
            return False
        # Whoever asks may be ready before the time that it was given.
        stopping.wait(min(wait, APART.total_seconds()))
    return False


def _in(length: timedelta) -> Expression:
    return ExpressionWrapper(Now() + length, output_field=DateTimeField())


def _seconds_left(clock: QuerySet[PaceClock]) -> float:
    now = ExpressionWrapper(Now(), output_field=DateTimeField())
    found = clock.annotate(now=now).values_list(F("next_start_at"), F("now")).first()
    if found is None:
        return 0.001
    left: timedelta = found[0] - found[1]
    return max(left.total_seconds(), 0.001)
