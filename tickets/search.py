"""Full-text search over tickets, for agents: internal notes are found too."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import QuerySet

from ticketflow.lib.counting import CappedCount
from tickets.models import Comment, Ticket, TicketWords
from tickets.querysets import TicketQuerySet
from tickets.words import Wanted

# A search looks at the newest tickets that match, so that a common word costs no more.
MAX_MATCHES = 1000
MAX_WITH_NUMBER = 900  # of a search for a number
MAX_QUERY_LENGTH = 200  # characters; the rest is ignored
MAX_QUERY_WORDS = 8
MIN_BEGINNING = 3  # characters; shorter words are meant as they are
# Characters of one ticket that are indexed: its subject, its people, its newest words.
# PostgreSQL refuses a tsvector of more than a megabyte.
MAX_INDEXED_LENGTH = 150_000
MAX_WORD_LENGTH = 60
BATCH = 500  # tickets

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"#?(\d{1,18})")


def matching(queryset: TicketQuerySet, text: str) -> TicketQuerySet:
    """Keep the tickets with all the words, or with that number; MAX_MATCHES at most.

    Looks through subjects, all comments, requesters' names and addresses. A rare word
    finds longer ones that begin with it, too. Any text is fine: text without a letter
    or digit finds nothing, an empty one everything. Takes one query of its own.
    """
    if not text.strip():
        return queryset
    words = list(words_of(text[:MAX_QUERY_LENGTH]))[:MAX_QUERY_WORDS]
    if not words:
        return queryset.none()
    newest = _newest(_wanted(words))
    if number := _NUMBER.fullmatch(text.strip()):
        # A list, not an OR: PostgreSQL would read the whole table for that. SQLite may
        # take no more than 999 values.
        return queryset.filter(pk__in=[int(number[1]), *newest[:MAX_WITH_NUMBER]])
    return queryset.filter(pk__in=newest)


def _newest(wanted: Sequence[Wanted]) -> QuerySet[TicketWords, int]:
    rows = TicketWords.objects.filter(words__have_all=wanted)
    return rows.order_by("-ticket_number").values_list("ticket_number", flat=True)[
        :MAX_MATCHES
    ]


def _wanted(words: Sequence[str]) -> list[Wanted]:
    """Tell which words may be beginnings of longer ones.

    All but the short and the common: the database collects every row of every longer
    word before it gives the first, which a word in half of the tickets does not need.
    """
    counts = [CappedCount(_newest([Wanted(word)])) for word in words]
    row = Ticket.objects.order_by("-pk").values_list(*counts).first()
    return [
        Wanted(word, is_beginning=len(word) >= MIN_BEGINNING and count < MAX_MATCHES)
        for word, count in zip(words, row or [0] * len(words), strict=True)
    ]


def words_of(text: str) -> dict[str, None]:
    """Return the text's words once each, in order: small letters without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return dict.fromkeys(word[:MAX_WORD_LENGTH] for word in _WORD.findall(plain))


def index_ticket(ticket: Ticket) -> None:
    """Make the ticket's words findable; called with every change to them."""
    words = _words_of_ticket(ticket, _newest_bodies([ticket.pk])[ticket.pk])
    if not TicketWords.objects.filter(pk=ticket.pk).update(words=words):
        TicketWords(ticket_number=ticket.pk, words=words).save(force_insert=True)


def reindex_all() -> int:
    """Index every ticket anew and return how many there were."""
    last, count = 0, 0
    while batch := list(
        Ticket.objects.filter(pk__gt=last)
        .select_related("requester")
        .order_by("pk")[:BATCH]
    ):
        _index_batch(batch)
        last = batch[-1].pk
        count += len(batch)
    return count


@transaction.atomic
def _index_batch(tickets: list[Ticket]) -> None:
    numbers = [ticket.pk for ticket in tickets]
    bodies = _newest_bodies(numbers)
    TicketWords.objects.filter(pk__in=numbers).delete()
    TicketWords.objects.bulk_create(
        TicketWords(
            ticket_number=ticket.pk, words=_words_of_ticket(ticket, bodies[ticket.pk])
        )
        for ticket in tickets
    )


def _newest_bodies(numbers: Iterable[int]) -> dict[int, list[str]]:
    bodies: dict[int, list[str]] = defaultdict(list)
    lengths: dict[int, int] = defaultdict(int)
    rows = (
        Comment.objects.filter(ticket__in=list(numbers))
        .order_by("ticket", "-created_at", "-id")
        .values_list("ticket_id", "body")
    )
    for number, body in rows.iterator():
        if lengths[number] < MAX_INDEXED_LENGTH:
            lengths[number] += len(body)
            bodies[number].append(body)
    return bodies


def _words_of_ticket(ticket: Ticket, bodies: list[str]) -> list[str]:
    person = ticket.requester
    parts = [str(ticket.pk), ticket.subject, person.name, person.email, *bodies]
    return list(words_of("\n".join(parts)[:MAX_INDEXED_LENGTH]))
