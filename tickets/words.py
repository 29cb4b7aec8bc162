"""A column of words that both databases can look up fast."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Wanted:
    """A word to look up. Letters and digits only, so that quotes hold it."""

    word: str
    is_beginning: bool = False  # longer words that begin with it will do

    def for_postgresql(self) -> str:
        return f"'{self.word}':*" if self.is_beginning else f"'{self.word}'"

    def for_sqlite(self) -> str:
        return f'"{self.word}"*' if self.is_beginning else f'"{self.word}"'


@WordsField.register_lookup
class HaveAll(_Lookup):
    """The row has all the given words."""

    lookup_name = "have_all"
    prepare_rhs = False

    def get_db_prep_lookup(
        self, value: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str, ...]]:
        if connection.vendor == "postgresql":
            query = " & ".join(wanted.for_postgresql() for wanted in value)
            return "%s::tsquery", (query,)
        return "%s", (" ".join(wanted.for_sqlite() for wanted in value),)

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        column, column_params = self.process_lhs(compiler, connection)
        query, query_params = self.process_rhs(compiler, connection)
        operator = "@@" if connection.vendor == "postgresql" else "MATCH"
        return f"{column} {operator} {query}", (*column_params, *query_params)
