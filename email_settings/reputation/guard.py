"""Warns of a bad reputation, and keeps notices back before AWS stops the account.

Replies and security mail go on: somebody waits for them. What is kept back goes by
itself when the rate has fallen, or for a day when an admin says so.
"""

import logging
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from email_settings import alerts
from email_settings.delivery import hold
from email_settings.models import MailWatch, SesSettings
from email_settings.nudge import nudge_worker
from email_settings.reputation.count import Reputation, count, keep
from ticketflow.errors import DomainError

logger = logging.getLogger(__name__)

COUNT_EVERY = timedelta(minutes=5)
UNGUARDED_FOR = timedelta(hours=24)
# AWS has the account under review
PROBATION = "PROBATION"


def look() -> bool:
    """Count and decide, if it is time; return whether it was. For a worker's schedule."""
    if not _is_our_turn():
        return False
    watch = keep(count(SesSettings.load().from_email))
    decide(watch)
    return True


def _is_our_turn() -> bool:
    """Whether this worker counts: the conditional update decides between all of them."""
    now = timezone.now()
    MailWatch.load()
    is_due = Q(counted_at=None) | Q(counted_at__lte=now - COUNT_EVERY)
    return bool(MailWatch.objects.filter(is_due).update(counted_at=now))


@transaction.atomic
def decide(watch: MailWatch) -> None:
    """Hold notices or let them go, and tell the admins, by these figures."""
    row = SesSettings.load_to_change()
    reputation = Reputation.of(watch)
    is_held = row.guarded_since is not None
    is_to_hold = any(rate.is_to_hold(is_held=is_held) for rate in reputation.both)
    if is_to_hold and not is_held:
        _hold(row, reputation)
    elif is_held and not is_to_hold:
        _let_go(row)
    _warn(row, watch, reputation)
    row.save(
        update_fields=[
            "guarded_since",
            "unguarded_until",
            "unguarded_by",
            "reputation_told_at",
        ]
    )


def _hold(row: SesSettings, reputation: Reputation) -> None:
    if not row.is_live:
        return
    row.guarded_since = row.reputation_told_at = timezone.now()
    logger.warning("reputation: notices are held, %s", _in_the_log(reputation))
    alerts.notices_are_held(reputation)


def _let_go(row: SesSettings) -> None:
    row.guarded_since = row.unguarded_until = row.unguarded_by = None
    logger.info("reputation: notices go on")
    transaction.on_commit(nudge_worker, robust=True)


def _warn(row: SesSettings, watch: MailWatch, reputation: Reputation) -> None:
    """Tell the admins once, until all has been calm."""
    is_warned = row.reputation_told_at is not None
    is_bad = watch.enforcement == PROBATION or any(
        rate.is_to_warn(is_warned=is_warned) for rate in reputation.both
    )
    if not is_bad:
        row.reputation_told_at = None
    elif not is_warned and row.is_live:
        row.reputation_told_at = timezone.now()
        alerts.reputation_is_bad(
            reputation, is_on_probation=watch.enforcement == PROBATION
        )


def _in_the_log(reputation: Reputation) -> str:
    return ", ".join(f"{rate.count} of {rate.mails} mails" for rate in reputation.both)


# An admin


@transaction.atomic
def let_notices_go(actor: AbstractBaseUser) -> tuple[int, datetime]:
    """Let notices go for a day all the same; return how many wait, and until when.

    Raises DomainError when none are kept back.
    """
    row = SesSettings.load_to_change()
    if not hold.is_guarded(row):
        raise DomainError("Notices are not held for the reputation any more.")
    row.unguarded_until = timezone.now() + UNGUARDED_FOR
    row.unguarded_by_id = actor.pk
    row.save(update_fields=["unguarded_until", "unguarded_by"])
    logger.warning("reputation: user %s lets notices go for a day", actor.pk)
    transaction.on_commit(nudge_worker, robust=True)
    return hold.count(hold.GUARD), row.unguarded_until


@transaction.atomic
def hold_notices_again() -> None:
    """End what an admin allowed for a day. Raises DomainError when nobody does."""
    row = SesSettings.load_to_change()
    if row.guarded_since is None or row.unguarded_until is None:
        raise DomainError("Nobody lets notices go just now.")
    row.unguarded_until = row.unguarded_by = None
    row.save(update_fields=["unguarded_until", "unguarded_by"])
