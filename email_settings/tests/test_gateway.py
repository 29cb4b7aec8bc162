"""One mail to Amazon SES over HTTP, and what every kind of answer means."""

import base64
import json
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from email_settings.credentials import Credentials, store_secret
from email_settings.gateway import ses
from email_settings.gateway.base import Outgoing
from email_settings.gateway.errors import CATALOGUE, ErrorClass, SendError, recall
from email_settings.gateway.regions import regions
from email_settings.gateway.rehearsal import RehearsalGateway
from email_settings.gateway.ses import SesGateway, gateway_for, make_client
from email_settings.tests.builders import make_settings
from email_settings.tests.fake_ses import REQUEST_ID, Answer, FakeSes, page, refusal

FROM = "help@larkfield.example"
TO = "hannah@larkfield.example"

NOT_VERIFIED = (
    "Email address is not verified. The following identities failed the check in "
    "region EU-WEST-1: "
)
DENIED = (
    "User: arn:aws:iam::123456789012:user/helpdesk is not authorized to perform: "
    "ses:SendRawEmail on resource: arn:aws:ses:eu-west-1:123456789012:identity/x "
    "because no identity-based policy allows the ses:SendRawEmail action"
)


def outgoing(**changes: str) -> Outgoing:
    return Outgoing(
        mime=b"From: help@larkfield.example\r\nSubject: Hello\r\n\r\nHello\r\n",
        recipient=changes.get("recipient", TO),
        from_email=changes.get("from_email", FROM),
        configuration_set=changes.get("configuration_set", ""),
        tags={"tf-inst": "a" * 32, "tf-msg": "b" * 32, "tf-att": "c" * 32},
    )


@pytest.fixture
def gateway(credentials: Credentials, fake_ses: FakeSes) -> Iterator[SesGateway]:
    client = make_client(credentials, slots=2)
    yield SesGateway(client, region="eu-west-1")
    client.close()


def refused(gateway: SesGateway, mail: Outgoing | None = None) -> SendError:
    with pytest.raises(SendError) as caught:
        gateway.send(mail or outgoing())
    return caught.value


def test_mail_is_posted_once_as_raw_mime_with_its_tags(
    gateway: SesGateway, fake_ses: FakeSes
) -> None:
    assert gateway.send(outgoing()) == "0100018f-fake-000000"
    (post,) = fake_ses.posts
    assert base64.b64decode(post["Content"]["Raw"]["Data"]) == outgoing().mime
    assert post["Destination"] == {"ToAddresses": [TO]}
    assert "FromEmailAddress" not in post  # it would replace the From of the MIME
    assert {tag["Name"] for tag in post["EmailTags"]} == {"tf-inst", "tf-msg", "tf-att"}


def test_aws_is_told_that_it_is_ticketflow_that_calls(
    credentials: Credentials, fake_ses: FakeSes
) -> None:
    client = make_client(credentials, slots=1)
    named = []
    client.meta.events.register(
        "before-send.sesv2.SendEmail",
        lambda request, **kwargs: named.append(request.headers["User-Agent"]),
    )
    SesGateway(client, region="eu-west-1").send(outgoing())
    client.close()
    # The SDK keeps what it is given as text, or as bytes once it is signed.
    (name,) = (found.decode() if isinstance(found, bytes) else found for found in named)
    assert name.startswith("TicketFlow ")


def test_mail_goes_by_the_configuration_set_when_there_is_one(
    gateway: SesGateway, fake_ses: FakeSes
) -> None:
    gateway.send(outgoing())
    gateway.send(outgoing(configuration_set="ticketflow-ses"))
    assert "ConfigurationSetName" not in fake_ses.posts[0]
    assert fake_ses.posts[1]["ConfigurationSetName"] == "ticketflow-ses"


def test_mail_never_leaves_without_a_set_that_is_missing(
    gateway: SesGateway, fake_ses: FakeSes
) -> None:
    """Nobody would hear of its bounce: it is refused, and not tried another way."""
    fake_ses.answer = refusal(
        404, "NotFoundException", "Configuration set <gone> does not exist."
    )
    error = refused(gateway, outgoing(configuration_set="gone"))
    assert error.problem.code == "configuration_set_missing"
    assert error.problem.holds_all_mail
    assert [post["ConfigurationSetName"] for post in fake_ses.posts] == ["gone"]


def test_moto_takes_the_mail(moto_url: str, credentials: Credentials) -> None:
    client = make_client(credentials, slots=2)
    message_id = SesGateway(client, region="eu-west-1").send(outgoing())
    client.close()
    with urllib.request.urlopen(f"{moto_url}/moto-api/data.json") as reply:  # noqa: S310
        stored = json.load(reply)["ses"]["RawMessage"]
    assert [message["id"] for message in stored] == [message_id]


def test_moto_refuses_a_sender_that_is_not_verified(
    moto_url: str, credentials: Credentials
) -> None:
    client = make_client(credentials, slots=2)
    mail = Outgoing(b"From: a@b.example\r\n\r\nHello\r\n", TO, "a@b.example")
    error = refused(SesGateway(client, region="eu-west-1"), mail)
    client.close()
    assert error.problem.code == "from_not_verified"


