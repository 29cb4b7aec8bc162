"""When a message that did not leave is tried again."""

import random
from datetime import timedelta

# After the first try, the second, …; the last one again and again until it expires.
LADDER = [
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(hours=24),
]
# A message that makes TicketFlow itself fail so often will do so again.
MOST_FAILURES_OF_OURS = 5


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many tries.

    A quarter more or less by chance, so that what failed together does not come back
    together.
    """
    step = LADDER[min(max(attempts, 1), len(LADDER)) - 1]
    return step * random.uniform(0.75, 1.25)  # noqa: S311  # no secret depends on it


def moment() -> timedelta:
    """Return how long to wait after AWS said that it was too fast."""
    return timedelta(seconds=random.uniform(1, 2))  # noqa: S311
