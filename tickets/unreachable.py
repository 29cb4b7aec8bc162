"""Who of a ticket gets no e-mail just now, for agents to know before they write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import User
from email_settings.suppression.standing import Standing, standings
from tickets.marks import NAMED, and_others
from tickets.models import Ticket


@dataclass(frozen=True)
class Unreachable:
    """One person whose address gets no mail, and why."""

    person: User
    standing: Standing

    @property
    def why(self) -> str:
        """In plain words, without those of the recipient's server."""
        detail = self.standing.detail.partition("\n")[0]
        return f"{self.standing.title} {detail}".strip()

    @property
    def until(self) -> datetime | None:
        """When mail goes there again by itself; None for not before it is released."""
        return self.standing.until


@dataclass(frozen=True)
class Gap:
    """The people of one ticket whom a reply does not reach by mail."""

    people: Sequence[Unreachable]  # the requester first
    requester: Unreachable | None
    everybody: int  # who would be mailed

    @property
    def who(self) -> str:
        """Such as "Maya Okafor and 12 others"."""
        return and_others([str(one.person) for one in self.people])

    @property
    def named(self) -> Sequence[Unreachable]:
        return self.people[:NAMED]

    @property
    def others(self) -> int:
        """How many of them are not named."""
        return len(self.people) - len(self.named)

    @property
    def is_one(self) -> bool:
        return len(self.people) == 1

    @property
    def is_complete(self) -> bool:
        """Whether nobody at all would be told."""
        return len(self.people) == self.everybody

    @property
    def is_for_a_while(self) -> bool:
        """Whether all of them get their mail later, by itself."""
        return all(one.until for one in self.people)


def gap_of(ticket: Ticket, watchers: Iterable[User]) -> Gap | None:
    """Return who would not be reached, None when everybody is; one query."""
    readers = [ticket.requester, *(one for one in watchers if one != ticket.requester)]
    active = [reader for reader in readers if reader.is_active]
    found = standings(reader.email for reader in active)
    people = [
        Unreachable(reader, found[reader.email])
        for reader in active
        if reader.email in found
    ]
    if not people:
        return None
    first = people[0]
    return Gap(
        people=people,
        requester=first if first.person == ticket.requester else None,
        everybody=len(active),
    )
