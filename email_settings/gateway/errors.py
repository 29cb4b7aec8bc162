"""Finds the row of the catalogue for what the AWS SDK raised, by the codes of SES API v2."""

import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType

from botocore import exceptions as botocore_errors

from email_settings.gateway import words
from email_settings.gateway.catalogue import (
    CATALOGUE,
    ErrorClass,
    Problem,
    problem_for,
)

# The names that the rest of the product uses.
__all__ = [
    "CATALOGUE",
    "ErrorClass",
    "Problem",
    "SendError",
    "explain",
    "problem_for",
    "recall",
]

LONGEST_DETAIL = 2_000  # characters
LONGEST_NAME = 100  # characters of a code or a request's number
# AWS refuses what is further off.
CLOCK_PATIENCE = timedelta(minutes=5)


class SendError(Exception):
    """Amazon SES did not take a message, or may not have."""

    def __init__(
        self, problem: Problem, detail: str = "", code: str = "", request_id: str = ""
    ) -> None:
        """`detail` and `code` are AWS's own words, `request_id` its number for them."""
        detail = _storable(detail, LONGEST_DETAIL)
        super().__init__(f"{problem.title} ({code or problem.code}: {detail})")
        self.problem = problem
        self.detail = detail
        self.code = _storable(code, LONGEST_NAME)
        self.request_id = _storable(request_id, LONGEST_NAME)

    @property
    def record(self) -> str:
        """AWS's words with its code and number, as AWS Support asks for them."""
        said = [self.code, self.detail] if self.code else [self.detail]
        lines = [": ".join(filter(None, said))]
        if self.request_id:
            lines.append(f"AWS request ID: {self.request_id}")
        return "\n".join(filter(None, lines))


# The user and password in "http://user:password@proxy:3128"
_SIGN_IN_OF_A_PROXY = re.compile(r"(?<=://)[^\s/@]+@")


def _storable(text: str, longest: int) -> str:
    """Return what can be kept and shown.

    Whatever answered in AWS's place, its words must fit into the database: PostgreSQL
    takes no NUL, and what can't be written stops all mail behind it.
    """
    return _SIGN_IN_OF_A_PROXY.sub("", text.replace("\0", ""))[:longest]


def recall(
    code: str,
    *,
    detail: str = "",
    from_email: str = "",
    region: str = "",
    recipient: str = "",
) -> Problem:
    """Return the problem that was stored as code and AWS's words, in full again.

    A code that is not in the catalogue (any more) comes out as "request_refused".
    """
    values = _values(detail, from_email, region, recipient)
    return problem_for(code if code in CATALOGUE else "request_refused", **values)


def explain(
    exception: Exception,
    *,
    from_email: str = "",
    region: str = "",
    recipient: str = "",
    has_begun: bool | None = None,
) -> SendError:
    """Return the problem behind what the SDK raised.

    The keywords say what was asked; they tell a sender that is not verified from a
    recipient that is not, and make the texts exact. `has_begun` says whether some of the
    request may have left this machine, None when that was not watched. An exception that
    is no error of the SDK counts as an unknown outcome.
    """
    if isinstance(exception, botocore_errors.ClientError):
        return _explain_reply(exception, from_email, region, recipient)
    code = next(
        (
            code
            for error_type, code in _WITHOUT_A_REPLY
            if isinstance(exception, error_type)
        ),
        "no_answer",
    )
    if has_begun and CATALOGUE[code].kind is ErrorClass.NOTSENT:
        # An error of TLS in the answer looks like one of the handshake.
        code = "no_answer"
    elif has_begun is False and code == "no_answer":
        code = "cannot_connect"
    detail = str(exception)
    return SendError(
        problem_for(code, **_values(detail, from_email, region, recipient)),
        detail=detail,
        code=type(exception).__name__,
    )


# The first that fits; what fits none may have reached AWS.
_WITHOUT_A_REPLY: list[tuple[type[Exception], str]] = [
    (botocore_errors.NoCredentialsError, "no_credentials"),
    (botocore_errors.PartialCredentialsError, "no_credentials"),
    (botocore_errors.InvalidRegionError, "region_malformed"),
    (botocore_errors.NoRegionError, "region_malformed"),
    (botocore_errors.ParamValidationError, "message_malformed"),
    (botocore_errors.ProxyConnectionError, "proxy_unreachable"),
    (botocore_errors.SSLError, "tls_failed"),
    (botocore_errors.ConnectTimeoutError, "connect_timeout"),
    (botocore_errors.EndpointConnectionError, "cannot_connect"),
]


def _explain_reply(
    exception: botocore_errors.ClientError, from_email: str, region: str, recipient: str
) -> SendError:
    error = exception.response.get("Error", {})
    metadata = exception.response.get("ResponseMetadata", {})
    reply = _Reply(
        code=str(error.get("Code", "")),
        # Not str(exception): the SDK adds words of its own about retries.
        message=str(error.get("Message", "")),
        status=int(metadata.get("HTTPStatusCode", 0)),
        request_id=str(metadata.get("RequestId", "")),
        from_email=from_email,
        recipient=recipient,
    )
    values = _values(reply.message, from_email, region, recipient)
    return SendError(
        problem_for(_code_of(reply), **values),
        detail=reply.message or reply.code,
        code=reply.code,
        request_id=reply.request_id,
    )


@dataclass(frozen=True)
class _Reply:
    """An error that AWS, or something in its place, answered with."""

    code: str
    message: str
    status: int
    request_id: str
    from_email: str
    recipient: str


