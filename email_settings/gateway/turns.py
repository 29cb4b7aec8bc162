"""Keeps all processes together to one question a second to an account and region.

Amazon SES allows each action other than sending once a second
(https://docs.aws.amazon.com/ses/latest/dg/quotas.html). A row of the database is the
clock, so that web and workers, on any number of machines, take their turns from it.
"""

import threading
import time
from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper, F
from django.db.models.functions import Now

from email_settings.models import PaceClock

# A little over a second, so that what a network does to two requests can't bring them
# nearer than one.
APART = timedelta(seconds=1.04)
# So long one waits for its turn: that many processes which all ask are not foreseen.
LONGEST_WAIT_SECONDS = 20.0

_never = threading.Event()


def wait_for_turn(account: str, stopping: threading.Event = _never) -> bool:
    """Return True when the account and region may be asked now.

    False when `stopping` was set meanwhile, or after 20 seconds. Not in a transaction:
    it would keep the others from their turns.
    """
    give_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
    while not stopping.is_set():
        wait = _take(f"questions:{account}")
        if wait <= 0:
            return True
        if time.monotonic() + wait > give_up_at:
            return False
        stopping.wait(wait)
    return False


def _take(key: str) -> float:
    """Take a turn and return 0, or return for how many seconds there is none."""
    PaceClock.objects.get_or_create(account=key)
    clock = PaceClock.objects.filter(account=key)
    after = ExpressionWrapper(Now() + APART, output_field=DateTimeField())
    # The conditional update decides between all who ask, by the database's clock.
    if clock.filter(next_start_at__lte=Now()).update(next_start_at=after):
        return 0.0
    ours = clock.annotate(now=ExpressionWrapper(Now(), output_field=DateTimeField()))
    found = ours.values_list(F("next_start_at"), F("now")).first()
    if found is None:
        return 0.001
    wait: timedelta = found[0] - found[1]
    return max(wait.total_seconds(), 0.001)
