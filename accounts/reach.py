"""Whether mail reaches somebody, in words for an admin and for the person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from accounts.models import Invitation, User
from email_settings.models import Fate, Lane, OutboxMessage, Suppression
from email_settings.suppression.standing import Standing, standing_of, standings
from email_settings.verdicts import is_captured

LAST_MAILS = 5  # on a person's page
Reason = Suppression.Reason
State = OutboxMessage.State

# Why, to whoever owns the mailbox: they know no Amazon SES and no lists.
FOR_THE_PERSON = {
    Reason.BOUNCED: "Mail to it came back: the mailbox does not exist or takes no mail.",
    Reason.AWS_EVERYWHERE: (
        "Mail to it keeps coming back: the mailbox does not exist or takes no mail."
    ),
    Reason.AWS_LISTED: "Mail to it came back before, or was called spam.",
    Reason.FAILING: (
        "Your mailbox did not take our mail several times in a row. It may be full."
    ),
    Reason.BY_HAND: "Somebody who runs the help desk has taken the address off the mail.",
    Reason.IMPORTED: "It is on a list of addresses that take no mail.",
    Reason.COMPLAINED: (
        "Your mail program told us that you called our mail spam, so we stopped."
    ),
}
# What became of a mail, to whoever waits for it
WHERE_IT_IS = {
    "queued": "It leaves in a moment.",
    "sending": "It leaves at this moment.",
    "sent": "It has left. It can take a few minutes; look among the spam, too.",
    "delivered": "Your mail provider has it. Look among the spam, too.",
    "delayed": "Your mail provider has not taken it yet; it is still tried.",
    "held": "E-mail waits at the moment and leaves by itself. Ask an admin if it lasts.",
    "captured": (
        "No e-mail leaves this help desk yet, so it does not arrive. Ask an admin to "
        "change your address."
    ),
    "unknown": "It may have left. Resend it if nothing comes.",
    "failed": "It could not be sent. Resend it, or ask an admin.",
    "suppressed": "We cannot e-mail this address. Use another one, or ask an admin.",
    "cancelled": "It was called back before it left. Resend it.",
    "soft_bounced": "It did not arrive. Resend it later; the mailbox may be full.",
    "rejected": "It could not be sent. Ask an admin.",
    "bounced": (
        "It came back: the mailbox does not exist or takes no mail. Check the spelling."
    ),
    "complained": "It was called spam on arrival. Ask an admin if you still want it.",
}
# What to do about an invitation that did not arrive, by what became of its mail
ADVICE = {
    Fate.BOUNCED: (
        "If the address is misspelt, revoke the invitation and invite the right one."
    ),
    Fate.SOFT_BOUNCED: "Resend it later, or hand the link over with Copy link.",
    Fate.REJECTED: "Hand the link over with Copy link.",
    Fate.COMPLAINED: "Hand the link over with Copy link, and only if it is wanted.",
    Fate.DELAYED: "It is still tried. Meanwhile the link works: Copy link.",
}
PENDING = {Invitation.State.OPEN, Invitation.State.EXPIRED}
LOST = (Fate.SOFT_BOUNCED, Fate.REJECTED, Fate.BOUNCED, Fate.COMPLAINED)
BARRED = "Hand the link over with Copy link, or release the address."


@dataclass(frozen=True)
class OwnMail:
    """Whether mail reaches the person who looks at the page.

    A query for those whom it does not reach, none for everybody else.
    """

    request: HttpRequest

    @cached_property
    def standing(self) -> Standing | None:
        # An error page may be drawn before anybody looked who it is.
        person = getattr(self.request, "user", None)
        # Who has signed in by this very request was not loaded by backend.Backend.
        if isinstance(person, User) and getattr(person, "gets_no_mail", True):
            return standing_of(person.email)
        return None

    @property
    def why(self) -> str:
        """Why not, without the words of the trade."""
        return for_the_person(self.standing) if self.standing else ""

    @property
    def until(self) -> datetime | None:
        """When it is tried again."""
        return self.standing.until if self.standing else None

    @property
    def may_ask_again(self) -> bool:
        """Whether the person's own word is enough to be mailed again."""
        standing = self.standing
        return standing is not None and standing.entry.reason == Reason.COMPLAINED


@dataclass(frozen=True)
class Delivery:
    """What became of one mail: a badge, why, and what to do."""

    message: OutboxMessage

    @property
    def state(self) -> str:
        """The name of its badge: its fate once it was sent, before that its state."""
        if is_captured(self.message):
            return "captured"
        if self.message.state == State.SENT and self.message.fate_name:
            return self.message.fate_name
        return self.message.state

    @property
    def is_moving(self) -> bool:
        """Whether it is likely to stand otherwise in a moment."""
        return self.state in {State.QUEUED, State.SENDING, State.SENT}

    @property
    def for_the_person(self) -> str:
        """Where it is, without the words of the trade."""
        return WHERE_IT_IS[self.state]

    @property
    def why(self) -> str:
        """Why it did not simply arrive, for an admin."""
        if self.message.state != State.SENT:
            return self.message.reason
        is_well = self.message.fate in {None, Fate.SENT, Fate.DELIVERED}
        return "" if is_well else self.message.fate_detail


@dataclass(frozen=True)
class InvitationRow:
    """An invitation, what became of its mail, and how its address stands."""

    invitation: Invitation
    standing: Standing | None

    @classmethod
    def of(cls, invitations: Sequence[Invitation]) -> list[Self]:
        """Return one for each. One query."""
        barred = standings(i.email for i in invitations if i.state in PENDING)
        return [cls(i, barred.get(i.email)) for i in invitations]

    @property
    def delivery(self) -> Delivery | None:
        mail = self.invitation.outbox_message
        return Delivery(mail) if mail else None

    @property
    def advice(self) -> str:
        """What to do so that the person gets in; "" where nothing needs to be done."""
        if self.invitation.state != Invitation.State.OPEN:
            return ""
        if is_barred(self.standing):
            return BARRED
        mail = self.invitation.outbox_message
        if mail is None or mail.state != State.SENT or mail.fate is None:
            return ""
        return ADVICE.get(Fate(mail.fate), "")


def for_the_person(standing: Standing) -> str:
    """Say why an address gets no mail to whoever owns it."""
    return FOR_THE_PERSON[Reason(standing.entry.reason)]


def is_barred(standing: Standing | None) -> bool:
    """Whether not even an invitation goes to an address that stands so."""
    return standing is not None and not standing.lets_through(Lane.SECURITY)


def barred_of(addresses: Iterable[str]) -> dict[str, Standing]:
    """Return those of the addresses to which not even an invitation goes. One query."""
    found = standings(addresses)
    return {address: s for address, s in found.items() if is_barred(s)}


def last_mails(address: str) -> list[Delivery]:
    """Return the last mails to an address, newest first. One query, by an index."""
    mails = OutboxMessage.objects.filter(recipient_lower=address.lower())
    newest = mails.order_by("-created_at", "-pk").defer("text_body", "html_body")
    return [Delivery(mail) for mail in newest[:LAST_MAILS]]


def activity_url(address: str) -> str:
    """Return the address of Email Activity that shows all mail to somebody."""
    return f"{reverse('email_settings:message-list')}?{urlencode({'q': address})}"
