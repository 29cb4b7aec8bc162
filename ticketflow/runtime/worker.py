"""The worker: a child of `manage.py start`, or alone where web and workers run apart."""

import argparse
import warnings

from celery.exceptions import SecurityWarning

from ticketflow.celery import app
from ticketflow.runtime import lifeline

GRACE = 15.0  # seconds that the supervisor waits for it to end

# Threads, because the work is waiting for Amazon. One worker needs no gossip.
ARGUMENTS = [
    "--quiet",
    "worker",
    "--pool=threads",
    "--concurrency=4",
    "--loglevel=INFO",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
]


def main() -> None:
    """Work until SIGTERM or until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m ticketflow.runtime.worker")
    parser.add_argument("--lifeline", type=int, help="given by the parent, if any")
    descriptor = parser.parse_args().lifeline
    if descriptor is not None:
        lifeline.hold(descriptor)
    # Celery warns root of pickled tasks; ours are JSON, nothing else is accepted.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.worker_main(ARGUMENTS)


if __name__ == "__main__":
    main()
