"""Asks AWS about an account: who it is, what it may send, whether From is verified."""

import concurrent.futures
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from email_settings.credentials import Credentials
from email_settings.gateway.errors import (
    ErrorClass,
    Problem,
    SendError,
    explain,
    problem_for,
)
from email_settings.gateway.sessions import session_of, sts_region

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

Answer = TypeVar("Answer")

TOTAL_SECONDS = 5.0
APART_SECONDS = 1.05
_TOO_SOON = frozenset({"TooManyRequestsException", "ThrottlingException"})
_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=4)
# KeyError is what the SDK makes of a portal's well-formed page where STS's XML should be.
_SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, KeyError)


@dataclass
class AccountState:
    """What AWS said; None and "" where it did not say."""

    account_id: str = ""
    principal_arn: str = ""
    is_sandbox: bool | None = None
    is_sending_enabled: bool | None = None
    max_send_rate: float | None = None  # recipients per second
    max_24_hour_send: float | None = None  # recipients; -1 is unlimited
    sent_last_24_hours: float | None = None  # recipients
    is_from_verified: bool | None = None
    enforcement: str | None = None  # "HEALTHY", "PROBATION", "SHUTDOWN"
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Identity:
    account_id: str
    principal_arn: str


@dataclass
class _Sending:
    """What SES itself said, and what went wrong in asking."""

    is_sandbox: bool | None = None
    is_sending_enabled: bool | None = None
    max_send_rate: float | None = None
    max_24_hour_send: float | None = None
    sent_last_24_hours: float | None = None
    is_from_verified: bool | None = None
    enforcement: str | None = None
    errors: list[SendError] = field(default_factory=list)


def check_account(
    credentials: Credentials,
    from_email: str = "",
    *,
    total_seconds: float = TOTAL_SECONDS,
) -> AccountState:
    """Ask AWS and return within `total_seconds` what it said by then.

    Never raises: each part that fails leaves its values None and its problem in the
    list. Whether From is verified is asked only when it is given.
    """
    # Not as a context manager: leaving one would wait for a call that hangs.
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=2)
    identity = pool.submit(_ask_who, credentials)
    sending = pool.submit(_ask_ses, credentials, from_email)
    pool.shutdown(wait=False)
    asked: list[concurrent.futures.Future[Any]] = [identity, sending]
    concurrent.futures.wait(asked, timeout=total_seconds)
    return _summarise(
        identity.result() if identity.done() else _too_slow(credentials),
        sending.result() if sending.done() else None,
        credentials,
    )


def ask_account(credentials: Credentials) -> AccountState:
    """Ask Amazon SES one question, about the account. Never raises.

    Who the key belongs to and whether From is verified stay unasked. Takes up to 7
    seconds.
    """
    nobody = _Identity(account_id="", principal_arn="")
    return _summarise(nobody, _ask_ses(credentials, ""), credentials)


def state_of(answer: Mapping[str, Any] | SendError) -> AccountState:
    """Return what GetAccount said, for what was asked elsewhere; no question is asked."""
    sending = _Sending()
    if isinstance(answer, SendError):
        sending.errors.append(answer)
    else:
        _read_account(answer, sending)
    return AccountState(
        is_sandbox=sending.is_sandbox,
        is_sending_enabled=sending.is_sending_enabled,
        max_send_rate=sending.max_send_rate,
        max_24_hour_send=sending.max_24_hour_send,
        sent_last_24_hours=sending.sent_last_24_hours,
        enforcement=sending.enforcement,
        problems=[replace(e.problem, words=e.record) for e in sending.errors],
    )


def _summarise(
    who: _Identity | SendError, sending: _Sending | None, credentials: Credentials
) -> AccountState:
    state = AccountState()
    errors: list[SendError] = []
    if isinstance(who, SendError):
        errors.append(who)
    else:
        state.account_id, state.principal_arn = who.account_id, who.principal_arn
    if sending is None:
        errors.append(_too_slow(credentials))
    else:
        state.is_sandbox = sending.is_sandbox
        state.is_sending_enabled = sending.is_sending_enabled
        state.max_send_rate = sending.max_send_rate
        state.max_24_hour_send = sending.max_24_hour_send
        state.sent_last_24_hours = sending.sent_last_24_hours
        state.is_from_verified = sending.is_from_verified
        state.enforcement = sending.enforcement
        errors.extend(sending.errors)
    problems = (_in_context(error, state, credentials) for error in errors)
    unique = {problem.code: problem for problem in problems if problem is not None}
    state.problems = list(unique.values())
    return state


