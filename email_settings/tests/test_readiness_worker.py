"""A real worker looks at the checklist: woken at once, and after another was killed."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis

from email_settings.readiness.lines import LINES
from email_settings.standin.account import Account, Identity
from email_settings.standin.dns import answering
from email_settings.standin.server import running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.test_worker import OWN_REDIS_URL, own_database
from email_settings.tests.workers import Site, make_site, running_worker
from ticketflow.tests.processes import wait_until

pytestmark = pytest.mark.processes

HERE, DOMAIN = "eu-west-1", "larkfield.example"
# Well below the minute of the schedule: somebody woke the worker. A run takes some six
# seconds, for its questions are a second apart.
AT_ONCE_SECONDS = 40
SAVE = "from email_settings.tests.builders import make_settings; make_settings()"
# A web process lives on: its thread has the time to tell Redis.
WANT_ALL = """
import time
from email_settings.readiness import run
run.want_all()
time.sleep(1)
"""
READ = """
SELECT key, state, wanted_at IS NULL, running_until IS NOT NULL
FROM email_settings_readinessline
"""
END_THE_LEASE = """
from django.utils import timezone
from email_settings.models import ReadinessLine
ReadinessLine.objects.exclude(running_until=None).update(running_until=timezone.now())
"""


@dataclass
class Installation:
    """A site, and the AWS that it asks; `read` asks its database."""

    site: Site
    account: Account
    read: Callable[[str], list[Any]]

    def states(self) -> dict[str, str]:
        return {key: state for key, state, *_ in self.read(READ)}

    def is_all_looked_at(self) -> bool:
        rows = self.read(READ)
        return len(rows) == len(LINES) and all(
            state and is_not_wanted and not is_running
            for _, state, is_not_wanted, is_running in rows
        )

    def is_one_looked_at(self) -> bool:
        return any(is_running for *_, is_running in self.read(READ))


@pytest.fixture
def account() -> Account:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.one_call_a_second = True
    identity = account.region(HERE).identities[DOMAIN] = Identity(DOMAIN)
    for name, kind, value in account.records_for(account.region(HERE), identity):
        account.zone.put(name, kind, value)
    return account


@pytest.fixture
def embedded(tmp_path: Path, account: Account) -> Iterator[Installation]:
    """SQLite, and no Redis."""

    def read(question: str) -> list[Any]:
        with closing(sqlite3.connect(tmp_path / "ticketflow.sqlite3")) as database:
            return database.execute(question).fetchall()

    with running(account) as aws, answering(account) as dns:
        site = make_site(tmp_path, endpoint_url=aws.url)
        site = Site({**site.environment, "DNS_SERVERS": dns.address})
        site.run(SAVE)
        yield Installation(site, account, read)


@pytest.fixture
def grown(tmp_path: Path, account: Account) -> Iterator[Installation]:
    """PostgreSQL and Redis."""
    with (
        running(account) as aws,
        answering(account) as dns,
        own_database() as database_url,
        Redis.from_url(OWN_REDIS_URL) as redis,
    ):
        redis.flushdb()
        site = make_site(
            tmp_path,
            endpoint_url=aws.url,
            database_url=database_url,
            redis_url=OWN_REDIS_URL,
        )
        site = Site({**site.environment, "DNS_SERVERS": dns.address})
        site.run(SAVE)

        def read(question: str) -> list[Any]:
            with psycopg.connect(database_url) as database:
                return database.execute(question.encode()).fetchall()

        yield Installation(site, account, read)
        redis.flushdb()


@pytest.mark.services
def test_worker_with_redis_looks_as_soon_as_somebody_wants_it(
    grown: Installation,
) -> None:
    with running_worker(grown.site) as worker:
        grown.site.run(WANT_ALL)
        wait_until(grown.is_all_looked_at, seconds=AT_ONCE_SECONDS)
        assert worker.stop() == 0
    assert grown.states()["dkim"] == "done"
    assert not [call for call in grown.account.calls if "TooMany" in call.refused]


def test_lines_of_a_worker_that_was_killed_are_looked_at_by_the_next(
    embedded: Installation,
) -> None:
    with running_worker(embedded.site) as worker:
        embedded.site.run(WANT_ALL)
        wait_until(embedded.is_one_looked_at, seconds=AT_ONCE_SECONDS)
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait(10)
    assert embedded.is_one_looked_at()
    assert not embedded.is_all_looked_at()
    embedded.site.run(END_THE_LEASE)  # instead of waiting for a minute
    with running_worker(embedded.site) as worker:
        wait_until(embedded.is_all_looked_at, seconds=AT_ONCE_SECONDS)
        assert worker.stop() == 0
    assert embedded.states()["dkim"] == "done"
