"""Writes what became of the messages that were sent, or not."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from email_settings import alerts, pacing
from email_settings.delivery import doubt, hold
from email_settings.delivery.claim import Claim, uptime
from email_settings.delivery.retry import MOST_FAILURES_OF_OURS, backoff, moment
from email_settings.delivery.secret_bodies import wipe_secrets
from email_settings.gateway.errors import (
    ErrorClass,
    Problem,
    SendError,
    problem_for,
)
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.void_links import call_off_in_doubt
from ticketflow.lib.many_rows import update_rows

logger = logging.getLogger(__name__)

CALLED_OFF = "called_off"
# Given back before the call; it need not wait.
NOT_BEGUN = ("not_started", CALLED_OFF)

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


@dataclass(frozen=True)
class Outcome:
    """What the gateway said to one claim: an id, or an error."""

    claim: Claim
    ses_message_id: str = ""
    error: SendError | None = None
    # Of the clock that uptime() reads
    finished: float = field(default_factory=lambda: uptime())

    @property
    def finished_at(self) -> datetime:
        """When that was, by the clock that says what is due."""
        return self.claim.time_at(self.finished)


@dataclass(frozen=True)
class Verdict:
    """What an outcome means for its message."""

    state: OutboxMessage.State
    result: DeliveryAttempt.Outcome
    counts: bool  # towards giving up
    wait: timedelta = timedelta(0)
    problem: Problem | None = None


class Streak:
    """How many calls in a row got no clear word of AWS. One a process, as its network is.

    A network or an AWS that takes mail and never answers would otherwise turn all that
    waits into mail in doubt.
    """

    LONGEST = 10

    def __init__(self) -> None:
        self.length = 0

    def note(self, outcome: Outcome) -> bool:
        """Count the outcome and return whether it is time to stop trying."""
        if has_no_clear_word(outcome):
            self.length += 1
        elif has_answered(outcome):
            self.length = 0
        if self.length < self.LONGEST:
            return False
        self.length = 0
        return True


_streak = Streak()


def is_unreachable(outcome: Outcome) -> bool:
    """Whether the call found no AWS, which is no fault of the message."""
    return outcome.error is not None and outcome.error.problem.code in hold.UNREACHABLE


def has_no_clear_word(outcome: Outcome) -> bool:
    """Whether nobody said yes or no: AWS was not found, or said nothing of use."""
    return is_unreachable(outcome) or _is_in_doubt(outcome)


def is_trouble_for_all(outcome: Outcome) -> bool:
    """Whether the next message would probably fare no better."""
    return has_no_clear_word(outcome) or (
        outcome.error is not None and outcome.error.problem.holds_all_mail
    )


def was_called_off(outcome: Outcome) -> bool:
    """Whether it was given back before its call because of another message."""
    return outcome.error is not None and outcome.error.problem.code == CALLED_OFF


def _is_in_doubt(outcome: Outcome) -> bool:
    return (
        outcome.error is not None and outcome.error.problem.kind is ErrorClass.UNKNOWN
    )


def has_answered(outcome: Outcome) -> bool:
    """Whether AWS itself answered, be it yes or no."""
    return outcome.error is None or bool(outcome.error.request_id)


def judge(outcome: Outcome, *, version: int | None, is_paused: bool = False) -> Verdict:
    """Return what follows. A pure function.

    `version` is that of the settings of now, and `is_paused` says that mail waits for
    AWS to be reachable again.
    """
    if outcome.error is None:
        return Verdict(State.SENT, Result.ACCEPTED, counts=True)
    problem = outcome.error.problem
    if problem.holds_all_mail and version != outcome.claim.sender.version:
        # It failed with settings that have been mended since.
        return Verdict(State.QUEUED, Result.REFUSED, counts=False, problem=problem)
    if is_paused and is_unreachable(outcome):
        # It only found out that nothing has changed.
        return Verdict(
            State.QUEUED,
            Result.NOT_SENT,
            counts=False,
            wait=moment(),
            problem=problem,
        )
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
            wait = timedelta(0) if problem.code in NOT_BEGUN else moment()
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
    account = _account_of_now(outcomes)
    version = account.version if account else None
    is_paused = account is not None and account.hold_code in hold.UNREACHABLE
    judged = [
        (outcome, judge(outcome, version=version, is_paused=is_paused))
        for outcome in outcomes
    ]
    values = [_message_values(outcome, verdict) for outcome, verdict in judged]
    if all(verdict.state == State.SENT for _, verdict in judged):
        # Which is nearly always; then it need not be written.
        for row in values:
            del row["due_at"]
    # The token alone says that it is being sent (a constraint of the table). With the
    # state beside it PostgreSQL would look through all that was "sending" of late.
    found = update_rows(
        OutboxMessage,
        values,
        match=["id", "claim_token"],
        new={"claim_token": ""},
    )
    update_rows(
        DeliveryAttempt,
        [_attempt_values(outcome, verdict) for outcome, verdict in judged],
        match=["id"],
    )
    if found < len(outcomes):
        # Somebody thought this worker dead; that Amazon SES took a mail is still true.
        doubt.resolve_late(
            (o.claim.attempt.uid, o.ses_message_id, o.finished_at)
            for o in outcomes
            if o.error is None
        )
    messages = [outcome.claim.message for outcome in outcomes]
    secret = [message.pk for message in messages if message.is_secret]
    wipe_secrets(secret)
    if any(verdict.state == State.UNKNOWN for _, verdict in judged):
        call_off_in_doubt(secret)
    for outcome, verdict in judged:
        _judge_account(outcome, verdict, is_paused=is_paused)
    alerts.mails_in_doubt(
        sum(
            verdict.state == State.UNKNOWN
            and outcome.claim.message.kind not in alerts.WITHOUT_ALERT
            for outcome, verdict in judged
        )
    )


def _account_of_now(outcomes: Sequence[Outcome]) -> SesSettings | None:
    """Return the settings of now, if what follows from an outcome depends on them."""
    if any(
        outcome.claim.is_probe or is_trouble_for_all(outcome) for outcome in outcomes
    ):
        return SesSettings.load()
    return None


def _judge_account(outcome: Outcome, verdict: Verdict, *, is_paused: bool) -> None:
    """Hold or free all mail, or slow it down, because of what came of one message."""
    error, version = outcome.error, outcome.claim.sender.version
    must_pause = _streak.note(outcome)
    if error and verdict.state == State.HELD and error.problem.holds_all_mail:
        logger.warning("outbox: all mail is held: %s", error)
        hold.hold_all(error, version=version)
    elif error and has_no_clear_word(outcome) and (must_pause or is_paused):
        logger.warning("outbox: mail waits, AWS can't be reached: %s", error)
        hold.hold_all(_why_all_waits(error), version=version)
    elif outcome.claim.is_probe and _is_mended(outcome, is_paused=is_paused):
        released = hold.lift()
        logger.info("outbox: mail leaves again, %s messages released", released)
    if error and error.problem.code == "rate_exceeded" and pacing.slow_down():
        logger.warning("outbox: AWS says too fast, the rate is halved for a while")
    if verdict.state in {State.FAILED, State.UNKNOWN}:
        logger.warning(
            "outbox: message %s is %s: %s",
            outcome.claim.message.uid,
            verdict.state,
            error,
        )


def _why_all_waits(error: SendError) -> SendError:
    """Return what the error of one message says about AWS itself."""
    if error.problem.kind is ErrorClass.UNKNOWN:
        return SendError(problem_for(hold.SILENT), detail=error.detail, code=error.code)
    return error


def _is_mended(outcome: Outcome, *, is_paused: bool) -> bool:
    """Whether a probe shows that what held all mail is over."""
    return outcome.error is None or (is_paused and has_answered(outcome))


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
        # What is sent keeps its own: it is never due again.
        "due_at": message.due_at if is_sent else outcome.finished_at + verdict.wait,
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
        "error_detail": error.record if error else "",
        "ses_message_id": outcome.ses_message_id,
    }