CONFIG, IAM, QUOTA, RATE, MSG, NOTSENT, UNKNOWN = (
    ErrorClass.CONFIG,
    ErrorClass.IAM,
    ErrorClass.QUOTA,
    ErrorClass.RATE,
    ErrorClass.MSG,
    ErrorClass.NOTSENT,
    ErrorClass.UNKNOWN,
)


@pytest.mark.parametrize(
    ("answer", "code", "kind"),
    [
        (
            refusal(
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ),
            "key_unknown",
            CONFIG,
        ),
        (
            refusal(
                403,
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you "
                "provided.",
            ),
            "secret_mismatch",
            CONFIG,
        ),
        (
            refusal(
                403,
                "InvalidSignatureException",
                "Signature expired: 20261124T070000Z is now earlier than "
                "20261124T072500Z (20261124T073000Z - 5 min.)",
            ),
            "clock_skew",
            CONFIG,
        ),
        (
            refusal(403, "ExpiredTokenException", "The security token is expired"),
            "token_expired",
            CONFIG,
        ),
        (refusal(403, "IncompleteSignature", "-"), "signature_lost", CONFIG),
        (
            refusal(403, "MissingAuthenticationToken", "-"),
            "signature_lost",
            CONFIG,
        ),
        (refusal(403, "OptInRequired", "-"), "account_not_signed_up", CONFIG),
        (refusal(403, "AccessDeniedException", DENIED), "access_denied", IAM),
        (
            refusal(400, "MessageRejected", NOT_VERIFIED + FROM),
            "from_not_verified",
            CONFIG,
        ),
        (
            refusal(400, "MessageRejected", f"{NOT_VERIFIED}{TO}, {FROM}"),
            "from_not_verified",
            CONFIG,
        ),
        (
            refusal(400, "MessageRejected", NOT_VERIFIED + TO),
            "recipient_not_verified",
            ErrorClass.SANDBOX,
        ),
        (
            refusal(400, "MessageRejected", "Sending paused for this account."),
            "sending_paused_by_aws",
            CONFIG,
        ),
        (
            refusal(400, "MessageRejected", "Attachment type is not allowed."),
            "message_rejected",
            MSG,
        ),
        (
            refusal(400, "SendingPausedException", "-"),
            "sending_switched_off",
            CONFIG,
        ),
        (
            refusal(400, "AccountSuspendedException", "-"),
            "account_suspended",
            CONFIG,
        ),
        (
            refusal(400, "MailFromDomainNotVerifiedException", "-"),
            "mail_from_not_verified",
            CONFIG,
        ),
        (
            refusal(404, "NotFoundException", "Configuration set <x> does not exist."),
            "configuration_set_missing",
            CONFIG,
        ),
        (
            refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            "rate_exceeded",
            RATE,
        ),
        (
            refusal(400, "Throttling", "Daily message quota exceeded"),
            "daily_quota",
            QUOTA,
        ),
        (
            refusal(400, "LimitExceededException", "Daily message quota exceeded."),
            "daily_quota",
            QUOTA,
        ),
        (
            refusal(400, "BadRequestException", "Missing final '@domain'"),
            "recipient_invalid",
            MSG,
        ),
        (
            refusal(400, "BadRequestException", "Duplicate header 'X-Foo'."),
            "message_malformed",
            MSG,
        ),
        (refusal(418, "TeapotException", "-"), "request_refused", MSG),
        (refusal(500, "InternalServiceErrorException", "-"), "aws_failed", UNKNOWN),
        (refusal(504, "", "-"), "aws_failed", UNKNOWN),
        (refusal(503, "", "-"), "aws_unavailable", NOTSENT),
        (page(403), "not_aws", NOTSENT),
        (page(407), "not_aws", NOTSENT),
        (page(502), "not_aws", NOTSENT),
        (page(504), "aws_failed", UNKNOWN),
        (page(200), "empty_answer", UNKNOWN),
        (Answer(200, "{}"), "empty_answer", UNKNOWN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_answer_has_its_problem_after_one_post(
    gateway: SesGateway, fake_ses: FakeSes, answer: Answer, code: str, kind: ErrorClass
) -> None:
    fake_ses.answer = answer
    error = refused(gateway)
    assert (error.problem.code, error.problem.kind) == (code, kind)
    assert len(fake_ses.posts) == 1


def test_error_carries_the_words_of_aws_and_its_number(
    gateway: SesGateway, fake_ses: FakeSes
) -> None:
    fake_ses.answer = refusal(400, "MessageRejected", "Sending paused. Read the mail.")
    error = refused(gateway)
    assert error.detail == "Sending paused. Read the mail."
    assert (error.code, error.request_id) == ("MessageRejected", REQUEST_ID)


def test_words_and_ids_that_no_database_takes_are_cut(
    gateway: SesGateway, fake_ses: FakeSes
) -> None:
    fake_ses.answer = refusal(400, "BadRequestException", "Bad\0address" * 1000)
    error = refused(gateway)
    assert error.detail.startswith("Badaddress")
    assert len(error.detail) == 2000
    fake_ses.answer = Answer(body=json.dumps({"MessageId": "0\0" * 500}))
    assert gateway.send(outgoing()) == "0" * 100


def test_denial_names_the_action_and_the_statement_to_add(
    gateway: SesGateway, fake_ses: FakeSes
) -> None:
    fake_ses.answer = refusal(403, "AccessDeniedException", DENIED)
    problem = refused(gateway).problem
    assert "ses:SendRawEmail" in problem.title
    assert problem.why.startswith("arn:aws:iam::123456789012:user/helpdesk may not do")
    _, _, statement = problem.fix.partition(": ")
    assert json.loads(statement)["Action"] == ["ses:SendEmail", "ses:SendRawEmail"]


def test_wrong_clock_is_told_in_minutes(gateway: SesGateway, fake_ses: FakeSes) -> None:
    fake_ses.answer = refusal(
        403,
        "InvalidSignatureException",
        "Signature not yet current: 20261125T001000Z is still later than "
        "20261125T000300Z (20261124T235800Z + 5 min.)",
    )
    assert refused(gateway).problem.title.endswith("wrong by 12 minutes.")


def test_server_that_hangs_after_taking_it_gets_one_post_and_is_unknown(
    credentials: Credentials, fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses, "READ_SECONDS", 0.3)
    client = make_client(credentials, slots=2)
    fake_ses.answer = Answer(hangs=True)
    error = refused(SesGateway(client, region="eu-west-1"))
    client.close()
    assert error.problem.code == "no_answer"
    assert error.problem.kind is UNKNOWN
    assert len(fake_ses.posts) == 1


def test_closed_port_never_left(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    error = refused(SesGateway(make_client(credentials, slots=2), region="eu-west-1"))
    assert (error.problem.code, error.problem.kind) == ("cannot_connect", NOTSENT)
    assert "email.eu-west-1.amazonaws.com" in error.problem.fix


def test_closed_proxy_never_left(
    credentials: Credentials, fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "")
    error = refused(SesGateway(make_client(credentials, slots=2), region="eu-west-1"))
    assert error.problem.code == "proxy_unreachable"
    assert not fake_ses.posts


def test_sdk_retries_are_off(credentials: Credentials) -> None:
    client = make_client(credentials, slots=7)
    config = vars(client.meta.config)
    assert config["retries"] == {"total_max_attempts": 1, "mode": "standard"}
    assert config["max_pool_connections"] == 7


def test_rehearsal_keeps_everything() -> None:
    with pytest.raises(SendError) as caught:
        RehearsalGateway().send(outgoing())
    assert caught.value.problem.kind is ErrorClass.CAPTURED


def test_client_is_made_once_for_each_version_of_the_settings(db: None) -> None:
    row = make_settings()
    first = gateway_for(row, slots=4)
    assert gateway_for(row, slots=4) is first
    row.version += 1
    assert gateway_for(row, slots=4) is not first


def test_gateway_needs_complete_credentials(db: None) -> None:
    row = make_settings()
    row.access_key_id = ""
    with pytest.raises(SendError) as caught:
        gateway_for(row, slots=4)
    assert caught.value.problem.code == "not_configured"


def test_gateway_says_which_encryption_key_is_missing(db: None) -> None:
    row = make_settings()
    version, _, body = row.secret_access_key_encrypted.split(":")
    row.secret_access_key_encrypted = f"{version}:00000000:{body}"
    with pytest.raises(SendError) as caught:
        gateway_for(row, slots=4)
    assert caught.value.problem.code == "encryption_key_missing"
    assert "00000000" in caught.value.problem.title


def test_gateway_refuses_a_secret_that_was_changed(db: None) -> None:
    row = make_settings()
    store_secret(row, "another")
    row.secret_access_key_encrypted = row.secret_access_key_encrypted[:-8] + "AAAAAAA="
    with pytest.raises(SendError) as caught:
        gateway_for(row, slots=4)
    assert caught.value.problem.code == "secret_unreadable"


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_problem_is_told_in_whole_sentences(code: str) -> None:
    problem = recall(
        code, detail=DENIED, from_email=FROM, region="eu-west-1", recipient=TO
    )
    for text in (problem.title, problem.why, problem.fix):
        assert text.rstrip()[-1] in ".:}", text
        assert "{" not in text.replace('{"Effect"', "")


def test_problem_that_was_stored_is_told_in_full_again() -> None:
    problem = recall("from_not_verified", from_email=FROM, region="eu-west-1")
    assert FROM in problem.title
    assert "Identities in eu-west-1" in problem.fix


def test_code_that_is_not_known_any_more_is_still_told() -> None:
    assert recall("from_an_older_release").code == "request_refused"


def test_regions_have_their_names() -> None:
    found = dict(regions())
    assert found["eu-west-1"] == "Europe (Ireland)"
    assert "us-gov-west-1" in found
    assert "ap-east-1" not in found  # no SES there
    assert list(found) == sorted(found)
