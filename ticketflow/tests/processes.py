"""A whole TicketFlow of its own: real web and worker processes in a folder of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from django.conf import settings

Found = TypeVar("Found")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(look: Callable[[], Found | None], *, seconds: float) -> Found:
    """Return what `look` finds, asking again until it does; AssertionError after that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds} s from {look.__qualname__}")


@dataclass
class Installation:
    """One running `manage.py start`."""

    process: subprocess.Popen[str]
    url: str
    data_dir: Path
    output: list[str] = field(default_factory=list)

    @property
    def setup_url(self) -> str:
        """The address of the first-run page, as the terminal shows it."""

        def printed() -> str | None:
            found = re.search(r"http://\S*/setup/\?token=\S+", "\n".join(self.output))
            return found.group() if found else None

        return wait_until(printed, seconds=30)


@contextmanager
def running_installation(
    data_dir: Path, extra: Mapping[str, str] | None = None
) -> Iterator[Installation]:
    """Start TicketFlow on a free port, and stop it at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **{k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        "TICKETFLOW_DATA_DIR": str(data_dir),
        "PORT": str(port),
        "SITE_URL": url,
        "PYTHONUNBUFFERED": "1",
        **(extra or {}),
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "start"],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    installation = Installation(process, url, data_dir)
    reader = threading.Thread(
        target=lambda: installation.output.extend(process.stdout or []), daemon=True
    )
    reader.start()
    try:
        yield installation
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        if process.stdout:
            process.stdout.close()
