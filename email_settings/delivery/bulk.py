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
) -> None:
    """Update each row that is found by its `match` fields with its other values.

    Every mapping has the same keys, all names of fields. `new` gives a matching field
    another value after it has matched.
    """
    if not rows:
        return
    at_once = _VALUES_AT_ONCE // len(rows[0])
    for start in range(0, len(rows), at_once):
        _update(model, rows[start : start + at_once], match, new or {})


def _update(
    model: type[Model],
    rows: Sequence[Mapping[str, Any]],
    match: Sequence[str],
    new: Mapping[str, str],
) -> None:
    fields: list[Field[Any, Any]] = [model._meta.get_field(name) for name in rows[0]]  # type: ignore[misc]
    columns = [str(field.column) for field in fields]
    table = model._meta.db_table
    assigned = [
        *(f"{c} = came.{c}" for c in columns if c not in match),
        *(f"{c} = %s" for c in new),
    ]
    # Every name comes from the model; the values are parameters.
    statement = f"""
        WITH came ({", ".join(columns)}) AS (VALUES {_values(fields, len(rows))})
        UPDATE {table} SET {", ".join(assigned)} FROM came
        WHERE {" AND ".join(f"{table}.{c} = came.{c}" for c in match)}
    """  # noqa: S608
    parameters = [
        field.get_db_prep_save(row[field.name], connection)
        for row in rows
        for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, *new.values()])


def _values(fields: Sequence["Field[Any, Any]"], count: int) -> str:
    """Return "(%s, %s), (%s, %s), …"; PostgreSQL takes the types from the first."""
    plain = f"({', '.join('%s' for _ in fields)})"
    first = plain
    if connection.vendor == "postgresql":
        casts = (f"CAST(%s AS {field.db_type(connection)})" for field in fields)
        first = f"({', '.join(casts)})"
    return ", ".join([first, *[plain] * (count - 1)])
