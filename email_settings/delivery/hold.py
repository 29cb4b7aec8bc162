"""Keeps mail back while it can't or shall not leave, and frees it when it can.

`reason_code` of a held message says what it waits for. Three things hold all mail:

- the account is broken or its quota is used up. One message now and then is tried, so
  that a mended account is noticed without anybody pressing a button, and a broken one
  is not stormed;
- AWS can't be reached, or gives no clear answer. What is due stays queued, and one
  message is tried after 5 seconds, 10, 20 and so on; where that one may be left in
  doubt, no more often than for a broken account;
- an admin holds it by hand. Nothing is tried.

Near the end of the quota, and while too much mail bounces, the less urgent lanes wait.

However many messages there are, each of these functions changes a part of them in one
short transaction; the pump comes back for the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from email_settings import alerts, credentials
from email_settings.delivery.clock import database_now
from email_settings.delivery.due import held_reasons, is_something_due
from email_settings.gateway.errors import (
    CATALOGUE,
    ErrorClass,
    Problem,
    SendError,
    problem_for,
    recall,
)
from email_settings.models import Lane, OutboxMessage, SesSettings
from email_settings.quota import Quota
from email_settings.suppression import gate

# Messages in one transaction: some milliseconds on SQLite, where the web waits for it.
AT_ONCE = 1_000

STOPPED = "stopped_by_hand"
RESERVE = "quota_reserve"
GUARD = "reputation_guard"
SANDBOX = "recipient_not_verified"
BODY_KEY = "body_key_missing"
# What is held for one of these does not wait for the account.
KEPT_APART = ("rehearsal", STOPPED, RESERVE, GUARD, SANDBOX, BODY_KEY, gate.HELD)
# A look into the key file tells whether these are mended; no message has to be tried.
KEY_TROUBLE = ("encryption_key_missing", "key_file_unusable")

QUOTA_USED_UP = "daily_quota"
# Mail goes out and no answer comes: each further message would be one more in doubt.
SILENT = "aws_silent"
# AWS can't be reached: mail that is due stays queued, and nothing is parked.
UNREACHABLE = frozenset(
    problem.code
    for problem in CATALOGUE.values()
    if problem.kind is ErrorClass.NOTSENT and problem.code != "sender_failed"
)

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
# One message a minute at first, then fewer: a night leaves some eighty tries.
PROBE_EVERY = timedelta(minutes=1)
PROBE_EVERY_LATER = (
    (timedelta(hours=1), timedelta(minutes=10)),
    (timedelta(minutes=10), timedelta(minutes=5)),
)
# So long no message is risked on an AWS that answers no question.
BLOCKED_FOR = timedelta(hours=1)
# AWS is asked about the quota; a message only tries it where AWS may not be asked.
PROBE_QUOTA_EVERY = timedelta(minutes=15)

State = OutboxMessage.State


# The account


def hold_all(error: SendError, *, version: int) -> None:
    """Hold all mail for the error, unless the settings have changed since.

    `version` is that of the settings the error was met with. An account that is broken
    stays so while AWS can't be reached.
    """
    now = database_now()
    account = SesSettings.objects.filter(pk=SesSettings.ONLY_ID, version=version)
    if error.problem.code in UNREACHABLE:
        account = account.filter(hold_code__in=["", *UNREACHABLE])
    held_since = account.values_list("held_since", flat=True).first()
    held_for = now - held_since if held_since else timedelta(0)
    account.update(
        hold_code=error.problem.code,
        hold_detail=error.detail,
        probe_at=now + probe_interval(error.problem.code, held_for),
    )
    account.filter(held_since=None).update(held_since=now)


def probe_interval(code: str, held_for: timedelta) -> timedelta:
    """Return how long to wait until one message is tried again. A pure function."""
    if code in UNREACHABLE and code != SILENT:
        return min(max(held_for, FIRST_PAUSE), LONGEST_PAUSE)
    if code == QUOTA_USED_UP:
        return PROBE_QUOTA_EVERY
    if code in KEY_TROUBLE:
        return FIRST_PAUSE
    later = (every for since, every in PROBE_EVERY_LATER if held_for >= since)
    return next(later, PROBE_EVERY)


def take_turn_to_probe() -> bool:
    """Return whether this process may try one message now.

    True for one process an interval: the conditional update decides between them.
    """
    now = database_now()
    sender = SesSettings.load()
    if not sender.hold_code:
        return False
    if sender.hold_code in KEY_TROUBLE and credentials.why_unreadable(sender):
        return False
    held_for = now - (sender.held_since or now)
    return bool(
        SesSettings.objects.filter(
            Q(probe_at=None) | Q(probe_at__lte=now), pk=sender.pk
        ).update(probe_at=now + probe_interval(sender.hold_code, held_for))
    )


def is_anything_to_try() -> bool:
    """Whether there is a message to find out with."""
    return is_something_due() or bool(reasons_of_the_account())


def probe_now() -> None:
    """Let the next sweep try one message at once."""
    SesSettings.objects.filter(pk=SesSettings.ONLY_ID).exclude(hold_code="").update(
        probe_at=database_now()
    )


def put_off_probe() -> None:
    """Risk no message on an AWS that does not answer a question either.

    Where mail goes out and no answer comes, each try may be one more in doubt. After an
    hour one is tried all the same: perhaps it is only the question that is blocked.
    """
    now = database_now()
    SesSettings.objects.filter(
        pk=SesSettings.ONLY_ID, hold_code=SILENT, held_since__gt=now - BLOCKED_FOR
    ).update(probe_at=now + 2 * PROBE_EVERY)


@transaction.atomic
def lift() -> int:
    """End the hold of the account and return how many messages it held.

    Some are queued at once; the pump goes on with the rest. Admins are told of a hold
    that was long.
    """
    before = SesSettings.load()
    reasons = reasons_of_the_account()
    count = _held_for(*reasons).count()
    # The condition decides which of two that noticed tells of it.
    ended = (
        SesSettings.objects.filter(pk=before.pk, version=before.version)
        .filter(hold_code=before.hold_code, held_since=before.held_since)
        .update(hold_code="", hold_detail="", held_since=None, probe_at=None)
    )
    _queue_some(reasons)
    if ended and before.hold_code:
        alerts.mail_was_held(before, count)
    return count


def _queue_some(reason_codes: Sequence[str]) -> None:
    """Queue some of what is held, reason by reason: the first of all means to sort all."""
    most = AT_ONCE
    for reason_code in reason_codes:
        most -= _queue(_held_for(reason_code), most)
        if not most:
            return


def _held_for(*reason_codes: str) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(state=State.HELD, reason_code__in=reason_codes)


def reasons_of_the_account() -> list[str]:
    """Return the reasons of what waits for the account to be mended."""
    return [code for code in held_reasons() if code not in KEPT_APART]


def held_for_the_account() -> QuerySet[OutboxMessage]:
    """Return what waits for the account to be mended."""
    return OutboxMessage.objects.filter(state=State.HELD).exclude(
        reason_code__in=KEPT_APART
    )


# An admin


@transaction.atomic
def stop_all(actor: AbstractBaseUser) -> int:
    """Hold all mail by hand, from now on, and return how many messages that holds.

    Nothing more is claimed; what is on the wire comes home. Some messages are parked at
    once, the pump goes on with the rest.
    """
    SesSettings.load()
    SesSettings.objects.filter(pk=SesSettings.ONLY_ID, stopped_at=None).update(
        stopped_at=timezone.now(), stopped_by=actor.pk
    )
    count = how_many_would_be_held()
    park_stopped()
    return count


@transaction.atomic
def start_all() -> int:
    """End the hold by hand and return how many messages it held.

    The hold of a broken account stays. Some messages are queued at once, the pump goes
    on with the rest.
    """
    SesSettings.objects.filter(pk=SesSettings.ONLY_ID).update(
        stopped_at=None, stopped_by=None
    )
    held = releasable(STOPPED)
    count = held.count()
    _queue(held)
    return count


def how_many_would_be_held() -> int:
    """Count what stop_all() would hold: all that is queued, for now or for later."""
    return OutboxMessage.objects.filter(state=State.QUEUED).count()


# The lanes


@dataclass(frozen=True)
class Gate:
    """How urgent mail must be to leave just now, and why, "" while all may."""

    last_lane: Lane = Lane.DIGEST
    reason_code: str = ""

    @property
    def is_open(self) -> bool:
        return not self.reason_code


def gate_of(sender: SesSettings, quota: Quota | None) -> Gate:
    """Return which lanes may leave: fewer near the end of the quota, or under guard."""
    if quota is not None and quota.is_reserve_reached:
        return Gate(Lane.SECURITY, RESERVE)
    if is_guarded(sender):
        return Gate(Lane.REPLY, GUARD)
    return Gate()


def is_guarded(sender: SesSettings) -> bool:
    """Whether notices wait because of the account's reputation, by the database's clock."""
    if sender.guarded_since is None or not sender.is_live:
        return False
    until = sender.unguarded_until
    return until is None or until <= database_now()


# Parking


def park_due(sender: SesSettings) -> int:
    """Hold some of what is due because the account is held, and return how many."""
    problem = recall(
        sender.hold_code,
        detail=sender.hold_detail,
        from_email=sender.from_email,
        region=sender.region,
    )
    return _park(_due(), problem, detail=sender.hold_detail)


def park_stopped() -> int:
    """Hold some of what is queued because an admin says so, and return how many."""
    queued = OutboxMessage.objects.filter(state=State.QUEUED)
    return _park(queued, problem_for(STOPPED))


def park_behind(gate: Gate) -> int:
    """Hold some of what is due and less urgent than the gate lets by; return how many."""
    beyond = _due().filter(lane__gt=gate.last_lane)
    return _park(beyond, problem_for(gate.reason_code))


def _due() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(state=State.QUEUED, due_at__lte=database_now())


@transaction.atomic
def _park(
    messages: QuerySet[OutboxMessage], problem: Problem, *, detail: str = ""
) -> int:
    return messages.filter(pk__in=_first(messages, AT_ONCE)).update(
        state=State.HELD,
        reason_code=problem.code,
        reason=problem.title,
        reason_detail=detail,
    )


# Releasing


def releasable(reason_code: str) -> QuerySet[OutboxMessage]:
    """Return what is held for that reason and still makes sense to send."""
    return OutboxMessage.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=database_now()),
        state=State.HELD,
        reason_code=reason_code,
    ).exclude(is_secret=True, text_body="")


def count(reason_code: str) -> int:
    """Return how many messages release() would queue."""
    return releasable(reason_code).count()


def release(reason_code: str) -> int:
    """Queue all that is held for that reason and return how many.

    Messages older than their lifetime stay where they are.
    """
    total = 0
    while released := _queue(releasable(reason_code)):
        total += released
    return total


def release_what_may_go(
    sender: SesSettings, quota: Quota | None, *, waiting_since: datetime
) -> int:
    """Queue some of what waits for nothing any more, and return how many.

    The rest of what a lift or a release by hand began with, also when the process that
    began died; and what the quota has room for again. Only what has waited since then
    or longer, so that nothing goes round in circles.
    """
    for reason_code in held_reasons():
        most = _how_many_may_go(reason_code, sender, quota)
        waiting = releasable(reason_code).filter(due_at__lte=waiting_since)
        if reason_code == BODY_KEY:
            waiting = credentials.with_known_key(waiting)
        if reason_code == gate.HELD:
            waiting = gate.may_go_again(waiting)
        if most > 0 and (released := _queue(waiting, most)):
            return released
    return 0


def _how_many_may_go(reason_code: str, sender: SesSettings, quota: Quota | None) -> int:
    if reason_code == STOPPED:
        return 0 if sender.stopped_at else AT_ONCE
    if reason_code == RESERVE:
        return _room_for_more(quota)
    if reason_code == GUARD:
        return 0 if is_guarded(sender) else AT_ONCE
    if reason_code == gate.HELD:
        return AT_ONCE
    if reason_code == BODY_KEY and not sender.hold_code:
        return AT_ONCE
    if reason_code in KEPT_APART or sender.hold_code:
        return 0
    return AT_ONCE


def _room_for_more(quota: Quota | None) -> int:
    """Return how many the quota has room for beside what is queued already."""
    if quota is None:
        return AT_ONCE
    if not quota.has_room_again:
        return 0
    return min(AT_ONCE, int(quota.room) - how_many_would_be_held())


@transaction.atomic
def _queue(messages: QuerySet[OutboxMessage], most: int | None = None) -> int:
    now: datetime = database_now()
    return messages.filter(pk__in=_first(messages, most or AT_ONCE)).update(
        state=State.QUEUED,
        due_at=Greatest("due_at", now),
        reason_code="",
        reason="",
        reason_detail="",
    )


def _first(messages: QuerySet[OutboxMessage], most: int) -> list[int]:
    """Return the most urgent of them that nobody else is changing. Locks them."""
    return list(
        messages.order_by("lane", "due_at", "id")
        .select_for_update(skip_locked=True)
        .values_list("pk", flat=True)[:most]
    )
