"""What an admin may ask for: release an address, add some, let security mail through."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from email_settings.models import OutboxMessage, Suppression
from email_settings.nudge import nudge_worker
from email_settings.suppression.exchange import NewEntry
from email_settings.suppression.record import close, lock
from ticketflow.errors import DomainError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Rows in one transaction, so that no worker waits long for its turn to write.
STEP = 500


class NotInForceError(DomainError):
    """The address is not on the list (any more)."""


@transaction.atomic
def release(address: str, *, actor: AbstractBaseUser) -> bool:
    """Let the address get mail again; False when it got mail already.

    What happened to it before counts no more, whenever news of that comes.
    """
    lock([address.lower()])
    entry = Suppression.objects.filter(
        address_lower=address.lower(), closed_at=None
    ).first()
    if entry is None:
        return False
    close(entry, f"{actor} released it.", closed_by_id=actor.pk)
    # What waits for the end of a hold leaves now.
    transaction.on_commit(nudge_worker, robust=True)
    logger.info("suppression: an address was released by user %s", actor.pk)
    return True


@transaction.atomic
def allow_security(entry_id: int, *, actor: AbstractBaseUser) -> None:
    """Let invitations and password resets go to the address all the same.

    Raises NotInForceError when it was released meanwhile.
    """
    _change_open(
        entry_id, security_allowed_at=timezone.now(), security_allowed_by_id=actor.pk
    )
    transaction.on_commit(nudge_worker, robust=True)


@transaction.atomic
def forbid_security(entry_id: int) -> None:
    """Keep invitations and password resets back, too. Raises NotInForceError."""
    _change_open(entry_id, security_allowed_at=None, security_allowed_by_id=None)


def _change_open(entry_id: int, **values: object) -> None:
    open_one = Suppression.objects.filter(pk=entry_id, closed_at=None)
    if not open_one.update(**values):
        raise NotInForceError("This address was released meanwhile: it gets all mail.")


def suppress(entries: Iterable[NewEntry], *, actor: AbstractBaseUser | None) -> int:
    """Suppress the addresses that are not yet, and return how many those were.

    Several transactions, so the caller must not have one open. A temporary hold is
    replaced, every other entry stays as it is.
    """
    by_address = {entry.address.lower(): entry for entry in entries}
    # In one order, so that two who add the same do not wait in a circle.
    in_order = [by_address[address] for address in sorted(by_address)]
    count = sum(_suppress_step(step, actor) for step in _steps(in_order))
    logger.info("suppression: %s addresses were added", count)
    return count


def known_among(addresses: Iterable[str]) -> set[str]:
    """Return those of the addresses, in lower case, that get no mail for good."""
    known: set[str] = set()
    for step in _steps([address.lower() for address in addresses]):
        known |= set(
            Suppression.objects.filter(
                address_lower__in=step, closed_at=None, held_until=None
            ).values_list("address_lower", flat=True)
        )
    return known


def _steps(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), STEP):
        yield items[start : start + STEP]


@transaction.atomic
def _suppress_step(entries: Sequence[NewEntry], actor: AbstractBaseUser | None) -> int:
    lowered = [entry.address.lower() for entry in entries]
    now = timezone.now()
    Suppression.objects.filter(
        address_lower__in=lowered, closed_at=None, held_until__isnull=False
    ).update(closed_at=now, closed_why="The address gets no mail for good now.")
    known = known_among(lowered)
    rows = [
        Suppression(
            address=entry.address,
            address_lower=entry.address.lower(),
            reason=entry.reason,
            detail=entry.detail,
            happened_at=entry.happened_at or now,
            created_at=now,
            created_by_id=actor.pk if actor else None,
        )
        for entry in entries
        if entry.address.lower() not in known
    ]
    Suppression.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def suppressed_mails(address: str) -> QuerySet[OutboxMessage]:
    """Return the mails to the address that were not sent because of its entry."""
    return OutboxMessage.objects.filter(
        recipient_lower=address.lower(), state=OutboxMessage.State.SUPPRESSED
    )
