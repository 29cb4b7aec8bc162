"""The whole catalogue of errors: a real answer over HTTP, and what follows from it.

Each row is an answer of AWS, or of something in its place, to the SDK's own client.
"""

import email.utils
import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from email_settings.credentials import Credentials, Secret
from email_settings.delivery.claim import Claim
from email_settings.delivery.settle import Outcome, Verdict, judge
from email_settings.forms import check_access_key_id, check_secret
from email_settings.gateway import ses
from email_settings.gateway.base import Outgoing
from email_settings.gateway.catalogue import CATALOGUE, ErrorClass
from email_settings.gateway.errors import SendError, recall
from email_settings.gateway.probe import check_account
from email_settings.gateway.ses import SesGateway
from email_settings.gateway.words import FailedIdentities
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.fake_ses import REQUEST_ID, Answer, FakeSes, page, refusal

FROM = "help@larkfield.example"
TO = "hannah@larkfield.example"
REGION = "eu-west-1"
USER = "arn:aws:iam::123456789012:user/ticketflow"
IDENTITIES = "arn:aws:ses:eu-west-1:123456789012:identity"
NOT_VERIFIED = (
    "Email address is not verified. The following identities failed the check in "
    "region EU-WEST-1: "
)
INVALID = "The security token included in the request is invalid."
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method."
)

# What happens to the queue
ACCOUNT = "all mail is held"
WAITS = "this message is held"
DEAD = "this message fails"
RETRY = "this message is tried again"
UNKNOWN = "nobody knows"

CONFIG, IAM, QUOTA, SANDBOX, RATE, MSG, NOTSENT, DOUBT = (
    ErrorClass.CONFIG,
    ErrorClass.IAM,
    ErrorClass.QUOTA,
    ErrorClass.SANDBOX,
    ErrorClass.RATE,
    ErrorClass.MSG,
    ErrorClass.NOTSENT,
    ErrorClass.UNKNOWN,
)


@dataclass(frozen=True)
class Row:
    """An answer, and all that follows from it."""

    number: int  # of the catalogue that AWS's documents and bug trackers were read for
    answer: Answer
    code: str
    kind: ErrorClass
    queue: str
    counts: bool = False  # the try counts towards giving up
    says: list[str] = field(default_factory=list)


def denied(rest: str, *, resource: str = f"{IDENTITIES}/larkfield.example") -> Answer:
    words = f"User: {USER} is not authorized to perform: ses:SendRawEmail on resource: "
    return refusal(403, "AccessDeniedException", f"{words}{resource} {rest}")


