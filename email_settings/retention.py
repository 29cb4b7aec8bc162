"""Removes mail that is over and older than an admin wants to keep it."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from email_settings.models import OutboxMessage, SesSettings, SharedBody
from email_settings.querysets import OutboxMessageQuerySet, messages

logger = logging.getLogger(__name__)

PRUNE_EVERY = timedelta(days=1)
# In one transaction, so that nobody waits long for the database.
AT_ONCE = 500
# In one go; what is left goes the next day.
MOST_A_DAY = 200_000
# A page says no more than "so many or more".
COUNT_LIMIT = 10_000


def over_and_older_than(days: int) -> OutboxMessageQuerySet:
    """Return what is in a final state and was written more than so many days ago."""
    # The oldest first by the index of times: nearly all of it is in a final state.
    return (
        messages()
        .filter(created_at__lt=timezone.now() - timedelta(days=days))
        .besides(state__in=OutboxMessage.FINAL_STATES)
    )


def how_many_would_go(days: int) -> int:
    """Count what prune() would remove with that setting, up to COUNT_LIMIT."""
    return over_and_older_than(days)[:COUNT_LIMIT].count()


def prune() -> int:
    """Remove what is too old, at most once a day, and return how many messages.

    Mail that waits, is on its way or in doubt stays, however old it is. For the schedule
    of a worker: of many workers one does it.
    """
    days = _take_turn()
    if days is None:
        return 0
    removed = 0
    while removed < MOST_A_DAY and (count := _remove_some(days)):
        removed += count
        SesSettings.objects.filter(pk=SesSettings.ONLY_ID).update(
            pruned_count=F("pruned_count") + count
        )
    logger.info("retention: %s messages older than %s days removed", removed, days)
    return removed


def _take_turn() -> int | None:
    """Return how long mail is kept, None when that is for ever or others did it today."""
    now = timezone.now()
    is_due = Q(pruned_at=None) | Q(pruned_at__lte=now - PRUNE_EVERY)
    # The conditional update decides between the workers.
    is_ours = SesSettings.objects.filter(
        is_due, pk=SesSettings.ONLY_ID, retention_days__isnull=False
    ).update(pruned_at=now, pruned_count=0)
    return SesSettings.load().retention_days if is_ours else None


@transaction.atomic
def _remove_some(days: int) -> int:
    oldest = over_and_older_than(days).order_by("created_at", "pk")
    pks = list(oldest.values_list("pk", flat=True)[:AT_ONCE])
    # By state once more: a late answer may have changed one meanwhile.
    removable = OutboxMessage.objects.filter(
        pk__in=pks, state__in=OutboxMessage.FINAL_STATES
    )
    bodies = set(
        removable.exclude(shared_body=None).values_list("shared_body_id", flat=True)
    )
    _, counts = removable.delete()
    # No message begins to share a body later: whoever has it got it with the others.
    SharedBody.objects.filter(pk__in=bodies, messages=None).delete()
    return counts.get(OutboxMessage._meta.label, 0)
