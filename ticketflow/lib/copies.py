"""Many rows that are nearly the same, inserted by one statement."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Field, Model

# SQLite takes 32,766 values a statement (SQLITE_MAX_VARIABLE_NUMBER).
_VALUES_AT_ONCE = 20_000


def insert_copies(row: Model, differing: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    """Insert the unsaved row once for each mapping, which says what is a copy's own.

    Every mapping has the same keys, all names of fields; what the copies have in common
    goes to the database once, and no object is made of them. The value of the first key
    differs for each: returns the primary keys by it.
    """
    if not differing:
        return {}
    at_once = _VALUES_AT_ONCE // len(differing[0])
    found: dict[Any, int] = {}
    for start in range(0, len(differing), at_once):
        found |= _insert(row, differing[start : start + at_once])
    return found


def _insert(row: Model, differing: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    options = row._meta
    own: list[Field[Any, Any]] = [options.get_field(name) for name in differing[0]]  # type: ignore[misc]
    common = [
        field
        for field in options.concrete_fields
        if field not in own and not field.primary_key and not field.generated
    ]
    came = [f"came.column{n}" for n in range(1, len(own) + 1)]
    # Every name comes from the model; the values are parameters.
    statement = f"""
        INSERT INTO {options.db_table}
        ({", ".join(str(field.column) for field in [*common, *own])})
        SELECT {", ".join([*("%s" for _ in common), *came])}
        FROM (VALUES {_values(own, len(differing))}) AS came
        RETURNING {own[0].column}, {row._meta.pk.column}
    """  # noqa: S608
    parameters = [
        *(_stored(field, field.pre_save(row, add=True)) for field in common),
        *(_stored(field, copy[field.name]) for copy in differing for field in own),
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {own[0].to_python(value): pk for value, pk in cursor.fetchall()}


def _stored(field: "Field[Any, Any]", value: Any) -> Any:
    return field.get_db_prep_save(value, connection)


def _values(fields: Sequence["Field[Any, Any]"], count: int) -> str:
    """Return "(%s, %s), (%s, %s), …"; PostgreSQL takes the types from the first."""
    plain = f"({', '.join('%s' for _ in fields)})"
    first = plain
    if connection.vendor == "postgresql":
        casts = (f"CAST(%s AS {field.db_type(connection)})" for field in fields)
        first = f"({', '.join(casts)})"
    return ", ".join([first, *[plain] * (count - 1)])
