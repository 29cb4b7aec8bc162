"""The demo's AWS: Email Settings can be walked through without an account."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings

from email_settings.credentials import Credentials, Secret
from email_settings.gateway.probe import check_account
from ticketflow.demo.aws import ACCESS_KEY_ID, SECRET_ACCESS_KEY

pytestmark = pytest.mark.processes


@dataclass
class Child:
    process: subprocess.Popen[bytes]
    lifeline_end: int


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    lifeline, lifeline_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        descriptors = [listener.fileno(), lifeline]
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "ticketflow.demo.aws"],
                *["--verified", "larkfield.example"],
                *["--socket", str(listener.fileno()), "--lifeline", str(lifeline)],
            ],
            cwd=settings.BASE_DIR,
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
