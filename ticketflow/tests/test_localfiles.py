"""Secrets that an installation makes for itself."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ticketflow.lib.localfiles import LocalFileError, read_or_create_secret


def test_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secret_key"
    secret = read_or_create_secret(path)

    assert len(secret) >= 48
    assert read_or_create_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_those_who_come_at_once_agree_and_leave_no_drafts(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(read_or_create_secret, [path] * 32))

    assert secrets == {path.read_text().strip()}
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalFileError) as refusal:
        read_or_create_secret(tmp_path / "file" / "secret_key")
    assert str(tmp_path / "file" / "secret_key") in str(refusal.value)
    assert "TICKETFLOW_DATA_DIR" in str(refusal.value)


def test_empty_file_is_never_taken_for_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("\n")
    with pytest.raises(LocalFileError, match="is empty"):
        read_or_create_secret(tmp_path / "secret_key")
