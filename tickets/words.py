"""A column of words that both databases can look up fast."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    _Field = models.Field[Sequence[str], str]
    _Lookup = models.Lookup[Any]
else:
    _Field = models.Field
    _Lookup = models.Lookup


class WordsField(_Field):
    """Takes a list of words; reading it back is of no use."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "tsvector" if connection.vendor == "postgresql" else "text"

    def get_placeholder(
        self, value: Any, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> str:
        if connection.vendor == "postgresql":
            return "array_to_tsvector(%s::text[])"
        return "%s"

    def get_db_prep_value(
        self,
        value: Any,
        connection: BaseDatabaseWrapper,
        prepared: bool = False,  # noqa: FBT001, FBT002 - Django's signature
    ) -> Any:
        if connection.vendor == "postgresql":
            return list(value)
        return " ".join(value)


@WordsField.register_lookup
class HaveAll(_Lookup):
    """The row has, for each given word, one that begins with it."""

    lookup_name = "have_all"
    prepare_rhs = False

    def get_db_prep_lookup(
        self, value: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str, ...]]:
        # Words are letters and digits only (search.words_of), so that quotes hold them.
        if connection.vendor == "postgresql":
            return "%s::tsquery", (" & ".join(f"'{word}':*" for word in value),)
        return "%s", (" ".join(f'"{word}"*' for word in value),)

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        column, column_params = self.process_lhs(compiler, connection)
        query, query_params = self.process_rhs(compiler, connection)
        operator = "@@" if connection.vendor == "postgresql" else "MATCH"
        return f"{column} {operator} {query}", (*column_params, *query_params)
