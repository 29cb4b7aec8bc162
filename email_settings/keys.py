"""Which key each stored secret needs, and how all of them come under the newest one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from email_settings.credentials import (
    Sealed,
    SealedRow,
    rotations_with_secrets,
    sealed_in,
    sealed_messages,
)
from email_settings.models import OutboxMessage, SesSettings
from ticketflow.errors import DomainError
from ticketflow.lib import encryption

# Rows that are read at a time; each is changed in a transaction of its own.
BATCH = 200
# What was encrypted with an old key just before a change may be committed a while after.
SETTLED_AFTER = timedelta(minutes=10)


class KeysInUseError(DomainError):
    """Old keys can't be removed yet."""


@dataclass
class KeyUse:
    """How many stored values name one key."""

    readable: int = 0
    unreadable: int = 0  # the key is missing, or they are damaged

    @property
    def total(self) -> int:
        return self.readable + self.unreadable


@dataclass(frozen=True)
class Resealed:
    """What one round of encrypting anew did, in values."""

    done: int = 0
    unreadable: list[str] = field(default_factory=list)  # why, each reason once


def uses() -> dict[str, KeyUse]:
    """Count the stored values by the id of their key, those of the file first.

    Reads and decrypts every one. Raises encryption.KeyFileError for a file that is there
    and can't be used.
    """
    found: dict[str, KeyUse] = {key_id: KeyUse() for key_id in _ids_in_file()}
    for row in _rows():
        for sealed in sealed_in(row):
            use = found.setdefault(sealed.key_id, KeyUse())
            if sealed.why_unreadable():
                use.unreadable += 1
            else:
                use.readable += 1
    return found


def has_unfinished_rotation(found: dict[str, KeyUse]) -> bool:
    """Whether something readable is not under the first key yet."""
    _, *others = found.values()
    return any(use.readable for use in others)


def reseal_all() -> Resealed:
    """Encrypt with the first key all that is not, each row in a transaction of its own.

    May be killed at any moment and started again. Whoever saves a row meanwhile wins.
    Raises encryption.KeyFileError.
    """
    done, reasons = 0, []
    for row in _rows():
        if not _behind(row):
            continue
        try:
            done += reseal(row)
        except encryption.KeyFileError:
            raise
        except encryption.EncryptionError as error:
            if str(error) not in reasons:
                reasons.append(str(error))
    return Resealed(done, reasons)


@transaction.atomic
def reseal(row: SealedRow) -> int:
    """Encrypt what the row keeps now with the first key; return how many values.

    Raises encryption.EncryptionError when a value can't be read.
    """
    model = type(row)
    locked = model._default_manager.select_for_update().filter(pk=row.pk).first()
    behind = _behind(locked) if locked else []
    if behind:
        values = {sealed.field: sealed.under_first_key() for sealed in behind}
        model._default_manager.filter(pk=row.pk).update(**values)
    return len(behind)


def removable(found: dict[str, KeyUse]) -> list[str]:
    """Return the keys of the file that nothing stored needs, the first one left out."""
    _, *old = encryption.key_ids()
    return [key_id for key_id in old if not found[key_id].total]


def remove_old_keys(now: datetime | None = None) -> list[str]:
    """Take the keys that nothing needs out of the file and return their ids.

    Raises KeysInUseError while something may still be on its way to the database with
    one of them, and encryption.KeyFileError.
    """
    settled_at = encryption.changed_at() + SETTLED_AFTER
    if (now or timezone.now()) < settled_at:
        raise KeysInUseError(
            "The key file was changed only just now: something may still be saved with "
            f"an old key. Try again after {settled_at:%H:%M} UTC."
        )
    removed = removable(uses())
    if removed:
        encryption.remove_keys(removed)
    return removed


def _ids_in_file() -> list[str]:
    return encryption.key_ids() if encryption.has_key_file() else []


def _rows() -> Iterator[SealedRow]:
    """Yield every row that keeps something encrypted, few at a time."""
    yield from SesSettings.objects.exclude(secret_access_key_encrypted="")
    yield from rotations_with_secrets()
    # By their ids and not through one open cursor: between two batches rows are changed.
    last_id = 0
    while batch := _messages_after(last_id):
        yield from batch
        last_id = batch[-1].pk


def _messages_after(last_id: int) -> list[OutboxMessage]:
    return list(
        sealed_messages()
        .filter(pk__gt=last_id)
        .only("uid", "is_secret", "text_body", "html_body")
        .order_by("pk")[:BATCH]
    )


def _behind(row: SealedRow) -> list[Sealed]:
    first = encryption.current_key_id()
    return [sealed for sealed in sealed_in(row) if sealed.key_id != first]
