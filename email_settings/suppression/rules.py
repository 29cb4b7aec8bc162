"""What an event means for the address of its mail, as data. Pure.

After the Amazon SES Developer Guide, "Contents of event data that Amazon SES publishes":
a bounce is told by its type and sub type, a complaint by its sub type or feedback type.
"""

from enum import Enum

from email_settings.models import DeliveryEvent, Suppression

Kind = DeliveryEvent.Kind
Reason = Suppression.Reason


class Rule(Enum):
    """What one event does to its address."""

    BOUNCED = Reason.BOUNCED  # no mail any more
    COMPLAINED = Reason.COMPLAINED
    AWS_EVERYWHERE = Reason.AWS_EVERYWHERE
    AWS_LISTED = Reason.AWS_LISTED
    COUNTS = Reason.FAILING  # several in a row hold mail for a while
    ARRIVED = "arrived"  # mail gets through: what failed before does not count
    FORGIVES = "forgives"  # the complaint is taken back
    NOTHING = "nothing"

    @property
    def reason(self) -> Suppression.Reason | None:
        """Why the address gets no mail from then on; None where it gets some."""
        is_for_good = isinstance(self.value, Reason) and self is not Rule.COUNTS
        return Reason(self.value) if is_for_good else None


# An unknown sub type goes by its type.
BOUNCES = {
    "Permanent/General": Rule.BOUNCED,
    "Permanent/NoEmail": Rule.BOUNCED,
    "Permanent/Suppressed": Rule.AWS_EVERYWHERE,
    "Permanent/OnAccountSuppressionList": Rule.AWS_LISTED,
    # These three say something about a setting in AWS, and nothing about the address.
    "Permanent/OnTenantSuppressionList": Rule.NOTHING,
    "Permanent/EmailValidationSuppressed": Rule.NOTHING,
    "Permanent/UnsubscribedRecipient": Rule.NOTHING,
    "Transient/General": Rule.COUNTS,
    "Transient/MailboxFull": Rule.COUNTS,
    "Transient/CustomTimeoutExceeded": Rule.COUNTS,
    # These three are the fault of the mail.
    "Transient/MessageTooLarge": Rule.NOTHING,
    "Transient/ContentRejected": Rule.NOTHING,
    "Transient/AttachmentRejected": Rule.NOTHING,
    "Undetermined/Undetermined": Rule.COUNTS,
}
BOUNCE_TYPES = {"Permanent": Rule.BOUNCED}  # all others count

COMPLAINTS = {
    "OnAccountSuppressionList": Rule.AWS_LISTED,
    "not-spam": Rule.FORGIVES,
    "auth-failure": Rule.NOTHING,  # the mail was not signed as it should be
}

# Which reason stands when there are several. A person's word is above what only says
# that the address is on a list already, and below what the recipient did.
GRAVITY = [
    Reason.FAILING,
    Reason.AWS_LISTED,
    Reason.IMPORTED,
    Reason.BY_HAND,
    Reason.AWS_EVERYWHERE,
    Reason.BOUNCED,
    Reason.COMPLAINED,
]


def rule_for(event: DeliveryEvent) -> Rule:
    """Return what the event does to the address of its mail."""
    match event.kind:
        case Kind.BOUNCE:
            kind = event.sub_kind.partition("/")[0]
            by_type = BOUNCE_TYPES.get(kind, Rule.COUNTS)
            return BOUNCES.get(event.sub_kind, by_type)
        case Kind.COMPLAINT:
            return COMPLAINTS.get(event.sub_kind, Rule.COMPLAINED)
        case Kind.DELIVERY:
            return Rule.ARRIVED
    # An automatic reply, which SES calls a bounce, is none.
    return Rule.NOTHING


def is_graver(reason: str, than: str) -> bool:
    """Whether a reason outweighs another."""
    return GRAVITY.index(Reason(reason)) > GRAVITY.index(Reason(than))


def is_simulator(address: str) -> bool:
    """Whether it is a mailbox of Amazon's that only plays being one."""
    return address.lower().endswith("@simulator.amazonses.com")
