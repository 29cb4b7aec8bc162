"""What can go wrong on the way to Amazon SES: what happened, why, and how to mend it.

The texts are data, keyed by a code of ours that is stored with messages and attempts.
`explain` finds the code for what the AWS SDK raised, by the codes of the SES API v2.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from botocore import exceptions as botocore_errors


class ErrorClass(Enum):
    """What a problem means for the mail that met it, and for the mail behind it."""

    CONFIG = "config"  # all mail is held until the settings or the account are mended
    IAM = "iam"  # the same, and a permission is what is missing
    QUOTA = "quota"  # all mail is held until the daily window has room
    RATE = "rate"  # too fast: again in a moment, no attempt counted
    MSG = "msg"  # this message will never be taken; the others are fine
    NOTSENT = "notsent"  # it never left: tried again later
    UNKNOWN = "unknown"  # it may have been taken; a person decides
    CAPTURED = "captured"  # rehearsal: kept here on purpose


@dataclass(frozen=True)
class Problem:
    """One row of the catalogue, in plain words."""

    code: str
    kind: ErrorClass
    title: str  # what happened
    why: str
    fix: str

    @property
    def holds_all_mail(self) -> bool:
        """Whether trying other messages would only fail the same way."""
        return self.kind in {ErrorClass.CONFIG, ErrorClass.IAM, ErrorClass.QUOTA}


class SendError(Exception):
    """Amazon SES did not take a message, or may not have."""

    def __init__(
        self, problem: Problem, detail: str = "", code: str = "", request_id: str = ""
    ) -> None:
        """`detail` and `code` are AWS's own words, `request_id` its number for them."""
        super().__init__(f"{problem.title} ({code or problem.code}: {detail})")
        self.problem = problem
        self.detail = detail
        self.code = code
        self.request_id = request_id


def _problem(code: str, kind: ErrorClass, title: str, why: str, fix: str) -> Problem:
    return Problem(code=code, kind=kind, title=title, why=why, fix=fix)


