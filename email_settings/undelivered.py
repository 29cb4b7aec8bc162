"""Mail that its recipient did not get, for upper rooms to tell whom it concerns."""

from django.db import connection
from django.utils import timezone

from email_settings.models import OutboxMessage

# The words of the partial index outbox_undelivered. Literals, because SQLite uses it
# only when it can see that its condition holds.
_UNTOLD = """
SELECT id FROM {table}
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
    is_shared = connection.vendor == "postgresql"
    found = _untold(limit, lock="FOR UPDATE SKIP LOCKED" if is_shared else "")
    messages = OutboxMessage.objects.filter(pk__in=found)
    messages.update(undelivered_told_at=timezone.now())
    return list(messages.defer("text_body", "html_body").order_by("pk"))


def _untold(limit: int, *, lock: str = "") -> list[int]:
    with connection.cursor() as cursor:
        table = OutboxMessage._meta.db_table
        cursor.execute(_UNTOLD.format(table=table, lock=lock), [limit])
        return [pk for (pk,) in cursor.fetchall()]
