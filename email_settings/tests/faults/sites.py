"""Whole installations to break: SQLite alone, and PostgreSQL with Redis."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from environ import Env

from email_settings.models import Lane, OutboxMessage
from email_settings.tests.faults.plan import Plan
from email_settings.tests.workers import Site
from ticketflow.tests.processes import wait_until

Found = TypeVar("Found")

# Writes down every change of state, in the same transaction and on every database, so
# that what happened can be told apart from what is left.
_TABLE = OutboxMessage._meta.db_table
_HISTORY_SQLITE = f"""
CREATE TABLE fault_history (id integer PRIMARY KEY, message_id bigint, was varchar(12), became varchar(12));
CREATE TRIGGER fault_history AFTER UPDATE OF state ON {_TABLE} WHEN OLD.state <> NEW.state
BEGIN INSERT INTO fault_history (message_id, was, became) VALUES (NEW.id, OLD.state, NEW.state); END;
"""  # noqa: S608  # the table's name is the model's
_HISTORY_POSTGRES = f"""
CREATE TABLE fault_history (id bigserial PRIMARY KEY, message_id bigint, was varchar(12), became varchar(12));
CREATE FUNCTION fault_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO fault_history (message_id, was, became) VALUES (NEW.id, OLD.state, NEW.state); RETURN NULL; END $$;
CREATE TRIGGER fault_history AFTER UPDATE OF state ON {_TABLE}
FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION fault_history();
"""  # noqa: S608

PASSWORD = "correct horse battery"
REQUESTER = "hannah@larkfield.example"
AGENTS = ("maya@larkfield.example", "tom@larkfield.example")

_FURNISH = f"""
from django.core.management import call_command
from django.db import connection
from accounts.models import Role, User
from email_settings.models import Brand
from email_settings.tests.builders import make_settings
from email_settings.tests.faults import sites
from tickets.models import Queue
make_settings(max_send_rate=sites.RATE)
Brand.objects.create(company_name="Larkfield")
User.objects.create_user({REQUESTER!r}, {PASSWORD!r}, name="Hannah Brooks", role=Role.REQUESTER)
queue = Queue.objects.create(name="IT Support", icon="laptop")
for email in {AGENTS!r}:
    user = User.objects.create_user(email, {PASSWORD!r}, name="Maya Okafor", role=Role.AGENT)
    queue.members.add(user)
sites.write_history(connection)
call_command("collectstatic", interactive=False, verbosity=0)
"""

# As the product's own settings have it, whatever the tests themselves run on
_EMBEDDED = {
    "ENGINE": "ticketflow.lib.fairsqlite",
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
    },
}

RATE = 400  # recipients per second that Amazon SES is said to allow


def write_history(connection: Any) -> None:
    """Have the database note every change of a message's state."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_HISTORY_POSTGRES)
        else:
            cursor.executescript(_HISTORY_SQLITE)


@dataclass(frozen=True)
class Change:
    """A message went from one state to another."""

    message_id: int
    was: str
    became: str


