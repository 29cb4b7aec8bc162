"""Why a change to a ticket is refused; each text is for people."""

from ticketflow.errors import DomainError


class TicketClosedError(DomainError):
    """The ticket is final."""


class MoveRefusedError(DomainError):
    """The status can't become that one, or not by this person."""


class AssignmentRefusedError(DomainError):
    """The person can't be given tickets."""


class QueueRefusedError(DomainError):
    """The queue takes no tickets."""


class UnknownPersonError(DomainError):
    """Nobody active has that address."""


class SubmissionReusedError(DomainError):
    """A form's key came back with something else."""