ROWS = [
    Row(
        2,
        refusal(403, "UnrecognizedClientException", INVALID),
        "key_unknown",
        CONFIG,
        ACCOUNT,
        says=["or the region eu-west-1 is not enabled", "made inactive"],
    ),
    Row(
        2,
        refusal(403, "InvalidClientTokenId", INVALID),
        "key_unknown",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        4,
        refusal(403, "InvalidSignatureException", MISMATCH),
        "secret_mismatch",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        4,
        refusal(403, "SignatureDoesNotMatch", MISMATCH),
        "secret_mismatch",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        5,
        refusal(
            403,
            "InvalidSignatureException",
            "Signature expired: 20261124T070000Z is now earlier than 20261124T072500Z "
            "(20261124T073000Z - 5 min.)",
        ),
        "clock_skew",
        CONFIG,
        ACCOUNT,
        says=["wrong by 30 minutes.", "It is slow."],
    ),
    Row(
        5,
        refusal(
            403,
            "InvalidSignatureException",
            "Signature not yet current: 20261125T001000Z is still later than "
            "20261125T000300Z (20261124T235800Z + 5 min.)",
        ),
        "clock_skew",
        CONFIG,
        ACCOUNT,
        says=["wrong by 12 minutes.", "It is fast."],
    ),
    Row(
        6,
        refusal(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        "token_expired",
        CONFIG,
        ACCOUNT,
    ),
    Row(7, refusal(403, "IncompleteSignature", "-"), "signature_lost", CONFIG, ACCOUNT),
    Row(
        7,
        refusal(403, "MissingAuthenticationToken", "-"),
        "signature_lost",
        CONFIG,
        ACCOUNT,
        says=["email.eu-west-1.amazonaws.com"],
    ),
    Row(
        7,
        refusal(403, "OptInRequired", "-"),
        "account_not_signed_up",
        CONFIG,
        ACCOUNT,
        says=["in eu-west-1"],
    ),
    Row(
        8,
        denied("because no identity-based policy allows the ses:SendRawEmail action"),
        "access_denied",
        IAM,
        ACCOUNT,
        says=[
            f"{USER} may not do ses:SendRawEmail on {IDENTITIES}/larkfield.example.",
            "No policy of the IAM user ticketflow allows it.",
            '{"Effect": "Allow", "Action": ["ses:SendEmail", "ses:SendRawEmail"], '
            f'"Resource": "{IDENTITIES}/larkfield.example"}}',
        ],
    ),
    Row(
        8,
        refusal(
            403,
            "AccessDenied",
            f"User `{USER}' is not authorized to perform `ses:SendRawEmail' on resource "
            f"`{IDENTITIES}/{FROM}'",
        ),
        "access_denied",
        IAM,
        ACCOUNT,
        says=[f'"Resource": "{IDENTITIES}/{FROM}"'],
    ),
    Row(
        8,
        denied("with an explicit deny in an identity-based policy"),
        "access_denied",
        IAM,
        ACCOUNT,
        says=["outweighs every permission", '"Effect": "Deny"'],
    ),
    Row(
        8,
        denied("because no permissions boundary allows the ses:SendRawEmail action"),
        "access_denied",
        IAM,
        ACCOUNT,
        says=["The permissions boundary of the IAM user ticketflow does not allow"],
    ),
    Row(
        8,
        denied("with an explicit deny in a service control policy"),
        "access_denied",
        IAM,
        ACCOUNT,
        says=["Ask whoever runs the AWS organisation to allow ses:SendRawEmail."],
    ),
    Row(
        8,
        denied(
            "because no identity-based policy allows the ses:SendRawEmail action",
            resource=f"{IDENTITIES}/hannah@elsewhere.example",
        ),
        "access_denied",
        IAM,
        ACCOUNT,
        says=["In the sandbox AWS also asks", '"Resource": "*"'],
    ),
    Row(
        9,
        refusal(400, "MessageRejected", NOT_VERIFIED + FROM),
        "from_not_verified",
        CONFIG,
        ACCOUNT,
        says=[f"the sender {FROM}", "Identities in eu-west-1"],
    ),
    Row(
        9,
        refusal(400, "MessageRejected", f"{NOT_VERIFIED}{TO}, Help Desk <{FROM}>, ..."),
        "from_not_verified",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        9,
        refusal(400, "MessageRejected", NOT_VERIFIED + TO),
        "recipient_not_verified",
        SANDBOX,
        WAITS,
        says=[TO, "Ask AWS for production access"],
    ),
    Row(
        9,
        refusal(400, "MessageRejected", f"{NOT_VERIFIED}a@b.example, {TO.title()}..."),
        "recipient_not_verified",
        SANDBOX,
        WAITS,
    ),
    Row(
        10,
        refusal(
            400,
            "MessageRejected",
            "Sending paused for this account. For more information, please check the "
            "inbox of the email address associated with your AWS account.",
        ),
        "sending_paused_by_aws",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        11,
        refusal(400, "SendingPausedException", "-"),
        "sending_switched_off",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        11,
        refusal(400, "AccountSendingPausedException", "-"),
        "sending_switched_off",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        11,
        refusal(400, "ConfigurationSetSendingPausedException", "-"),
        "sending_switched_off",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        12,
        refusal(400, "AccountSuspendedException", "-"),
        "account_suspended",
        CONFIG,
        ACCOUNT,
    ),
    Row(
        13,
        refusal(
            400,
            "MailFromDomainNotVerifiedException",
            "Mail FROM domain is not verified",
        ),
        "mail_from_not_verified",
        CONFIG,
        ACCOUNT,
        says=["MX"],
    ),
    Row(
        14,
        refusal(404, "NotFoundException", "Configuration set <events> does not exist."),
        "configuration_set_missing",
        CONFIG,
        ACCOUNT,
        says=["The configuration set events does not exist"],
    ),
    Row(
        14,
        refusal(400, "ConfigurationSetDoesNotExist", "-"),
        "configuration_set_missing",
        CONFIG,
        ACCOUNT,
        says=["The configuration set does not exist"],
    ),
    Row(
        15,
        refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
        "rate_exceeded",
        RATE,
        RETRY,
    ),
    Row(
        15,
        refusal(400, "Throttling", "Maximum sending rate exceeded."),
        "rate_exceeded",
        RATE,
        RETRY,
    ),
    Row(
        16,
        refusal(429, "ThrottlingException", "Rate exceeded"),
        "rate_exceeded",
        RATE,
        RETRY,
    ),
    Row(16, refusal(429, "", "Too many requests"), "rate_exceeded", RATE, RETRY),
    Row(
        17,
        refusal(400, "LimitExceededException", "Daily message quota exceeded."),
        "daily_quota",
        QUOTA,
        ACCOUNT,
    ),
    Row(
        17,
        refusal(400, "Throttling", "Daily message quota exceeded."),
        "daily_quota",
        QUOTA,
        ACCOUNT,
    ),
    Row(
        17,
        refusal(400, "LimitExceededException", "Too many identities."),
        "limit_reached",
        QUOTA,
        ACCOUNT,
    ),
    *[
        Row(
            18,
            refusal(400, name, words),
            "recipient_invalid",
            MSG,
            DEAD,
            counts=True,
            says=[TO],
        )
        for name, words in (
            ("BadRequestException", "Missing final '@domain'"),
            ("BadRequestException", "Missing domain"),
            ("BadRequestException", "Domain contains illegal character"),
            (
                "BadRequestException",
                "Local address contains control or whitespace",
            ),
            ("InvalidParameterValue", "Illegal address"),
        )
    ],
    *[
        Row(
            19,
            refusal(400, "BadRequestException", words),
            "message_malformed",
            MSG,
            DEAD,
            counts=True,
        )
        for words in (
            "Message length is more than 41943040 bytes long",
            "Duplicate header 'From'.",
            "Missing required header 'To' with an address.",
        )
    ],
    Row(
        20,
        refusal(400, "MessageRejected", "Attachment type is not allowed."),
        "message_rejected",
        MSG,
        DEAD,
        counts=True,
    ),
    *[
        Row(21, refusal(status, name, "-"), "aws_failed", DOUBT, UNKNOWN, counts=True)
        for status, name in (
            (500, "InternalServiceErrorException"),
            (500, "InternalFailure"),
            (502, ""),
            (504, ""),
        )
    ],
    Row(21, refusal(503, "", "-"), "aws_unavailable", NOTSENT, RETRY, counts=True),
    Row(26, Answer(hangs=True), "no_answer", DOUBT, UNKNOWN, counts=True),
    Row(26, Answer(breaks=True), "no_answer", DOUBT, UNKNOWN, counts=True),
    # What the SDK can't read it takes for an answer without anything in it.
    Row(
        26,
        Answer(body='{"MessageId": "01', missing=10),
        "empty_answer",
        DOUBT,
        UNKNOWN,
        counts=True,
    ),
    Row(26, Answer(body="no JSON"), "empty_answer", DOUBT, UNKNOWN, counts=True),
    *[
        Row(27, page(status), "not_aws", NOTSENT, RETRY, counts=True)
        for status in (302, 403, 404, 407, 502)
    ],
    Row(28, page(200), "empty_answer", DOUBT, UNKNOWN, counts=True),
    Row(28, Answer(body="{}"), "empty_answer", DOUBT, UNKNOWN, counts=True),
]


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ses, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(ses, "READ_SECONDS", 0.3)


def send_with(credentials: Credentials, *, region: str = REGION) -> SendError:
    client = ses.make_client(credentials, slots=1)
    outgoing = Outgoing(b"From: help@larkfield.example\r\n\r\nHello\r\n", TO, FROM)
    try:
        with pytest.raises(SendError) as caught:
            SesGateway(client, region=region).send(outgoing)
    finally:
        client.close()
    return caught.value


def follows(error: SendError) -> tuple[str, bool]:
    """Return what happens to the queue, and whether the try counts."""
    sender = SesSettings(version=1)
    claim = Claim(OutboxMessage(attempts=1), DeliveryAttempt(), sender)
    verdict = judge(Outcome(claim, error=error), version=1)
    return _queue(verdict, error), verdict.counts


def _queue(verdict: Verdict, error: SendError) -> str:
    match verdict.state:
        case OutboxMessage.State.HELD:
            return ACCOUNT if error.problem.holds_all_mail else WAITS
        case OutboxMessage.State.FAILED:
            return DEAD
        case OutboxMessage.State.UNKNOWN:
            return UNKNOWN
    return RETRY


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.number} {row.answer.error or row.code}"
)
def test_answer_over_http(
    row: Row, credentials: Credentials, fake_ses: FakeSes
) -> None:
    fake_ses.answer = row.answer
    error = send_with(credentials)
    assert (error.problem.code, error.problem.kind) == (row.code, row.kind)
    assert follows(error) == (row.queue, row.counts)
    assert len(fake_ses.posts) == 1
    told = " ".join([error.problem.title, error.problem.why, error.problem.fix])
    for text in row.says:
        assert text in told
    again = recall(
        row.code, detail=error.detail, from_email=FROM, region=REGION, recipient=TO
    )
    assert again == error.problem


