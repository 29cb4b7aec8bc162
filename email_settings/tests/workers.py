"""Real Celery workers and real processes that put mail in the outbox."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from ticketflow.tests.processes import wait_until

COMMAND = [
    *(sys.executable, "-m", "celery", "-A", "ticketflow", "worker"),
    *("-P", "threads", "-c", "4", "-l", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]
_READ_STATES = """
import json
from email_settings.models import OutboxMessage, WorkerHeartbeat
print(json.dumps({
    "states": list(OutboxMessage.objects.values_list("state", flat=True)),
    "attempts": list(OutboxMessage.objects.values_list("attempts", flat=True)),
    "workers": WorkerHeartbeat.objects.count(),
}))
"""


@dataclass
class Site:
    """One installation: its environment, and so its folder, database and broker."""

    environment: Mapping[str, str]

    def run(self, code: str) -> str:
        """Run Django code in a process of its own and return what it prints."""
        finished = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
            cwd=settings.BASE_DIR,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def migrate(self) -> None:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--skip-checks", "-v", "0"],
            cwd=settings.BASE_DIR,
            env=dict(self.environment),
            timeout=120,
            check=True,
        )

    def look(self) -> dict[str, Any]:
        """Return what the database says about mail and workers."""
        found: dict[str, Any] = json.loads(self.run(_READ_STATES).splitlines()[-1])
        return found


@dataclass
class Worker:
    """One running Celery worker and what it has printed."""

    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """Ask it to stop and return its exit code; AssertionError after 20 s."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def make_site(
    data_dir: Path, *, endpoint_url: str, database_url: str = "", redis_url: str = ""
) -> Site:
    """Return a migrated installation with an empty database."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "AWS_", "TICKETFLOW_"))
    }
    site = Site(
        {
            **kept,
            "TICKETFLOW_DATA_DIR": str(data_dir),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SITE_URL": "https://help.example.com",
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONUNBUFFERED": "1",
        }
    )
    site.migrate()
    return site


@contextmanager
def running_worker(site: Site) -> Iterator[Worker]:
    """Start a worker, wait until it takes tasks, and stop it at the end."""
    process = subprocess.Popen(
        COMMAND,
        cwd=settings.BASE_DIR,
        env=dict(site.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    worker = Worker(process)
    reader = threading.Thread(
        target=lambda: worker.output.extend(process.stdout or []), daemon=True
    )
    reader.start()
    try:
        wait_until(lambda: any(" ready." in line for line in worker.output), seconds=40)
        yield worker
    except BaseException:
        print("".join(worker.output))  # noqa: T201  # pytest shows it with the failure
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(5)
        if process.stdout:
            process.stdout.close()
