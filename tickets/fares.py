"""How a mail about a ticket fares, in words for agents. Pure."""

from dataclasses import dataclass
from typing import Protocol

from email_settings.models import Fate, OutboxMessage
from email_settings.querysets import CAPTURED, REHEARSAL

State = OutboxMessage.State
BOUNCED = Fate.BOUNCED.name.lower()
SOFT_BOUNCED = Fate.SOFT_BOUNCED.name.lower()
REJECTED = Fate.REJECTED.name.lower()
COMPLAINED = Fate.COMPLAINED.name.lower()
DELAYED = Fate.DELAYED.name.lower()


class Mail(Protocol):
    """What is looked at of an outbox message."""

    @property
    def state(self) -> str: ...
    @property
    def reason_code(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def fate(self) -> int | None: ...
    @property
    def fate_detail(self) -> str: ...


@dataclass(frozen=True)
class Trouble:
    """A way to fare badly."""

    advice: str  # what an agent can do
    admin_advice: str  # what somebody can do who may change addresses and settings
    # What became of the recipient, with {loss} for what was mailed; "" while the mail
    # may still arrive
    told: str = ""
    has_to_do_with_address: bool = False


CALL = "Call them, or "
TROUBLES: dict[str, Trouble] = {
    BOUNCED: Trouble(
        CALL + "ask an admin to correct the address.",
        "Call them, or correct the address and reply again. If the address is right, "
        "send it again from the delivery details.",
        told="did not get {loss}: it bounced.",
        has_to_do_with_address=True,
    ),
    COMPLAINED: Trouble(
        "Do not write to them by e-mail again: call them.",
        "Do not write to them by e-mail again: call them. Release the address only "
        "when they want mail.",
        told="called {loss} spam.",
        has_to_do_with_address=True,
    ),
    REJECTED: Trouble(
        "Write it in other words and reply again; if that fails, ask an admin.",
        "Look at the delivery details, then reply again in other words.",
        told="did not get {loss}: Amazon SES did not send it.",
    ),
    SOFT_BOUNCED: Trouble(
        "Reply again later, or call them.",
        "Reply again later, or call them.",
        told="did not get {loss}.",
    ),
    State.SUPPRESSED: Trouble(
        CALL + "ask an admin to correct or release the address.",
        "Call them, or correct or release the address.",
        told="did not get {loss}: it was not sent.",
        has_to_do_with_address=True,
    ),
    State.FAILED: Trouble(
        CALL + "ask an admin to send it again.",
        "Mend what the delivery details say, and send it again from there.",
        told="did not get {loss}: it could not be sent.",
    ),
    State.UNKNOWN: Trouble(
        "An admin can send it again, or say that it arrived.",
        "Send it again from the delivery details, or say that it arrived.",
    ),
    State.HELD: Trouble(
        "It leaves by itself when that is over.",
        "It leaves by itself when that is over.",
    ),
}


def fares(mail: Mail) -> str:
    """Return how the mail fares, in a word of the tag `delivery`."""
    if mail.state == State.HELD and mail.reason_code == REHEARSAL:
        return CAPTURED
    if mail.state == State.SENT and mail.fate not in {None, Fate.SENT}:
        return Fate(mail.fate).name.lower()
    return mail.state


def why(mail: Mail) -> str:
    """Return the reason in plain words, "" while all goes well.

    Without the words of the recipient's server, which an admin finds in the details.
    """
    how = fares(mail)
    if how in State.values:
        return mail.reason if how in TROUBLES else ""
    if how in TROUBLES or how == DELAYED:
        return mail.fate_detail.partition("\n")[0]
    return ""


def told_of(mail: Mail, loss: str) -> str:
    """Return what became of its recipient: "did not get the reply: it bounced. …".

    For mail that is in trouble for good; `loss` is what was mailed, such as "the reply".
    """
    return f"{TROUBLES[fares(mail)].told.format(loss=loss)} {why(mail)}".strip()
