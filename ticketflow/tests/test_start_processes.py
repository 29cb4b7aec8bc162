"""Real processes: what a person sees on the terminal and in the browser, whatever dies."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg.sql import SQL, Identifier

from ticketflow.runtime import preflight
from ticketflow.tests.processes import (
    Installation,
    free_port,
    running_installation,
    wait_until,
)
from ticketflow.tests.services import POSTGRES_URL, REDIS_URL

pytestmark = pytest.mark.processes

SECONDS = 30  # for a busy machine; each step takes one or two


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with running_installation(tmp_path / "var") as running:
        wait_until(lambda: answers(running.url), seconds=SECONDS)
        yield running


@pytest.fixture
def postgres_database() -> Iterator[str]:
    """The address of a new, empty database on the test server."""
    name = f"ticketflow_start_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES_URL, autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            yield f"{POSTGRES_URL.rpartition('/')[0]}/{name}"
        finally:
            server.execute(
                SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name))
            )


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def first_page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
        return str(response.read().decode())


def processes() -> dict[int, tuple[int, str]]:
    """Every process of this machine that has not ended: its parent and its command."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,args="],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (line.split(maxsplit=3) for line in table.stdout.splitlines())
    return {
        int(pid): (int(parent), command)
        for pid, parent, state, command in rows
        if not state.startswith("Z")
    }


def descendants(pid: int) -> set[int]:
    """The children of a process, and theirs."""
    parents = {child: parent for child, (parent, _) in processes().items()}
    found = {pid}
    while more := {c for c, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def children_running(module: str, parent: int) -> set[int]:
    return {
        pid
        for pid, (its_parent, command) in processes().items()
        if its_parent == parent and f"-m {module} " in command
    }


def said(installation: Installation, text: str) -> Callable[[], bool]:
    def is_said() -> bool:
        return any(text in line for line in installation.output)

    return is_said


def are_gone(pids: set[int]) -> Callable[[], bool]:
    def nobody_is_left() -> bool:
        return not pids & processes().keys()

    return nobody_is_left


def is_free(data_dir: Path) -> bool:
    try:
        os.close(preflight.lock_folder(data_dir))
    except preflight.CannotStartError:
        return False
    return True


def start_another(
    data_dir: Path, port: int, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        **(extra or {}),
        "DJANGO_SETTINGS_MODULE": "ticketflow.settings",
        "TICKETFLOW_DATA_DIR": str(data_dir),
        "PORT": str(port),
    }
    return subprocess.run(
        [sys.executable, "manage.py", "start"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_first_start_shows_the_way_and_other_starts_are_told_why_not(
    installation: Installation, tmp_path: Path
) -> None:
    assert installation.setup_url.startswith(f"{installation.url}/setup/?token=")
    assert "<title>" in first_page(installation.setup_url)
    secrets = ["keys", "secret_key", "setup_token", "ticketflow.sqlite3"]
    modes = [(installation.data_dir / name).stat().st_mode & 0o077 for name in secrets]
    assert modes == [0, 0, 0, 0]

    second = start_another(installation.data_dir, free_port())
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith(
        "TicketFlow is already running with the data folder"
    )
    assert second.stderr.count("\n") == 1

    port = int(installation.url.rpartition(":")[2])
    elsewhere = start_another(tmp_path / "elsewhere", port)
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert elsewhere.stderr == (
        f"Port {port} on 127.0.0.1 is taken by another program. Choose another one, "
        f"for example: PORT={port + 1} make run\n"
    )


def test_children_that_are_killed_come_back_and_ctrl_c_ends_all(
    installation: Installation,
) -> None:
    parent = installation.process.pid
    wait_until(said(installation, "ready."), seconds=SECONDS)

    for module in ("ticketflow.runtime.web", "ticketflow.runtime.worker"):
        (victim,) = children_running(module, parent)
        os.kill(victim, signal.SIGKILL)

        def is_back(module: str = module, victim: int = victim) -> bool:
            return bool(children_running(module, parent) - {victim})

        wait_until(is_back, seconds=SECONDS)
    wait_until(lambda: answers(installation.url), seconds=SECONDS)

    everybody = descendants(parent)
    installation.process.send_signal(signal.SIGINT)
    assert installation.process.wait(SECONDS) == 0
    wait_until(are_gone(everybody), seconds=SECONDS)
    wait_until(said(installation, "start  | Stopped"), seconds=SECONDS)
    assert not any("Traceback" in line for line in installation.output)


def test_nothing_is_left_when_the_parent_is_killed(installation: Installation) -> None:
    wait_until(said(installation, "ready."), seconds=SECONDS)
    everybody = descendants(installation.process.pid)
    assert len(everybody) == 3  # gunicorn's arbiter and its worker, Celery

    installation.process.kill()
    wait_until(are_gone(everybody), seconds=SECONDS)

    # The folder is free for the next start, once the kernel has cleared up.
    wait_until(lambda: is_free(installation.data_dir), seconds=SECONDS)


@pytest.mark.services
def test_postgresql_and_redis_take_over_by_two_variables(
    tmp_path: Path, postgres_database: str
) -> None:
    grown = {"DATABASE_URL": postgres_database, "REDIS_URL": REDIS_URL}
    with running_installation(tmp_path / "var", grown) as running:
        wait_until(lambda: answers(running.url), seconds=SECONDS)
        wait_until(said(running, "ready."), seconds=SECONDS)
        assert said(running, "Connected to redis://")()
        assert not (tmp_path / "var" / "ticketflow.sqlite3").exists()


def test_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    nobody = f"postgres://postgres@127.0.0.1:{free_port()}/nothing"
    done = start_another(tmp_path, free_port(), {"DATABASE_URL": nobody})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The database does not answer:")
    assert "Traceback" not in done.stderr
