"""Each thing that stands in the way of a start is told in one plain sentence."""

import os
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from ticketflow.runtime import preflight

HOST = "127.0.0.1"


def test_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    preflight.prepare_folder(tmp_path / "new" / "var")
    assert stat.S_IMODE((tmp_path / "new" / "var").stat().st_mode) == 0o700
    assert list((tmp_path / "new" / "var").iterdir()) == []


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # root may write into any folder, not into a file
    with pytest.raises(preflight.CannotStartError) as refusal:
        preflight.prepare_folder(tmp_path / "file" / "var")
    assert "cannot be written (Not a directory)" in str(refusal.value)
    assert "TICKETFLOW_DATA_DIR" in str(refusal.value)


def test_second_start_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    descriptor = preflight.lock_folder(tmp_path)
    with pytest.raises(preflight.CannotStartError, match=f"process {os.getpid()}"):
        preflight.lock_folder(tmp_path)
    os.close(descriptor)
    os.close(preflight.lock_folder(tmp_path))


def test_sqlite_that_cannot_claim_mail_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preflight.check_sqlite()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(preflight.CannotStartError, match="This Python has SQLite"):
        preflight.check_sqlite()


def test_busy_port_is_refused_with_the_way_to_another_one() -> None:
    with (
        socket.create_server((HOST, 0)) as busy,
        pytest.raises(preflight.CannotStartError) as refusal,
    ):
        preflight.listen(HOST, port := busy.getsockname()[1])
    assert str(refusal.value) == (
        f"Port {port} on 127.0.0.1 is taken by another program. Choose another one, "
        f"for example: PORT={port + 1} make run"
    )


def test_free_port_is_listened_on() -> None:
    with preflight.listen(HOST, 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=5):
            pass


def test_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(preflight.CannotStartError, match="70000 is not a port"):
        preflight.listen(HOST, 70_000)


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(preflight.CannotStartError, match="not an address of this"):
        preflight.listen("192.0.2.1", 0)


@pytest.mark.parametrize("command", [["start"], ["check"]])
def test_unwritable_folder_is_one_sentence_on_the_terminal(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").touch()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ticketflow.settings",
        "TICKETFLOW_DATA_DIR": str(tmp_path / "file" / "var"),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "secret_key cannot be made or read (Not a directory)" in done.stderr
