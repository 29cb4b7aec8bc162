"""What can go wrong between TicketFlow and AWS, on demand."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from email_settings.standin.protocol import Reply, refuse_json
from email_settings.standin.refused import RefusedError


class Fault(Enum):
    """One way in which a call goes wrong; the value is what the console calls it."""

    HANGS = "take the mail and never answer"
    BREAKS = "take the mail and break the connection"
    THROTTLES = "answer 429: too fast"
    FAILS = "answer 500: internal failure"
    IS_AWAY = "answer 503: not available"
    IS_A_PORTAL = "let a sign-in page answer, with 403"
    IS_A_FRIENDLY_PORTAL = "let a sign-in page answer, with 200"
    LOSES_SIGNATURE = "answer that the signature was lost on the way"
    HAS_NOT_SIGNED_UP = "answer that the account has not signed up for SES"
    IS_TOO_OLD = "answer that temporary credentials have ended"
    IS_SUSPENDED = "answer that the account is suspended"
    HAS_A_LIMIT = "answer that a limit is reached, not the daily quota"
    REJECTS = "refuse the mail for a file in it"
    FINDS_MISTAKE = "refuse the mail for a header that stands in it twice"
    SAYS_SOMETHING_NEW = "refuse it with a code that nobody knows"

    @property
    def takes_mail(self) -> bool:
        """Whether SES has the mail although nobody is told."""
        return self in {Fault.HANGS, Fault.BREAKS}


# What is no fault of one mail may meet every call, questions as well as sends.
OF_ALL_CALLS = (
    Fault.IS_A_PORTAL,
    Fault.IS_A_FRIENDLY_PORTAL,
    Fault.IS_AWAY,
    Fault.LOSES_SIGNATURE,
    Fault.HAS_NOT_SIGNED_UP,
    Fault.IS_TOO_OLD,
)


@dataclass
class Trouble:
    """A fault that the next sends meet, or the next calls of any kind."""

    fault: Fault
    times: int
    meets_all: bool = False

    def meet(self) -> Fault | None:
        """Return the fault, once for each time it is left."""
        if not self.times:
            return None
        self.times -= 1
        return self.fault


_PORTAL = b"<html><title>Sign in</title><p>Please sign in to the network.</html>"
_PORTALS = {Fault.IS_A_PORTAL: 403, Fault.IS_A_FRIENDLY_PORTAL: 200}
_REFUSALS = {
    Fault.THROTTLES: RefusedError(
        "TooManyRequestsException", "Maximum sending rate exceeded.", 429
    ),
    Fault.FAILS: RefusedError("InternalServiceErrorException", "", 500),
    Fault.IS_AWAY: RefusedError("ServiceUnavailableException", "", 503),
    Fault.LOSES_SIGNATURE: RefusedError(
        "IncompleteSignature",
        "Authorization header requires 'Signature' parameter.",
        403,
    ),
    Fault.HAS_NOT_SIGNED_UP: RefusedError(
        "OptInRequired",
        "The AWS Access Key Id needs a subscription for the service",
        403,
    ),
    Fault.IS_TOO_OLD: RefusedError(
        "ExpiredTokenException",
        "The security token included in the request is expired",
        403,
    ),
    Fault.IS_SUSPENDED: RefusedError(
        "AccountSuspendedException", "The account is suspended."
    ),
    Fault.HAS_A_LIMIT: RefusedError(
        "LimitExceededException", "Too many sending identities."
    ),
    Fault.REJECTS: RefusedError("MessageRejected", "Illegal filename 'invoice.exe'."),
    Fault.FINDS_MISTAKE: RefusedError(
        "BadRequestException", "Duplicate header 'Subject'."
    ),
    Fault.SAYS_SOMETHING_NEW: RefusedError(
        "SomethingNewException", "Nobody has written about this yet."
    ),
}


def reply_of(
    fault: Fault, refuse: Callable[[RefusedError], Reply] = refuse_json
) -> Reply:
    """Return what answers in the place of AWS, for faults that answer.

    `refuse` words a refusal as the service that is asked does.
    """
    if fault in _PORTALS:
        return Reply(_PORTALS[fault], _PORTAL, {"Content-Type": "text/html"})
    return refuse(_REFUSALS[fault])
