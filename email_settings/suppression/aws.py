"""AWS's own suppression list: read once a day or when wanted, and addresses taken off.

The worker does both; pages show the rows. What is read is kept as it comes, so that a
list of any length needs the memory of one page. What was not seen by the end of a whole
reading is gone; one that breaks off leaves what was known.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from email_settings.delivery import pump
from email_settings.delivery.clock import database_now
from email_settings.gateway.errors import ErrorClass, SendError
from email_settings.gateway.reader import Reader
from email_settings.models import (
    AwsRelease,
    AwsSuppression,
    SesSettings,
    Suppression,
    SuppressionSync,
)
from email_settings.provisioning.policy import statement_for
from email_settings.suppression import wishes
from email_settings.suppression.exchange import NewEntry

logger = logging.getLogger(__name__)

LIST, RELEASE = "ses:ListSuppressedDestinations", "ses:DeleteSuppressedDestination"
# Longer than any question with its waiting, and renewed with each
LEASE = timedelta(minutes=1)
AGAIN = timedelta(hours=24)
AGAIN_AFTER_TROUBLE = timedelta(hours=1)
RELEASES_AT_ONCE = 20
RELEASE_AGAIN = timedelta(minutes=5)
# Then AWS is believed to go on saying no.
RELEASE_FOR = timedelta(hours=12)
MOST_TAKEN_OVER = 50_000  # at once
TAKEN_OVER_USUALLY = "Taken over from the suppression list in AWS."
TAKEN_OVER = {
    "BOUNCE": f"{TAKEN_OVER_USUALLY} A mail to it had bounced.",
    "COMPLAINT": f"{TAKEN_OVER_USUALLY} The recipient had complained.",
}
_PASSES = {ErrorClass.NOTSENT, ErrorClass.UNKNOWN, ErrorClass.RATE}


# What pages ask for


def want_sync() -> None:
    """Have AWS's list read as soon as a worker can."""
    SuppressionSync.objects.get_or_create(pk=SuppressionSync.ONLY_ID)
    SuppressionSync.objects.filter(pk=SuppressionSync.ONLY_ID).update(
        wanted_at=database_now()
    )


def sync_state() -> SuppressionSync:
    """Return how the reading goes, also before there was any."""
    return SuppressionSync.objects.first() or SuppressionSync()


def want_release(address: str, *, actor: AbstractBaseUser) -> None:
    """Have the address taken off AWS's list as soon as a worker can."""
    wish = AwsRelease(
        address=address, address_lower=address.lower(), wanted_by_id=actor.pk
    )
    AwsRelease.objects.bulk_create([wish], ignore_conflicts=True)


def can_ask(sender: SesSettings) -> bool:
    """Whether there is an account to ask."""
    return sender.is_configured


def only_at_aws() -> QuerySet[AwsSuppression]:
    """Return what is on AWS's list and not on ours."""
    ours = Suppression.objects.filter(
        address_lower=OuterRef("address_lower"), closed_at=None, held_until=None
    )
    return AwsSuppression.objects.filter(~Exists(ours))


def only_here() -> QuerySet[Suppression]:
    """Return what is on our list and not on AWS's."""
    theirs = AwsSuppression.objects.filter(address_lower=OuterRef("address_lower"))
    ours = Suppression.objects.filter(closed_at=None, held_until=None)
    return ours.filter(~Exists(theirs))


def take_over(*, actor: AbstractBaseUser) -> int:
    """Put all that is only on AWS's list on ours, and return how many those are.

    Several transactions, so the caller must not have one open.
    """
    entries = [
        NewEntry(
            listed.address,
            Suppression.Reason.AWS_LISTED,
            TAKEN_OVER.get(listed.reason, TAKEN_OVER_USUALLY),
            listed.listed_at,
        )
        for listed in only_at_aws()[:MOST_TAKEN_OVER]
    ]
    return wishes.suppress(entries, actor=actor)


# What the worker does


def look() -> None:
    """Do what is wanted or due. For the schedule of a worker."""
    sender = SesSettings.objects.first()
    if sender is None or not can_ask(sender):
        return
    if _is_release_due():
        _release_some(sender)
    if _is_sync_due(sender):
        sync(sender)


def _is_release_due() -> bool:
    return _due_releases().exists()


def _due_releases() -> QuerySet[AwsRelease]:
    return AwsRelease.objects.filter(done_at=None, next_at__lte=database_now())


# Reading


def _is_sync_due(sender: SesSettings) -> bool:
    row, now = sync_state(), database_now()
    if row.running_until and row.running_until > now:
        return False
    if row.wanted_at or row.place != _place(sender):
        return True
    again = AGAIN_AFTER_TROUBLE if row.problem else AGAIN
    return row.tried_at is None or row.tried_at <= now - again


def _place(sender: SesSettings) -> str:
    """Return which account and region it is: each has a list of its own."""
    whose = sender.account_id or sender.access_key_id or sender.source
    return f"{whose}:{sender.region}"[:60]


def sync(sender: SesSettings) -> None:
    """Read AWS's whole list, unless another worker does."""
    began_at = database_now()
    if not _take_lease(began_at):
        return
    try:
        count = _read_all(sender)
    except SendError as error:
        logger.warning("suppression: AWS's list could not be read: %s", error)
        _finish(sender, began_at, problem=as_text(error, LIST, sender))
    else:
        if count is not None:
            _finish(sender, began_at, problem=None, synced_at=began_at, count=count)


