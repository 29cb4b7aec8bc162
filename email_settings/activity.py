"""What Email Activity is narrowed to, and how many messages that are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from email_settings.models import OutboxMessage
from email_settings.querysets import CAPTURED, OutboxMessageQuerySet, messages
from email_settings.status import COUNT_LIMIT, MailStatus
from email_settings.timeline import KIND_LABELS
from ticketflow.lib.counting import capped_counts

PERIODS = {
    "": ("Any time", None),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
STATES = {**dict(OutboxMessage.State.choices), CAPTURED: "Captured"}
HELD = OutboxMessage.State.HELD


@dataclass(frozen=True)
class Activity:
    """What the address asks for."""

    state: str = ""
    text: str = ""
    kind: str = ""
    period: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        state, period = query.get("state", ""), query.get("period", "")
        kind = query.get("kind", "")
        return cls(
            state=state if state in STATES else "",
            # PostgreSQL takes no NUL in a text.
            text=query.get("q", "").replace("\0", "").strip()[:254],
            kind=kind if kind in KIND_LABELS else "",
            period=period if period in PERIODS else "",
        )

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
        if self.period:
            said.append(PERIODS[self.period][0].lower())
        if self.text:
            said.append(f"with “{self.text}” in it")
        return said

    def found(self) -> OutboxMessageQuerySet:
        """Return the messages it shows."""
        found = self._in_any_state()
        return found.in_state(self.state) if self.state else found

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
        found = messages()
        if self.text:
            found = found.matching(self.text)
        if self.kind:
            found = found.of_kind(self.kind)
        if age := PERIODS[self.period][1]:
            found = found.written_since(timezone.now() - age)
        return found


def _counts_of_all(status: MailStatus) -> dict[str, int]:
    """One query; what is held is known to every page of the panel."""
    others = [state for state in OutboxMessage.State.values if state != HELD]
    counts = capped_counts(
        {"": messages(), **{state: messages().in_state(state) for state in others}},
        COUNT_LIMIT,
    )
    return {**counts, HELD: status.held_count, CAPTURED: status.captured_count}


def _counts_of_few(found: OutboxMessageQuerySet) -> dict[str, int] | None:
    """One query over the newest, None when that are not all."""
    newest = found.newest_first().states_as_shown()[:COUNT_LIMIT]
    counts = Counter(newest)
    total = counts.total()
    return None if total == COUNT_LIMIT else {"": total, **counts}
