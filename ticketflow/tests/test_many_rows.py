"""One statement for many rows, whatever they have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from pytest_django import DjangoAssertNumQueries

from email_settings.models import SharedBody, WorkerHeartbeat
from ticketflow.lib import many_rows
from ticketflow.lib.many_rows import insert_copies, update_rows

TEXTS = st.sampled_from(["", "a", "b", "’"])
pytestmark = pytest.mark.django_db


class AnyRowsTest(TestCase):
    @given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
    def test_each_row_gets_its_values(self, rows: list[tuple[str, str]]) -> None:
        SharedBody.objects.all().delete()
        for text, html in rows:
            SharedBody.objects.create(text=text, html=html)
        pks = list(SharedBody.objects.order_by("pk").values_list("pk", flat=True))
        swapped = [
            {"id": pk, "text": html, "html": text}
            for pk, (text, html) in zip(pks, rows, strict=True)
        ]
        assert update_rows(SharedBody, swapped, match=["id"]) == len(rows)
        found = SharedBody.objects.order_by("pk").values_list("html", "text")
        assert list(found) == rows

    @given(st.lists(st.booleans(), min_size=1, max_size=5))
    def test_each_copy_gets_its_values(self, ends: list[bool]) -> None:
        WorkerHeartbeat.objects.all().delete()
        row = WorkerHeartbeat()
        task_at = [row.started_at if has_end else None for has_end in ends]
        pks = insert_copies(
            row,
            [
                {"name": f"worker {number}", "task_at": at}
                for number, at in enumerate(task_at)
            ],
        )
        found = WorkerHeartbeat.objects.in_bulk(pks.values())
        assert [
            (
                found[pks[f"worker {number}"]].task_at,
                found[pks[f"worker {number}"]].name,
            )
            for number in range(len(ends))
        ] == [(at, f"worker {number}") for number, at in enumerate(task_at)]


def test_only_rows_that_match_in_everything_are_changed() -> None:
    one, other = (SharedBody.objects.create(text=text) for text in "ab")
    rows = [{"id": body.pk, "text": "a", "html": "new"} for body in (one, other)]
    found = update_rows(SharedBody, rows, match=["id", "text"], new={"text": "c"})
    assert found == 1
    assert list(SharedBody.objects.order_by("pk").values_list("text", "html")) == [
        ("c", "new"),
        ("b", ""),
    ]


def test_more_rows_than_one_statement_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_rows, "_VALUES_AT_ONCE", 4)
    pks = insert_copies(SharedBody(), [{"text": str(n)} for n in range(9)])
    assert len(set(pks.values())) == 9
    rows = [{"id": pk, "html": text} for text, pk in pks.items()]
    assert update_rows(SharedBody, rows, match=["id"]) == 9
    assert list(SharedBody.objects.order_by("pk").values_list("text", "html")) == [
        (str(n), str(n)) for n in range(9)
    ]


def test_no_rows_are_no_question(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        assert insert_copies(SharedBody(), []) == {}
        assert update_rows(SharedBody, [], match=["id"]) == 0
