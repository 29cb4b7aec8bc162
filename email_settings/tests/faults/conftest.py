"""Installations, servers and repeats of the fault tests.

FAULT_REPEATS says how often each fault happens. A test begins anew for each of them,
except for two kinds: one that takes `kills` has the fault happen to the same
installation again and again, which is quicker and harder; and one that shows what would
happen without a guard runs once.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from email_settings.tests.faults import servers
from email_settings.tests.faults.ses_log import SesLog, running_ses_log
from email_settings.tests.faults.sites import FaultSite, copied_site, make_template

Test = TypeVar("Test", bound=Callable[..., Any])

REPEATS = int(os.environ.get("FAULT_REPEATS", "1"))
# After so many minutes no further test begins; 0 is never.
MINUTES = float(os.environ.get("FAULT_MINUTES", "0"))
_BEGAN = time.monotonic()
_HERE = Path(__file__).parent
OUT_OF_TIME = "the time for fault tests is over"

# So many kills of one installation; then comes a new one, and others have their turn.
KILLS_AT_ONCE = 5

_kills_done = 0


def once(test: Test) -> Test:
    """Mark a test that proves something about the tests: repeating it proves no more."""
    test.is_once = True  # type: ignore[attr-defined]
    return test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test of this folder as often as FAULT_REPEATS says."""
    if "kills" in metafunc.fixturenames:
        begins = range(0, REPEATS, KILLS_AT_ONCE)
        slices = [range(begin, min(begin + KILLS_AT_ONCE, REPEATS)) for begin in begins]
        metafunc.parametrize(
            "kills", slices, ids=[f"kills{s.start + 1}-{s.stop}" for s in slices]
        )
    elif REPEATS > 1 and not hasattr(metafunc.function, "is_once"):
        metafunc.fixturenames.append("fault_round")
        metafunc.parametrize("fault_round", range(REPEATS), ids="round{}".format)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Go round by round, so that a run that ends early has tried everything."""
    items.sort(key=_round_of)


def _round_of(item: pytest.Item) -> int:
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    kills: range = params.get("kills", range(1))
    number: int = params.get("fault_round", kills.start)
    return number


def note_kill() -> None:
    """Count a kill for the summary."""
    global _kills_done
    _kills_done += 1


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin nothing when the time is over."""
    if MINUTES and time.monotonic() - _BEGAN > MINUTES * 60:
        pytest.skip(OUT_OF_TIME)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many rounds were done, when the time ended first or not."""
    if REPEATS == 1:
        return
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if OUT_OF_TIME in str(report.longrepr)
    ]
    done = len(terminalreporter.stats.get("passed", []))
    failed = len(terminalreporter.stats.get("failed", []))
    terminalreporter.write_sep(
        "=",
        f"faults: {done} runs held, {failed} did not, {len(skipped)} not begun; "
        f"{_kills_done} kills in a row",
    )


@pytest.fixture
def ses(tmp_path: Path) -> Iterator[SesLog]:
    """Amazon SES, played."""
    with running_ses_log(tmp_path / "ses.log") as server:
        yield server


@pytest.fixture(scope="session")
def embedded_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    make_template(folder)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A PostgreSQL of our own."""
    servers.require(servers.missing_postgres(), servers.missing_redis())
    with servers.running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def grown_template(
    postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("grown")
    postgres.execute("CREATE DATABASE template_site")
    make_template(folder, database_url=postgres.url("template_site"))
    return folder


@pytest.fixture
def redis_server() -> Iterator[servers.RedisServer]:
    """A Redis of our own."""
    servers.require(servers.missing_redis())
    server = servers.RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def embedded(
    embedded_template: Path,
    tmp_path: Path,
    ses: SesLog,
    django_db_blocker: pytest.FixtureRequest,
) -> Iterator[FaultSite]:
    """SQLite and nothing else, mail live."""
    with (
        django_db_blocker.unblock(),  # type: ignore[attr-defined]
        copied_site(embedded_template, tmp_path / "site", endpoint_url=ses.url) as site,
    ):
        yield site


@pytest.fixture
def grown(
    postgres: servers.Postgres,
    grown_template: Path,
    redis_server: servers.RedisServer,
    tmp_path: Path,
    ses: SesLog,
    django_db_blocker: pytest.FixtureRequest,
) -> Iterator[FaultSite]:
    """PostgreSQL and Redis, mail live."""
    name = f"site_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE template_site")
    with (
        django_db_blocker.unblock(),  # type: ignore[attr-defined]
        copied_site(
            grown_template,
            tmp_path / "site",
            endpoint_url=ses.url,
            database_url=postgres.url(name),
            redis_url=redis_server.url,
        ) as site,
    ):
        yield site
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
