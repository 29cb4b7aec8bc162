"""The demo's AWS: Email Settings can be walked through without an account."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import dns.nameserver
import dns.resolver
import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from email_settings.credentials import Credentials, Secret
from email_settings.gateway.probe import check_account
from ticketflow.demo.aws import ACCESS_KEY_ID, SECRET_ACCESS_KEY

pytestmark = pytest.mark.processes


@dataclass
class Child:
    process: subprocess.Popen[bytes]
    lifeline_end: int


@pytest.fixture
def begin() -> str:
    return "ready"


@pytest.fixture
def aws(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, begin: str
) -> Iterator[Child]:
    lifeline, lifeline_end = os.pipe()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names,
    ):
        host, port = listener.getsockname()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        names.bind(("127.0.0.1", 0))
        settings.DNS_SERVERS = [f"127.0.0.1:{names.getsockname()[1]}"]
        descriptors = [listener.fileno(), names.fileno(), lifeline]
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "ticketflow.demo.aws"],
                *["--domain", "larkfield.example", "--begin", begin],
                *["--dns", str(names.fileno())],
                *["--socket", str(listener.fileno()), "--lifeline", str(lifeline)],
            ],
            cwd=django_settings.BASE_DIR,
            pass_fds=descriptors,
        )
    os.close(lifeline)
    yield Child(process, lifeline_end)
    if process.poll() is None:
        process.kill()
        process.wait()
        os.close(lifeline_end)


def the_key(region: str, secret: str = SECRET_ACCESS_KEY) -> Credentials:
    return Credentials(ACCESS_KEY_ID, Secret(secret), region)


@pytest.mark.parametrize("begin", ["new"])
def test_a_new_account_is_in_the_sandbox_and_knows_nobody(aws: Child) -> None:
    state = check_account(
        the_key("eu-west-1"), "helpdesk@larkfield.example", total_seconds=30
    )
    assert state.is_sandbox
    assert [problem.code for problem in state.problems] == ["from_not_verified"]
    # Mail of people goes somewhere already; Amazon SES has no record yet.
    assert ask_dns("larkfield.example", "MX") == ["10 mail.larkfield.example."]
    with pytest.raises(dns.resolver.NXDOMAIN):
        ask_dns("_dmarc.larkfield.example", "TXT")


def test_a_ready_account_has_its_records_in_dns(aws: Child) -> None:
    check_account(the_key("eu-west-1"), "helpdesk@larkfield.example", total_seconds=30)
    assert ask_dns("bounce-eu-west-1.larkfield.example", "MX") == [
        "10 feedback-smtp.eu-west-1.amazonses.com."
    ]
    [dmarc] = ask_dns("_dmarc.larkfield.example", "TXT")
    assert "v=DMARC1" in dmarc


def ask_dns(name: str, kind: str) -> list[str]:
    host, _, port = django_settings.DNS_SERVERS[0].rpartition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver(host, int(port))]
    return [record.to_text() for record in resolver.resolve(name, kind)]


def test_one_key_is_right_and_the_domain_is_verified_until_the_parent_ends(
    aws: Child,
) -> None:
    for region in ("eu-west-1", "us-east-1"):
        # Its first answer waits until the process has started.
        state = check_account(
            the_key(region), "helpdesk@larkfield.example", total_seconds=30
        )
        assert state.problems == []
        assert state.is_from_verified
        assert state.is_sandbox is False
        assert state.max_send_rate == 14

    stranger = check_account(the_key("eu-west-1"), "helpdesk@elsewhere.example")
    assert [problem.code for problem in stranger.problems] == ["from_not_verified"]

    mistyped = check_account(the_key("eu-west-1", "x" * 40))
    assert [problem.code for problem in mistyped.problems] == ["secret_mismatch"]

    os.close(aws.lifeline_end)  # as the kernel does when the parent dies
    assert aws.process.wait(10) != 0
