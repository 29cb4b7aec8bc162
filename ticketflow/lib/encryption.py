"""Secrets at rest: AES-256-GCM, each one bound to the place where it is kept.

The stored form is `v1:<key id>:<base64 of nonce, ciphertext and tag>`. A stored value
that is copied to another row, field or installation does not decrypt.

The key file is read at every use, so that running processes notice a change at once.
It is never made in passing: a lost file that is silently replaced by another key would
look like an installation whose secrets are all damaged.
"""

import base64
import binascii
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from ticketflow.errors import DomainError

FORMAT = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12


class EncryptionError(DomainError):
    """A secret can't be stored or read just now."""


class KeyFileError(EncryptionError):
    """The key file is missing, open to others, or not a key file."""


class KeyFileMissingError(KeyFileError):
    """There is no key file."""

    def __init__(self) -> None:
        super().__init__(f"The key file {settings.KEYS_FILE} is missing.")


class KeyMissingError(EncryptionError):
    """The key that a secret was stored with is not in the key file, or that is gone."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"A stored secret was encrypted with the key {key_id}, which is not in "
            f"{settings.KEYS_FILE}. Put the key file of this installation back, or "
            "type the secret in again."
        )


class TamperedError(EncryptionError):
    """A stored secret was changed, or belongs to another place."""

    def __init__(self) -> None:
        super().__init__(
            "A stored secret was changed or copied from somewhere else, so that it "
            "can't be trusted. Type it in again."
        )


def encrypt(plaintext: str, *, context: str) -> str:
    """Return the stored form, encrypted with the first key of the key file.

    `context` says where it will be kept, as "model|field|row"; decrypt() needs the
    same. Raises KeyFileError.
    """
    key_id, key = next(iter(_read_keys().items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plaintext.encode(), _bound_to(context))
    return f"{prefix_of(key_id)}{base64.b64encode(nonce + sealed).decode()}"


def decrypt(stored: str, *, context: str) -> str:
    """Return the plain text of a stored form.

    Raises KeyMissingError, also when there is no key file, TamperedError or
    KeyFileError.
    """
    try:
        version, key_id, encoded = stored.split(":")
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise TamperedError from None
    if version != FORMAT:
        raise TamperedError
    try:
        key = _read_keys()[key_id]
    except (KeyError, KeyFileMissingError):
        raise KeyMissingError(key_id) from None
    try:
        plaintext = AESGCM(key).decrypt(
            raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(context)
        )
    except (InvalidTag, ValueError):
        raise TamperedError from None
    return plaintext.decode()


def prefix_of(key_id: str) -> str:
    """Return what every stored form that needs this key begins with."""
    return f"{FORMAT}:{key_id}:"


def key_id_of(stored: str) -> str:
    """Return the id of the key that a stored form needs, "" for nonsense."""
    parts = stored.split(":")
    return parts[1] if len(parts) == 3 else ""


def key_ids() -> list[str]:
    """Return the ids of the keys in the file; the first one encrypts. Raises KeyFileError."""
    return list(_read_keys())


def current_key_id() -> str:
    """Return the id of the key that new secrets are encrypted with. Raises KeyFileError."""
    return key_ids()[0]


def new_key() -> str:
    """Return a new key, as a line of the key file."""
    return _as_line(os.urandom(KEY_BYTES))


def has_key_file() -> bool:
    """Whether there is a key file, good or bad. Raises KeyFileError when nobody can tell."""
    with _told_as_key_file_error("can't be used"):
        return settings.KEYS_FILE.exists()


def create_key_file() -> None:
    """Make the key file if there is none, complete or not at all.

    Two processes that start at once agree: the second one keeps the first one's. Raises
    KeyFileError when it can't be written.
    """
    path = settings.KEYS_FILE
    with _told_as_key_file_error("can't be made"):
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _draft_beside(path, [os.urandom(KEY_BYTES)]) as draft:
            try:
                os.link(draft, path)
            except FileExistsError:
                return
        _make_durable(path.parent)


def add_key(*, before: str) -> str:
    """Put a new key first in the file and return its id; the others stay behind it.

    `before` is the id of the key that is first now: when somebody else was quicker
    nothing is added, and the id of theirs is returned. Raises KeyFileError.
    """
    with _file_to_change() as path:
        keys = _read_keys()
        first = next(iter(keys))
        if first != before:
            return first
        key = os.urandom(KEY_BYTES)
        _replace(path, [key, *keys.values()])
        return _id_of(key)


def remove_keys(removed: Collection[str]) -> None:
    """Take keys out of the file; the first one always stays. Raises KeyFileError."""
    with _file_to_change() as path:
        first, *others = _read_keys().items()
        kept = [key for key_id, key in others if key_id not in removed]
        _replace(path, [first[1], *kept])


def changed_at() -> datetime:
    """Return when the key file was last written. Raises KeyFileError."""
    with _told_as_key_file_error("can't be used"):
        return datetime.fromtimestamp(settings.KEYS_FILE.stat().st_mtime, UTC)


def _bound_to(context: str) -> bytes:
    return f"{context}|{FORMAT}".encode()


def _id_of(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def _as_line(key: bytes) -> str:
    return base64.b64encode(key).decode()


@contextmanager
def _told_as_key_file_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyFileError(
            f"The key file {settings.KEYS_FILE} {what}: {error.strerror}."
        ) from error


def _read_keys() -> dict[str, bytes]:
    """Return the keys by id, in the order of the file."""
    path = settings.KEYS_FILE
    with _told_as_key_file_error("can't be used"):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            raise KeyFileMissingError from None
        if mode & 0o077:
            raise KeyFileError(
                f"Other people on this machine can read {path}. "
                f"Close it with: chmod 600 {path}"
            )
        lines = _text_of(path).split()
    keys = [_parse_key(line, path) for line in lines]
    if not keys:
        raise KeyFileError(f"The key file {path} is empty.")
    return {_id_of(key): key for key in keys}


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise KeyFileError(f"The key file {path} is not a text.") from None


def _parse_key(line: str, path: Path) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFileError(
            f"A line of the key file {path} is not a key: each line must be the "
            f"base64 of {KEY_BYTES} bytes."
        )
    return key


@contextmanager
def _file_to_change() -> Iterator[Path]:
    """Give the real path of the key file, for one process at a time."""
    # Through a symbolic link: replacing the link would leave the file behind it as it is.
    with _told_as_key_file_error("can't be changed"):
        path = settings.KEYS_FILE.resolve()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(folder)


def _replace(path: Path, keys: Iterable[bytes]) -> None:
    with _draft_beside(path, keys) as draft:
        draft.replace(path)
    _make_durable(path.parent)


@contextmanager
def _draft_beside(path: Path, keys: Iterable[bytes]) -> Iterator[Path]:
    """Give a file with the keys in the same folder, which is gone at the end."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            if path.exists():
                # Changed by root, it must still be its owner who can read it.
                owner = path.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.writelines(f"{_as_line(key)}\n" for key in keys)
            file.flush()
            # Losing the key to a power cut would lose every secret stored after it.
            os.fsync(descriptor)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _make_durable(folder: Path) -> None:
    """Have the names in the folder survive a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
