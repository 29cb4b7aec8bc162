"""`manage.py ses_field_check`: harmless, asked for, and silent about whose account it is."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from email_settings.field_check import report
from email_settings.field_check.redaction import Redactor
from email_settings.models import Brand, DeliveryAttempt, SesSettings
from email_settings.standin.account import ACCOUNT_ID, Account, Identity
from email_settings.standin.server import running
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)

pytestmark = pytest.mark.django_db

SENDER = "canary.sender@canary-domain.example"
USER = "canaryuser"
SIMULATOR = ("success@simulator.amazonses.com",)
CANARIES = [
    ACCESS_KEY_ID,
    SECRET,
    ACCOUNT_ID,
    "canary",
    "larkfield",
    "hannah",
    "field-check.example",
]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET, user=USER)
    region = account.region("eu-west-1")
    region.is_production = False
    region.identities["canary-domain.example"] = Identity("canary-domain.example")
    account.region("af-south-1").is_enabled = False
    monkeypatch.setattr(report, "PAUSE", 0.0)
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield account


@pytest.fixture
def stored(aws: Account) -> SesSettings:
    Brand.objects.create(company_name="Canary & Sons")
    row = make_settings(from_email=SENDER, from_name="Canary Desk")
    row.account_id = ACCOUNT_ID
    row.principal_arn = f"arn:aws:iam::{ACCOUNT_ID}:user/{USER}"
    row.save()
    return row


def check(tmp_path: Path, *options: str) -> tuple[str, str]:
    """Run it and return what it said and what it wrote."""
    out, file = io.StringIO(), tmp_path / "report.txt"
    call_command(
        "ses_field_check", "--yes", "--output", str(file), *options, stdout=out
    )
    return out.getvalue(), file.read_text()


def part(written: str, name: str) -> str:
    return written.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_it_writes_what_aws_answers_word_for_word(
    stored: SesSettings, tmp_path: Path
) -> None:
    _, written = check(tmp_path)
    assert "code: (done)" in part(written, "who")
    assert '"Max24HourSend": 200.0' in part(written, "account")
    assert "UnrecognizedClientException" in part(written, "unknown key")
    assert "The security token included in the request is invalid" in written
    assert "does not match the signature" in part(written, "wrong secret")
    assert "NotFoundException" in part(written, "missing set")
    assert "code: UnrecognizedClientException" in part(written, "region af-south-1")
    assert "## send\n" not in written


@pytest.mark.parametrize("options", [(), ("--send",)])
def test_nothing_private_is_said_or_written(
    stored: SesSettings, tmp_path: Path, options: tuple[str, ...]
) -> None:
    message = make_message(recipient="hannah@larkfield.example")
    DeliveryAttempt.objects.create(
        message=message,
        number=1,
        error_code="AccessDeniedException",
        error_detail=f"User: arn:aws:iam::{ACCOUNT_ID}:user/{USER} is not authorized to "
        "perform: ses:SendRawEmail on resource: "
        f"arn:aws:ses:eu-west-1:{ACCOUNT_ID}:identity/hannah@larkfield.example",
    )
    said, written = check(tmp_path, *options)
    file = tmp_path / "report.txt"
    for canary in CANARIES:
        assert canary.lower() not in written.lower(), canary
        assert canary.lower() not in said.lower().replace(str(file).lower(), ""), canary
    kept = part(written, "What mail has met here")
    assert (
        "User: arn:aws:iam::<account>:user/<name> is not authorized to perform: "
        "ses:SendRawEmail on resource: arn:aws:ses:eu-west-1:<account>:identity/<name>"
    ) in kept
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_send_it_asks_and_changes_nothing(
    stored: SesSettings, aws: Account, tmp_path: Path
) -> None:
    check(tmp_path)
    assert aws.mails == []
    # "" is what was refused before AWS looked at it: a wrong key
    asked = {call.action.partition(":")[2] for call in aws.calls} - {""}
    assert asked
    assert [name for name in asked if not name.startswith(("Get", "List"))] == []


def test_send_reaches_the_simulator_and_nobody_else(
    stored: SesSettings, aws: Account, tmp_path: Path
) -> None:
    _, written = check(tmp_path, "--send")
    assert {mail.recipients for mail in aws.mails} == {SIMULATOR}
    assert "Email address is not verified" in part(written, "send as a stranger")
    assert "Email address is not verified" in part(written, "send to a stranger")
    assert "code: (done)" in part(written, "send")


def test_a_stranger_is_left_alone_outside_the_sandbox(
    stored: SesSettings, aws: Account, tmp_path: Path
) -> None:
    aws.region("eu-west-1").is_production = True
    _, written = check(tmp_path, "--send")
    assert {mail.recipients for mail in aws.mails} == {SIMULATOR}
    assert "not tried" in part(written, "send to a stranger")


def test_it_says_what_it_will_do_and_asks(
    stored: SesSettings,
    aws: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    out, file = io.StringIO(), tmp_path / "report.txt"
    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("ses_field_check", "--output", str(file), stdout=out)
    assert "wrong secret: The words for a secret" in out.getvalue()
    assert "Nothing is sent (--send would)" in out.getvalue()
    assert not file.exists()
    assert not aws.calls


def test_the_environment_will_do(
    aws: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="no settings to check with"):
        check(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(CommandError, match="no settings to check with"):
        check(tmp_path)  # who sends?
    _, written = check(tmp_path, "--from", SENDER)
    assert "code: (done)" in part(written, "who")
    assert "canary" not in written.lower()


def test_an_inactive_key_is_tried_when_there_is_one(
    stored: SesSettings,
    aws: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "## inactive key" not in check(tmp_path)[1]
    aws.add_key("AKIAI44QH8DHBEXAMPLE", SECRET, user=USER, is_active=False)
    monkeypatch.setenv("INACTIVE_AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
    monkeypatch.setenv("INACTIVE_AWS_SECRET_ACCESS_KEY", SECRET)
    _, written = check(tmp_path)
    assert "code: UnrecognizedClientException" in part(written, "inactive key")
    assert "AKIAI44QH8DHBEXAMPLE" not in written


@pytest.mark.parametrize(
    ("words", "masked"),
    [
        ("account 123456789012 is", "account <account> is"),
        ("arn:aws:sns:eu-west-1:123456789012:my-topic", "arn:aws:sns:eu-west-1:<name>"),
        (
            "`arn:aws-us-gov:ses:us-gov-west-1:123456789012:configuration-set/Acme'",
            "`arn:aws-us-gov:ses:us-gov-west-1:<account>:configuration-set/<name>'",
        ),
        (
            "region EU-WEST-1: Bob <bob@acme.example>",
            "region EU-WEST-1: Bob <<address>>",
        ),
        ("key AKIAIOSFODNN7EXAMPLE", "key <key id>"),
        ("x wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY y", "x <token> y"),
        ("request 6e1b9c3e-27f5-4b8f-9d0e-0a1b2c3d4e5f", "request <id>"),
        ("from 203.0.113.9", "from <ip>"),
        ("at mail.acme.example.", "at <domain>."),
        (
            "email.eu-west-1.amazonaws.com:443",
            "email.eu-west-1.amazonaws.com:443",
        ),
        ("Daily message quota exceeded.", "Daily message quota exceeded."),
        ("the company ACME GmbH", "the company <private>"),
    ],
)
def test_words_keep_their_meaning_and_lose_their_names(words: str, masked: str) -> None:
    assert Redactor(["Acme GmbH", ""]).words(words) == masked


def test_of_an_answer_only_names_numbers_and_constants_stay() -> None:
    answer = {
        "Status": "PENDING",
        "Rate": 14.0,
        "On": True,
        "Tokens": ["abc", "def"],
        "Details": {"WebsiteURL": "https://acme.example", "MailType": "TRANSACTIONAL"},
        "None": None,
        "Name": "ACME",
    }
    assert Redactor(["Acme"]).shape(answer) == {
        "Status": "PENDING",
        "Rate": 14.0,
        "On": True,
        "Tokens": ["<text>"],
        "Details": {"WebsiteURL": "<text>", "MailType": "TRANSACTIONAL"},
        "None": None,
        "Name": "<text>",
    }


def test_the_pause_is_what_aws_asks_for() -> None:
    assert report.PAUSE > 1
    assert "INACTIVE_AWS_SECRET_ACCESS_KEY" not in os.environ
