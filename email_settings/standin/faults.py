"""What can go wrong between TicketFlow and AWS, on demand."""

from dataclasses import dataclass
from enum import Enum

from email_settings.standin.protocol import Reply, refuse_json
from email_settings.standin.refused import RefusedError


class Fault(Enum):
    """One way in which sending goes wrong; the value is what the console calls it."""

    HANGS = "take the mail and never answer"
    BREAKS = "take the mail and break the connection"
    THROTTLES = "answer 429: too fast"
    FAILS = "answer 500: internal failure"
    IS_AWAY = "answer 503: not available"
    IS_A_PORTAL = "let a sign-in page answer, with 403"
    IS_A_FRIENDLY_PORTAL = "let a sign-in page answer, with 200"

    @property
    def takes_mail(self) -> bool:
        """Whether SES has the mail although nobody is told."""
        return self in {Fault.HANGS, Fault.BREAKS}


@dataclass
class Trouble:
    """A fault that the next sends meet."""

    fault: Fault
    times: int

    def meet(self) -> Fault | None:
        """Return the fault, once for each time it is left."""
        if not self.times:
            return None
        self.times -= 1
        return self.fault


_PORTAL = b"<html><title>Sign in</title><p>Please sign in to the network.</html>"


def reply_of(fault: Fault) -> Reply:
    """Return what answers in the place of SES, for faults that answer."""
    match fault:
        case Fault.THROTTLES:
            words = "Maximum sending rate exceeded."
            return refuse_json(RefusedError("TooManyRequestsException", words, 429))
        case Fault.FAILS:
            return refuse_json(RefusedError("InternalServiceErrorException", "", 500))
        case Fault.IS_AWAY:
            return refuse_json(RefusedError("ServiceUnavailableException", "", 503))
        case Fault.IS_A_PORTAL:
            return Reply(403, _PORTAL, {"Content-Type": "text/html"})
        case Fault.IS_A_FRIENDLY_PORTAL:
            return Reply(200, _PORTAL, {"Content-Type": "text/html"})
    raise ValueError(f"{fault} does not answer")
