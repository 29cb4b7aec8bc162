"""Secrets at rest: AES-256-GCM, each one bound to the place where it is kept.

The stored form is `v1:<key id>:<base64 of nonce, ciphertext and tag>`. A stored value
that is copied to another row, field or installation does not decrypt.
"""

import base64
import binascii
import hashlib
import os
import stat
import tempfile
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


class KeyMissingError(EncryptionError):
    """The key that a secret was stored with is not in the key file."""

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
    same. Makes the key file the first time. Raises KeyFileError.
    """
    key_id, key = next(iter(_read_keys().items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plaintext.encode(), _bound_to(context))
    return f"{FORMAT}:{key_id}:{base64.b64encode(nonce + sealed).decode()}"


def decrypt(stored: str, *, context: str) -> str:
    """Return the plain text of a stored form.

    Raises KeyMissingError, TamperedError or KeyFileError.
    """
    try:
        version, key_id, encoded = stored.split(":")
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise TamperedError from None
    if version != FORMAT:
        raise TamperedError
    key = _read_keys().get(key_id)
    if key is None:
        raise KeyMissingError(key_id)
    try:
        plaintext = AESGCM(key).decrypt(
            raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(context)
        )
    except (InvalidTag, ValueError):
        raise TamperedError from None
    return plaintext.decode()


def key_id_of(stored: str) -> str:
    """Return the id of the key that a stored form needs, "" for nonsense."""
    parts = stored.split(":")
    return parts[1] if len(parts) == 3 else ""


def current_key_id() -> str:
    """Return the id of the key that new secrets are encrypted with."""
    return next(iter(_read_keys()))


def ensure_key_file() -> None:
    """Make the key file if there is none, so that the first backup holds it already.

    Raises KeyFileError when it can't be written.
    """
    if settings.KEYS_FILE.exists():
        return
    try:
        _create_key_file(settings.KEYS_FILE)
    except OSError as error:
        raise KeyFileError(
            f"The key file {settings.KEYS_FILE} can't be made: {error.strerror}."
        ) from error


def _bound_to(context: str) -> bytes:
    return f"{context}|{FORMAT}".encode()


def _read_keys() -> dict[str, bytes]:
    """Return the keys by id, in the order of the file."""
    path = settings.KEYS_FILE
    try:
        if not path.exists():
            _create_key_file(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyFileError(
                f"Other people on this machine can read {path}. "
                f"Close it with: chmod 600 {path}"
            )
        lines = path.read_text().split()
    except OSError as error:
        raise KeyFileError(
            f"The key file {path} can't be used: {error.strerror}."
        ) from error
    keys = [_parse_key(line, path) for line in lines]
    if not keys:
        raise KeyFileError(f"The key file {path} is empty.")
    return {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}


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


def _create_key_file(path: Path) -> None:
    """Make the file with one new key, complete or not at all.

    Two processes that start at once agree: the second one reads the first one's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n")
            file.flush()
            # Losing the key to a power cut would lose every secret stored after it.
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()
