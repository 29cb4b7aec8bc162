"""Finds the row of the catalogue for what the AWS SDK raised, by the codes of SES API v2."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

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
        found = _explain_reply(exception, from_email, region, recipient)
        return _unsent(found) if has_begun is False else found
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
        # The SDK has no error of its own for a renewal that gives an old token.
        is_over = isinstance(exception, RuntimeError) and "expired" in str(exception)
        code = "token_expired" if is_over else "cannot_connect"
    detail = str(exception)
    return SendError(
        problem_for(code, **_values(detail, from_email, region, recipient)),
        detail=detail,
        code=type(exception).__name__,
    )


def _unsent(found: SendError) -> SendError:
    """Read a doubtful answer that came before anything was sent.

    It is that of STS, asked to assume a role.
    """
    if found.problem.kind is not ErrorClass.UNKNOWN:
        return found
    problem = problem_for("aws_unavailable")
    return SendError(problem, found.detail, found.code, found.request_id)


# The first that fits; what fits none may have reached AWS.
_WITHOUT_A_REPLY: list[tuple[type[Exception], str]] = [
    (botocore_errors.NoCredentialsError, "no_credentials"),
    (botocore_errors.PartialCredentialsError, "no_credentials"),
    (botocore_errors.InvalidRegionError, "region_malformed"),
    (botocore_errors.NoRegionError, "region_malformed"),
    (botocore_errors.CredentialRetrievalError, "no_credentials"),
    (botocore_errors.UnauthorizedSSOTokenError, "token_expired"),
    (botocore_errors.TokenRetrievalError, "token_expired"),
    (botocore_errors.ProfileNotFound, "sdk_misconfigured"),
    (botocore_errors.ConfigNotFound, "sdk_misconfigured"),
    (botocore_errors.ConfigParseError, "sdk_misconfigured"),
    (botocore_errors.InvalidConfigError, "sdk_misconfigured"),
    (botocore_errors.InvalidProxiesConfigError, "sdk_misconfigured"),
    (botocore_errors.InvalidDefaultsMode, "sdk_misconfigured"),
    (botocore_errors.BaseEndpointResolverError, "sdk_misconfigured"),
    (botocore_errors.EndpointProviderError, "sdk_misconfigured"),
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
        date=str(metadata.get("HTTPHeaders", {}).get("date", "")),
        from_email=from_email,
        recipient=recipient,
    )
    code = _code_of(reply)
    detail = reply.message or reply.code
    if code == "clock_skew" and words.minutes_off(detail) is None:
        detail = "\n".join([detail, *_both_clocks(reply)])
    return SendError(
        problem_for(code, **_values(detail, from_email, region, recipient)),
        detail=detail,
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
    date: str  # of the HTTP header: AWS's clock
    from_email: str
    recipient: str

    def says(self, pattern: str) -> bool:
        return bool(re.search(pattern, self.message, re.IGNORECASE))


def _code_of(reply: _Reply) -> str:
    """Return the catalogue's code for the reply."""
    if not reply.request_id:
        # Only AWS numbers its replies. 502 and 503 are a proxy that did not get through;
        # behind any other failure of a proxy the mail may have been taken.
        may_have_left = reply.status >= 500 and reply.status not in {502, 503}
        return "aws_failed" if may_have_left else "not_aws"
    name = reply.code.removesuffix("Exception")
    by_name = _BY_NAME.get(_NAMES_OF_V1.get(name, name))
    if by_name is None:
        return _code_of_status(reply.status)
    return by_name if isinstance(by_name, str) else by_name(reply)


def _code_of_status(status: int) -> str:
    if status == 429:
        return "rate_exceeded"
    if status == 503:
        return "aws_unavailable"
    return "aws_failed" if status >= 500 else "request_refused"


def _denied(reply: _Reply) -> str:
    return "role_refused" if reply.says("sts:AssumeRole") else "access_denied"


def _signature(reply: _Reply) -> str:
    if reply.says(r"expired|not yet current"):
        return "clock_skew"
    apart = _apart(reply)
    is_off = apart is not None and abs(apart) > CLOCK_PATIENCE
    return "clock_skew" if is_off else "secret_mismatch"


def _apart(reply: _Reply) -> timedelta | None:
    """Return how far this server's clock is ahead of AWS's, None when it does not tell."""
    clock_of_aws = _date_of(reply)
    return datetime.now(UTC) - clock_of_aws if clock_of_aws else None


