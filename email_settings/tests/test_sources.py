"""Where the AWS credentials come from: a key, a role, or this server's own."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import NoCredentialsError
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from email_settings import credentials as stored
from email_settings.credentials import Credentials, Secret
from email_settings.delivery.pump import Pump
from email_settings.gateway import ses
from email_settings.gateway.base import Outgoing
from email_settings.gateway.errors import ErrorClass, SendError
from email_settings.gateway.reader import Reader
from email_settings.gateway.sessions import session_of
from email_settings.models import OutboxMessage, SesSettings
from email_settings.readiness.checks import key
from email_settings.readiness.dns import Dns
from email_settings.readiness.look import Look
from email_settings.status import MailStatus
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)
from ticketflow import health

Source = SesSettings.Source
ROLE = "arn:aws:iam::210987654321:role/mail/ticketflow-ses"
FROM, TO = "help@larkfield.example", "hannah@larkfield.example"
AS_ROLE = "arn:aws:sts::210987654321:assumed-role/ticketflow-ses/ticketflow"
MAIL = Outgoing(b"From: help@larkfield.example\r\n\r\nHello\r\n", TO, FROM)


class Aws(ThreadingHTTPServer):
    """Lends a role, says who asks, and takes mail, as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lives = timedelta(hours=1)  # of what it lends
        self.refusal: tuple[int, str, str] | None = None  # of AssumeRole
        self.is_mute_about_itself = False  # answers without a number, as a proxy does
        self.asked: list[dict[str, str]] = []  # of AssumeRole
        self.signed_by: list[str] = []  # key ids of mails
        self.tokens: list[str] = []  # session tokens of mails

    @property
    def url(self) -> str:
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Aws

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        signer = self.headers["Authorization"].partition("Credential=")[2][:20]
        given = {name: values[0] for name, values in parse_qs(body).items()}
        if given.get("Action") == "AssumeRole":
            self.server.asked.append({**given, "signer": signer})
            self._assume(len(self.server.asked))
        elif given.get("Action") == "GetCallerIdentity":
            arn = AS_ROLE if signer.startswith("ASIA") else "arn:aws:iam::1:user/x"
            self._xml(
                200,
                "<GetCallerIdentityResponse><GetCallerIdentityResult>"
                f"<Arn>{arn}</Arn><UserId>A</UserId><Account>210987654321</Account>"
                "</GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId>"
                "</ResponseMetadata></GetCallerIdentityResponse>",
            )
        elif self.path == "/v2/email/outbound-emails":
            self.server.signed_by.append(signer)
            self.server.tokens.append(self.headers.get("X-Amz-Security-Token", ""))
            self._send(200, json.dumps({"MessageId": "m-1"}), "application/json")
        elif self.path == "/v2/email/account":
            self._send(
                200, json.dumps({"ProductionAccessEnabled": True}), "application/json"
            )
        else:
            self._send(
                200, json.dumps({"VerifiedForSendingStatus": True}), "application/json"
            )

    def _assume(self, number: int) -> None:
        if self.server.refusal:
            status, code, message = self.server.refusal
            self._xml(
                status,
                f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message>"
                "</Error><RequestId>r-1</RequestId></ErrorResponse>",
            )
            return
        ends = datetime.now(UTC) + self.server.lives
        self._xml(
            200,
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
            f"<AccessKeyId>ASIA{number:016d}</AccessKeyId>"
            f"<SecretAccessKey>{'s' * 40}</SecretAccessKey>"
            f"<SessionToken>token-{number}</SessionToken>"
            f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"<AssumedRoleUser><AssumedRoleId>A:t</AssumedRoleId><Arn>{AS_ROLE}</Arn>"
            "</AssumedRoleUser></AssumeRoleResult><ResponseMetadata><RequestId>r"
            "</RequestId></ResponseMetadata></AssumeRoleResponse>",
        )

    def _xml(self, status: int, body: str) -> None:
        self._send(status, body, "text/xml")

    def _send(self, status: int, body: str, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if not self.server.is_mute_about_itself:
            self.send_header("x-amzn-RequestId", "r-1")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = _answer  # noqa: N815  # names of http.server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    server = Aws()
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def bare_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any AWS credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def keys_of_the_server(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of a key that stands in the environment of the server."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASERVERSERVERSERV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return "AKIASERVERSERVERSERV"


def by_role(key_id: str = ACCESS_KEY_ID) -> Credentials:
    secret = Secret(SECRET if key_id else "")
    return Credentials(key_id, secret, "eu-west-1", Source.ROLE, ROLE, "tf-42")


def gateway(credentials: Credentials) -> ses.SesGateway:
    return ses._build(credentials, slots=1)


def refused(credentials: Credentials) -> SendError:
    with pytest.raises(SendError) as caught:
        gateway(credentials).send(MAIL)
    return caught.value


# Keys


def test_an_empty_key_never_borrows_what_the_server_has(
    aws: Aws, keys_of_the_server: str, settings: Settings
) -> None:
    settings.ALLOW_SERVER_ROLE = True
    empty = Credentials("", Secret(""), "eu-west-1")
    with pytest.raises(NoCredentialsError):
        session_of(empty)
    with pytest.raises(SendError) as caught:
        gateway(empty)
    assert caught.value.problem.code == "no_credentials"
    assert not aws.signed_by


# The server's own


def test_the_servers_own_key_signs_where_that_is_allowed(
    aws: Aws, keys_of_the_server: str, settings: Settings
) -> None:
    settings.ALLOW_SERVER_ROLE = True
    gateway(Credentials("", Secret(""), "eu-west-1", Source.SERVER)).send(MAIL)
    assert aws.signed_by == [keys_of_the_server]


@pytest.mark.parametrize("source", [Source.SERVER, Source.ROLE])
def test_the_servers_own_key_signs_nothing_where_it_is_not_allowed(
    aws: Aws, keys_of_the_server: str, source: str
) -> None:
    with pytest.raises(NoCredentialsError):
        session_of(Credentials("", Secret(""), "eu-west-1", source, ROLE, "tf-42"))
    assert not aws.asked


@pytest.mark.django_db
def test_stored_server_source_without_the_switch_holds_mail_and_says_why(
    aws: Aws, keys_of_the_server: str
) -> None:
    row = make_settings()
    SesSettings.objects.filter(pk=row.pk).update(source=Source.SERVER)
    message = make_message()
    Pump().run()
    message.refresh_from_db()
    assert (message.state, message.reason_code) == ("held", "server_role_off")
    held = SesSettings.load()
    assert held.hold_code == "server_role_off"
    assert "TICKETFLOW_ALLOW_SERVER_ROLE=1" in held.hold_detail
    assert not aws.signed_by


@pytest.mark.django_db
def test_a_stored_key_is_not_used_beside_the_servers_own(
    settings: Settings,
) -> None:
    settings.ALLOW_SERVER_ROLE = True
    row = make_settings()
    row.source = Source.SERVER
    found = stored.read_credentials(row)
    assert (found.access_key_id, bool(found.secret)) == ("", False)


def test_a_server_without_any_credentials_says_so(aws: Aws, settings: Settings) -> None:
    settings.ALLOW_SERVER_ROLE = True
    error = refused(Credentials("", Secret(""), "eu-west-1", Source.SERVER))
    assert error.problem.code == "no_credentials"
    assert "Modify IAM role" in error.problem.fix


# A role


def test_a_role_is_assumed_once_with_its_external_id_and_signs(aws: Aws) -> None:
    sender = gateway(by_role())
    sender.send(MAIL)
    sender.send(MAIL)
    [asked] = aws.asked
    assert asked["RoleArn"] == ROLE
    assert asked["ExternalId"] == "tf-42"
    assert asked["RoleSessionName"] == "ticketflow"
    assert asked["signer"] == ACCESS_KEY_ID
    assert aws.signed_by == [f"ASIA{1:016d}"] * 2
    assert aws.tokens == ["token-1"] * 2


def test_a_role_is_renewed_before_it_ends(aws: Aws) -> None:
    # The SDK renews in the last ten minutes.
    aws.lives = timedelta(minutes=5)
    sender = gateway(by_role())
    sender.send(MAIL)
    aws.lives = timedelta(hours=1)
    sender.send(MAIL)
    sender.send(MAIL)
    assert aws.tokens == ["token-1", "token-2", "token-2"]


def test_a_role_goes_on_while_it_still_holds_and_sts_is_away(aws: Aws) -> None:
    aws.lives = timedelta(
        minutes=14
    )  # so that a renewal is tried, and need not succeed
    sender = gateway(by_role())
    sender.send(MAIL)
    aws.refusal = (503, "ServiceUnavailable", "Later.")
    sender.send(MAIL)
    assert aws.tokens == ["token-1", "token-1"]


def test_a_role_may_be_assumed_with_what_the_server_has(
    aws: Aws, keys_of_the_server: str, settings: Settings
) -> None:
    settings.ALLOW_SERVER_ROLE = True
    gateway(by_role(key_id="")).send(MAIL)
    assert aws.asked[0]["signer"] == keys_of_the_server


def test_a_role_that_may_not_be_assumed_names_who_and_what_to_do(aws: Aws) -> None:
    aws.refusal = (
        403,
        "AccessDenied",
        "User: arn:aws:iam::123456789012:user/helpdesk is not authorized to perform: "
        f"sts:AssumeRole on resource: {ROLE}",
    )
    error = refused(by_role())
    problem = error.problem
    assert (problem.code, problem.kind) == ("role_refused", ErrorClass.CONFIG)
    assert problem.title == (
        "AWS does not let the IAM user helpdesk assume the role ticketflow-ses."
    )
    assert "trust policy" in problem.why
    assert "external ID" in problem.why
    _, _, statement = problem.fix.partition(": ")
    assert json.loads(statement) == {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": ROLE,
    }
    assert not aws.signed_by


def test_expired_keys_of_the_server_are_explained(aws: Aws, settings: Settings) -> None:
    aws.refusal = (403, "ExpiredToken", "The security token included is expired")
    assert refused(by_role()).problem.code == "token_expired"


@pytest.mark.parametrize("is_mute", [True, False], ids=["proxy", "aws"])
def test_sts_that_fails_leaves_no_mail_in_doubt(aws: Aws, *, is_mute: bool) -> None:
    aws.refusal = (500, "InternalFailure", "Sorry.")
    aws.is_mute_about_itself = is_mute
    assert refused(by_role()).problem.kind is ErrorClass.NOTSENT
    assert not aws.signed_by


def test_a_role_that_ends_at_once_leaves_no_mail_in_doubt(aws: Aws) -> None:
    aws.lives = timedelta(hours=-1)
    assert refused(by_role()).problem.code == "token_expired"
    assert not aws.signed_by


@pytest.mark.django_db
def test_the_client_is_made_anew_for_another_source(
    aws: Aws, settings: Settings, keys_of_the_server: str
) -> None:
    settings.ALLOW_SERVER_ROLE = True
    row = make_settings()
    seen = {id(first := ses.gateway_for(row, slots=1))}
    row.source = Source.SERVER
    seen.add(id(second := ses.gateway_for(row, slots=1)))
    row.source, row.role_arn = Source.ROLE, ROLE
    seen.add(id(third := ses.gateway_for(row, slots=1)))
    assert len(seen) == 3, (first, second, third)
    settings.ALLOW_SERVER_ROLE = False
    row.source = Source.SERVER
    with pytest.raises(SendError) as caught:
        ses.gateway_for(row, slots=1)
    assert caught.value.problem.code == "server_role_off"


# The page


GOOD = {
    "source": "role",
    "role_arn": ROLE,
    "access_key_id": ACCESS_KEY_ID,
    "secret_access_key": SECRET,
    "region": "eu-west-1",
    "from_email": FROM,
    "from_name": "Larkfield",
}


def save(panel: Client, **changes: str) -> str:
    url = reverse("email_settings:settings")
    answer = panel.post(url, {**GOOD, **changes}, follow=True)
    return cast(HttpResponse, answer).content.decode()


@pytest.mark.django_db
def test_a_role_is_saved_and_its_principal_shown(panel: Client, aws: Aws) -> None:
    shown = panel.get(reverse("email_settings:settings")).content.decode()
    external_id = stored.external_id_of(SesSettings())
    assert external_id in shown
    assert not SesSettings.objects.exists()
    shown = save(panel)
    assert "Settings saved" in shown
    assert AS_ROLE in shown
    row = SesSettings.load()
    found = key.credentials(Look(row, Reader(row), Dns(), {}))
    assert found.evidence == "AWS account 2109-8765-4321, role ticketflow-ses."
    assert (row.source, row.role_arn, row.external_id) == ("role", ROLE, external_id)
    assert {asked["ExternalId"] for asked in aws.asked} == {external_id}
    assert SECRET not in shown


@pytest.mark.django_db
def test_the_external_id_stays_when_the_secret_key_of_the_site_changes(
    panel: Client, aws: Aws, settings: Settings
) -> None:
    save(panel)
    before = SesSettings.load().external_id
    settings.SECRET_KEY = "another"
    assert stored.external_id_of(SesSettings.load()) == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role_arn": ""}, "Paste the role’s ARN."),
        ({"role_arn": "arn:aws:iam::1:user/x"}, "This is not the ARN of a role."),
        ({"access_key_id": ""}, "Somebody must assume the role"),
        ({"source": "server"}, "TICKETFLOW_ALLOW_SERVER_ROLE=1"),
        ({"source": "keys", "access_key_id": ""}, "Paste the Access Key ID."),
        ({"source": "thin air"}, "There is no such source."),
    ],
)
def test_what_a_source_lacks_is_said_and_aws_is_not_asked(
    panel: Client, aws: Aws, changes: dict[str, str], said: str
) -> None:
    shown = save(panel, **changes)
    assert said.replace("’", "&#x27;") in shown or said in shown
    assert "Nothing was sent to AWS." in shown
    assert not aws.asked
    assert not SesSettings.objects.exists()
    assert SECRET not in shown


