"""What became of a mail, by all that was told about it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from email_settings.events.words import said
from email_settings.models import DeliveryEvent, Fate

Kind = DeliveryEvent.Kind

# It did not pass a provider's check of who sent it
AUTH_FAILURE = "auth-failure"
# Complaints by which nobody called the mail spam
NO_COMPLAINT = frozenset({"not-spam", AUTH_FAILURE})


@dataclass(frozen=True)
class Verdict:
    """The fate, since when, and why in words."""

    fate: Fate
    at: datetime
    detail: str


def fate_by(event: DeliveryEvent) -> Fate | None:
    """Return what one event alone says about its mail, None for nothing."""
    match event.kind:
        case Kind.SEND:
            return Fate.SENT
        case Kind.DELAY:
            return Fate.DELAYED
        case Kind.DELIVERY:
            return Fate.DELIVERED
        case Kind.REJECT | Kind.RENDERING_FAILURE:
            return Fate.REJECTED
        case Kind.COMPLAINT:
            return None if event.sub_kind in NO_COMPLAINT else Fate.COMPLAINED
        case Kind.BOUNCE:
            is_for_good = event.sub_kind.startswith("Permanent/")
            return Fate.BOUNCED if is_for_good else Fate.SOFT_BOUNCED
    # An automatic reply, for one, is a sign that the mail arrived, and no bounce.
    return None


def fate_of(events: Iterable[DeliveryEvent]) -> Verdict | None:
    """Return the highest of what they say, and of that the latest; None for nothing.

    The same for every order of the same events.
    """
    judged = [(fate, event) for event in events if (fate := fate_by(event))]
    if not judged:
        return None
    fate, event = max(
        judged, key=lambda pair: (pair[0], pair[1].happened_at, pair[1].mark)
    )
    return Verdict(fate, event.happened_at, said(event).in_one)
