"""What the environment decides, read by a fresh process as at every start."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

SHOW = """
import json, sys
from ticketflow import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""
NOT_OURS = {"DJANGO_SETTINGS_MODULE", "SITE_URL", "DATABASE_URL", "REDIS_URL", "PORT"}


def read(data_dir: Path, *names: str, **environment: str) -> dict[str, Any]:
    """Return the settings as they are with exactly this environment."""
    inherited = {k: v for k, v in os.environ.items() if k not in NOT_OURS}
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *names],
        cwd=settings.BASE_DIR,
        env={**inherited, "TICKETFLOW_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_nothing_has_to_be_given(tmp_path: Path) -> None:
    names = ["DEBUG", "SITE_URL", "DATABASES", "CELERY_BROKER_URL", "SECRET_KEY"]
    found = read(tmp_path, *names)
    assert found["DEBUG"] is False
    assert found["SITE_URL"] == "http://127.0.0.1:8000"
    assert found["DATABASES"]["default"]["ENGINE"] == "ticketflow.lib.fairsqlite"
    assert found["CELERY_BROKER_URL"].startswith("memory://")
    assert found["SECRET_KEY"] == (tmp_path / "secret_key").read_text().strip()


def test_two_variables_switch_to_postgresql_and_redis(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        *["DATABASES", "CACHES", "CELERY_BROKER_URL"],
        DATABASE_URL="postgres://tf:secret@db.internal:5433/tickets",
        REDIS_URL="redis://cache.internal:6379/2",
    )
    database = found["DATABASES"]["default"]
    # A frozen process must not keep the others from its rows for ever.
    assert "idle_in_transaction_session_timeout=20s" in database["OPTIONS"]["options"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"]) == ("db.internal", 5433)
    assert (database["NAME"], database["CONN_MAX_AGE"]) == ("tickets", 60)
    assert found["CACHES"]["default"]["LOCATION"] == "redis://cache.internal:6379/2"
    assert found["CELERY_BROKER_URL"] == "redis://cache.internal:6379/2"


@pytest.mark.parametrize(
    ("site_url", "is_https"),
    [("https://help.example.com/", True), ("http://127.0.0.1:8000", False)],
)
def test_https_in_the_sites_address_makes_cookies_and_transport_strict(
    tmp_path: Path,
    site_url: str,
    is_https: bool,  # noqa: FBT001
) -> None:
    found = read(
        tmp_path,
        *["SITE_URL", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"],
        *["SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_NAME"],
        SITE_URL=site_url,
    )
    assert found["SITE_URL"] == site_url.rstrip("/")
    assert found["SESSION_COOKIE_SECURE"] is is_https
    assert found["CSRF_COOKIE_SECURE"] is is_https
    assert found["SECURE_SSL_REDIRECT"] is is_https
    assert bool(found["SECURE_HSTS_SECONDS"]) is is_https
    assert found["SESSION_COOKIE_NAME"].startswith("__Host-") is is_https


def test_port_is_part_of_the_default_address_and_its_host_is_allowed(
    tmp_path: Path,
) -> None:
    found = read(tmp_path, "SITE_URL", "ALLOWED_HOSTS", PORT="8123")
    assert found["SITE_URL"] == "http://127.0.0.1:8123"
    assert "127.0.0.1" in found["ALLOWED_HOSTS"]
    found = read(tmp_path, "ALLOWED_HOSTS", SITE_URL="https://help.example.com")
    assert "help.example.com" in found["ALLOWED_HOSTS"]


def test_proxys_word_on_https_counts_only_when_it_is_trusted(tmp_path: Path) -> None:
    show = (
        "import ticketflow.settings as s; print(hasattr(s, 'SECURE_PROXY_SSL_HEADER'))"
    )
    for value, expected in {"": "False", "true": "True"}.items():
        environment = {
            **{k: v for k, v in os.environ.items() if k not in NOT_OURS},
            "TICKETFLOW_DATA_DIR": str(tmp_path),
            **({"TRUST_PROXY_HEADERS": value} if value else {}),
        }
        done = subprocess.run(
            [sys.executable, "-c", show],
            cwd=settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_port_that_is_no_number_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "TICKETFLOW_DATA_DIR": str(tmp_path), "PORT": "eighty"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "PORT must be a number, such as 8000.\n"
