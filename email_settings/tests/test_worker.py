"""A real Celery worker, on SQLite with nothing else and on PostgreSQL with Redis."""

import email
import json
import os
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.policy import SMTP
from pathlib import Path
from shutil import which

import psycopg
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from email_settings.tests.fake_ses import Answer, FakeSes
from email_settings.tests.workers import Site, make_site, running_worker
from ticketflow.tests.processes import free_port, wait_until
from ticketflow.tests.services import POSTGRES_URL, REDIS_URL

pytestmark = pytest.mark.processes

# A database of its own for each process of the test run
_NUMBER = 8 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
OWN_REDIS_URL = f"{REDIS_URL.rpartition('/')[0]}/{_NUMBER}"

GO_LIVE = """
from email_settings.tests.builders import make_message, make_settings
make_settings(max_send_rate=200)
"""
ONE_COMMITTED_ONE_ROLLED_BACK = """
from django.db import transaction
from email_settings.tests.builders import make_message
with transaction.atomic():
    make_message(subject="committed")
try:
    with transaction.atomic():
        make_message(subject="rolled back")
        raise RuntimeError
except RuntimeError:
    pass
"""

END_THE_LEASES = """
from django.utils import timezone
from email_settings.models import OutboxMessage
OutboxMessage.objects.filter(state="sending").update(lease_until=timezone.now())
"""


def put(count: int) -> str:
    """Code that puts so many messages in the outbox and prints the seconds it took."""
    return f"""
import time
from django.db import transaction
from email_settings.tests.builders import make_message
began = time.monotonic()
with transaction.atomic():
    for number in range({count}):
        make_message(subject=f"Mail {{number}}")
print(time.monotonic() - began)
"""


def all_sent(site: Site, count: int) -> bool:
    states: list[str] = site.look()["states"]
    return states == ["sent"] * count


@contextmanager
def own_database() -> Iterator[str]:
    """Make a PostgreSQL database of its own, and drop it at the end."""
    name = f"ticketflow_worker_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES_URL, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield f"{POSTGRES_URL.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def own_redis(port: int) -> Iterator[str]:
    """Run a Redis server that keeps nothing."""
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        with Redis.from_url(url) as redis:
            try:
                return bool(redis.ping())
            except RedisConnectionError:
                return False

    try:
        wait_until(answers, seconds=10)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def embedded(tmp_path: Path, fake_ses: FakeSes) -> Site:
    """SQLite, no Redis, mail live."""
    site = make_site(tmp_path, endpoint_url=fake_ses.url)
    site.run(GO_LIVE)
    return site


@pytest.fixture
def grown(tmp_path: Path, fake_ses: FakeSes) -> Iterator[Site]:
    """PostgreSQL and Redis, mail live."""
    with own_database() as database_url:
        site = make_site(
            tmp_path,
            endpoint_url=fake_ses.url,
            database_url=database_url,
            redis_url=OWN_REDIS_URL,
        )
        with Redis.from_url(OWN_REDIS_URL) as redis:
            redis.flushdb()
            site.run(GO_LIVE)
            yield site
            redis.flushdb()


# Embedded, where SQLite is the database and the broker is memory inside the worker


def test_mail_of_another_process_leaves_soon_after_its_commit(
    embedded: Site, fake_ses: FakeSes
) -> None:
    with running_worker(embedded) as worker:
        embedded.run(ONE_COMMITTED_ONE_ROLLED_BACK)
        # Well below the ten seconds of the sweep: it is the watch that saw it.
        wait_until(lambda: fake_ses.posts, seconds=4)
        wait_until(lambda: all_sent(embedded, 1), seconds=10)
        assert embedded.look()["workers"] == 1
        assert worker.stop() == 0
    assert len(fake_ses.posts) == 1
    assert embedded.look() == {"states": ["sent"], "attempts": [1], "workers": 0}


def test_mail_that_waited_for_a_worker_arrives_at_aws_as_it_was_written(
    tmp_path: Path, moto_url: str
) -> None:
    site = make_site(tmp_path, endpoint_url=moto_url)
    site.run(GO_LIVE + "make_message(headers={'Auto-Submitted': 'auto-generated'})")
    with running_worker(site) as worker:
        wait_until(lambda: all_sent(site, 1), seconds=15)
        assert worker.stop() == 0
    with urllib.request.urlopen(f"{moto_url}/moto-api/data.json") as reply:  # noqa: S310
        (stored,) = json.load(reply)["ses"]["RawMessage"]
    mail = email.message_from_string(stored["raw_data"], policy=SMTP)
    assert mail["From"] == "Larkfield Help <help@larkfield.example>"
    assert mail["To"] == "Hannah Brooks <hannah@larkfield.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-TicketFlow-Message"] in mail["Message-ID"]
    assert mail.get_content_type() == "multipart/alternative"


