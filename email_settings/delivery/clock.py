"""What time it is for leases and due times: the same for all workers.

On PostgreSQL it is the database's, so that a worker whose own clock is wrong neither
takes what others hold nor keeps what it should give up. SQLite is one machine, which
has one clock.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """Return the time of the database; one small question on PostgreSQL, none on SQLite."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        (now,) = cursor.fetchone()
    assert isinstance(now, datetime)
    return now


def now_in_sql(offset: timedelta = timedelta(0)) -> tuple[str, list[Any]]:
    """Return an expression for the time of the database, and its parameters.

    The time when the statement began, not its transaction: the same within a statement,
    so that an index can be searched with it.
    """
    if connection.vendor == "postgresql":
        return "(statement_timestamp() + %s)", [offset]
    now = connection.ops.adapt_datetimefield_value(timezone.now() + offset)
    return "%s", [now]
