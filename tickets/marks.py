"""What agents see on a comment of what became of its mails."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from email_settings.querysets import CAPTURED
from tickets.fares import DELAYED, TROUBLES, Trouble, fares, why
from tickets.models import Comment, Notification
from tickets.notifications import LOST

# What goes as it should, the best first; troubles come behind, in their own order.
ORDER = ("delivered", "sent", "sending", "queued", CAPTURED, DELAYED, "cancelled")
# So many people are named, however many there are.
NAMED = 3
# So many reasons are told of those who fare alike; behind that they are one heap.
MOST_REASONS = 3
SEVERAL = "For several reasons."


class Told(NamedTuple):
    """One person who was mailed about a comment, and how that mail fares."""

    comment_id: int
    user_id: int
    name: str
    email: str  # where it went, which may not be where it would go now
    uid: uuid.UUID  # of the message
    state: str
    reason_code: str
    reason: str
    fate: int | None
    fate_detail: str

    @property
    def who(self) -> str:
        return self.name or self.email


@dataclass(frozen=True)
class DeliveryMark:
    """Recipients of one comment whose mail fares alike."""

    state: str  # a word of the tag `delivery`
    reason: str  # in plain words, "" where there is nothing to explain
    people: Sequence[Told]

    @property
    def trouble(self) -> Trouble | None:
        return TROUBLES.get(self.state)

    @property
    def is_bad(self) -> bool:
        return self.trouble is not None

    @property
    def named(self) -> Sequence[Told]:
        return self.people[:NAMED]

    @property
    def others(self) -> str:
        """How many there are besides the named ones: "4 others", "" for none."""
        return how_many_others(len(self.people) - NAMED)


def and_others(names: Sequence[str], named: int = NAMED) -> str:
    """Return the first few names and the number of others: "Maya, Jonas and 4 others"."""
    shown = ", ".join(names[:named])
    others = how_many_others(len(names) - named)
    return f"{shown} and {others}" if others else shown


def how_many_others(count: int) -> str:
    """Return "4 others", "" for none."""
    if count <= 0:
        return ""
    return f"{count:,} other{'' if count == 1 else 's'}"


def marks_of(comments: Iterable[Comment]) -> dict[int, list[DeliveryMark]]:
    """Return the marks by the comment's id; one query, however many were mailed."""
    rows = (
        Notification.objects.filter(comment__in=list(comments))
        .exclude(outbox_message__kind=LOST)
        .order_by("id")
        .values_list(
            "comment_id",
            "recipient_id",
            "recipient__name",
            "outbox_message__recipient",
            *(f"outbox_message__{name}" for name in Told._fields[4:]),
        )
    )
    told: dict[int, list[Told]] = defaultdict(list)
    for row in rows:
        one = Told(*row)
        told[one.comment_id].append(one)
    return {comment_id: grouped(people) for comment_id, people in told.items()}


def grouped(people: Iterable[Told]) -> list[DeliveryMark]:
    """Group people by how their mail fares and why, what went well first. Pure."""
    heaps: dict[str, dict[str, list[Told]]] = defaultdict(lambda: defaultdict(list))
    for one in people:
        heaps[fares(one)][why(one)].append(one)
    return [
        DeliveryMark(state, reason, alike)
        for state in (*ORDER, *TROUBLES)
        for reason, alike in _few(heaps[state]).items()
    ]


def _few(by_reason: dict[str, list[Told]]) -> dict[str, list[Told]]:
    """Leave the reasons that most people share, and put the others together."""
    if len(by_reason) <= MOST_REASONS:
        return by_reason
    common = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    kept = dict(common[: MOST_REASONS - 1])
    others = [one for _, people in common[MOST_REASONS - 1 :] for one in people]
    return {**kept, SEVERAL: others}