def _in_context(
    error: SendError, state: AccountState, credentials: Credentials
) -> Problem | None:
    """Read one answer in the light of the other; None when it means nothing."""
    problem = replace(error.problem, words=error.record)
    if not state.account_id:
        return problem
    if problem.code == "key_unknown":
        # STS knows the key, so it is the region that does not.
        problem = problem_for("region_not_enabled", region=credentials.region)
        return replace(problem, words=error.record)
    # AWS itself answers, so an answer that can't be read is nobody's proxy.
    return None if problem.code == "not_aws" else problem


def _too_slow(credentials: Credentials) -> SendError:
    problem = problem_for("connect_timeout", dot_region=f".{credentials.region}")
    return SendError(problem, detail="No answer in time")


def explain_question(
    error: Exception, *, region: str, from_email: str = ""
) -> SendError:
    """Return the problem behind a question; one without an answer has changed nothing."""
    found = explain(error, from_email=from_email, region=region)
    if found.problem.kind is not ErrorClass.UNKNOWN:
        return found
    if found.problem.code == "aws_failed":
        code = "aws_unavailable"
    elif isinstance(error, ReadTimeoutError):
        code = "connect_timeout"
    else:
        code = "not_aws"
    return SendError(
        problem_for(code, dot_region=f".{region}"),
        detail=found.detail,
        code=found.code,
        request_id=found.request_id,
    )


def _ask_who(credentials: Credentials) -> _Identity | SendError:
    """Ask STS, which needs no permission and knows keys of regions not enabled."""
    try:
        session = session_of(credentials)
        region = sts_region(session, credentials.region)
        client = session.client("sts", region_name=region, config=_CONFIG)
        answer = client.get_caller_identity()
    except _SDK_ERRORS as error:
        return explain_question(error, region=credentials.region)
    return _Identity(answer.get("Account", ""), answer.get("Arn", ""))


def _ask_ses(credentials: Credentials, from_email: str) -> _Sending:
    sending = _Sending()
    try:
        client = session_of(credentials).client("sesv2", config=_CONFIG)
    except _SDK_ERRORS as error:
        sending.errors.append(explain_question(error, region=credentials.region))
        return sending
    # One after the other: SES allows one such call a second, and may insist on it.
    _ask_account(client, sending, credentials.region)
    if from_email:
        _ask_sender(client, sending, credentials.region, from_email)
    return sending


def _ask_account(client: "SESV2Client", sending: _Sending, region: str) -> None:
    try:
        answer = _asked(client.get_account)
    except _SDK_ERRORS as error:
        sending.errors.append(explain_question(error, region=region))
        return
    _read_account(answer, sending)


def _asked(question: Callable[[], Answer]) -> Answer:
    """Return the answer; ask once more when SES was asked by somebody a moment ago."""
    try:
        return question()
    except ClientError as error:
        if error.response["Error"]["Code"] not in _TOO_SOON:
            raise
    time.sleep(APART_SECONDS)
    return question()


def _read_account(answer: Mapping[str, Any], sending: _Sending) -> None:
    has_production_access = answer.get("ProductionAccessEnabled")
    if has_production_access is not None:
        sending.is_sandbox = not has_production_access
    sending.is_sending_enabled = answer.get("SendingEnabled")
    sending.enforcement = answer.get("EnforcementStatus")
    quota = answer.get("SendQuota", {})
    sending.max_send_rate = quota.get("MaxSendRate")
    sending.max_24_hour_send = quota.get("Max24HourSend")
    sending.sent_last_24_hours = quota.get("SentLast24Hours")
    if answer.get("EnforcementStatus") == "SHUTDOWN":
        sending.errors.append(SendError(problem_for("sending_paused_by_aws")))
    elif sending.is_sending_enabled is False:
        sending.errors.append(SendError(problem_for("sending_switched_off")))


def _ask_sender(
    client: "SESV2Client", sending: _Sending, region: str, from_email: str
) -> None:
    """Look for a verified identity: the address, its domain, each parent domain."""
    for identity in _identities(from_email):
        try:
            answer = _asked(partial(client.get_email_identity, EmailIdentity=identity))
        except client.exceptions.NotFoundException:
            continue
        except _SDK_ERRORS as error:
            sending.errors.append(
                explain_question(error, from_email=from_email, region=region)
            )
            return
        if "VerifiedForSendingStatus" not in answer:
            return
        if answer["VerifiedForSendingStatus"]:
            sending.is_from_verified = True
            return
    sending.is_from_verified = False
    problem = problem_for(
        "from_not_verified", from_email=from_email, in_region=f" in {region}"
    )
    sending.errors.append(SendError(problem))


def _identities(from_email: str) -> Iterator[str]:
    yield from_email
    _, _, domain = from_email.rpartition("@")
    labels = domain.split(".")
    # A top-level domain is nobody's identity.
    for start in range(len(labels) - 1):
        yield ".".join(labels[start:])