def test_worker_that_is_asked_to_stop_leaves_nothing_in_doubt(
    embedded: Site, fake_ses: FakeSes
) -> None:
    with running_worker(embedded) as worker:
        embedded.run(put(400))
        wait_until(lambda: len(fake_ses.posts) > 20, seconds=10)
        assert worker.stop() == 0
    found = embedded.look()
    assert set(found["states"]) == {"sent", "queued"}
    assert found["states"].count("sent") == len(fake_ses.posts)
    with running_worker(embedded) as worker:
        wait_until(lambda: all_sent(embedded, 400), seconds=30)
        assert worker.stop() == 0
    messages = fake_ses.tagged_messages
    assert len(messages) == len(set(messages)) == 400


def test_killed_worker_mails_nobody_twice(embedded: Site, fake_ses: FakeSes) -> None:
    fake_ses.answer = Answer(hangs=True)
    with running_worker(embedded) as worker:
        embedded.run(put(3))
        wait_until(lambda: len(fake_ses.posts) == 3, seconds=10)
        worker.process.kill()
    fake_ses.answer = Answer()
    assert embedded.look()["states"] == ["sending"] * 3
    embedded.run(END_THE_LEASES)
    with running_worker(embedded) as worker:
        embedded.run(put(1))
        wait_until(lambda: embedded.look()["states"].count("sent"), seconds=15)
        assert worker.stop() == 0
    # Amazon SES may have taken them, so they wait for a person.
    assert sorted(embedded.look()["states"]) == ["sent", *["unknown"] * 3]
    assert len(fake_ses.posts) == 4


def test_rehearsal_keeps_mail_until_an_admin_goes_live(
    tmp_path: Path, fake_ses: FakeSes
) -> None:
    site = make_site(tmp_path, endpoint_url=fake_ses.url)
    with running_worker(site) as worker:
        site.run(put(2))
        wait_until(lambda: site.look()["states"] == ["held"] * 2, seconds=10)
        assert fake_ses.posts == []
        site.run(
            GO_LIVE
            + "from email_settings.delivery import hold; hold.release('rehearsal')"
        )
        wait_until(lambda: all_sent(site, 2), seconds=10)
        assert worker.stop() == 0


# Grown, with PostgreSQL and Redis


@pytest.mark.services
def test_two_workers_send_everything_once(grown: Site, fake_ses: FakeSes) -> None:
    with running_worker(grown) as first, running_worker(grown) as second:
        grown.run(put(300))
        wait_until(lambda: all_sent(grown, 300), seconds=30)
        assert grown.look()["workers"] == 2
        assert (first.stop(), second.stop()) == (0, 0)
    messages = fake_ses.tagged_messages
    assert len(messages) == len(set(messages)) == 300
    assert grown.look()["workers"] == 0


def wait_for_posts(fake_ses: FakeSes, count: int) -> None:
    wait_until(lambda: len(fake_ses.posts) >= count, seconds=20)


def cut_all_connections(site: Site) -> None:
    name = site.environment["DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(POSTGRES_URL, autocommit=True) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [name],
        )


@pytest.mark.services
def test_database_that_cuts_all_connections_loses_and_doubles_nothing(
    grown: Site, fake_ses: FakeSes
) -> None:
    with running_worker(grown) as worker:
        grown.run(put(400))
        for sent_by_then in (20, 100, 200, 300):
            wait_for_posts(fake_ses, sent_by_then)
            cut_all_connections(grown)
        wait_until(lambda: all_sent(grown, 400), seconds=40)
        cut_all_connections(grown)  # while the worker has nothing to do
        grown.run(put(5))
        wait_until(lambda: all_sent(grown, 405), seconds=20)
        assert worker.stop() == 0
    messages = fake_ses.tagged_messages
    assert len(messages) == len(set(messages)) == 405


@pytest.mark.services
@pytest.mark.skipif(which("redis-server") is None, reason="redis-server is missing")
def test_broker_that_is_down_delays_mail_and_nothing_else(
    tmp_path: Path, fake_ses: FakeSes
) -> None:
    port = free_port()
    with own_database() as database_url:
        site = make_site(
            tmp_path,
            endpoint_url=fake_ses.url,
            database_url=database_url,
            redis_url=f"redis://127.0.0.1:{port}/0",
        )
        site.run(GO_LIVE)
        with ExitStack() as running:
            with own_redis(port):
                running.enter_context(running_worker(site))
            # The broker is gone: the change is saved all the same, at once.
            assert float(site.run(put(5))) < 1
            with own_redis(port):
                # The same worker finds its broker again, and the sweep the mail.
                wait_until(lambda: all_sent(site, 5), seconds=60)
    messages = fake_ses.tagged_messages
    assert len(messages) == len(set(messages)) == 5
