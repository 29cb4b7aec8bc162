"""The rate over real processes that share a Redis, or a PostgreSQL and nothing else."""

import itertools
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg import sql
from redis import Redis

from email_settings.pacing import WINDOW_SECONDS
from email_settings.tests.workers import Site, make_site
from ticketflow.tests.services import POSTGRES_URL, REDIS_URL

pytestmark = [pytest.mark.services, pytest.mark.processes]

PROCESSES = 2
# A start is noted a moment after it was allowed, later on a busy machine.
NOTED_LATE_SECONDS = 0.15
_TAKE_TURNS = """
import json, sys, threading, time
from email_settings.pacing import DatabasePace, RedisPace
kind, account, url, rate, seconds = sys.argv[-5:]
if kind == "redis":
    pace = RedisPace(float(rate), url=url, account=account)
else:
    pace = DatabasePace(float(rate), account=account)
pace.take(threading.Event(), seconds=60)
ends = time.monotonic() + float(seconds)
starts = []
def start_calls():
    while time.monotonic() < ends and pace.take(threading.Event(), seconds=60):
        starts.append(time.time())
        time.sleep(0.05)  # as long as a call takes
slots = [threading.Thread(target=start_calls) for _ in range(16)]
for slot in slots:
    slot.start()
for slot in slots:
    slot.join()
print(json.dumps(starts))
"""


@pytest.fixture
def postgres_site(tmp_path: Path) -> Iterator[Site]:
    """An installation on PostgreSQL with a database of its own and no Redis."""
    name = f"tf_pacing_{uuid.uuid4().hex[:8]}"
    url = POSTGRES_URL.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(POSTGRES_URL, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_site(tmp_path, endpoint_url="", database_url=url)
        server.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        )


def starts_of(
    environment: dict[str, str], kind: str, *, rate: float, seconds: float
) -> list[float]:
    """Let processes take turns at once, and return when each call might begin."""
    account = uuid.uuid4().hex
    arguments = [kind, account, REDIS_URL, str(rate), str(seconds)]
    code = f"import sys; sys.argv[1:] = {arguments!r}\n{_TAKE_TURNS}"
    running = [
        subprocess.Popen(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    printed = [process.communicate(timeout=60)[0] for process in running]
    with Redis.from_url(REDIS_URL) as redis:
        redis.delete(f"ticketflow:pace:{account}")
    each = [json.loads(lines.splitlines()[-1]) for lines in printed]
    assert all(each), "a process had no turn at all"
    return sorted(itertools.chain.from_iterable(each))


def assert_rate_is_kept(starts: list[float], rate: int) -> None:
    """No `rate` + 1 starts lie within one second."""
    pairs = zip(starts, starts[rate:], strict=False)
    shortest = min(late - early for early, late in pairs)
    assert shortest > WINDOW_SECONDS - 0.04 - NOTED_LATE_SECONDS


@pytest.mark.parametrize("rate", [5, 40])
def test_processes_that_share_a_postgresql_keep_the_rate(
    postgres_site: Site, rate: int
) -> None:
    environment = dict(postgres_site.environment)
    starts = starts_of(environment, "database", rate=rate, seconds=4)
    assert_rate_is_kept(starts, rate)


# At 500 a second one question takes several turns.
@pytest.mark.parametrize("rate", [5, 14, 40, 100, 500])
def test_processes_that_share_a_redis_keep_the_rate(rate: int) -> None:
    starts = starts_of(dict(os.environ), "redis", rate=rate, seconds=4)
    assert_rate_is_kept(starts, rate)