@pytest.mark.django_db
def test_the_servers_own_is_saved_without_any_key_and_drops_the_stored_one(
    panel: Client, aws: Aws, settings: Settings, keys_of_the_server: str
) -> None:
    settings.ALLOW_SERVER_ROLE = True
    make_settings()
    assert "Settings saved" in save(panel, source="server", secret_access_key="")
    row = SesSettings.load()
    assert (row.source, row.access_key_id) == ("server", "")
    assert row.secret_access_key_encrypted == ""
    assert row.key_since is None
    assert row.is_configured


@pytest.mark.django_db
def test_mail_by_a_role_is_sent_and_recorded_with_the_key_that_assumed_it(
    panel: Client, aws: Aws
) -> None:
    save(panel)
    SesSettings.objects.update(mode=SesSettings.Mode.LIVE, max_send_rate=100)
    message = make_message()
    Pump().run()
    message.refresh_from_db()
    assert message.state == OutboxMessage.State.SENT
    assert message.attempt_set.get().access_key_hint == ACCESS_KEY_ID[-4:]
    assert aws.tokens[-1].startswith("token-")


# The doctor


@pytest.mark.django_db
def test_the_doctor_says_where_the_credentials_come_from(
    settings: Settings,
) -> None:
    row = make_settings()
    row.principal_arn = "arn:aws:iam::123456789012:user/helpdesk"
    assert doctor(row) == (
        True,
        f"Access key …{ACCESS_KEY_ID[-4:]}. AWS knows them as {row.principal_arn}.",
    )
    row.source, row.role_arn, row.principal_arn = Source.ROLE, ROLE, AS_ROLE
    assert doctor(row)[1] == (
        f"{ROLE}, assumed with access key …{ACCESS_KEY_ID[-4:]}. "
        f"AWS knows them as {AS_ROLE}."
    )
    row.source = Source.SERVER
    is_well, said = doctor(row)
    assert not is_well
    assert "may not be used here" in said
    settings.ALLOW_SERVER_ROLE = True
    assert doctor(row)[0]


def doctor(row: SesSettings) -> tuple[bool, str]:
    [found] = health.credentials_in_use(MailStatus(row))
    return found.is_well, found.says
