"""Writes what became of the messages that were sent, or not."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from email_settings.delivery import hold
from email_settings.delivery.bulk import update_rows
from email_settings.delivery.claim import Claim
from email_settings.delivery.retry import MOST_FAILURES_OF_OURS, backoff, moment
from email_settings.gateway.errors import (
    ErrorClass,
    Problem,
    SendError,
    problem_for,
)
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings

logger = logging.getLogger(__name__)

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


@dataclass(frozen=True)
class Outcome:
    """What the gateway said to one claim: an id, or an error."""

    claim: Claim
    ses_message_id: str = ""
    error: SendError | None = None
    finished_at: datetime = field(default_factory=timezone.now)


@dataclass(frozen=True)
class Verdict:
    """What an outcome means for its message."""

    state: OutboxMessage.State
    result: DeliveryAttempt.Outcome
    counts: bool  # towards giving up
    wait: timedelta = timedelta(0)
    problem: Problem | None = None


def judge(outcome: Outcome, *, version: int | None) -> Verdict:
    """Return what follows; `version` is that of the settings of now. A pure function."""
    if outcome.error is None:
        return Verdict(State.SENT, Result.ACCEPTED, counts=True)
    problem = outcome.error.problem
    if problem.holds_all_mail and version != outcome.claim.sender.version:
        # It failed with settings that have been mended since.
        return Verdict(State.QUEUED, Result.REFUSED, counts=False, problem=problem)
    attempts = outcome.claim.message.attempts
    if problem.code == "sender_failed" and attempts >= MOST_FAILURES_OF_OURS:
        problem = problem_for("gave_up", attempts=attempts)
    return _verdict(problem, attempts)


def _verdict(problem: Problem, attempts: int) -> Verdict:
    match problem.kind:
        case ErrorClass.CAPTURED:
            return Verdict(State.HELD, Result.CAPTURED, counts=False, problem=problem)
        case ErrorClass.CONFIG | ErrorClass.IAM | ErrorClass.QUOTA | ErrorClass.SANDBOX:
            return Verdict(State.HELD, Result.REFUSED, counts=False, problem=problem)
        case ErrorClass.RATE:
            wait = timedelta(0) if problem.code == "not_started" else moment()
            return Verdict(
                State.QUEUED, Result.NOT_SENT, counts=False, wait=wait, problem=problem
            )
        case ErrorClass.NOTSENT:
            return Verdict(
                State.QUEUED,
                Result.NOT_SENT,
                counts=True,
                wait=backoff(attempts),
                problem=problem,
            )
        case ErrorClass.MSG:
            return Verdict(State.FAILED, Result.REFUSED, counts=True, problem=problem)
        case ErrorClass.UNKNOWN:
            return Verdict(State.UNKNOWN, Result.UNKNOWN, counts=True, problem=problem)


def settle(outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes: messages, attempts, and whether all mail is held or freed.

    Only a message that is still leased by its claim is changed, so that a worker
    whose lease ran out overwrites nothing. Needs a transaction.
    """
    if not outcomes:
        return
    version = _settings_version(outcomes)
    judged = [(outcome, judge(outcome, version=version)) for outcome in outcomes]
    update_rows(
        OutboxMessage,
        [_message_values(outcome, verdict) for outcome, verdict in judged],
        match=["id", "claim_token"],
        new={"claim_token": ""},
    )
    update_rows(
        DeliveryAttempt,
        [_attempt_values(outcome, verdict) for outcome, verdict in judged],
        match=["id"],
    )
    messages = [outcome.claim.message for outcome in outcomes]
    wipe_secrets([message.pk for message in messages if message.is_secret])
    for outcome, verdict in judged:
        _judge_account(outcome, verdict)


def _settings_version(outcomes: Sequence[Outcome]) -> int | None:
    """Return the version of the settings of now, if an outcome depends on it."""
    if any(o.error and o.error.problem.holds_all_mail for o in outcomes):
        return SesSettings.load().version
    return None


def wipe_secrets(message_ids: Sequence[int]) -> None:
    """Forget the bodies of secret messages among these whose state is final."""
    if not message_ids:
        return
    OutboxMessage.objects.filter(
        pk__in=message_ids, is_secret=True, state__in=OutboxMessage.FINAL_STATES
    ).update(text_body="", html_body="")


def _judge_account(outcome: Outcome, verdict: Verdict) -> None:
    error = outcome.error
    if verdict.state == State.HELD and error and error.problem.holds_all_mail:
        logger.warning("outbox: all mail is held: %s", error)
        hold.hold_all(error, version=outcome.claim.sender.version)
    elif verdict.state == State.SENT and outcome.claim.is_probe:
        released = hold.lift()
        logger.info("outbox: mail leaves again, %s messages released", released)
    elif verdict.state in {State.FAILED, State.UNKNOWN}:
        logger.warning(
            "outbox: message %s is %s: %s",
            outcome.claim.message.uid,
            verdict.state,
            error,
        )


def _message_values(outcome: Outcome, verdict: Verdict) -> dict[str, Any]:
    message = outcome.claim.message
    problem = verdict.problem
    is_sent = verdict.state == State.SENT
    return {
        "id": message.pk,
        "claim_token": message.claim_token,
        "lease_until": None,
        "state": verdict.state.value,
        "attempts": message.attempts if verdict.counts else message.attempts - 1,
        "reason_code": problem.code if problem else "",
        "reason": problem.title if problem else "",
        "reason_detail": outcome.error.detail if outcome.error else "",
        "due_at": outcome.finished_at + verdict.wait,
        "ses_message_id": outcome.ses_message_id,
        "sent_at": outcome.finished_at if is_sent else None,
    }


def _attempt_values(outcome: Outcome, verdict: Verdict) -> dict[str, Any]:
    error = outcome.error
    return {
        "id": outcome.claim.attempt.pk,
        "outcome": verdict.result.value,
        "finished_at": outcome.finished_at,
        "error_code": error.problem.code if error else "",
        "error_detail": error.detail if error else "",
        "ses_message_id": outcome.ses_message_id,
    }
