"""What Email Activity is narrowed to, and how many messages that are."""

import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Self

from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from email_settings.models import Fate, OutboxMessage
from email_settings.querysets import CAPTURED, OutboxMessageQuerySet, messages
from email_settings.status import COUNT_LIMIT, MailStatus
from email_settings.timeline import KIND_LABELS
from ticketflow.lib.counting import capped_counts
from ticketflow.lib.pagination import Among

PERIODS = {
    "": ("Any time", None),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
EVERYWHERE = "everywhere"
STATES = {**dict(OutboxMessage.State.choices), CAPTURED: "Captured"}
# What Amazon SES told later, by its name in the address
FATES = {fate.name.lower(): fate for fate in Fate if fate > Fate.SENT}
HELD = OutboxMessage.State.HELD

# Messages that a page looks through for words, which no index finds: an index of words
# would make every mail dearer to write, for a search that is rare.
LOOKED_THROUGH = 10_000
# More messages than these of a kind or a period are not counted by state, for which
# each has to be read.
COUNTED = 2_000

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]*")
_TICKET = re.compile(r"#\d+")
# What Amazon SES calls a message: "0100018f6b8e7d3a-1a2b…-000000"
_SES_ID = re.compile(r"01[0-9a-f]{6,}-[0-9a-z-]+-[0-9]{6}", re.IGNORECASE)


class Means(Enum):
    """What a text in the search field is taken for."""

    NOTHING = auto()  # there is none
    ID = auto()
    TICKET = auto()
    ADDRESS = auto()  # or the beginning of one
    WORDS = auto()

    @classmethod
    def of(cls, text: str) -> Self:
        """Tell by its form alone."""
        if not text:
            return cls.NOTHING
        if _is_uid(text) or _SES_ID.fullmatch(text):
            return cls.ID
        if _TICKET.fullmatch(text):
            return cls.TICKET
        return cls.ADDRESS if _ADDRESS.fullmatch(text) else cls.WORDS


def _is_uid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Activity:
    """What the address asks for."""

    state: str = ""
    text: str = ""
    kind: str = ""
    period: str = ""
    fate: str = ""
    # The text may stand anywhere, in any message, however long it takes to look
    is_everywhere: bool = False

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        state, period = query.get("state", ""), query.get("period", "")
        kind, fate = query.get("kind", ""), query.get("fate", "")
        # PostgreSQL takes no NUL in a text.
        text = query.get("q", "").replace("\0", "").strip()[:254]
        return cls(
            state=state if state in STATES else "",
            text=text,
            kind=kind if kind in KIND_LABELS else "",
            period=period if period in PERIODS else "",
            fate=fate if fate in FATES else "",
            is_everywhere=bool(text) and query.get("look") == EVERYWHERE,
        )

    @property
    def means(self) -> Means:
        return Means.WORDS if self.is_everywhere else Means.of(self.text)

    @property
    def is_address(self) -> bool:
        return self.means is Means.ADDRESS

    @property
    def is_looked_through(self) -> bool:
        """Whether the messages have to be looked through, some at a time."""
        return self.means is Means.WORDS and not self.is_everywhere

    @property
    def everywhere_url(self) -> str:
        return replace(self, is_everywhere=True).address()

    @property
    def is_narrowed(self) -> bool:
        return self != Activity()

    @property
    def is_held_shown(self) -> bool:
        return self.state == HELD

    def address(self, *, path: str = "", cursor: str = "") -> str:
        """Return the address of this list, of another page of it, or of an action."""
        query = QueryDict(mutable=True)
        query.update(
            {
                name: value
                for name, value in {
                    "state": self.state,
                    "q": self.text,
                    "kind": self.kind,
                    "period": self.period,
                    "fate": self.fate,
                    "look": EVERYWHERE if self.is_everywhere else "",
                    "cursor": cursor,
                }.items()
                if value
            }
        )
        path = path or reverse("email_settings:message-list")
        return f"{path}?{query.urlencode()}" if query else path

    def words(self) -> list[str]:
        """Say what narrows it: ["held", "kind Invitation", "with “ewa@” in it"]."""
        said = []
        if self.state:
            said.append(STATES[self.state].lower())
        if self.kind:
            said.append(f"kind {KIND_LABELS[self.kind]}")
        if self.fate:
            said.append(FATES[self.fate].label.lower())
        if self.period:
            said.append(PERIODS[self.period][0].lower())
        match self.means:
            case Means.ADDRESS:
                said.append(f"to “{self.text}”")
            case Means.TICKET:
                said.append(f"about {self.text}")
            case Means.ID | Means.WORDS:
                said.append(f"with “{self.text}” in it")
        return said

    def found(self) -> OutboxMessageQuerySet:
        """Return the messages it shows."""
        if self.kind and self.state == OutboxMessage.State.SENT:
            # Nearly all of a kind is sent, and what is sent is of a few kinds.
            return self._in_any_state().besides(state=self.state)
        if self.kind and self.state:
            others = replace(self, kind="")
            return others.found().besides(kind=self.kind)
        found = self._in_any_state()
        return found.in_state(self.state) if self.state else found

    def among(self) -> Among[OutboxMessage] | None:
        """Return what is looked through for words, None where an index finds them."""
        if not self.is_looked_through:
            return None
        return Among(replace(self, text="").found(), LOOKED_THROUGH)

    def counts(self, status: MailStatus) -> Mapping[str, int] | None:
        """Return how many are in each state, "" for all; None when too many to count.

        COUNT_LIMIT means that many or more. A search looks at every message there is, so
        that what it finds is not counted at all.
        """
        anything = replace(self, state="")
        if not anything.is_narrowed:
            return _counts_of_all(status)
        return None if self.text else _counts_of_few(anything._in_any_state())

    def _in_any_state(self) -> OutboxMessageQuerySet:
        found = self._with_the_text()
        if self.kind:
            found = found.of_kind(self.kind)
        if self.fate:
            found = found.with_fate(FATES[self.fate])
        if age := PERIODS[self.period][1]:
            found = found.written_since(timezone.now() - age)
        return found

    def _with_the_text(self) -> OutboxMessageQuerySet:
        match self.means:
            case Means.NOTHING:
                # One an hour: whoever wants to see them picks their kind.
                found = messages()
                return found if self.kind else found.without_canaries()
            case Means.ID:
                return messages().with_id(self.text)
            case Means.TICKET:
                return messages().about(self.text)
            case Means.ADDRESS:
                return messages().to_address(self.text)
            case Means.WORDS:
                return messages().mentioning(self.text)


def _counts_of_all(status: MailStatus) -> dict[str, int]:
    """One query; what is held is known to every page of the panel."""
    others = [state for state in OutboxMessage.State.values if state != HELD]
    shown = messages().without_canaries()
    counts = capped_counts(
        {"": shown, **{state: shown.in_state(state) for state in others}},
        COUNT_LIMIT,
    )
    return {**counts, HELD: status.held_count, CAPTURED: status.captured_count}


def _counts_of_few(found: OutboxMessageQuerySet) -> dict[str, int] | None:
    """One query over the newest, None when that are not all."""
    newest = found.newest_first().states_as_shown()[:COUNTED]
    counts = Counter(newest)
    total = counts.total()
    return None if total == COUNTED else {"": total, **counts}
