"""Keyset pagination: page 10,000 costs what page 1 costs.

Cursors are signed: what a database makes of values that nobody of ours wrote, such as a
number without an end or a NUL, is never found out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the cursors of the pages on both sides ("" where there is none)."""

    rows: list[Row]
    previous_cursor: str
    next_cursor: str
    # By what the last row that was looked at is sorted; None when that were all
    edge: Any = None


@dataclass(frozen=True)
class Among(Generic[Row]):
    """Rows to look among, some at a time, where no index finds what is wanted."""

    rows: QuerySet[Row]
    at_once: int


def paginate(
    queryset: QuerySet[Row],
    *,
    order: Sequence[str],
    cursor: str,
    size: int,
    among: Among[Row] | None = None,
) -> Page[Row]:
    """Return the page that the cursor points at, or the first for "" or nonsense.

    `order` names the fields to sort by as in order_by(); the last one must be unique,
    and none may be null. One query, whatever the page. With `among` a second one; the
    page then ends after that many rows, however few of them are in the queryset, and
    the next one goes on there.
    """
    backwards, values = _decode(cursor, len(order))
    direction = [_flip(field) for field in order] if backwards else list(order)
    rows = queryset.order_by(*direction)
    try:
        start = _beyond(direction, values) if values else Q()
        rows = rows.filter(start)
    except (ValidationError, ValueError, TypeError):
        # It is the cursor of another list.
        return paginate(queryset, order=order, cursor="", size=size, among=among)
    edge = _edge(among, start, direction) if among else None
    if edge:
        rows = rows.filter(_beyond([_flip(field) for field in direction], edge.beyond))
    found = list(rows[: size + 1])
    has_more = len(found) > size
    found = found[:size]
    ahead = _values(found[-1], order) if has_more else edge.last if edge else None
    behind = _values(found[0], order) if found and (values or backwards) else None
    if backwards:
        found.reverse()
    if not found and not edge:
        return Page([], "", "")
    previous, following = (ahead, behind) if backwards else (behind, ahead)
    return Page(
        found,
        _encode(previous, backwards=True) if previous else "",
        _encode(following, backwards=False) if following else "",
        edge=edge.last[0] if edge and not has_more else None,
    )


@dataclass(frozen=True)
class _Edge:
    last: Sequence[Any]  # the values of the last row to look at
    beyond: Sequence[Any]  # and of the first that is too far


def _edge(among: Among[Any], start: Q, direction: Sequence[str]) -> _Edge | None:
    """Return where to stop looking, None where there are not so many rows."""
    fields = [field.removeprefix("-") for field in direction]
    rows = among.rows.filter(start).order_by(*direction).values_list(*fields)
    found = list(rows[among.at_once - 1 : among.at_once + 1])
    return _Edge(*found) if len(found) > 1 else None


def _flip(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"


def _beyond(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows after the given one: (a, b) > (x, y) as a > x or (a = x and b > y)."""
    condition = Q()
    equal = Q()
    for field, value in zip(order, values, strict=True):
        name = field.removeprefix("-")
        comparison = "lt" if field.startswith("-") else "gt"
        condition |= equal & Q(**{f"{name}__{comparison}": value})
        equal &= Q(**{name: value})
    # The database can use the index only if the first field bounds the whole.
    first, comparison = (
        order[0].removeprefix("-"),
        ("lte" if order[0].startswith("-") else "gte"),
    )
    return Q(**{f"{first}__{comparison}": values[0]}) & condition


def _values(row: Model, order: Sequence[str]) -> list[Any]:
    return [getattr(row, field.removeprefix("-")) for field in order]


def _encode(values: Sequence[Any], *, backwards: bool) -> str:
    return _signer().sign_object([backwards, [str(value) for value in values]])


def _decode(cursor: str, length: int) -> tuple[bool, list[Any]]:
    try:
        backwards, values = _signer().unsign_object(cursor)
    except signing.BadSignature:
        return False, []
    return (backwards, values) if len(values) == length else (False, [])


def _signer() -> signing.Signer:
    return signing.Signer(salt="ticketflow.pagination")