CATALOGUE: dict[str, Problem] = {
    problem.code: problem
    for problem in [
        # What was typed in, before anybody is asked
        _problem(
            "access_key_shape",
            ErrorClass.CONFIG,
            "This does not look like an AWS Access Key ID.",
            "An access key ID has 20 letters and digits and starts with AKIA.",
            "Copy it again from IAM → Users → your user → Security credentials.",
        ),
        _problem(
            "temporary_key",
            ErrorClass.CONFIG,
            "This is a temporary access key.",
            "Keys that start with ASIA end after some hours and need a session token.",
            "Create an access key for an IAM user; it starts with AKIA.",
        ),
        _problem(
            "secret_shape",
            ErrorClass.CONFIG,
            "This does not look like an AWS Secret Access Key.",
            "A secret access key has 40 characters and no spaces.",
            "Copy it again. AWS shows it once: create a new access key if it is gone.",
        ),
        _problem(
            "smtp_password",
            ErrorClass.CONFIG,
            "This is an SES SMTP password.",
            "AWS makes it from a secret access key; only SMTP programs can use it.",
            "Paste the secret access key (40 characters) that belongs to the key ID.",
        ),
        _problem(
            "region_unknown",
            ErrorClass.CONFIG,
            "Amazon SES does not exist in the region {region}.",
            "The region is misspelt, or AWS offers no SES there.",
            "Choose a region from the list.",
        ),
        # Settings and this installation
        _problem(
            "not_configured",
            ErrorClass.CONFIG,
            "No AWS access key has been saved.",
            "Mail can't leave without one.",
            "Fill in Admin Panel → Email Settings.",
        ),
        _problem(
            "encryption_key_missing",
            ErrorClass.CONFIG,
            "The stored secret can't be read: the key {key_id} is missing.",
            "The key file of this installation was replaced or not restored.",
            "Put the old key file back, or type the AWS Secret Access Key in again.",
        ),
        _problem(
            "secret_unreadable",
            ErrorClass.CONFIG,
            "The stored secret can't be read.",
            "It was changed or copied from another place, or the key file is damaged.",
            "Type the AWS Secret Access Key in again under Email Settings.",
        ),
        # Keys
        _problem(
            "key_unknown",
            ErrorClass.CONFIG,
            "AWS does not know this access key.",
            "The key ID is mistyped, or the key was deleted or made inactive. "
            "AWS does not say which.",
            "Open IAM → Users → your user → Security credentials, and compare the key "
            "ID or create a new access key.",
        ),
        _problem(
            "region_not_enabled",
            ErrorClass.CONFIG,
            "The region {region} is not enabled in your AWS account.",
            "The access key works in other regions. Newer regions must be enabled "
            "before they can be used.",
            "Enable the region in AWS under Account → AWS Regions, or choose another.",
        ),
        _problem(
            "secret_mismatch",
            ErrorClass.CONFIG,
            "The secret access key does not belong to this key ID.",
            "AWS calculated another signature: the secret is mistyped or from "
            "another key.",
            "Paste both again, or create a new access key and use its two parts.",
        ),
        _problem(
            "clock_skew",
            ErrorClass.CONFIG,
            "The clock of this server is wrong{minutes}.",
            "AWS refuses requests that are more than five minutes off.",
            "Set the clock by NTP: on Linux, timedatectl set-ntp true.",
        ),
        _problem(
            "token_expired",
            ErrorClass.CONFIG,
            "The temporary AWS credentials have ended.",
            "They hold for some hours only.",
            "Use the access key of an IAM user; it starts with AKIA.",
        ),
        _problem(
            "signature_lost",
            ErrorClass.CONFIG,
            "The request reached AWS without its signature.",
            "A proxy between this server and AWS removes headers.",
            "Let the proxy pass requests to amazonaws.com unchanged.",
        ),
        _problem(
            "account_not_signed_up",
            ErrorClass.CONFIG,
            "This AWS account has not signed up for Amazon SES.",
            "AWS wants the sign-up to be finished first.",
            "Open Amazon SES in the AWS console in this region and follow its steps.",
        ),
        _problem(
            "no_credentials",
            ErrorClass.CONFIG,
            "There are no AWS credentials.",
            "None or only a part was found.",
            "Fill in both the key ID and the secret under Email Settings.",
        ),
        _problem(
            "region_malformed",
            ErrorClass.CONFIG,
            "The AWS region is not a region name.",
            "A region looks like eu-west-1.",
            "Choose a region from the list under Email Settings.",
        ),
        # The account
        _problem(
            "access_denied",
            ErrorClass.IAM,
            "The access key may not do this: {action}.",
            "{cause}",
            'Add this to the policy of the IAM user: {{"Effect": "Allow", "Action": '
            '{actions}, "Resource": "*"}}',
        ),
        _problem(
            "from_not_verified",
            ErrorClass.CONFIG,
            "Amazon SES does not know the sender {identity} in this region.",
            "A sender's address or domain must be verified in the very region that "
            "is used.",
            "Verify the address or its domain in Amazon SES → Identities{in_region}, "
            "or choose the region where it is verified.",
        ),
        _problem(
            "recipient_not_verified",
            ErrorClass.MSG,
            "The account is in the sandbox, and {identity} is not verified.",
            "In the sandbox, Amazon SES delivers to verified addresses only.",
            "Ask for production access in Amazon SES → Account dashboard, or verify "
            "this recipient for a test.",
        ),
        _problem(
            "sending_paused_by_aws",
            ErrorClass.CONFIG,
            "AWS has paused sending for this account.",
            "This happens after many bounces or complaints, or when AWS has questions.",
            "Read the mail that AWS sent to the owner of the account and answer it.",
        ),
        _problem(
            "sending_switched_off",
            ErrorClass.CONFIG,
            "Sending is switched off in Amazon SES.",
            "Somebody paused sending for the account or its configuration set.",
            "Switch it on again in Amazon SES → Account dashboard.",
        ),
        _problem(
            "account_suspended",
            ErrorClass.CONFIG,
            "AWS has suspended e-mail for this account.",
            "AWS says that the restriction is permanent.",
            "Contact AWS Support, or use another AWS account.",
        ),
        _problem(
            "mail_from_not_verified",
            ErrorClass.CONFIG,
            "The custom MAIL FROM domain is not set up.",
            "Its MX record is missing, and the identity is set to refuse mail then.",
            "Publish the MX and TXT records that Amazon SES shows for the identity, or "
            "let it use the default MAIL FROM domain.",
        ),
        _problem(
            "configuration_set_missing",
            ErrorClass.CONFIG,
            "The configuration set does not exist in this region.",
            "It was deleted, or it is in another region.",
            "Create it again in Amazon SES → Configuration sets.",
        ),
        _problem(
            "daily_quota",
            ErrorClass.QUOTA,
            "The daily quota of Amazon SES is used up.",
            "AWS counts the recipients of the last 24 hours.",
            "Nothing is lost: mail goes on as the window gets free. Ask for more under "
            "Amazon SES → Account dashboard → Request a limit increase.",
        ),
        _problem(
            "rate_exceeded",
            ErrorClass.RATE,
            "Amazon SES was asked to send faster than it allows.",
            "Another program may use the same account.",
            "Nothing to do: the message is tried again in a moment.",
        ),
        _problem(
            "pacer_unavailable",
            ErrorClass.RATE,
            "Redis, which keeps the sending rate, does not answer.",
            "Redis is stopped or can't be reached.",
            "Start Redis; the message is tried again in a moment.",
        ),
        # This message
        _problem(
            "recipient_invalid",
            ErrorClass.MSG,
            "Amazon SES refused the address of the recipient.",
            "The address {recipient} is not one that mail can be sent to.",
            "Correct the address of this person and send again.",
        ),
        _problem(
            "message_malformed",
            ErrorClass.MSG,
            "Amazon SES refused how this message is built.",
            "A header or a part is not as AWS wants it, or it is larger than 40 MB.",
            "AWS's own words are below. The other messages are not affected.",
        ),
        _problem(
            "message_rejected",
            ErrorClass.MSG,
            "Amazon SES refused this message.",
            "AWS's own words are below.",
            "Change what AWS names and send again.",
        ),
        _problem(
            "header_refused",
            ErrorClass.MSG,
            "This message has a header that can't be sent.",
            "A line break in a header could smuggle in other headers.",
            "Remove the line break from the name or the subject and send again.",
        ),
        _problem(
            "request_refused",
            ErrorClass.MSG,
            "Amazon SES refused this message for a reason that is not known here.",
            "AWS's own words are below.",
            "Search the AWS documentation for the code, and retry the message after.",
        ),
        # It never left
        _problem(
            "aws_unavailable",
            ErrorClass.NOTSENT,
            "Amazon SES is not available just now.",
            "AWS answered that the service can't take requests.",
            "Nothing to do; the state of AWS is at health.aws.amazon.com.",
        ),
        _problem(
            "cannot_connect",
            ErrorClass.NOTSENT,
            "This server can't reach Amazon SES.",
            "The name was not found, or a firewall refuses the connection.",
            "Allow outgoing connections to email{dot_region}.amazonaws.com, port 443.",
        ),
        _problem(
            "connect_timeout",
            ErrorClass.NOTSENT,
            "Amazon SES did not answer the connection.",
            "A firewall between this server and AWS swallows it.",
            "Allow outgoing connections to email{dot_region}.amazonaws.com, port 443.",
        ),
        _problem(
            "proxy_unreachable",
            ErrorClass.NOTSENT,
            "The proxy does not answer.",
            "HTTPS_PROXY names a proxy that can't be reached from this server.",
            "Correct HTTPS_PROXY, or start the proxy.",
        ),
        _problem(
            "tls_failed",
            ErrorClass.NOTSENT,
            "The certificate of the connection to AWS is not trusted.",
            "A proxy that inspects TLS answers in the place of AWS, or the "
            "certificates of this server are old.",
            "Set AWS_CA_BUNDLE to the certificate of your proxy.",
        ),
        _problem(
            "not_aws",
            ErrorClass.NOTSENT,
            "Something other than AWS answered.",
            "A proxy or a captive portal sits between this server and AWS: the reply "
            "carries no AWS request number.",
            "Let this server reach amazonaws.com directly.",
        ),
        # It may have left
        _problem(
            "no_answer",
            ErrorClass.UNKNOWN,
            "The message went out and no answer came.",
            "The connection ended before Amazon SES said whether it took the message.",
            "Ask the recipient, then retry the message only if it did not arrive.",
        ),
        _problem(
            "aws_failed",
            ErrorClass.UNKNOWN,
            "Amazon SES failed while it had the message.",
            "AWS reported an error of its own, so nobody knows whether it was taken.",
            "Ask the recipient, then retry the message only if it did not arrive.",
        ),
        _problem(
            "empty_answer",
            ErrorClass.UNKNOWN,
            "The answer had no message ID.",
            "Amazon SES always gives one: a proxy or portal may have answered instead.",
            "Let this server reach amazonaws.com directly. Retry the message if the "
            "recipient did not get it.",
        ),
        _problem(
            "worker_stopped",
            ErrorClass.UNKNOWN,
            "The worker ended while it was sending.",
            "The message was on its way, and the answer was lost with the worker.",
            "Ask the recipient, then retry the message only if it did not arrive.",
        ),
        # Ours
        _problem(
            "not_started",
            ErrorClass.RATE,
            "The worker stopped before it sent this message.",
            "It was asked to stop.",
            "Nothing to do: the message waits for the next worker.",
        ),
        _problem(
            "rehearsal",
            ErrorClass.CAPTURED,
            "Rehearsal: the message was kept here and not sent.",
            "Mail is in rehearsal until an admin goes live.",
            "Go live under Admin Panel → Email Settings when you are ready.",
        ),
        _problem(
            "expired",
            ErrorClass.MSG,
            "The message was given up: it could not be sent in time.",
            "It waited longer than it makes sense for: {reason}",
            "Mend the reason, then do again what the mail was about.",
        ),
        _problem(
            "sender_failed",
            ErrorClass.NOTSENT,
            "TicketFlow could not build or send this message.",
            "An error of TicketFlow itself; the log of the worker has it.",
            "It is tried again five times. Report it with the log if it stays.",
        ),
        _problem(
            "gave_up",
            ErrorClass.MSG,
            "The message was given up after {attempts} tries.",
            "Each try ended in an error of TicketFlow itself; the worker's log has it.",
            "Report it with the log, and retry the message after.",
        ),
        # Answers about the account that AWS did not give
        _problem(
            "aws_did_not_say",
            ErrorClass.NOTSENT,
            "AWS did not say.",
            "It gave no answer to this question that can be read.",
            "Nothing has to be done; it is asked again with the next check.",
        ),
    ]
}


