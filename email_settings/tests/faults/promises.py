"""What must hold after any fault, checked against the database and the log of SES."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from email_settings.models import OutboxMessage
from email_settings.tests.faults.ses_log import SesLog, Taken
from email_settings.tests.faults.sites import Change, FaultSite
from ticketflow.tests.processes import wait_until

State = OutboxMessage.State

# Where a message may go from a state by itself. What a person asks for comes on top.
MAY_BECOME: dict[str, set[str]] = {
    State.QUEUED: {
        State.SENDING,
        State.HELD,
        State.FAILED,
        State.SUPPRESSED,
        State.CANCELLED,
    },
    # Back to queued: it was never on the wire, or Amazon SES said "later".
    State.SENDING: {
        State.SENT,
        State.QUEUED,
        State.HELD,
        State.UNKNOWN,
        State.FAILED,
        State.SUPPRESSED,
    },
    State.HELD: {State.QUEUED, State.SENDING, State.FAILED, State.CANCELLED},
    # A late answer, or an event
    State.UNKNOWN: {State.SENT},
    State.SENT: set(),
    State.FAILED: set(),
    State.SUPPRESSED: set(),
    State.CANCELLED: set(),
}


class PromiseBroken(AssertionError):  # noqa: N818  # it is a verdict, not an error
    """A mail was lost, doubled or lied about; the message says which."""


@dataclass(frozen=True)
class Books:
    """Database and log, read one after the other when nothing runs any more."""

    messages: list[OutboxMessage]
    history: list[Change]
    taken: list[Taken]

    @classmethod
    def read(cls, site: FaultSite, ses: SesLog) -> "Books":
        return cls(site.messages(), site.history(), ses.read())


def check(
    site: FaultSite,
    ses: SesLog,
    *,
    enqueued: Collection[str] | None = None,
    resent: Collection[str] = (),
    may_double: Collection[str] | None = None,
    is_over: bool = True,
) -> None:
    """Raise PromiseBroken unless every promise holds.

    `enqueued` are the uids (hex) of all that was committed, None when it is not known;
    `resent` of those a person had sent again, which may double them, unless
    `may_double` says otherwise. Unless `is_over`, mail may still wait.
    """
    books = Books.read(site, ses)
    complaints = [
        *_never_lost(books, enqueued, is_over=is_over),
        *_never_doubled(books, resent if may_double is None else may_double),
        *_never_what_was_not_committed(books),
        *_never_sent_without_the_log(books),
        *_never_backwards(books, resent),
    ]
    if complaints:
        raise PromiseBroken("\n".join(complaints[:20]))


def check_nothing_in_doubt(site: FaultSite, *, but: int = 0) -> None:
    """Raise PromiseBroken when more than so many messages are unknown."""
    if (unknown := site.count(State.UNKNOWN)) > but:
        raise PromiseBroken(f"{unknown} messages are in doubt, {but} may be")


def wait_until_over(
    site: FaultSite, *, count: int | None = None, seconds: float
) -> None:
    """Wait until nothing waits or is on its way. Raises PromiseBroken after that."""

    def is_over() -> bool:
        return site.count(State.QUEUED, State.SENDING, State.HELD) == 0 and (
            count is None or len(site.messages()) >= count
        )

    try:
        wait_until(is_over, seconds=seconds)
    except AssertionError:
        found = dict(Counter(site.states()))
        raise PromiseBroken(f"after {seconds} s mail still waits: {found}") from None


def _never_lost(
    books: Books, enqueued: Collection[str] | None, *, is_over: bool
) -> Iterator[str]:
    rows = {message.uid.hex for message in books.messages}
    for uid in set(enqueued or ()) - rows:
        yield f"{uid} was committed and has no row"
    accepted = {taken.message for taken in books.taken if taken.is_accepted}
    for message in books.messages:
        explains_itself = message.reason_code or message.state == State.CANCELLED
        if (
            is_over
            and message.uid.hex not in accepted
            and (message.state in {State.QUEUED, State.SENDING} or not explains_itself)
        ):
            yield f"{message.uid.hex} is {message.state} and never reached Amazon SES"


def _never_doubled(books: Books, resent: Collection[str]) -> Iterator[str]:
    accepted = Counter(taken.message for taken in books.taken if taken.is_accepted)
    for uid, times in accepted.items():
        if times > 1 + (uid in resent):
            yield f"{uid} was sent {times} times"
    # Whatever was answered: a try is one request, or an answer that got lost doubles it.
    for attempt, times in Counter(taken.attempt for taken in books.taken).items():
        if times > 1:
            yield f"the try {attempt} was posted {times} times"


def _never_what_was_not_committed(books: Books) -> Iterator[str]:
    rows = {message.uid.hex for message in books.messages}
    for uid in {taken.message for taken in books.taken} - rows:
        yield f"{uid} was sent and has no row"


def _never_sent_without_the_log(books: Books) -> Iterator[str]:
    ids = {taken.ses_message_id: taken.message for taken in books.taken}
    for message in books.messages:
        if message.state == State.SENT and (
            ids.get(message.ses_message_id) != message.uid.hex
        ):
            yield f"{message.uid.hex} says sent, as {message.ses_message_id!r}, and is not"


def _never_backwards(books: Books, resent: Collection[str]) -> Iterator[str]:
    uids = {message.pk: message.uid.hex for message in books.messages}
    for change in books.history:
        by_hand = uids.get(change.message_id) in resent and change.became == "queued"
        by_hand = by_hand and change.was in {"unknown", "failed", "held"}
        if change.became not in MAY_BECOME[change.was] and not by_hand:
            yield f"message {change.message_id} went from {change.was} to {change.became}"
