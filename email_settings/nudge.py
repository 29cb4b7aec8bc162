"""Wakes the worker after a commit, without ever making a request wait or fail."""


def nudge_worker() -> None:
    """Tell the worker that mail is due."""
