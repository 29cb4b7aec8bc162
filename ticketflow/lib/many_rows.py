"""Many rows written by one statement, each with values of its own.

What all rows agree on goes to the database once, beside the list: in statements of this
kind most of the time is spent on parameters.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Field, Model

Row = Mapping[str, Any]  # values by names of fields; all rows have the same keys

# SQLite takes 32,766 values a statement (SQLITE_MAX_VARIABLE_NUMBER).
_VALUES_AT_ONCE = 20_000


def insert_copies(row: Model, differing: Sequence[Row]) -> dict[Any, int]:
    """Insert the unsaved row once for each mapping, which says what is a copy's own.

    No object is made of the copies. The value of the first key differs for each:
    returns the primary keys by it.
    """
    found: dict[Any, int] = {}
    for some in _in_parts(differing):
        found |= _insert(row, some)
    return found


def update_rows(
    model: type[Model],
    rows: Sequence[Row],
    *,
    match: Sequence[str],
    new: Mapping[str, str] | None = None,
) -> int:
    """Update each row that is found by its `match` fields with its other values.

    `new` gives a matching field another value after it has matched. Returns how many
    were found.
    """
    return sum(_update(model, some, match, new or {}) for some in _in_parts(rows))


def _in_parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    if rows:
        at_once = _VALUES_AT_ONCE // len(rows[0])
        for start in range(0, len(rows), at_once):
            yield rows[start : start + at_once]


def _insert(row: Model, copies: Sequence[Row]) -> dict[Any, int]:
    options = row._meta
    key = next(iter(copies[0]))
    alike, own = _split(copies, key)
    common = {
        field.name: field.pre_save(row, add=True)
        for field in options.concrete_fields
        if field.name not in copies[0] and not field.primary_key and not field.generated
    } | alike
    columns = [_column(row, name) for name in [*common, *own]]
    came = [f"came.column{n}" for n in range(1, len(own) + 1)]
    # Every name comes from the model; the values are parameters.
    statement = f"""
        INSERT INTO {options.db_table} ({", ".join(columns)})
        SELECT {", ".join([*("%s" for _ in common), *came])}
        FROM (VALUES {_list(row, own, len(copies))}) AS came
        RETURNING {_column(row, key)}, {options.pk.column}
    """  # noqa: S608
    parameters = [*_stored(row, common), *_stored_list(row, own, copies)]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        to_python = _field(row, key).to_python
        return {to_python(value): pk for value, pk in cursor.fetchall()}


def _update(
    model: type[Model],
    rows: Sequence[Row],
    match: Sequence[str],
    new: Mapping[str, str],
) -> int:
    alike, own = _split(rows, match[0])
    table = model._meta.db_table
    # Both databases call the columns of VALUES so. It does not begin with WITH, because
    # Python's sqlite3 counts no rows then.
    came = {name: f"came.column{n}" for n, name in enumerate(own, start=1)}
    same = {name: value for name, value in alike.items() if name not in match}
    found = {name: value for name, value in alike.items() if name in match}
    assigned = [
        *(f"{_column(model, name)} = %s" for name in [*same, *new]),
        *(f"{_column(model, n)} = {came[n]}" for n in own if n not in match),
    ]
    conditions = [
        *(f"{table}.{_column(model, n)} = {came[n]}" for n in own if n in match),
        *(f"{table}.{_column(model, name)} = %s" for name in found),
    ]
    # Every name comes from the model; the values are parameters.
    statement = f"""
        UPDATE {table} SET {", ".join(assigned)}
        FROM (VALUES {_list(model, own, len(rows))}) AS came
        WHERE {" AND ".join(conditions)}
    """  # noqa: S608
    parameters = [
        *_stored(model, same),
        *_stored(model, new),
        *_stored_list(model, own, rows),
        *_stored(model, found),
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def _split(rows: Sequence[Row], key: str) -> tuple[dict[str, Any], list[str]]:
    """Return the values that all rows agree on, and the names of the others.

    The key is one of the others, so that there is a list even of a single row.
    """
    first, *rest = rows
    alike = {
        name: value
        for name, value in first.items()
        if name != key and all(row[name] == value for row in rest)
    }
    return alike, [name for name in first if name not in alike]


def _list(model: Model | type[Model], names: Sequence[str], count: int) -> str:
    """Return "(%s, %s), (%s, %s), …"; PostgreSQL takes the types from the first."""
    plain = f"({', '.join('%s' for _ in names)})"
    first = plain
    if connection.vendor == "postgresql":
        casts = (
            f"CAST(%s AS {_field(model, name).db_type(connection)})" for name in names
        )
        first = f"({', '.join(casts)})"
    return ", ".join([first, *[plain] * (count - 1)])


def _stored(model: Model | type[Model], values: Row) -> list[Any]:
    return [
        _field(model, name).get_db_prep_save(value, connection)
        for name, value in values.items()
    ]


def _stored_list(
    model: Model | type[Model], names: Sequence[str], rows: Sequence[Row]
) -> list[Any]:
    fields = [(name, _field(model, name)) for name in names]
    return [
        field.get_db_prep_save(row[name], connection)
        for row in rows
        for name, field in fields
    ]


def _field(model: Model | type[Model], name: str) -> "Field[Any, Any]":
    field: Field[Any, Any] = model._meta.get_field(name)  # type: ignore[assignment]
    return field


def _column(model: Model | type[Model], name: str) -> str:
    return str(_field(model, name).column)
