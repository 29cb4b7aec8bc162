"""A PostgreSQL and a Redis of our own, to be stopped, frozen and emptied."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from ticketflow.tests.processes import free_port, wait_until
from ticketflow.tests.services import NOT_RUN


def require(*missing: str) -> None:
    """Skip the test loudly for what is missing, or fail where nothing may be skipped."""
    reason = " and ".join(word for word in missing if word)
    if reason and os.environ.get("TICKETFLOW_REQUIRE") == "all":
        pytest.fail(f"This test is required, but {reason}.", pytrace=False)
    if reason:
        pytest.skip(f"{NOT_RUN}faults tests, because {reason}")


def missing_redis() -> str:
    """Say that the program is missing, or ""."""
    return "" if shutil.which("redis-server") else "redis-server was not found"


def missing_postgres() -> str:
    """Say that the programs are missing, or ""."""
    return "" if _postgres_folder() else "PostgreSQL's pg_ctl was not found"


def _postgres_folder() -> Path | None:
    """Return where pg_ctl and initdb are: Debian keeps them off the PATH."""
    named = shutil.which("pg_ctl")
    candidates = [Path(named)] if named else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)
    return candidates[0].parent if candidates else None


class Postgres:
    """One cluster in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._data = folder / "data"

    @property
    def server_url(self) -> str:
        return self.url("postgres")

    def url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the cluster and start it."""
        self._folder.chmod(0o755)
        self._data.mkdir(mode=0o700)
        log = self._folder / "log"
        log.touch()
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._data, "postgres")
            shutil.chown(log, "postgres")
        self._run("initdb", "-U", "postgres", "-A", "trust", "--no-sync")
        # What a power cut would do is not asked here, so nothing waits for the disk.
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories='' -c shared_buffers=32MB"
        )
        self._run("pg_ctl", "-l", str(log), "-w", "-o", options, "start")

    def restart(self, how: str) -> None:
        """`how` is fast, which rolls everybody back, or immediate: as kill -9."""
        self._run("pg_ctl", "-l", str(self._folder / "log"), "-w", "-m", how, "restart")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def execute(self, statement: LiteralString) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as server:
            server.execute(statement)

    def cut_connections(self) -> None:
        """Throw everybody out."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Take no writes for a while, as a server does during a failover."""
        self.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        self.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.execute("ALTER SYSTEM RESET default_transaction_read_only")
            self.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        folder = _postgres_folder()
        assert folder
        command = [str(folder / program), "-D", str(self._data), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Into a file: the server would keep a pipe open for as long as it runs.
        said = self._folder / "said"
        with said.open("w") as output:
            done = subprocess.run(
                command, cwd="/", stdout=output, stderr=output, timeout=60, check=False
            )
        assert done.returncode == 0, said.read_text()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Make a cluster that is thrown away at the end."""
    # Not in pytest's own folder, which the user postgres may not enter.
    with tempfile.TemporaryDirectory(prefix="ticketflow-postgres-") as folder:
        server = Postgres(Path(folder))
        server.create()
        try:
            yield server
        finally:
            server.stop()


class RedisServer:
    """One server at one port, which keeps nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no"),
            ],
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        wait_until(self._answers, seconds=10)

    def stop(self) -> None:
        """End it at once, with all that it held."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it accept connections and say nothing: worse than being gone."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        with Redis.from_url(self.url) as redis:
            redis.flushall()

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError), Redis.from_url(self.url) as redis:
            return bool(redis.ping())
        return False
