"""What can go wrong on the way to Amazon SES: what happened, why, and how to mend it.

The texts are data, keyed by a code of ours that is stored with messages and attempts.
`explain` finds the code for what the AWS SDK raised, by the codes of the SES API v2.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from botocore import exceptions as botocore_errors


class ErrorClass(Enum):
    """What a problem means for the mail that met it, and for the mail behind it."""

    CONFIG = "config"  # all mail is held until the settings or the account are mended
    IAM = "iam"  # the same, and a permission is what is missing
    QUOTA = "quota"  # all mail is held until the daily window has room
    SANDBOX = "sandbox"  # this message waits until the account leaves the sandbox
    RATE = "rate"  # too fast: again in a moment, no attempt counted
    MSG = "msg"  # this message will never be taken; the others are fine
    NOTSENT = "notsent"  # it never left: tried again later
    UNKNOWN = "unknown"  # it may have been taken; a person decides
    CAPTURED = "captured"  # kept here on purpose: by rehearsal, or by an admin


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


LONGEST_DETAIL = 2_000  # characters


class SendError(Exception):
    """Amazon SES did not take a message, or may not have."""

    def __init__(
        self, problem: Problem, detail: str = "", code: str = "", request_id: str = ""
    ) -> None:
        """`detail` and `code` are AWS's own words, `request_id` its number for them."""
        # Whatever answered in its place, the words must fit into the database:
        # PostgreSQL takes no NUL, and what can't be written stops all mail behind it.
        detail = detail.replace("\0", "")[:LONGEST_DETAIL]
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
            "Amazon SES does not know the sender {from_email} in this region.",
            "A sender's address or domain must be verified in the very region that "
            "is used.",
            "Verify the address or its domain in Amazon SES → Identities{in_region}, "
            "or choose the region where it is verified.",
        ),
        _problem(
            "recipient_not_verified",
            ErrorClass.SANDBOX,
            "The account is in the sandbox, and {recipient} is not verified.",
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
            "body_unreadable",
            ErrorClass.MSG,
            "The stored content of this message can't be read.",
            "It was encrypted with a key that is not in the key file any more.",
            "Do again what the mail was about, and a new one is made.",
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
            "stopped_by_hand",
            ErrorClass.CAPTURED,
            "An admin holds all mail.",
            "Nothing leaves until an admin releases it.",
            "Press Release in Admin Panel → Email Activity.",
        ),
        _problem(
            "quota_reserve",
            ErrorClass.QUOTA,
            "The daily quota of the account is nearly used up.",
            "What is left is kept for password resets and invitations.",
            "Nothing to do: the mail leaves when the window of 24 hours has room. Ask "
            "AWS for a higher quota if this happens often.",
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
