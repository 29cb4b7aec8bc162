"""How an address stands: whether it gets mail, and if not, why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Q, QuerySet
from django.utils import timezone

from email_settings.models import Lane, Suppression


class Status(StrEnum):
    """What an address may get; one that nothing is known of is fine."""

    HELD = "held"  # nothing until a moment that is named
    SUPPRESSED = "suppressed"  # nothing until somebody releases it
    OVERRIDDEN = "overridden"  # security mail only, as an admin said


@dataclass(frozen=True)
class Standing:
    """Why an address gets no mail, in plain words."""

    entry: Suppression
    status: Status

    @property
    def address(self) -> str:
        return self.entry.address

    @property
    def until(self) -> datetime | None:
        """When it gets mail again by itself; None for not before it is released."""
        return self.entry.held_until

    @property
    def title(self) -> str:
        """What happened, a whole sentence."""
        return TITLES[Suppression.Reason(self.entry.reason)]

    @property
    def detail(self) -> str:
        """Why in words, the remote server's own included; may be ""."""
        return self.entry.detail

    def lets_through(self, lane: int) -> bool:
        """Whether mail of this lane goes to the address all the same."""
        return self.status is Status.OVERRIDDEN and lane == Lane.SECURITY


TITLES = {
    Suppression.Reason.BOUNCED: "Mail to this address bounced for good.",
    Suppression.Reason.COMPLAINED: "The recipient called mail from here spam.",
    Suppression.Reason.AWS_EVERYWHERE: (
        "Amazon SES refuses mail to this address: it bounced for many of its customers."
    ),
    Suppression.Reason.AWS_LISTED: "The address is on the suppression list in AWS.",
    Suppression.Reason.FAILING: "Mail to this address failed several times in a row.",
    Suppression.Reason.BY_HAND: "An admin took the address off the mail.",
    Suppression.Reason.IMPORTED: "The address came with an imported list.",
}


def standings(addresses: Iterable[str]) -> dict[str, Standing]:
    """Return how these addresses stand, by the address in lower case; one query.

    Only those that do not get all mail are in it.
    """
    wanted = {address.lower() for address in addresses if address}
    if not wanted:
        return {}
    return {
        entry.address_lower: _standing(entry)
        for entry in in_force().filter(address_lower__in=wanted)
    }


def standing_of(address: str) -> Standing | None:
    """Return why the address does not get all mail; None when it does."""
    return standings([address]).get(address.lower())


def in_force() -> QuerySet[Suppression]:
    """Return what keeps mail back just now."""
    return Suppression.objects.filter(
        Q(held_until=None) | Q(held_until__gt=timezone.now()), closed_at=None
    )


def _standing(entry: Suppression) -> Standing:
    if entry.security_allowed_at:
        return Standing(entry, Status.OVERRIDDEN)
    return Standing(entry, Status.HELD if entry.held_until else Status.SUPPRESSED)
