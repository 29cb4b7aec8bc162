"""Finding tickets by words."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from tickets import search, services
from tickets.models import Queue, Ticket, TicketWords
from tickets.tests.builders import make_ticket


def found(text: str) -> set[int]:
    return {ticket.pk for ticket in search.matching(Ticket.objects.all(), text)}


@pytest.mark.parametrize(
    "text",
    [
        "vpn",
        "VPN",
        "minut",  # the beginning of a word
        "drops vpn",  # in any order
        "this morning",  # in the request itself
        "gateway",  # in a public reply
        "northway",  # in an internal note
        "hannah brooks",
        "hannah@larkfield.example",
        "Ｈａｎｎａｈ",
        "vpn morning gateway northway",  # over several comments
        "“vpn”",
        "cafe",
        "CAFÉ",
        "strasse",
    ],
)
def test_agents_find_a_ticket_by_what_is_in_it(
    ticket: Ticket, agent: User, text: str
) -> None:
    services.add_public_reply(
        actor=agent, number=ticket.number, body="The gateway in the Café, Straße 5"
    )
    services.add_internal_note(actor=agent, number=ticket.number, body="Ask Northway")
    assert found(text) == {ticket.number}


@pytest.mark.parametrize(
    "text", ["printer", "vpn printer", "pn", "ops", "vp", "?!", '"', "*"]
)
def test_other_words_find_nothing(ticket: Ticket, text: str) -> None:
    assert found(text) == set()


def test_no_words_find_everything(ticket: Ticket) -> None:
    assert found(" \n") == {ticket.number}


def test_a_number_finds_its_ticket(
    ticket: Ticket, requester: User, queue: Queue
) -> None:
    other = make_ticket(requester=requester, queue=queue, body="As in no. 1234567")
    assert found(f"#{ticket.number}") >= {ticket.number}
    assert found(str(ticket.number)) >= {ticket.number}
    assert found("1234567") == {other.number}
    assert found("#99999999999999999999999") == set()


def test_search_stays_inside_what_it_is_given(
    ticket: Ticket, requester: User, queue: Queue
) -> None:
    make_ticket(requester=requester, queue=queue)
    mine = Ticket.objects.filter(pk=ticket.pk)
    assert list(search.matching(mine, "vpn")) == [ticket]


def test_a_common_word_brings_the_newest_tickets(
    requester: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_MATCHES", 2)
    numbers = [make_ticket(requester=requester, queue=queue).number for _ in range(3)]
    assert found("vpn") == set(numbers[1:])


def test_all_is_indexed_anew(ticket: Ticket, requester: User, queue: Queue) -> None:
    make_ticket(requester=requester, queue=queue)
    TicketWords.objects.all().delete()
    assert found("vpn") == set()
    assert search.reindex_all() == 2
    assert search.reindex_all() == 2
    assert len(found("vpn")) == 2
    assert TicketWords.objects.count() == 2


def test_long_tickets_are_found_by_their_newest_words(
    ticket: Ticket, agent: User
) -> None:
    for number in range(5):
        words = " ".join(f"w{number}x{count}" for count in range(5500))
        services.add_internal_note(
            actor=agent, number=ticket.number, body=words[:50_000]
        )
    assert found("w4x5") == {ticket.number}
    assert found("w0x5") == set()


NASTY = ['"', "'", "''", "\\", "a OR b", "NEAR(a b)", "-a", "a*", "^a", "a:b", "(", "a&|!b",
         "words:x", "%", "_", "\x00", "a\x00b", "\ud800", "𞤀𞤁", "ﷺ", "日本語", "😀", "a" * 100_000,
         "a " * 50_000, "--", ";", "<->", "{a b}: c", "İ", "ß", "²", "ⅷ"]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_odd_text_is_only_text(ticket: Ticket, text: str) -> None:
    assert found(text) in ({ticket.number}, set())


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(max_size=60))
def test_search_never_raises(ticket: Ticket, text: str) -> None:
    assert found(text) in ({ticket.number}, set())


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    word=st.text(
        st.characters(categories=["L", "N", "M"]), min_size=1, max_size=20
    ).filter(search.words_of)
)
def test_any_word_is_found_again(ticket: Ticket, word: str) -> None:
    ticket.subject = f"about {word} only"
    ticket.save()
    search.index_ticket(ticket)
    assert found(word) == {ticket.number}
