"""kill -9 in the middle of an upgrade: it says so until it is done, and a repeat does it."""

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest
from django.db import DatabaseError

from email_settings.tests.faults.browser import Browser
from email_settings.tests.faults.conftest import note_kill
from email_settings.tests.faults.plan import Kill, Plan
from email_settings.tests.faults.servers import Postgres
from email_settings.tests.faults.sites import FaultSite, new_site

pytestmark = [pytest.mark.processes, pytest.mark.faults]

STATEMENT = "django.db.backends.utils.CursorWrapper.execute"
# An upgrade has some hundred statements; a killed one begins with what is left.
PLACES = range(5, 200)
KILLS = 3  # of one upgrade

_SQLITE = "SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name"
_POSTGRES = """
SELECT table_name, column_name, data_type || is_nullable FROM information_schema.columns
WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2, 3
"""

MakeSite = Callable[[], FaultSite]


@pytest.fixture
def make_embedded(tmp_path: Path, running: ExitStack) -> MakeSite:
    def make() -> FaultSite:
        folder = tmp_path / uuid.uuid4().hex[:8]
        return running.enter_context(new_site(folder))

    return make


@pytest.fixture
def make_grown(tmp_path: Path, running: ExitStack, postgres: Postgres) -> MakeSite:
    def make() -> FaultSite:
        name = f"new_{uuid.uuid4().hex[:8]}"
        postgres.execute(f"CREATE DATABASE {name}")
        folder = tmp_path / name
        return running.enter_context(new_site(folder, database_url=postgres.url(name)))

    return make


@pytest.fixture
def running(django_db_blocker: pytest.FixtureRequest) -> Iterator[ExitStack]:
    """Installations whose databases are empty."""
    with django_db_blocker.unblock(), ExitStack() as stack:  # type: ignore[attr-defined]
        yield stack


def schema_of(site: FaultSite) -> list[tuple[str, ...]]:
    return site.query(_POSTGRES if site.environment["DATABASE_URL"] else _SQLITE)


def applied(site: FaultSite) -> set[tuple[str, ...]]:
    try:
        return set(site.query("SELECT app, name FROM django_migrations"))
    except DatabaseError:
        return set()  # not even that table


def migrate(site: FaultSite, plan: Plan | None = None) -> bool:
    """Migrate, and return whether it came to its end."""
    with site.migration(plan) as migration:
        if migration.process.wait(120) == 0:
            return True
        migration.wait_until_dead()
        return False


def health_of(site: FaultSite) -> int:
    with site.web() as web:
        return Browser(web.port).get("/healthz").status


@pytest.mark.parametrize("make", ["make_embedded", "make_grown"])
def test_upgrade_goes_on_where_it_was_killed(
    request: pytest.FixtureRequest, make: str, kills: range
) -> None:
    make_site: MakeSite = request.getfixturevalue(make)
    straight, killed = make_site(), make_site()
    assert migrate(straight)
    chance = random.Random(f"{make} {kills.start}")  # noqa: S311
    done: set[tuple[str, ...]] = set()
    for _ in range(KILLS):
        at = chance.choice(PLACES)
        if migrate(killed, Plan(kills=[Kill(STATEMENT, call=at)])):
            break
        note_kill()
        # A migration is whole or not begun, and what is done stays done.
        assert done <= applied(killed)
        done = applied(killed)
    assert migrate(killed)
    assert applied(killed) == applied(straight)
    assert schema_of(killed) == schema_of(straight)


def test_upgrade_that_was_killed_makes_the_probe_red(make_embedded: MakeSite) -> None:
    site = make_embedded()
    assert not migrate(site, Plan(kills=[Kill(STATEMENT, call=PLACES.stop)]))
    assert applied(site)
    assert health_of(site) == HTTPStatus.SERVICE_UNAVAILABLE
    assert migrate(site)
    assert health_of(site) == HTTPStatus.OK
