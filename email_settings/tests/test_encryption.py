"""Secrets at rest, and the file of keys they depend on."""

import base64
import concurrent.futures
import errno
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from ticketflow.lib import encryption
from ticketflow.lib.encryption import (
    KeyFileError,
    KeyFileMissingError,
    KeyMissingError,
    TamperedError,
    decrypt,
    encrypt,
)

CONTEXT = "room.Model|field|1"


@pytest.fixture
def keys_file(settings: Settings, tmp_path: Path) -> Path:
    """A key file with one key."""
    path = tmp_path / "var" / "keys"
    settings.KEYS_FILE = path
    encryption.create_key_file()
    return path


@pytest.fixture
def no_keys_file(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "var" / "keys"
    settings.KEYS_FILE = path
    return path


def write_keys(path: Path, *keys: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(keys) + "\n")
    path.chmod(0o600)


@pytest.fixture(scope="module")
def one_keys_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A key file that stays for all examples of a property."""
    with override_settings(KEYS_FILE=tmp_path_factory.mktemp("keys") / "keys"):
        encryption.create_key_file()
        yield


@pytest.mark.usefixtures("one_keys_file")
@given(plaintext=st.text())
def test_what_was_encrypted_is_decrypted(plaintext: str) -> None:
    assert decrypt(encrypt(plaintext, context=CONTEXT), context=CONTEXT) == plaintext


def test_stored_form_names_format_and_key(keys_file: Path) -> None:
    version, key_id, body = encrypt("secret", context=CONTEXT).split(":")
    assert version == "v1"
    assert key_id == encryption.current_key_id()
    assert len(base64.b64decode(body)) == 12 + len("secret") + 16


def test_same_text_is_stored_differently_each_time(keys_file: Path) -> None:
    stored = [encrypt("secret", context=CONTEXT) for _ in range(10_000)]
    nonces = {base64.b64decode(text.split(":")[2])[:12] for text in stored}
    assert len(nonces) == len(stored)


def test_key_file_is_made_for_its_owner_alone(keys_file: Path) -> None:
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert [entry.name for entry in keys_file.parent.iterdir()] == ["keys"]


def test_two_that_start_at_once_agree_on_the_key(no_keys_file: Path) -> None:
    def start(_: int) -> str:
        encryption.create_key_file()
        return encrypt("secret", context=CONTEXT)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(start, range(32)))
    assert {decrypt(text, context=CONTEXT) for text in stored} == {"secret"}
    assert len({encryption.key_id_of(text) for text in stored}) == 1


def test_lost_key_file_is_never_replaced_in_passing(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    keys_file.unlink()
    with pytest.raises(KeyFileMissingError, match="is missing"):
        encrypt("secret", context=CONTEXT)
    with pytest.raises(KeyMissingError, match=encryption.key_id_of(stored)):
        decrypt(stored, context=CONTEXT)
    with pytest.raises(KeyFileMissingError):
        encryption.current_key_id()
    assert not keys_file.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_key_file_that_others_can_read_is_refused(keys_file: Path, mode: int) -> None:
    write_keys(keys_file, encryption.new_key())
    keys_file.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        encrypt("secret", context=CONTEXT)


@pytest.mark.parametrize("content", [b"", b"\n", b"no key\n", b"c2hvcnQ=\n", b"\xff"])
def test_file_that_holds_no_keys_is_refused(keys_file: Path, content: bytes) -> None:
    keys_file.write_bytes(content)
    with pytest.raises(KeyFileError):
        encrypt("secret", context=CONTEXT)


def test_folder_that_can_not_be_made_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings.KEYS_FILE = tmp_path / "file" / "keys"
    with pytest.raises(KeyFileError, match="can't be used"):
        encrypt("secret", context=CONTEXT)


def test_first_key_encrypts_and_all_decrypt(keys_file: Path) -> None:
    old, new = encryption.new_key(), encryption.new_key()
    write_keys(keys_file, old)
    stored = encrypt("secret", context=CONTEXT)
    write_keys(keys_file, new, old)
    assert decrypt(stored, context=CONTEXT) == "secret"
    assert encryption.key_id_of(encrypt("other", context=CONTEXT)) != (
        encryption.key_id_of(stored)
    )


def test_missing_key_is_named(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    write_keys(keys_file, encryption.new_key())
    with pytest.raises(KeyMissingError, match=encryption.key_id_of(stored)) as caught:
        decrypt(stored, context=CONTEXT)
    assert caught.value.key_id == encryption.key_id_of(stored)


def test_value_that_was_copied_elsewhere_is_refused(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    with pytest.raises(TamperedError):
        decrypt(stored, context="room.Model|field|2")


@pytest.mark.parametrize("plaintext", ["", "secret", "<p>Grüße</p>" * 20])
def test_every_byte_is_guarded(keys_file: Path, plaintext: str) -> None:
    stored = encrypt(plaintext, context=CONTEXT)
    head, _, body = stored.rpartition(":")
    raw = base64.b64decode(body)
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        text = f"{head}:{base64.b64encode(bytes(changed)).decode()}"
        with pytest.raises(TamperedError):
            decrypt(text, context=CONTEXT)


@pytest.mark.parametrize("stored", ["", "secret", "v1:a", "v1:a:b:c", "v1:a:%%%"])
def test_what_is_no_stored_form_is_refused(keys_file: Path, stored: str) -> None:
    with pytest.raises(TamperedError):
        decrypt(stored, context=CONTEXT)


def test_form_of_another_version_is_refused(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    with pytest.raises(TamperedError):
        decrypt(stored.replace("v1:", "v2:"), context=CONTEXT)


def test_key_file_is_made_once_and_kept(no_keys_file: Path) -> None:
    encryption.create_key_file()
    made = no_keys_file.read_text()
    encryption.create_key_file()
    assert no_keys_file.read_text() == made


def test_key_file_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "file").touch()
    settings.KEYS_FILE = tmp_path / "file" / "keys"
    with pytest.raises(KeyFileError, match="can't be made"):
        encryption.create_key_file()


# Changing the file


def test_new_key_goes_first_and_the_others_stay(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    before = encryption.key_ids()
    added = encryption.add_key(before=before[0])
    assert encryption.key_ids() == [added, *before]
    assert decrypt(stored, context=CONTEXT) == "secret"
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert [entry.name for entry in keys_file.parent.iterdir()] == ["keys"]


def test_many_that_add_a_key_at_once_add_one(keys_file: Path) -> None:
    first = encryption.current_key_id()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        added = set(pool.map(lambda _: encryption.add_key(before=first), range(8)))
    assert encryption.key_ids() == [*added, first]


def test_file_is_readable_at_every_moment_of_a_change(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)

    def read(_: int) -> str:
        return decrypt(stored, context=CONTEXT)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        reads = pool.map(read, range(400))
        for _ in range(10):
            encryption.add_key(before=encryption.current_key_id())
        assert set(reads) == {"secret"}


def test_keys_are_removed_but_never_the_first(keys_file: Path) -> None:
    oldest = encryption.current_key_id()
    middle = encryption.add_key(before=oldest)
    newest = encryption.add_key(before=middle)
    encryption.remove_keys([middle, newest])
    assert encryption.key_ids() == [newest, oldest]


def test_change_goes_through_a_symbolic_link(keys_file: Path) -> None:
    real = keys_file.rename(keys_file.with_name("real"))
    keys_file.symlink_to(real)
    encryption.add_key(before=encryption.current_key_id())
    assert keys_file.is_symlink()
    assert len(real.read_text().split()) == 2


def test_file_that_cannot_be_changed_stays_as_it_is(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    before = keys_file.read_text()
    with pytest.raises(KeyFileError, match="can't be changed: Read-only"):
        encryption.add_key(before=encryption.current_key_id())
    assert keys_file.read_text() == before
