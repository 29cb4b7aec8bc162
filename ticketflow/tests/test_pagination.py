"""Walking through pages by cursor: every row once, in order, both ways."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from email_settings.models import OutboxMessage
from ticketflow.lib.pagination import Among, Page, paginate

pytestmark = pytest.mark.django_db

NEWEST_FIRST = ["-created_at", "-id"]
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def make_messages(count: int, *, at_once: int = 1) -> list[int]:
    """Return the keys, newest first; so many share each moment."""
    made = [
        OutboxMessage.objects.create(
            kind="test",
            recipient="hannah@larkfield.example",
            subject=f"{index}",
            text_body="Hello",
            created_at=START + timedelta(minutes=index // at_once),
        )
        for index in range(count)
    ]
    return [message.pk for message in reversed(made)]


def page(cursor: str = "", *, size: int = 4) -> Page[OutboxMessage]:
    return paginate(
        OutboxMessage.objects.all(), order=NEWEST_FIRST, cursor=cursor, size=size
    )


def keys(found: Page[OutboxMessage]) -> list[int]:
    return [row.pk for row in found.rows]


@pytest.mark.parametrize("at_once", [1, 3, 10])
def test_every_row_comes_once_forwards_and_the_same_backwards(at_once: int) -> None:
    expected = make_messages(10, at_once=at_once)

    forwards = [page()]
    while forwards[-1].next_cursor:
        forwards.append(page(forwards[-1].next_cursor))
    assert [keys(found) for found in forwards] == [
        expected[0:4],
        expected[4:8],
        expected[8:10],
    ]

    backwards = page(forwards[-1].previous_cursor)
    assert keys(backwards) == expected[4:8]
    first = page(backwards.previous_cursor)
    assert keys(first) == expected[0:4]
    assert first.previous_cursor == ""


def test_one_page_has_no_way_on() -> None:
    make_messages(4)
    found = page()
    assert (found.previous_cursor, found.next_cursor) == ("", "")
    assert len(found.rows) == 4


def test_nothing_is_an_empty_page() -> None:
    found = page()
    assert (found.rows, found.previous_cursor, found.next_cursor) == ([], "", "")


def test_rows_that_arrive_meanwhile_push_nothing_twice() -> None:
    expected = make_messages(8)
    first = page()
    OutboxMessage.objects.create(
        kind="test",
        recipient="hannah@larkfield.example",
        subject="newest",
        text_body="Hello",
        created_at=START + timedelta(days=1),
    )
    assert keys(page(first.next_cursor)) == expected[4:8]


@pytest.mark.parametrize(
    "nonsense",
    ["x", "%%%", "bnVsbA", "W3RydWVd", "W2ZhbHNlLFsieCIsInkiXV0", "é", "A" * 5000],
)
def test_cursor_that_somebody_edited_gives_the_first_page(nonsense: str) -> None:
    expected = make_messages(6)
    assert keys(page(nonsense)) == expected[0:4]


def test_one_query_whatever_the_page(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_messages(10)
    cursor = page().next_cursor
    with django_assert_num_queries(1):
        page(cursor)


def found_among(cursor: str = "", *, at_once: int) -> Page[OutboxMessage]:
    """Two a page of every third message, looked for among so many at once."""
    everything = OutboxMessage.objects.all()
    return paginate(
        everything.filter(subject__in=["0", "3", "6", "9"]),
        order=NEWEST_FIRST,
        cursor=cursor,
        size=2,
        among=Among(everything, at_once),
    )


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 9, 10, 11])
@pytest.mark.parametrize("together", [1, 5])
def test_looking_some_at_a_time_finds_every_row_once(
    at_once: int, together: int
) -> None:
    expected = make_messages(10, at_once=together)[::3]
    pages = [found_among(at_once=at_once)]
    while pages[-1].next_cursor:
        pages.append(found_among(pages[-1].next_cursor, at_once=at_once))
    assert [key for found in pages for key in keys(found)] == expected
    assert all(len(found.rows) <= 2 for found in pages)
    assert pages[-1].edge is None


def test_looking_some_at_a_time_goes_back_too() -> None:
    expected = make_messages(10)[::3]
    last = found = found_among(at_once=4)
    while found.next_cursor:
        last, found = found, found_among(found.next_cursor, at_once=4)
    assert keys(found) == expected[-1:]
    back = found_among(found.previous_cursor, at_once=4)
    assert keys(back) == expected[2:3]
    assert back.edge is not None
    assert keys(last) == expected[2:3]


def test_page_says_where_looking_stopped(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_messages(10)
    with django_assert_num_queries(2):
        found = found_among(at_once=4)
    assert found.edge == START + timedelta(minutes=6)