def _both_clocks(reply: _Reply) -> Iterator[str]:
    clock_of_aws = _date_of(reply)
    if clock_of_aws:
        yield words.clocks(aws=clock_of_aws, ours=datetime.now(UTC))


def _date_of(reply: _Reply) -> datetime | None:
    try:
        date = parsedate_to_datetime(reply.date)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _rejected(reply: _Reply) -> str:
    # The second wording is that of moto and of older replies.
    if reply.says("not verified|not have authority"):
        return _not_verified(reply)
    return "sending_paused_by_aws" if reply.says("paused") else "message_rejected"


def _not_verified(reply: _Reply) -> str:
    """Tell the sender's fault from the sandbox's: AWS lists who failed its check."""
    if reply.says("MAIL FROM domain"):
        return "mail_from_not_verified"
    failed = words.FailedIdentities.read(reply.message)
    # The sender first: without it no recipient would get anything.
    if failed.names(reply.from_email):
        return "from_not_verified"
    is_sandbox = failed.names(reply.recipient)
    return "recipient_not_verified" if is_sandbox else "from_not_verified"


def _bad_request(reply: _Reply) -> str:
    if reply.says("header|too long|length"):
        return "message_malformed"
    is_address = reply.says("address|domain")
    return "recipient_invalid" if is_address else "message_malformed"


def _too_much(reply: _Reply) -> str:
    # One code stands for the rate, another for the daily quota, and v1 has one for both.
    return "daily_quota" if reply.says("daily|quota") else "rate_exceeded"


def _limit(reply: _Reply) -> str:
    if reply.says("rate"):
        return "rate_exceeded"
    is_daily = reply.says("daily|quota|24.hour") or len(reply.message) < 2
    return "daily_quota" if is_daily else "limit_reached"


# Names of v2 without "Exception". A function decides where one name stands for several
# problems.
_BY_NAME: dict[str, str | Callable[[_Reply], str]] = {
    "UnrecognizedClient": "key_unknown",
    "InvalidSignature": _signature,
    "RequestTimeTooSkewed": "clock_skew",
    "RequestExpired": "clock_skew",
    "ExpiredToken": "token_expired",
    "IncompleteSignature": "signature_lost",
    "MissingAuthenticationToken": "signature_lost",
    "OptInRequired": "account_not_signed_up",
    "AccessDenied": _denied,
    "RegionDisabled": "region_not_enabled",
    "MessageRejected": _rejected,
    "SendingPaused": "sending_switched_off",
    "AccountSuspended": "account_suspended",
    "MailFromDomainNotVerified": "mail_from_not_verified",
    "NotFound": "configuration_set_missing",
    "TooManyRequests": _too_much,
    "LimitExceeded": _limit,
    "BadRequest": _bad_request,
    "ServiceUnavailable": "aws_unavailable",
    "InternalServiceError": "aws_failed",
}
# What the older API and some gateways of AWS call the same
_NAMES_OF_V1 = {
    "InvalidClientTokenId": "UnrecognizedClient",
    "InvalidAccessKeyId": "UnrecognizedClient",
    "SignatureDoesNotMatch": "InvalidSignature",
    "AccountSendingPaused": "SendingPaused",
    "ConfigurationSetSendingPaused": "SendingPaused",
    "ConfigurationSetDoesNotExist": "NotFound",
    "Throttling": "TooManyRequests",
    "InvalidParameterValue": "BadRequest",
    "InternalFailure": "InternalServiceError",
}


def _values(
    detail: str, from_email: str, region: str, recipient: str
) -> dict[str, object]:
    """Return what the texts of the catalogue may name."""
    set_name = words.configuration_set(detail)
    return {
        "from_email": from_email,
        "recipient": recipient,
        "region": region,
        "named_region": f" {region}" if region else "",
        "in_region": f" in {region}" if region else "",
        "dot_region": f".{region}" if region else "",
        "configuration_set": f" {set_name}" if set_name else "",
        **_clock(words.minutes_off(detail)),
        **words.denial(detail, from_email=from_email),
    }


def _clock(minutes: int | None) -> dict[str, object]:
    if minutes is None:
        return {}
    unit = "minute" if abs(minutes) == 1 else "minutes"
    return {
        "minutes": f" by {abs(minutes)} {unit}",
        "slow_or_fast": "It is slow." if minutes < 0 else "It is fast.",
    }
