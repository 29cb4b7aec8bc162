"""`make` on a fresh machine: the right Python is chosen, or a plain sentence says why not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
  "--version ") echo Python {version};;
  "-c import sys"*) exit {too_old};;
  "-c import venv"*) exit {no_venv};;
  "-m venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
  "-m pip") echo "installed with $*" >> installed.log;;
  *) echo "started with $*";;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make run` looks at, and no Python but the one put into bin/."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(settings.BASE_DIR / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "make", "cmp", "cp", "mkdir", "sed", "cat"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def put_python(
    clone: Path, *, version: str = "3.12.1", too_old: int = 0, no_venv: int = 0
) -> None:
    program = clone / "bin" / "python3"
    program.write_text(
        FAKE_PYTHON.format(version=version, too_old=too_old, no_venv=no_venv)
    )
    program.chmod(0o755)


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    outside = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"}
    environment = {k: v for k, v in os.environ.items() if k not in outside}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=clone,
        env={**environment, "PATH": str(clone / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def installs(clone: Path) -> list[str]:
    log = clone / "installed.log"
    return log.read_text().splitlines() if log.exists() else []


def test_first_run_installs_with_hashes_and_the_second_just_starts(clone: Path) -> None:
    put_python(clone)
    first = make(clone, "run")
    assert first.returncode == 0
    assert first.stdout.endswith("started with manage.py start\n")
    (installed,) = installs(clone)
    assert "--require-hashes -r requirements.txt" in installed

    second = make(clone, "run")
    assert second.stdout == "started with manage.py start\n"
    assert len(installs(clone)) == 1


def test_changed_requirements_are_installed_at_the_next_start(clone: Path) -> None:
    put_python(clone)
    make(clone, "run")
    with (clone / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    make(clone, "run")
    assert len(installs(clone)) == 2


def test_python_that_is_too_old_is_told_in_one_sentence(clone: Path) -> None:
    put_python(clone, version="3.9.2", too_old=1)
    done = make(clone, "run")
    assert done.returncode != 0
    assert "TicketFlow needs Python 3.11 or newer, and python3 is Python 3.9.2." in (
        done.stdout
    )
    assert installs(clone) == []


def test_missing_python_is_told_in_one_sentence(clone: Path) -> None:
    done = make(clone, "run")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and python3 is not installed." in done.stdout


def test_missing_venv_module_names_the_package(clone: Path) -> None:
    put_python(clone, no_venv=1)
    done = make(clone, "run")
    assert done.returncode != 0
    assert "install the package python3-venv" in done.stdout


def test_make_alone_says_what_there_is(clone: Path) -> None:
    done = make(clone)
    assert done.returncode == 0
    for target in ("make run", "make demo", "make test", "make lint", "make clean"):
        assert target in done.stdout
