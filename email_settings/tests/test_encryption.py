"""Secrets at rest, and the file of keys they depend on."""

import base64
import concurrent.futures
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from ticketflow.lib import encryption
from ticketflow.lib.encryption import (
    KeyFileError,
    KeyMissingError,
    TamperedError,
    decrypt,
    encrypt,
)

CONTEXT = "room.Model|field|1"


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def keys_file(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "var" / "keys"
    settings.KEYS_FILE = path
    return path


def write_keys(path: Path, *keys: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(keys) + "\n")
    path.chmod(0o600)


@given(plaintext=st.text())
def test_what_was_encrypted_is_decrypted(plaintext: str) -> None:
    assert decrypt(encrypt(plaintext, context=CONTEXT), context=CONTEXT) == plaintext


def test_stored_form_names_format_and_key(keys_file: Path) -> None:
    version, key_id, body = encrypt("secret", context=CONTEXT).split(":")
    assert version == "v1"
    assert key_id == encryption.current_key_id()
    assert len(base64.b64decode(body)) == 12 + len("secret") + 16


def test_same_text_is_stored_differently_each_time(keys_file: Path) -> None:
    stored = {encrypt("secret", context=CONTEXT) for _ in range(1000)}
    assert len(stored) == 1000


def test_key_file_is_made_for_its_owner_alone(keys_file: Path) -> None:
    encrypt("secret", context=CONTEXT)
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert [entry.name for entry in keys_file.parent.iterdir()] == ["keys"]


def test_two_that_start_at_once_agree_on_the_key(keys_file: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda _: encrypt("secret", context=CONTEXT), range(32)))
    assert {decrypt(text, context=CONTEXT) for text in stored} == {"secret"}
    assert len({encryption.key_id_of(text) for text in stored}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_key_file_that_others_can_read_is_refused(keys_file: Path, mode: int) -> None:
    write_keys(keys_file, new_key())
    keys_file.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        encrypt("secret", context=CONTEXT)


@pytest.mark.parametrize("content", ["", "\n", "not a key\n", "c2hvcnQ=\n"])
def test_file_that_holds_no_keys_is_refused(keys_file: Path, content: str) -> None:
    write_keys(keys_file, content)
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
    old, new = new_key(), new_key()
    write_keys(keys_file, old)
    stored = encrypt("secret", context=CONTEXT)
    write_keys(keys_file, new, old)
    assert decrypt(stored, context=CONTEXT) == "secret"
    assert encryption.key_id_of(encrypt("other", context=CONTEXT)) != (
        encryption.key_id_of(stored)
    )


def test_missing_key_is_named(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    write_keys(keys_file, new_key())
    with pytest.raises(KeyMissingError, match=encryption.key_id_of(stored)) as caught:
        decrypt(stored, context=CONTEXT)
    assert caught.value.key_id == encryption.key_id_of(stored)


def test_value_that_was_copied_elsewhere_is_refused(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
    with pytest.raises(TamperedError):
        decrypt(stored, context="room.Model|field|2")


def test_every_byte_is_guarded(keys_file: Path) -> None:
    stored = encrypt("secret", context=CONTEXT)
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


def test_key_file_is_made_once_and_kept(tmp_path: Path, settings: Settings) -> None:
    settings.KEYS_FILE = tmp_path / "keys"
    encryption.ensure_key_file()
    made = settings.KEYS_FILE.read_text()
    encryption.ensure_key_file()
    assert settings.KEYS_FILE.read_text() == made
    assert settings.KEYS_FILE.stat().st_mode & 0o077 == 0


def test_key_file_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "file").touch()
    settings.KEYS_FILE = tmp_path / "file" / "keys"
    with pytest.raises(encryption.KeyFileError, match="can't be made"):
        encryption.ensure_key_file()
