"""Counts that cost the same at a million rows: they stop at a cap."""

from collections.abc import Mapping
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import connection, models
from django.db.models import QuerySet


class CappedCount(models.Subquery):
    """How many rows a sliced query gives."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()


def capped_counts(querysets: Mapping[str, QuerySet[Any]], cap: int) -> dict[str, int]:
    """Return how many rows each query finds, `cap` at most, in one query."""
    if not querysets:
        return {}
    parts, parameters = [], []
    for name, queryset in querysets.items():
        sliced = queryset.order_by().values("pk")[:cap]
        sql, values = sliced.query.sql_with_params()
        parts.append(f"SELECT %s, COUNT(*) FROM ({sql}) AS counted")  # noqa: S608
        parameters += [name, *values]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        return dict(cursor.fetchall())


def shown_count(count: int, cap: int) -> str:
    """Return a capped count as people read it: "1,204", or "10,000+" at the cap."""
    return f"{intcomma(cap)}+" if count >= cap else str(intcomma(count))
