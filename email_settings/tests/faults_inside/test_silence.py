"""Amazon SES takes a mail and does not answer: one POST, and an honest "unknown"."""

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.config
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from email_settings.delivery import hold, pump, settle
from email_settings.gateway import ses, wire
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_message
from email_settings.tests.fake_ses import refusal
from email_settings.tests.faults_inside.aws import (
    Deed,
    Misdeed,
    Post,
    ScriptedSes,
    accept,
    speak_tls,
)
from email_settings.tests.faults_inside.mail import (
    make_waiting_due,
    put_many,
    send_due,
    send_until_nothing_waits,
    states,
)

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for an answer is shortened, not left out."""
    monkeypatch.setattr(ses, "READ_SECONDS", 0.5)


@pytest.fixture(autouse=True)
def _network_is_new() -> None:
    settle._streak.length = 0


class Deeds:
    """Treats one recipient badly, and all the others well."""

    def __init__(self, misdeed: Misdeed) -> None:
        self.misdeed = misdeed

    def __call__(self, post: Post) -> Deed:
        return self.misdeed if post.recipient.startswith("odd@") else accept(post)


@pytest.mark.parametrize("misdeed", [Misdeed.HANG, Misdeed.RESET])
def test_mail_without_an_answer_is_posted_once_and_unknown(
    aws: ScriptedSes, live: SesSettings, misdeed: Misdeed
) -> None:
    aws.decide = Deeds(misdeed)
    odd = make_message(recipient="odd@larkfield.example")
    put_many(10)
    send_due()
    odd.refresh_from_db()
    assert (odd.state, odd.reason_code) == (State.UNKNOWN, "no_answer")
    assert states() == {State.SENT: 10, State.UNKNOWN: 1}
    for _ in range(3):
        make_waiting_due()
        send_due()
    assert aws.posts_by_message()[odd.uid.hex] == 1
    attempt = odd.attempt_set.get()
    assert attempt.outcome == DeliveryAttempt.Outcome.UNKNOWN
    assert aws.posts_of_one_attempt() == 1


@pytest.mark.parametrize(
    "deed",
    [
        Misdeed.HANG,
        Misdeed.RESET,
        refusal(500, "InternalServiceErrorException", "Internal failure."),
    ],
    ids=["never answers", "breaks off", "fails"],
)
def test_backlog_is_not_thrown_at_an_aws_that_never_answers(
    aws: ScriptedSes, live: SesSettings, deed: Deed
) -> None:
    aws.decide = lambda post: deed
    put_many(200)
    send_due()
    in_doubt = states()[State.UNKNOWN]
    # Ten in a row, and what had been claimed meanwhile
    assert in_doubt <= 10 + 2 * pump.SLOTS
    assert states() == {State.UNKNOWN: in_doubt, State.QUEUED: 200 - in_doubt}
    assert SesSettings.load().hold_code == hold.SILENT
    asked = len(aws.log)
    make_waiting_due()
    send_due()
    assert len(aws.log) == asked
    aws.decide = accept
    send_until_nothing_waits()
    assert states() == {State.UNKNOWN: in_doubt, State.SENT: 200 - in_doubt}
    assert max(aws.posts_by_message().values()) == 1


def test_answer_that_trickles_is_cut_off_and_keeps_nobody_waiting(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte starts the SDK's read timeout anew; the whole call has an end too."""
    monkeypatch.setattr(ses, "CALL_SECONDS", 1)
    monkeypatch.setattr(wire, "LOOK_EVERY_SECONDS", 0.1)
    aws.decide = Deeds(Misdeed.DRIP)
    odd = make_message(recipient="odd@larkfield.example")
    put_many(10)
    send_due()
    odd.refresh_from_db()
    assert odd.state == State.UNKNOWN
    assert odd.reason_code in {"no_answer", "empty_answer"}
    assert states() == {State.SENT: 10, State.UNKNOWN: 1}
    assert aws.posts_by_message()[odd.uid.hex] == 1


def test_answer_that_trickles_would_occupy_a_thread_without_the_watchdog(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses, "CALL_SECONDS", 1)
    monkeypatch.setattr(wire, "LOOK_EVERY_SECONDS", 0.1)
    cut = threading.Event()
    monkeypatch.setattr(wire.Call, "cut", lambda call: cut.set())
    aws.decide = Deeds(Misdeed.DRIP)
    make_message(recipient="odd@larkfield.example")
    running = threading.Thread(target=let_go_later, args=(aws, cut))
    running.start()
    began = time.monotonic()
    send_due()
    # It came home when the server let go of it, long after both its timeouts.
    assert time.monotonic() - began > 2
    running.join()


