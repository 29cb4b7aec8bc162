"""Mail that its recipient did not get, for upper rooms to tell whom it concerns."""

from django.db import connection
from django.utils import timezone

from email_settings.models import OutboxMessage

# The words of the partial index outbox_undelivered. SQLite takes it only when told to:
# by itself it reads all that ever failed or bounced, by the indexes for Email Activity.
_UNTOLD = """
SELECT id FROM {table} {index}
WHERE undelivered_told_at IS NULL
    AND (state IN ('failed', 'suppressed') OR fate IN (3, 5, 6, 7))
ORDER BY id LIMIT %s {lock}
"""


def is_any_untold() -> bool:
    """Whether take_untold would find something; needs no transaction."""
    return bool(_untold(1))


def take_untold(limit: int = 100) -> list[OutboxMessage]:
    """Return messages that were not delivered and nobody was told of, each once.

    Needs a transaction: when it rolls back, they are to be told again. Who takes some
    at the same time gets others.
    """
    found = _untold(limit, is_to_take=True)
    messages = OutboxMessage.objects.filter(pk__in=found)
    messages.update(undelivered_told_at=timezone.now())
    return list(messages.defer("text_body", "html_body").order_by("pk"))


def _untold(limit: int, *, is_to_take: bool = False) -> list[int]:
    is_sqlite = connection.vendor == "sqlite"
    statement = _UNTOLD.format(
        table=OutboxMessage._meta.db_table,
        index="INDEXED BY outbox_undelivered" if is_sqlite else "",
        # SQLite has one writer at a time.
        lock="FOR UPDATE SKIP LOCKED" if is_to_take and not is_sqlite else "",
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [limit])
        return [pk for (pk,) in cursor.fetchall()]
