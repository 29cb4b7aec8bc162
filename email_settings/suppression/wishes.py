"""What an admin may ask for: release an address, add some, let security mail through."""

import logging
from collections.abc import Sequence

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from email_settings.models import OutboxMessage, Suppression
from email_settings.nudge import nudge_worker
from email_settings.suppression.record import close, lock
from ticketflow.errors import DomainError

logger = logging.getLogger(__name__)

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


def suppress(
    addresses: Sequence[str],
    *,
    reason: Suppression.Reason,
    actor: AbstractBaseUser | None,
    detail: str = "",
) -> int:
    """Suppress the addresses that are not yet, and return how many those were.

    Several transactions, so the caller must not have one open. A temporary hold is
    replaced, every other entry stays as it is.
    """
    typed = {address.lower(): address for address in addresses}
    in_order = sorted(typed)  # so that two who add the same do not wait in a circle
    steps = [in_order[at : at + STEP] for at in range(0, len(in_order), STEP)]
    count = sum(
        _suppress_step([typed[a] for a in step], reason, actor, detail)
        for step in steps
    )
    logger.info("suppression: %s addresses were added, %s", count, reason)
    return count


@transaction.atomic
def _suppress_step(
    addresses: Sequence[str],
    reason: Suppression.Reason,
    actor: AbstractBaseUser | None,
    detail: str,
) -> int:
    lowered = [address.lower() for address in addresses]
    now = timezone.now()
    holds = Suppression.objects.filter(
        address_lower__in=lowered, closed_at=None, held_until__isnull=False
    )
    holds.update(closed_at=now, closed_why=f"A graver reason came: {reason.label}.")
    known = set(
        Suppression.objects.filter(
            address_lower__in=lowered, closed_at=None
        ).values_list("address_lower", flat=True)
    )
    entries = [
        Suppression(
            address=address,
            address_lower=address.lower(),
            reason=reason,
            detail=detail,
            happened_at=now,
            created_at=now,
            created_by_id=actor.pk if actor else None,
        )
        for address in addresses
        if address.lower() not in known
    ]
    Suppression.objects.bulk_create(entries, ignore_conflicts=True)
    return len(entries)


def suppressed_mails(address: str) -> QuerySet[OutboxMessage]:
    """Return the mails to the address that were not sent because of its entry."""
    return OutboxMessage.objects.filter(
        recipient_lower=address.lower(), state=OutboxMessage.State.SUPPRESSED
    )