# Where no server answers as AWS does


@contextmanager
def port_that_refuses() -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@contextmanager
def port_that_is_silent() -> Iterator[int]:
    """A port whose line is full, so that the next caller hears nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for one in waiting:
            one.close()


def is_retried(error: SendError, code: str) -> bool:
    return (error.problem.code, *follows(error)) == (code, RETRY, True)


def test_22_port_that_refuses(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    with port_that_refuses() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        error = send_with(credentials)
    assert is_retried(error, "cannot_connect")
    assert "email.eu-west-1.amazonaws.com, port 443" in error.problem.fix


def test_23_port_that_is_silent(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    with port_that_is_silent() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        error = send_with(credentials)
    assert is_retried(error, "connect_timeout")


def test_24_proxy_that_refuses_keeps_its_password_to_itself(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    with port_that_refuses() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.9:9")
        monkeypatch.setenv("HTTP_PROXY", f"http://me:s3cret@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        error = send_with(credentials)
    assert is_retried(error, "proxy_unreachable")
    assert "s3cret" not in f"{error} {error.detail} {error.record}"


def test_25_server_that_speaks_no_tls(
    credentials: Credentials, fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake_ses.url.replace("http:", "https:"))
    error = send_with(credentials)
    assert is_retried(error, "tls_failed")
    assert "AWS_CA_BUNDLE" in error.problem.fix


def cannot_send(credentials: Credentials) -> SendError:
    """Build the client and send, whichever fails."""
    try:
        gateway = ses._build(credentials, slots=1)
    except SendError as error:
        return error
    with pytest.raises(SendError) as caught:
        gateway.send(Outgoing(b"From: a@b.example\r\n\r\nHello\r\n", TO, FROM))
    return caught.value


@pytest.mark.parametrize("half", ["", ACCESS_KEY_ID], ids=["none", "half"])
def test_29_sdk_finds_no_credentials(
    fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    if half:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", half)
    error = cannot_send(Credentials("", Secret(""), REGION))
    assert error.problem.code == "no_credentials"
    assert follows(error) == (ACCOUNT, False)
    assert not fake_ses.posts


def test_30_region_that_is_none() -> None:
    error = cannot_send(Credentials(ACCESS_KEY_ID, Secret(SECRET), "eu west"))
    assert error.problem.code == "region_malformed"
    assert follows(error) == (ACCOUNT, False)


def test_setting_of_the_sdk_that_is_wrong_holds_mail_in_doubt_of_nothing(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SendError) as caught:
        ses._build(credentials, slots=1)
    assert caught.value.problem.code == "sdk_misconfigured"
    assert follows(caught.value) == (ACCOUNT, False)


def test_3_key_that_sts_knows_means_the_region(
    credentials: Credentials, fake_ses: FakeSes
) -> None:
    fake_ses.routes = {
        "/": Answer(
            body="<GetCallerIdentityResponse><GetCallerIdentityResult>"
            f"<Arn>{USER}</Arn><Account>123456789012</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>",
            content_type="text/xml",
        )
    }
    fake_ses.answer = refusal(403, "UnrecognizedClientException", INVALID)
    (problem,) = check_account(credentials, FROM).problems
    assert problem.code == "region_not_enabled"
    assert problem.title == "The region eu-west-1 is not enabled in your AWS account."


@pytest.mark.parametrize(
    ("check", "value", "code"),
    [
        (check_access_key_id, "ASIAIOSFODNN7EXAMPLE", "temporary_key"),
        (check_access_key_id, "XKIAIOSFODNN7EXAMPLE", "access_key_shape"),
        (check_secret, "BCdefghijk" * 4 + "abcd", "smtp_password"),
    ],
)
def test_1_form_uses_the_words_of_the_catalogue(
    check: Callable[[str], None], value: str, code: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        check(value)
    assert f"<b>{CATALOGUE[code].title}</b>" in caught.value.messages[0]


def test_every_row_is_tried() -> None:
    by_name = {1, 3, 22, 23, 24, 25, 29, 30}
    assert {row.number for row in ROWS} | by_name == set(range(1, 31))


# What AWS's words leave out


@pytest.mark.parametrize("name", ["RequestTimeTooSkewed", "InvalidSignatureException"])
def test_clock_is_told_by_the_date_of_the_answer(
    credentials: Credentials, fake_ses: FakeSes, name: str
) -> None:
    real = datetime.now(UTC) + timedelta(minutes=47)
    fake_ses.answer = Answer(
        403,
        json.dumps({"message": MISMATCH}),
        error=name,
        date=email.utils.format_datetime(real, usegmt=True),
    )
    error = send_with(credentials)
    assert error.problem.title == "The clock of this server is wrong by 47 minutes."
    assert "It is slow." in error.problem.why
    assert recall("clock_skew", detail=error.detail).title == error.problem.title


def test_attempt_keeps_what_aws_support_asks_for(
    credentials: Credentials, fake_ses: FakeSes
) -> None:
    fake_ses.answer = refusal(400, "MessageRejected", "Sending paused.")
    assert send_with(credentials).record == (
        f"MessageRejected: Sending paused.\nAWS request ID: {REQUEST_ID}"
    )


@pytest.mark.parametrize(
    ("listed", "is_listed"),
    [
        ("help@larkfield.example", True),
        ("HELP@Larkfield.Example", True),
        ('"Desk, Help" <help@larkfield.example>, b@b.example', True),
        ("b@b.example, help@larkfield.example, ...", True),
        ("b@b.example, help@larkfield.exa…", True),
        ("b@b.example, Help Desk <help@lark...", True),
        ("xhelp@larkfield.example", False),
        ("help@larkfield.example.org", False),
        ('"help@larkfield.example" <b@b.example>', False),
        ("b@b.example, ...", False),
        ("b@b.example, h...", False),
        ("", False),
    ],
)
def test_listed_identities_are_compared_as_whole_addresses(
    listed: str, *, is_listed: bool
) -> None:
    failed = FailedIdentities.read(f"{NOT_VERIFIED}{listed}")
    assert failed.names(FROM) is is_listed


def test_domain_is_compared_as_dns_has_it() -> None:
    failed = FailedIdentities.read(f"{NOT_VERIFIED}help@xn--bcher-kva.example")
    assert failed.names("help@bücher.example")
    assert not failed.names("")


def test_sdk_prints_no_bodies_even_when_all_else_is_at_debug(
    caplog: pytest.LogCaptureFixture, credentials: Credentials, fake_ses: FakeSes
) -> None:
    caplog.set_level(logging.DEBUG)
    client = ses.make_client(credentials, slots=1)
    SesGateway(client, region=REGION).send(Outgoing(b"secret-link", TO, FROM))
    client.close()
    assert not [r for r in caplog.records if r.name.startswith(("botocore", "boto3"))]
