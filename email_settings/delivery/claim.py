"""Leases due messages to this process, so that no other one sends them."""

import copy
import functools
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from email_settings.delivery import due
from email_settings.delivery.clock import now_in_sql
from email_settings.delivery.hold import reasons_of_the_account
from email_settings.models import (
    DeliveryAttempt,
    Lane,
    OutboxMessage,
    SesSettings,
    SharedBody,
)
from email_settings.nudge import nudge_worker
from email_settings.suppression import gate
from ticketflow.lib.many_rows import insert_copies

# Well above what one call may take: waiting for its turn, connecting, reading.
LEASE = timedelta(seconds=120)
# A call begins no later than this after its claim, so that it is over when the lease is:
# a worker that was frozen meanwhile does not send what others think lost.
LATEST_START = timedelta(seconds=45)
# So often a claim looks again because of mail that it had to put aside: some 50 ms.
MOST_LOOKS = 20


# Linux has one that goes on while the machine is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Claim:
    """One message leased to this process, and the try that is about to be made."""

    message: OutboxMessage
    attempt: DeliveryAttempt
    sender: SesSettings  # as they were when it was claimed
    is_probe: bool = False  # it finds out whether mail can leave again
    # Of the clock below, from just before it was leased
    claimed_at: float = field(default_factory=lambda: uptime())

    @property
    def seconds_left(self) -> float:
        """How long it may still wait before its call; 0 or less when it is too late."""
        return self.claimed_at + LATEST_START.total_seconds() - uptime()

    @property
    def may_start(self) -> bool:
        """Whether there is time enough left for the call."""
        return self.seconds_left > 0

    def time_at(self, moment: float) -> datetime:
        """Return when a moment of uptime() was by the database's clock, without asking.

        The lease tells what time it was there, and since then ours has only measured: a
        clock that is wrong goes as fast as one that is right.
        """
        lease_until = self.message.lease_until
        if lease_until is None:  # it was never leased
            return timezone.now()
        return lease_until - LEASE + timedelta(seconds=moment - self.claimed_at)


def uptime() -> float:
    """Return seconds of a clock that nobody can set and that counts while we sleep."""
    return time.clock_gettime(_CLOCK)


def process_name() -> str:
    """Return what this process is called in attempts and heartbeats."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}"


def claim_due(
    limit: int,
    *,
    token: str,
    sender: SesSettings,
    last_lane: Lane = Lane.DIGEST,
    bodies: dict[int, SharedBody] | None = None,
) -> list[Claim]:
    """Lease up to `limit` due messages, the most urgent first. Needs a transaction.

    None of a lane that is less urgent than `last_lane`.
    `bodies` are those of the claim before this one, and of this one afterwards: what
    many messages share need not be read again for each few of them.
    """
    find = functools.partial(due.first_due, last_lane=last_lane)
    messages = _lease_what_may_leave(find, limit, token)
    _give_bodies(messages, {} if bodies is None else bodies)
    return _claimed(messages, sender, is_probe=False)


def claim_held(*, token: str, sender: SesSettings) -> list[Claim]:
    """Lease one message that is held for the account. Needs a transaction."""
    reasons = reasons_of_the_account()
    if not reasons:
        return []
    find = functools.partial(due.first_held, reasons)
    messages = _lease_what_may_leave(find, 1, token)
    _give_bodies(messages, {})
    return _claimed(messages, sender, is_probe=True)


def give_back(tokens: Sequence[str]) -> None:
    """Undo claims that this process never saw, because their commit was in doubt."""
    if not tokens:
        return
    leased = OutboxMessage.objects.filter(
        state=OutboxMessage.State.SENDING, claim_token__in=tokens
    )
    DeliveryAttempt.objects.filter(
        message__in=leased, outcome=DeliveryAttempt.Outcome.STARTED
    ).delete()
    leased.update(
        state=OutboxMessage.State.QUEUED,
        attempts=F("attempts") - 1,
        claim_token="",
        lease_until=None,
    )


# One statement decides every race.
_LEASE_SQL = """
WITH due AS MATERIALIZED ({find})
UPDATE {table}
SET state = 'sending', lease_until = {lease_until}, claim_token = %s,
    attempts = attempts + 1, claims = claims + 1
WHERE id IN (SELECT id FROM due)
RETURNING {columns}
"""


def _lease_what_may_leave(
    find: Callable[[int], due.Find], limit: int, token: str
) -> list[OutboxMessage]:
    """Lease up to `limit`; mail to addresses that get none is put aside on the way."""
    found: list[OutboxMessage] = []
    for _ in range(MOST_LOOKS):
        missing = limit - len(found)
        leased = _lease(find(missing), token)
        found += gate.sort_out(leased)
        if len(leased) < missing or len(found) == limit:
            return found
    # The pump takes the little that was found for all that there is.
    transaction.on_commit(nudge_worker, robust=True)
    return found


def _lease(find: due.Find, token: str) -> list[OutboxMessage]:
    statement, values = find
    options = OutboxMessage._meta
    lease_until, lease_parameters = now_in_sql(LEASE)
    statement = _LEASE_SQL.format(
        table=options.db_table,
        find=statement,
        lease_until=lease_until,
        columns=", ".join(str(field.column) for field in options.concrete_fields),
    )
    messages = OutboxMessage.objects.raw(statement, [*values, *lease_parameters, token])
    return sorted(messages, key=lambda message: (message.lane, message.due_at))


def _give_bodies(
    messages: Sequence[OutboxMessage], bodies: dict[int, SharedBody]
) -> None:
    """Read the shared bodies, because a slot reads nothing from the database."""
    wanted = {m.shared_body_id for m in messages if m.shared_body_id is not None}
    known = {number: body for number, body in bodies.items() if number in wanted}
    if missing := wanted - known.keys():
        known |= SharedBody.objects.in_bulk(missing)
    for message in messages:
        if message.shared_body_id is not None:
            message.shared_body = known[message.shared_body_id]
    bodies.clear()
    bodies.update(known)


def _claimed(
    messages: list[OutboxMessage], sender: SesSettings, *, is_probe: bool
) -> list[Claim]:
    """Note the tries that are about to be made, so that a crash leaves a trace."""
    senders = [_sender_of(message, sender) for message in messages]
    # By the database's clock, as all that is compared with it
    began = [message.lease_until - LEASE for message in messages if message.lease_until]
    common = {
        "started_at": min(began, default=timezone.now()),
        "worker": process_name(),
    }
    attempts = [
        DeliveryAttempt(
            message=message,
            number=message.claims,
            access_key_hint=own.key_hint if own.is_live else "",
            region=own.region if own.is_live else "",
            **common,
        )
        for message, own in zip(messages, senders, strict=True)
    ]
    numbers = insert_copies(
        DeliveryAttempt(**common),
        [
            {
                "uid": attempt.uid,
                "message": attempt.message_id,
                "number": attempt.number,
                "access_key_hint": attempt.access_key_hint,
                "region": attempt.region,
            }
            for attempt in attempts
        ],
    )
    for attempt in attempts:
        attempt.pk = numbers[attempt.uid]
    return [
        Claim(message, attempt, own, is_probe)
        for message, attempt, own in zip(messages, attempts, senders, strict=True)
    ]


def _sender_of(message: OutboxMessage, sender: SesSettings) -> SesSettings:
    """Return the settings for this message: what an admin tries leaves in rehearsal too.

    An admin asked for exactly this one, to see Amazon SES take it before going live.
    """
    if message.kind not in OutboxMessage.TRIALS or not sender.is_configured:
        return sender
    own = copy.copy(sender)
    own.mode = SesSettings.Mode.LIVE
    return own
