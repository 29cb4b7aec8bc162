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


def paginate(
    queryset: QuerySet[Row], *, order: Sequence[str], cursor: str, size: int
) -> Page[Row]:
    """Return the page that the cursor points at, or the first for "" or nonsense.

    `order` names the fields to sort by as in order_by(); the last one must be unique,
    and none may be null. One query, whatever the page.
    """
    backwards, values = _decode(cursor, len(order))
    direction = [_flip(field) for field in order] if backwards else list(order)
    rows = queryset.order_by(*direction)
    if values:
        try:
            rows = rows.filter(_beyond(direction, values))
        except (ValidationError, ValueError, TypeError):
            # It is the cursor of another list.
            return paginate(queryset, order=order, cursor="", size=size)
    found = list(rows[: size + 1])
    has_more = len(found) > size
    found = found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Page([], "", "")
    has_previous = has_more if backwards else bool(values)
    has_next = True if backwards else has_more
    return Page(
        found,
        _encode(found[0], order, backwards=True) if has_previous else "",
        _encode(found[-1], order, backwards=False) if has_next else "",
    )


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


def _encode(row: Model, order: Sequence[str], *, backwards: bool) -> str:
    values = [str(getattr(row, field.removeprefix("-"))) for field in order]
    return _signer().sign_object([backwards, values])


def _decode(cursor: str, length: int) -> tuple[bool, list[Any]]:
    try:
        backwards, values = _signer().unsign_object(cursor)
    except signing.BadSignature:
        return False, []
    return (backwards, values) if len(values) == length else (False, [])


def _signer() -> signing.Signer:
    return signing.Signer(salt="ticketflow.pagination")