@dataclass
class FaultSite(Site):
    """One installation, and a look into its database from here."""

    environment: Mapping[str, str]
    data_dir: Path = field(default_factory=Path)
    alias: str = ""

    def connect(self) -> None:
        """Let the ORM of this process reach the database by the alias."""
        url = self.environment["DATABASE_URL"]
        own = (
            {**Env.db_url_config(url), "OPTIONS": {}}
            if url
            else {**_EMBEDDED, "NAME": str(self.data_dir / "ticketflow.sqlite3")}
        )
        connections.databases[self.alias] = {**connections.databases["default"], **own}

    def disconnect(self) -> None:
        connections[self.alias].close()
        del connections[self.alias]
        del connections.databases[self.alias]

    def put(
        self, count: int, *, recipient: str = REQUESTER, lane: Lane = Lane.NOTICE
    ) -> list[str]:
        """Put so many messages in the outbox without waking anybody; return their uids."""
        messages = [
            OutboxMessage(
                kind="ticket_received",
                lane=lane,
                recipient=recipient,
                subject=f"Mail {number}",
                text_body="Hello\n",
            )
            for number in range(count)
        ]
        OutboxMessage.objects.using(self.alias).bulk_create(messages)
        return [message.uid.hex for message in messages]

    def messages(self) -> list[OutboxMessage]:
        return self._read(lambda: list(OutboxMessage.objects.using(self.alias)))

    def states(self) -> list[str]:
        return sorted(message.state for message in self.messages())

    def count(self, *states: str) -> int:
        """Return how many messages are in one of these states."""
        return self._read(
            lambda: (
                OutboxMessage.objects.using(self.alias).filter(state__in=states).count()
            )
        )

    def history(self) -> list[Change]:
        rows = self.query(
            "SELECT message_id, was, became FROM fault_history ORDER BY id"
        )
        return [Change(int(pk), was, became) for pk, was, became in rows]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        def ask() -> list[tuple[Any, ...]]:
            with connections[self.alias].cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())

        return self._read(ask)

    def _read(self, look: Callable[[], Found]) -> Found:
        """Look, again on a new connection when the database has been away."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return look()
            except (DatabaseError, InterfaceError):
                connections[self.alias].close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    # Its processes

    @contextmanager
    def worker(self, plan: Plan | None = None) -> Iterator["Process"]:
        """Run a worker until the block ends, broken as planned."""
        with self._process("worker", [], plan) as process:
            yield process

    @contextmanager
    def migration(self, plan: Plan | None = None) -> Iterator["Process"]:
        """Migrate the database, broken as planned."""
        with self._process("migrate", [], plan) as process:
            yield process

    @contextmanager
    def author(self, account: Path) -> Iterator["Process"]:
        """Run somebody who writes mail and an account of it, until the block ends."""
        with self._process("author", [str(account)], None) as process:
            yield process

    @contextmanager
    def web(self, plan: Plan | None = None) -> Iterator["Web"]:
        """Run the web process until the block ends."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            port = listening.getsockname()[1]
            descriptor = listening.fileno()
            read_end, write_end = os.pipe()
            arguments = ["--socket", str(descriptor), "--lifeline", str(read_end)]
            try:
                with self._process(
                    "web", arguments, plan, descriptors=[descriptor, read_end]
                ) as process:
                    yield Web(process.process, process.output, port)
            finally:
                os.close(read_end)
                os.close(write_end)

    @contextmanager
    def _process(
        self,
        what: str,
        arguments: Sequence[str],
        plan: Plan | None,
        descriptors: Sequence[int] = (),
    ) -> Iterator["Process"]:
        output = self.data_dir / f"{what}-{uuid.uuid4().hex[:6]}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.{what}", *arguments],
                cwd=settings.BASE_DIR,
                env={**self.environment, **(plan or Plan()).environment()},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=list(descriptors),
                start_new_session=True,
            )
        running = Process(process, output)
        try:
            yield running
        except BaseException:
            print(output.read_text(errors="replace")[-6000:])  # noqa: T201  # with the failure
            raise
        finally:
            running.kill()


@dataclass
class Process:
    """One process of an installation."""

    process: "subprocess.Popen[bytes]"
    output: Path

    def wait_until_ready(self) -> None:
        """Return when a worker takes tasks."""

        def is_ready() -> bool:
            assert self.process.poll() is None, "the worker died at its start"
            return self.says(" ready.")

        wait_until(is_ready, seconds=40)

    def says(self, words: str) -> bool:
        return words in self.output.read_text(errors="replace")

    def wait_until_dead(self) -> None:
        """Return when it was killed; AssertionError when it ended otherwise."""
        assert self.process.wait(60) == -signal.SIGKILL

    def terminate(self) -> int:
        """Ask it to stop and return its exit code; AssertionError after 30 s."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL, to all of its session."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Web(Process):
    """A web process, at a port of the loopback address."""

    port: int


# Made once, copied for every test: migrations take seconds


def make_template(data_dir: Path, *, database_url: str = "") -> None:
    """Make an installation with people, a queue and mail that is live."""
    data_dir.mkdir(parents=True, exist_ok=True)
    site = FaultSite(_environment(data_dir, database_url=database_url), data_dir)
    site.migrate()
    site.run(_FURNISH)


@contextmanager
def new_site(data_dir: Path, *, database_url: str = "") -> Iterator[FaultSite]:
    """Work with an installation whose database is empty."""
    data_dir.mkdir()
    environment = _environment(data_dir, database_url=database_url)
    site = FaultSite(environment, data_dir, f"site_{uuid.uuid4().hex[:8]}")
    site.connect()
    try:
        yield site
    finally:
        site.disconnect()


@contextmanager
def copied_site(
    template: Path,
    data_dir: Path,
    *,
    endpoint_url: str,
    database_url: str = "",
    redis_url: str = "",
) -> Iterator[FaultSite]:
    """Copy the folder of a template and work with it."""
    shutil.copytree(template, data_dir, dirs_exist_ok=True)
    environment = _environment(
        data_dir,
        endpoint_url=endpoint_url,
        database_url=database_url,
        redis_url=redis_url,
    )
    site = FaultSite(environment, data_dir, f"site_{uuid.uuid4().hex[:8]}")
    site.connect()
    try:
        yield site
    finally:
        site.disconnect()


def _environment(
    data_dir: Path,
    *,
    endpoint_url: str = "http://127.0.0.1:9",
    database_url: str = "",
    redis_url: str = "",
) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "AWS_", "TICKETFLOW_", "FAULT_"))
    }
    return {
        **kept,
        "TICKETFLOW_DATA_DIR": str(data_dir),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SITE_URL": "http://127.0.0.1",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }
