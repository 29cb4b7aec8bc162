"""Ends a child when its parent is gone, whatever the parent died of.

The parent holds the only write end of a pipe and never writes. When it dies, even by
kill -9, the kernel closes that end and the child reads the end of the file. This works
on Linux and macOS alike.
"""

import os
import signal
import threading
import time

# Longer than any child needs to finish what it has begun.
PATIENCE = 20.0  # seconds


def hold(descriptor: int) -> None:
    """Watch the lifeline from a thread; at its end this process gets SIGTERM, later more."""
    threading.Thread(
        target=_watch, args=(descriptor,), name="lifeline", daemon=True
    ).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)
