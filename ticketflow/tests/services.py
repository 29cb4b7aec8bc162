"""What tests need besides Python, and a loud word about those that could not run.

A test says what it needs by a marker: `browser` a Chromium, `services` PostgreSQL and
Redis. Where that is missing the test is skipped and the summary says so in capitals;
with TICKETFLOW_REQUIRE=all it fails instead, so that nothing is skipped unseen.
"""

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psycopg
import pytest
import redis
from playwright.sync_api import sync_playwright

POSTGRES_URL = os.environ.get(
    "TICKETFLOW_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres"
)
REDIS_URL = os.environ.get("TICKETFLOW_TEST_REDIS", "redis://127.0.0.1:6379/15")
NOT_RUN = "NOT RUN: "


@cache
def chromium() -> str:
    """Return the path of a Chromium, Playwright's own or the system's, "" for none."""
    named = os.environ.get("CHROMIUM")
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    if named or installed:
        return str(named or installed)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else ""


@cache
def missing_browser() -> str:
    return "" if chromium() else "no Chromium was found"


@cache
def missing_services() -> str:
    """Say which server does not answer; "" when both do."""
    missing = []
    try:
        psycopg.connect(POSTGRES_URL, connect_timeout=3).close()
    except psycopg.Error:
        missing.append("no PostgreSQL answers at 127.0.0.1:5432")
    try:
        with redis.Redis.from_url(REDIS_URL, socket_connect_timeout=3) as server:
            server.ping()
    except redis.RedisError:
        missing.append("no Redis answers at 127.0.0.1:6379")
    return " and ".join(missing)


NEEDS: dict[str, Callable[[], str]] = {
    "browser": missing_browser,
    "services": missing_services,
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, or fail where everything is required."""
    for marker, missing in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            if os.environ.get("TICKETFLOW_REQUIRE") == "all":
                pytest.fail(f"This test is required, but {reason}.", pytrace=False)
            pytest.skip(f"{NOT_RUN}{marker} tests, because {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with what was not run, so that green never means less than it seems."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason.startswith(NOT_RUN):
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_sep("!", f"{reason} ({count})", yellow=True, bold=True)