def _take_lease(now: datetime) -> bool:
    SuppressionSync.objects.get_or_create(pk=SuppressionSync.ONLY_ID)
    return bool(
        SuppressionSync.objects.filter(
            Q(running_until=None) | Q(running_until__lte=now)
        ).update(running_until=now + LEASE, tried_at=now)
    )


def _read_all(sender: SesSettings) -> int | None:
    """Keep every entry, and forget the others; None when the worker stops meanwhile."""
    aws, seen_in, token = Reader(sender, pump.stopping), uuid.uuid4(), ""
    _forget_another_place(sender)
    while not pump.stopping.is_set():
        page = aws.suppressed(token)
        token = page.get("NextToken", "")
        with transaction.atomic():
            _keep(page.get("SuppressedDestinationSummaries", []), seen_in)
            SuppressionSync.objects.update(running_until=database_now() + LEASE)
            if not token:
                AwsSuppression.objects.exclude(seen_in=seen_in).delete()
                return AwsSuppression.objects.count()
    return None


def _forget_another_place(sender: SesSettings) -> None:
    if sync_state().place != _place(sender):
        AwsSuppression.objects.all().delete()
        SuppressionSync.objects.update(synced_at=None, count=0, place=_place(sender))


def _keep(entries: Iterable[Mapping[str, Any]], seen_in: uuid.UUID) -> None:
    rows = {
        address: AwsSuppression(
            address=address,
            address_lower=address.lower(),
            reason=str(entry.get("Reason", ""))[:16],
            listed_at=_moment(entry.get("LastUpdateTime")),
            seen_in=seen_in,
        )
        for entry in entries
        if 0 < len(address := str(entry.get("EmailAddress", ""))) <= 320
    }
    AwsSuppression.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["address"],
        update_fields=["address_lower", "reason", "listed_at", "seen_in"],
        batch_size=500,
    )


def _moment(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _finish(sender: SesSettings, began_at: datetime, **values: object) -> None:
    row = SuppressionSync.objects.filter(pk=SuppressionSync.ONLY_ID)
    row.update(running_until=None, place=_place(sender), **values)
    # Who asked while it ran asked for a later one.
    row.filter(wanted_at__lte=began_at).update(wanted_at=None)


def as_text(error: SendError, action: str, sender: SesSettings) -> dict[str, str]:
    """Return what stands in the way as texts to be kept, with the statement to add."""
    problem = error.problem
    is_denied = problem.kind is ErrorClass.IAM
    return {
        "code": problem.code,
        "title": problem.title,
        "why": problem.why,
        "fix": "Add this statement to the policies of the access key."
        if is_denied
        else problem.fix,
        "words": error.record,
        "statement": statement_for(action, sender) if is_denied else "",
    }


# Releasing


def _release_some(sender: SesSettings) -> None:
    aws = Reader(sender, pump.stopping)
    for wish in _due_releases().order_by("next_at", "pk")[:RELEASES_AT_ONCE]:
        now = database_now()
        mine = AwsRelease.objects.filter(pk=wish.pk, next_at=wish.next_at)
        if pump.stopping.is_set() or not mine.update(next_at=now + LEASE):
            continue
        try:
            _release(wish, aws)
        except SendError as error:
            _note_refusal(wish, error, sender)


def _release(wish: AwsRelease, aws: Reader) -> None:
    """Take every spelling of the address off AWS's list."""
    listed = AwsSuppression.objects.filter(address_lower=wish.address_lower)
    known = list(listed.values_list("address", flat=True))
    spellings = known or list(dict.fromkeys([wish.address, wish.address_lower]))
    released = [aws.release(spelling) for spelling in spellings]
    if known or any(released):
        listed.delete()
        _end(wish, AwsRelease.Outcome.DONE)
        return
    sync = sync_state()
    if sync.synced_at and sync.synced_at >= wish.wanted_at:
        _end(wish, AwsRelease.Outcome.NOT_LISTED)
    elif sync.problem and sync.tried_at and sync.tried_at >= wish.wanted_at:
        _end(wish, AwsRelease.Outcome.FAILED, problem=sync.problem)
    else:
        # It may stand there with other capital letters, which only the list tells.
        want_sync()
        AwsRelease.objects.filter(pk=wish.pk).update(next_at=database_now())


def _note_refusal(wish: AwsRelease, error: SendError, sender: SesSettings) -> None:
    logger.warning("suppression: AWS did not release an address: %s", error)
    problem, now = as_text(error, RELEASE, sender), database_now()
    passes = error.problem.kind in _PASSES and now - wish.wanted_at < RELEASE_FOR
    if passes:
        AwsRelease.objects.filter(pk=wish.pk).update(
            problem=problem, next_at=now + RELEASE_AGAIN
        )
    else:
        _end(wish, AwsRelease.Outcome.FAILED, problem=problem)


def _end(wish: AwsRelease, outcome: AwsRelease.Outcome, problem: object = None) -> None:
    AwsRelease.objects.filter(pk=wish.pk).update(
        outcome=outcome, done_at=database_now(), problem=problem
    )