def _code_of(reply: _Reply) -> str:
    if not reply.request_id:
        # Only AWS numbers its replies. 502 and 503 are a proxy that did not get through;
        # behind any other failure of a proxy the mail may have been taken.
        may_have_left = reply.status >= 500 and reply.status not in {502, 503}
        return "aws_failed" if may_have_left else "not_aws"
    by_name = _BY_NAME.get(reply.code.removesuffix("Exception"))
    if by_name is None:
        return _code_of_status(reply.status)
    return by_name if isinstance(by_name, str) else by_name(reply)


def _code_of_status(status: int) -> str:
    if status == 429:
        return "rate_exceeded"
    if status == 503:
        return "aws_unavailable"
    return "aws_failed" if status >= 500 else "request_refused"


def _signature(reply: _Reply) -> str:
    is_about_time = re.search(r"expired|not yet current", reply.message, re.IGNORECASE)
    return "clock_skew" if is_about_time else "secret_mismatch"


def _rejected(reply: _Reply) -> str:
    # The second wording is that of moto and of older replies.
    if re.search("not verified|not have authority", reply.message):
        return _not_verified(reply)
    is_paused = "paused" in reply.message.lower()
    return "sending_paused_by_aws" if is_paused else "message_rejected"


def _not_verified(reply: _Reply) -> str:
    """Tell the sender's fault from the sandbox's: AWS lists who failed its check."""
    if "MAIL FROM" in reply.message:
        return "mail_from_not_verified"
    _, _, listed = reply.message.lower().partition("failed the check")
    sender_is_listed = bool(reply.from_email) and reply.from_email.lower() in listed
    recipient_is_listed = bool(reply.recipient) and reply.recipient.lower() in listed
    if recipient_is_listed and not sender_is_listed:
        return "recipient_not_verified"
    return "from_not_verified"


def _bad_request(reply: _Reply) -> str:
    is_address = re.search(r"address|domain", reply.message, re.IGNORECASE)
    return "recipient_invalid" if is_address else "message_malformed"


def _too_much(reply: _Reply) -> str:
    # One code stands for the rate, another for the daily quota, and v1 has one for both.
    is_daily = "daily" in reply.message.lower()
    return "daily_quota" if is_daily else "rate_exceeded"


def _limit(reply: _Reply) -> str:
    is_rate = "rate" in reply.message.lower()
    return "rate_exceeded" if is_rate else "daily_quota"


# Names of v2 without "Exception", and those of v1 that some replies still use. A
# function decides where the same name stands for several problems.
_BY_NAME: dict[str, str | Callable[[_Reply], str]] = {
    "UnrecognizedClient": "key_unknown",
    "InvalidClientTokenId": "key_unknown",
    "InvalidAccessKeyId": "key_unknown",
    "InvalidSignature": _signature,
    "SignatureDoesNotMatch": _signature,
    "RequestTimeTooSkewed": "clock_skew",
    "RequestExpired": "clock_skew",
    "ExpiredToken": "token_expired",
    "IncompleteSignature": "signature_lost",
    "MissingAuthenticationToken": "signature_lost",
    "OptInRequired": "account_not_signed_up",
    "AccessDenied": "access_denied",
    "MessageRejected": _rejected,
    "SendingPaused": "sending_switched_off",
    "AccountSendingPaused": "sending_switched_off",
    "ConfigurationSetSendingPaused": "sending_switched_off",
    "AccountSuspended": "account_suspended",
    "MailFromDomainNotVerified": "mail_from_not_verified",
    "NotFound": "configuration_set_missing",
    "ConfigurationSetDoesNotExist": "configuration_set_missing",
    "TooManyRequests": _too_much,
    "Throttling": _too_much,
    "LimitExceeded": _limit,
    "BadRequest": _bad_request,
    "InvalidParameterValue": _bad_request,
    "ServiceUnavailable": "aws_unavailable",
    "InternalServiceError": "aws_failed",
    "InternalFailure": "aws_failed",
}


def _values(
    message: str, from_email: str, region: str, recipient: str
) -> dict[str, object]:
    """Return what the texts of the catalogue may name."""
    action = _action(message)
    return {
        "from_email": from_email,
        "recipient": recipient,
        "region": region,
        "in_region": f" in {region}" if region else "",
        "dot_region": f".{region}" if region else "",
        "action": action,
        "actions": _SENDING if action.startswith("ses:Send") else f'"{action}"',
        "cause": _cause_of_denial(message),
        "minutes": _minutes_off(message),
    }


_ACTION = re.compile(r"perform:? [`']?([a-z0-9-]+:\w+)")
# Raw MIME through SendEmail is authorised as SendRawEmail; a policy needs both.
_SENDING = '["ses:SendEmail", "ses:SendRawEmail"]'


def _action(message: str) -> str:
    found = _ACTION.search(message)
    return found[1] if found else "ses:SendRawEmail"


def _cause_of_denial(message: str) -> str:
    if "permissions boundary" in message:
        return "The permissions boundary of the IAM user does not allow it."
    if "service control policy" in message:
        return "A service control policy of your AWS organisation forbids it."
    if "explicit deny" in message:
        return "A policy of the IAM user or of your organisation forbids it explicitly."
    return "No policy of the IAM user allows it."


# "Signature expired: T1 is now earlier than T2 (T3 - 5 min.)": T1 is this server's
# clock, T3 that of AWS.
_CLOCKS = re.compile(r"(\d{8}T\d{6}Z) is .*\((\d{8}T\d{6}Z) [-+]")


def _minutes_off(message: str) -> str:
    """Return " by 12 minutes" when AWS named both clocks, else ""."""
    found = _CLOCKS.search(message)
    if not found:
        return ""
    apart = _moment(found[1]) - _moment(found[2])
    return f" by {round(abs(apart.total_seconds()) / 60)} minutes"


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S%z")