def problem_for(code: str, **values: object) -> Problem:
    """Return the catalogue's row, with the values in its texts ("" for those not given).

    Raises KeyError for a code that is not in the catalogue.
    """
    problem = CATALOGUE[code]
    known: defaultdict[str, object] = defaultdict(str, values)
    return replace(
        problem,
        title=problem.title.format_map(known),
        why=problem.why.format_map(known),
        fix=problem.fix.format_map(known),
    )


@dataclass(frozen=True)
class _Reply:
    """An error that AWS answered with, and what was asked."""

    code: str
    message: str
    status: int
    from_email: str
    region: str
    recipient: str


def explain(
    exception: Exception, *, from_email: str = "", region: str = "", recipient: str = ""
) -> SendError:
    """Return the problem behind what the SDK raised.

    The keywords say what was asked; they tell a sender that is not verified from a
    recipient that is not, and make the texts exact. An exception that is no error of
    the SDK counts as an unknown outcome.
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
    values = {"dot_region": f".{region}" if region else ""}
    return SendError(
        problem_for(code, **values),
        detail=str(exception),
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
        from_email=from_email,
        region=region,
        recipient=recipient,
    )
    request_id = str(metadata.get("RequestId", ""))
    if request_id:
        problem = _problem_of_reply(reply)
    elif reply.status >= 500 and reply.code not in _PROXY_CODES:
        problem = problem_for("aws_failed")
    else:
        problem = problem_for("not_aws")
    return SendError(
        problem,
        detail=reply.message or reply.code,
        code=reply.code,
        request_id=request_id,
    )


# What the SDK calls a reply whose body it can't read: a proxy that could not reach AWS.
_PROXY_CODES = frozenset({"502", "503"})


def _problem_of_reply(reply: _Reply) -> Problem:
    build = _BY_CODE.get(_without_suffix(reply.code))
    if build is not None:
        return build(reply)
    if reply.status == 503:
        return problem_for("aws_unavailable")
    if reply.status >= 500:
        return problem_for("aws_failed")
    if reply.status == 429:
        return problem_for("rate_exceeded")
    return problem_for("request_refused")


def _without_suffix(code: str) -> str:
    return code.removesuffix("Exception")


_Builder = Callable[[_Reply], Problem]


def _always(code: str) -> _Builder:
    return lambda reply: problem_for(code, region=reply.region)


def _signature(reply: _Reply) -> Problem:
    if re.search(r"expired|not yet current", reply.message, re.IGNORECASE):
        return problem_for("clock_skew", minutes=_minutes_off(reply.message))
    return problem_for("secret_mismatch")


_TIMES = re.compile(
    r"(\d{8}T\d{6}Z) is (?:now earlier|still later) than (\d{8}T\d{6}Z)"
)
_MARGIN = re.compile(r"\((\d{8}T\d{6}Z) [-+] \d+ min")


def _minutes_off(message: str) -> str:
    """Return " by 12 minutes" as far as AWS named both times, else ""."""
    signed, server = _TIMES.search(message), _MARGIN.search(message)
    if not signed or not server:
        return ""
    apart = abs(_seconds(signed[1]) - _seconds(server[1]))
    return f" by {round(apart / 60)} minutes"


def _seconds(stamp: str) -> int:
    day, clock = int(stamp[6:8]), stamp[9:15]
    return day * 86400 + int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + int(clock[4:])


_ACTION = re.compile(r"perform:? [`']?([a-z0-9-]+:\w+)")
# Sending raw MIME through SendEmail is authorised as SendRawEmail; both are asked for.
_SENDING = '["ses:SendEmail", "ses:SendRawEmail"]'


def _access_denied(reply: _Reply) -> Problem:
    found = _ACTION.search(reply.message)
    action = found[1] if found else "ses:SendRawEmail"
    is_sending = action in {"ses:SendEmail", "ses:SendRawEmail"}
    return problem_for(
        "access_denied",
        action=action,
        actions=_SENDING if is_sending else f'"{action}"',
        cause=_cause_of_denial(reply.message),
    )


def _cause_of_denial(message: str) -> str:
    if "permissions boundary" in message:
        return "The permissions boundary of the IAM user does not allow it."
    if "service control policy" in message:
        return "A service control policy of your AWS organisation forbids it."
    if "explicit deny" in message:
        return "A policy of the IAM user or of your organisation forbids it explicitly."
    return "No policy of the IAM user allows it."


def _rejected(reply: _Reply) -> Problem:
    if "not verified" in reply.message:
        return _not_verified(reply)
    if "paused" in reply.message.lower():
        return problem_for("sending_paused_by_aws")
    return problem_for("message_rejected")


def _not_verified(reply: _Reply) -> Problem:
    """Tell the sender's fault from the sandbox's: AWS lists who failed its check."""
    if "MAIL FROM" in reply.message:
        return problem_for("mail_from_not_verified")
    _, _, listed = reply.message.lower().partition("failed the check")
    sender_is_listed = bool(reply.from_email) and reply.from_email.lower() in listed
    recipient_is_listed = bool(reply.recipient) and reply.recipient.lower() in listed
    if recipient_is_listed and not sender_is_listed:
        return problem_for("recipient_not_verified", identity=reply.recipient)
    return problem_for(
        "from_not_verified",
        identity=reply.from_email,
        in_region=f" in {reply.region}" if reply.region else "",
    )


_BAD_ADDRESS = re.compile(r"address|domain|'@'", re.IGNORECASE)


def _bad_request(reply: _Reply) -> Problem:
    if _BAD_ADDRESS.search(reply.message):
        return problem_for("recipient_invalid", recipient=reply.recipient)
    return problem_for("message_malformed")


def _limit(reply: _Reply) -> Problem:
    # The same code stands for the daily quota and for other limits of the account.
    if "rate" in reply.message.lower():
        return problem_for("rate_exceeded")
    return problem_for("daily_quota")


def _throttled(reply: _Reply) -> Problem:
    if "daily" in reply.message.lower():
        return problem_for("daily_quota")
    return problem_for("rate_exceeded")


def _not_found(reply: _Reply) -> Problem:
    if "identity" in reply.message.lower():
        return problem_for("from_not_verified", identity=reply.from_email)
    return problem_for("configuration_set_missing")


# v2 names without "Exception"; the names of v1 that moto and old replies use, too.
_BY_CODE: dict[str, _Builder] = {
    "UnrecognizedClient": _always("key_unknown"),
    "InvalidClientTokenId": _always("key_unknown"),
    "InvalidAccessKeyId": _always("key_unknown"),
    "InvalidSignature": _signature,
    "SignatureDoesNotMatch": _signature,
    "RequestTimeTooSkewed": _always("clock_skew"),
    "RequestExpired": _always("clock_skew"),
    "ExpiredToken": _always("token_expired"),
    "IncompleteSignature": _always("signature_lost"),
    "MissingAuthenticationToken": _always("signature_lost"),
    "OptInRequired": _always("account_not_signed_up"),
    "AccessDenied": _access_denied,
    "MessageRejected": _rejected,
    "SendingPaused": _always("sending_switched_off"),
    "AccountSendingPaused": _always("sending_switched_off"),
    "ConfigurationSetSendingPaused": _always("sending_switched_off"),
    "AccountSuspended": _always("account_suspended"),
    "MailFromDomainNotVerified": _always("mail_from_not_verified"),
    "NotFound": _not_found,
    "ConfigurationSetDoesNotExist": _always("configuration_set_missing"),
    "TooManyRequests": _throttled,
    "Throttling": _throttled,
    "LimitExceeded": _limit,
    "BadRequest": _bad_request,
    "InvalidParameterValue": _bad_request,
    "ServiceUnavailable": _always("aws_unavailable"),
    "InternalServiceError": _always("aws_failed"),
    "InternalFailure": _always("aws_failed"),
}
