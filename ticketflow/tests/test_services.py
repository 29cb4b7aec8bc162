"""A test that can't run here is never skipped in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

PROBE = """
import pytest

@pytest.mark.services
def test_needs_servers():
    pass
"""


def run_probe(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_probe.py").write_text(PROBE)
    nobody = {
        "TICKETFLOW_TEST_POSTGRES": "postgres://postgres@127.0.0.1:1/nothing",
        "TICKETFLOW_TEST_REDIS": "redis://127.0.0.1:1/0",
    }
    return subprocess.run(
        [
            *[sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
            *["-p", "ticketflow.tests.services", "-o", "addopts="],
            *["-c", str(settings.BASE_DIR / "pytest.ini"), "--rootdir", str(folder)],
            str(folder / "test_probe.py"),
        ],
        cwd=settings.BASE_DIR,
        env={**os.environ, "TICKETFLOW_REQUIRE": "", **nobody, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_servers_are_told_in_the_summary(tmp_path: Path) -> None:
    done = run_probe(tmp_path)
    assert done.returncode == pytest.ExitCode.OK
    assert "NOT RUN: services tests, because no PostgreSQL answers" in done.stdout
    assert "no Redis answers" in done.stdout


def test_missing_servers_are_failures_where_all_is_required(tmp_path: Path) -> None:
    done = run_probe(tmp_path, TICKETFLOW_REQUIRE="all")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "This test is required, but no PostgreSQL answers" in done.stdout
