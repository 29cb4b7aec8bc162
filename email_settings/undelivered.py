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


def take_untold(limit: int = 100) -> list[OutboxMessage]:
    """Return messages that were not delivered and nobody was told of, each once.

    Needs a transaction: when it rolls back, they are to be told again. Who takes some
    at the same time gets others.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _UNTOLD.format(
                table=OutboxMessage._meta.db_table,
                lock="FOR UPDATE SKIP LOCKED"
                if connection.vendor == "postgresql"
                else "",
            ),
            [limit],
        )
        found = [pk for (pk,) in cursor.fetchall()]
    messages = OutboxMessage.objects.filter(pk__in=found)
    messages.update(undelivered_told_at=timezone.now())
    return list(messages.defer("text_body", "html_body").order_by("pk"))
