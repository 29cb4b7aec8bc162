"""Why something about people is refused, in words for people."""

from ticketflow.errors import DomainError


class AlreadySetUpError(DomainError):
    """Somebody else made the first admin."""


class LastAdminError(DomainError):
    """Without this person nobody could run the help desk."""


class OwnAccountError(DomainError):
    """Nobody locks themselves out."""


class TooManyAddressesError(DomainError):
    """More invitations at once than anybody means to send."""


class InvitationClosedError(DomainError):
    """The invitation was accepted, revoked or renewed in the meantime, or has expired."""


class NoMailError(DomainError):
    """Mail to the address would not leave."""


class AddressError(DomainError):
    """The address can't be the person's new one."""


class TooManyChangesError(DomainError):
    """The person asked for another address too often."""


class EmailChangeClosedError(DomainError):
    """The link was used, cancelled or renewed in the meantime, or has expired."""
