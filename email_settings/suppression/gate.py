"""Keeps back mail to addresses that get none, just before it would leave."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from email_settings.delivery.secret_bodies import wipe_secrets
from email_settings.gateway.catalogue import problem_for
from email_settings.models import Lane, OutboxMessage
from email_settings.suppression.standing import Standing, in_force, standings
from ticketflow.lib.many_rows import update_rows

State = OutboxMessage.State

SUPPRESSED = "suppressed"  # the reason_code of what is not sent
HELD = "address_held"  # and of what waits until a temporary hold ends


def sort_out(leased: Iterable[OutboxMessage]) -> list[OutboxMessage]:
    """Return those of the leased messages that may leave.

    The others are suppressed, or held for as long as their address is; that they were
    leased uses no try up. One query, and one more when there are others. Needs the
    transaction that leased them.
    """
    leased = list(leased)
    barred = standings(message.recipient for message in leased)
    if not barred:
        return leased
    free: list[OutboxMessage] = []
    rows: list[dict[str, Any]] = []
    for message in leased:
        standing = barred.get(message.recipient.lower())
        if standing is None or _lets_through(standing, message):
            free.append(message)
        else:
            rows.append(_put_aside(message, standing))
    update_rows(OutboxMessage, rows, match=["id"])
    wipe_secrets([row["id"] for row in rows if row["state"] == State.SUPPRESSED])
    return free


def may_go_again(held: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    """Return those of the held messages whose address is held for a while no longer.

    Also when it gets no mail for good meanwhile: the next claim says so.
    """
    holds = in_force().filter(
        address_lower=OuterRef("recipient_lower"), held_until__isnull=False
    )
    strict = holds.filter(security_allowed_at=None)
    return held.filter(~Exists(holds) | Q(lane=Lane.SECURITY) & ~Exists(strict))


def _lets_through(standing: Standing, message: OutboxMessage) -> bool:
    is_probe = message.kind in OutboxMessage.PROBES
    return is_probe or standing.lets_through(message.lane)


def _put_aside(message: OutboxMessage, standing: Standing) -> dict[str, Any]:
    problem = problem_for(SUPPRESSED if standing.until is None else HELD)
    return {
        "id": message.pk,
        "state": State.SUPPRESSED if standing.until is None else State.HELD,
        "reason_code": problem.code,
        "reason": standing.title,
        "reason_detail": standing.detail,
        # As if it had not been leased
        "attempts": message.attempts - 1,
        "claims": message.claims - 1,
        "claim_token": "",
        "lease_until": None,
    }
