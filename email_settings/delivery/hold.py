"""Keeps all mail back while the account is broken, and frees it when it is not.

While mail is held one message a minute is tried, so that a mended account is noticed
without anybody pressing a button, and a broken one is not stormed.
"""

from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from email_settings.gateway.errors import SendError, recall
from email_settings.models import OutboxMessage, SesSettings

PROBE_EVERY = timedelta(minutes=1)

State = OutboxMessage.State


def hold_all(error: SendError, *, version: int) -> None:
    """Hold all mail for the error, unless the settings have changed since.

    `version` is that of the settings the error was met with.
    """
    now = timezone.now()
    account = SesSettings.objects.filter(pk=SesSettings.ONLY_ID, version=version)
    account.update(
        hold_code=error.problem.code,
        hold_detail=error.detail,
        probe_at=now + PROBE_EVERY,
    )
    account.filter(held_since=None).update(held_since=now)


def park_due(sender: SesSettings) -> int:
    """Hold what is due, for the reason that all mail is held, and return how many."""
    problem = recall(
        sender.hold_code,
        detail=sender.hold_detail,
        from_email=sender.from_email,
        region=sender.region,
    )
    now = timezone.now()
    return OutboxMessage.objects.filter(state=State.QUEUED, due_at__lte=now).update(
        state=State.HELD,
        reason_code=problem.code,
        reason=problem.title,
        reason_detail=sender.hold_detail,
    )


def take_turn_to_probe() -> bool:
    """Return whether this process may try one held message now.

    True for one process a minute: the conditional update decides between them.
    """
    now = timezone.now()
    return bool(
        SesSettings.objects.filter(pk=SesSettings.ONLY_ID, probe_at__lte=now).update(
            probe_at=now + PROBE_EVERY
        )
    )


def probe_now() -> None:
    """Let the next sweep try one held message at once."""
    SesSettings.objects.filter(pk=SesSettings.ONLY_ID).exclude(hold_code="").update(
        probe_at=timezone.now()
    )


def lift() -> int:
    """End the hold of the account, queue what it held and return how many."""
    SesSettings.objects.filter(pk=SesSettings.ONLY_ID).update(
        hold_code="", hold_detail="", held_since=None, probe_at=None
    )
    return _queue(held_for_the_account())


def held_for_the_account() -> QuerySet[OutboxMessage]:
    """Return what waits for the account to be mended."""
    return OutboxMessage.objects.filter(state=State.HELD).exclude(
        reason_code="rehearsal"
    )


def releasable(reason_code: str) -> QuerySet[OutboxMessage]:
    """Return what is held for that reason and still makes sense to send."""
    return OutboxMessage.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        state=State.HELD,
        reason_code=reason_code,
    ).exclude(is_secret=True, text_body="")


def count(reason_code: str) -> int:
    """Return how many messages release() would queue."""
    return releasable(reason_code).count()


def release(reason_code: str) -> int:
    """Queue what is held for that reason and return how many.

    Messages older than their lifetime stay where they are.
    """
    return _queue(releasable(reason_code))


def _queue(messages: QuerySet[OutboxMessage]) -> int:
    return messages.update(
        state=State.QUEUED,
        due_at=timezone.now(),
        reason_code="",
        reason="",
        reason_detail="",
    )
