"""Counts that cost the same at a million rows: they stop at a cap."""

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import models


class CappedCount(models.Subquery):
    """How many rows a sliced query gives."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()


def shown_count(count: int, cap: int) -> str:
    """Return a count as people read it: "1,204", or "10,000+" once it is over the cap."""
    return f"{intcomma(cap)}+" if count > cap else str(intcomma(count))
