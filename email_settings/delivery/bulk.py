"""Many rows, each with values of its own, in one statement."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Field, Model

# SQLite takes 32,766 values a statement (SQLITE_MAX_VARIABLE_NUMBER).
_VALUES_AT_ONCE = 20_000


def update_rows(
    model: type[Model],
    rows: Sequence[Mapping[str, Any]],
    *,
    match: Sequence[str],
    new: Mapping[str, str] | None = None,
    only: Mapping[str, str] | None = None,
) -> int:
    """Update each row that is found by its `match` fields with its other values.

    `only` are values that a row must have as well to be found.

    Returns how many were found. Every mapping has the same keys, all names of fields.
    `new` gives a matching field another value after it has matched.
    """
    if not rows:
        return 0
    at_once = _VALUES_AT_ONCE // len(rows[0])
    return sum(
        _update(model, rows[start : start + at_once], match, new or {}, only or {})
        for start in range(0, len(rows), at_once)
    )


def _update(
    model: type[Model],
    rows: Sequence[Mapping[str, Any]],
    match: Sequence[str],
    new: Mapping[str, str],
    only: Mapping[str, str],
) -> int:
    fields: list[Field[Any, Any]] = [model._meta.get_field(name) for name in rows[0]]  # type: ignore[misc]
    columns = [str(field.column) for field in fields]
    table = model._meta.db_table
    # Both databases call the columns of VALUES so. It does not begin with WITH, because
    # Python's sqlite3 counts no rows then.
    came = {column: f"came.column{n}" for n, column in enumerate(columns, start=1)}
    assigned = [
        *(f"{c} = {came[c]}" for c in columns if c not in match),
        *(f"{c} = %s" for c in new),
    ]
    found = [
        *(f"{table}.{c} = {came[c]}" for c in match),
        *(f"{table}.{c} = %s" for c in only),
    ]
    # Every name comes from the model; the values are parameters.
    statement = f"""
        UPDATE {table} SET {", ".join(assigned)}
        FROM (VALUES {_values(fields, len(rows))}) AS came
        WHERE {" AND ".join(found)}
    """  # noqa: S608
    parameters = [
        field.get_db_prep_save(row[field.name], connection)
        for row in rows
        for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*new.values(), *parameters, *only.values()])
        return int(cursor.rowcount)


def _values(fields: Sequence["Field[Any, Any]"], count: int) -> str:
    """Return "(%s, %s), (%s, %s), …"; PostgreSQL takes the types from the first."""
    plain = f"({', '.join('%s' for _ in fields)})"
    first = plain
    if connection.vendor == "postgresql":
        casts = (f"CAST(%s AS {field.db_type(connection)})" for field in fields)
        first = f"({', '.join(casts)})"
    return ", ".join([first, *[plain] * (count - 1)])