def let_go_later(aws: ScriptedSes, cut: threading.Event) -> None:
    assert cut.wait(20)
    time.sleep(1.5)
    aws.let_go.set()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for localhost, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)  # noqa: FBT003
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)  # noqa: FBT003
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(
    aws: ScriptedSes, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> ScriptedSes:
    """The same stand-in, behind TLS as AWS is."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", speak_tls(aws, certificate))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    return aws


def test_mail_leaves_over_tls(tls: ScriptedSes, live: SesSettings) -> None:
    put_many(10)
    send_due()
    assert states() == {State.SENT: 10}


@pytest.mark.parametrize("misdeed", [Misdeed.GARBLE, Misdeed.RESET, Misdeed.HANG])
def test_tls_that_breaks_after_the_mail_was_taken_sends_it_no_second_time(
    tls: ScriptedSes, live: SesSettings, misdeed: Misdeed
) -> None:
    tls.decide = Deeds(misdeed)
    odd = make_message(recipient="odd@larkfield.example")
    put_many(10)
    send_due()
    make_waiting_due()
    send_due()
    odd.refresh_from_db()
    assert (odd.state, odd.reason_code) == (State.UNKNOWN, "no_answer")
    assert tls.posts_by_message()[odd.uid.hex] == 1
    assert states() == {State.SENT: 10, State.UNKNOWN: 1}


def test_tls_that_breaks_in_the_answer_would_double_mail_if_nobody_watched(
    tls: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "watch", lambda client: None)
    monkeypatch.setattr(wire.Call, "has_begun", None, raising=False)
    monkeypatch.setattr(wire.Call, "__init__", unwatched)
    tls.decide = Deeds(Misdeed.GARBLE)
    odd = make_message(recipient="odd@larkfield.example")
    send_due()
    make_waiting_due()
    send_due()
    assert tls.posts_by_message()[odd.uid.hex] == 2


def unwatched(call: wire.Call, seconds: float) -> None:
    call.ends_at = time.monotonic() + seconds
    call._socket = None


def test_handshake_that_never_ends_left_nothing_behind(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ses, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{port}")
        message = make_message()
        send_due()
    message.refresh_from_db()
    assert message.state == State.QUEUED
    assert message.reason_code in {"cannot_connect", "connect_timeout", "tls_failed"}


def test_connection_that_was_closed_while_idle_is_no_doubt(
    aws: ScriptedSes, live: SesSettings
) -> None:
    """AWS closes connections that nobody uses; the next mail takes a new one."""
    aws.decide = lambda post: Misdeed.IDLE
    for _ in range(5):
        make_message()
        send_due()
        # Else the next one is written to what is just being closed: that is a doubt.
        assert aws.closed.acquire(timeout=20)
    assert states() == {State.SENT: 5}


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    ("longest_idle", "expected"), [(0.0, State.SENT), (3600.0, State.UNKNOWN)]
)
def test_connection_that_a_firewall_forgot_is_not_used_again(
    aws: ScriptedSes,
    live: SesSettings,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    longest_idle: float,
    expected: str,
    *,
    is_encrypted: bool,
) -> None:
    """The second half is what would happen without a limit."""
    if is_encrypted:
        monkeypatch.setenv("AWS_ENDPOINT_URL", speak_tls(aws, certificate))
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.setattr(wire, "LONGEST_IDLE_SECONDS", longest_idle)
    aws.decide = lambda post: Misdeed.FORGET
    make_message()
    send_due()
    assert states() == {State.SENT: 1}
    later = make_message()
    send_due()
    later.refresh_from_db()
    assert later.state == expected


def test_one_attempt_would_post_again_and_again_with_the_retries_of_the_sdk(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise above rests on one line of configuration."""

    def with_retries(**options: object) -> botocore.config.Config:
        options["retries"] = {"total_max_attempts": 3, "mode": "standard"}
        return botocore.config.Config(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(ses, "Config", with_retries)
    aws.decide = Deeds(Misdeed.HANG)
    odd = make_message(recipient="odd@larkfield.example")
    send_due()
    assert aws.posts_by_message()[odd.uid.hex] == 3
    assert aws.posts_of_one_attempt() == 3
