"""Amazon SES refuses: an account at fault holds all mail, a message at fault only itself."""

from datetime import timedelta

import boto3
import pytest

from email_settings.delivery import hold, pump, settle
from email_settings.models import OutboxMessage, SesSettings
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_message
from email_settings.tests.fake_ses import Answer, refusal
from email_settings.tests.faults_inside.aws import Deed, Post, ScriptedSes, accept
from email_settings.tests.faults_inside.mail import (
    make_waiting_due,
    put_many,
    reasons,
    send_due,
    states,
)

pytestmark = pytest.mark.django_db

State = OutboxMessage.State

# What holds all mail, in AWS's words: the answer, and the reason that is shown
OF_THE_ACCOUNT: dict[str, tuple[Answer, str]] = {
    "AccountSuspendedException": (
        refusal(400, "AccountSuspendedException", "Account suspended."),
        "account_suspended",
    ),
    "SendingPausedException": (
        refusal(400, "SendingPausedException", "Email sending is disabled."),
        "sending_switched_off",
    ),
    "MailFromDomainNotVerifiedException": (
        refusal(
            400, "MailFromDomainNotVerifiedException", "Mail FROM domain not verified."
        ),
        "mail_from_not_verified",
    ),
    "NotFoundException": (
        refusal(404, "NotFoundException", "Configuration set <x> does not exist."),
        "configuration_set_missing",
    ),
    "LimitExceededException": (
        refusal(400, "LimitExceededException", "Daily message quota exceeded."),
        "daily_quota",
    ),
    "MessageRejected": (
        refusal(
            400,
            "MessageRejected",
            "Email address is not verified. The following identities failed the check "
            "in region EU-WEST-1: help@larkfield.example",
        ),
        "from_not_verified",
    ),
    "MessageRejected, paused": (
        refusal(400, "MessageRejected", "Sending paused for this account."),
        "sending_paused_by_aws",
    ),
    "UnrecognizedClientException": (
        refusal(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        "key_unknown",
    ),
    "InvalidSignatureException": (
        refusal(
            403,
            "InvalidSignatureException",
            "The request signature we calculated does not match.",
        ),
        "secret_mismatch",
    ),
    "InvalidSignatureException, clock": (
        refusal(
            403,
            "InvalidSignatureException",
            "Signature expired: 20261124T100000Z is now earlier than "
            "20261124T110000Z (20261124T110500Z - 5 min.)",
        ),
        "clock_skew",
    ),
    "AccessDeniedException": (
        refusal(
            403,
            "AccessDeniedException",
            "User `arn:aws:iam::123456789012:user/x' is not authorized to perform "
            "`ses:SendRawEmail' on resource `*'",
        ),
        "access_denied",
    ),
    "ExpiredTokenException": (
        refusal(403, "ExpiredTokenException", "The security token is expired"),
        "token_expired",
    ),
}

# What concerns one message only
OF_THE_MESSAGE: dict[str, tuple[Answer, str, str]] = {
    "BadRequestException": (
        refusal(400, "BadRequestException", "Missing final '@domain'"),
        State.FAILED,
        "recipient_invalid",
    ),
    "BadRequestException, too long": (
        refusal(400, "BadRequestException", "Message length is more than 41943040"),
        State.FAILED,
        "message_malformed",
    ),
    "MessageRejected": (
        refusal(400, "MessageRejected", "Illegal attachment."),
        State.FAILED,
        "message_rejected",
    ),
    "MessageRejected, sandbox": (
        refusal(
            400,
            "MessageRejected",
            "Email address is not verified. The following identities failed the check "
            "in region EU-WEST-1: odd@larkfield.example",
        ),
        State.HELD,
        "recipient_not_verified",
    ),
    "TooManyRequestsException": (
        refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
        State.QUEUED,
        "rate_exceeded",
    ),
}


def test_every_error_of_send_email_is_tried_here() -> None:
    """A shape that AWS adds to the SDK's model fails here until somebody thinks of it."""
    client = boto3.session.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="eu-west-1",
    ).client("sesv2")
    operation = client.meta.service_model.operation_model("SendEmail")
    shapes = {shape.name for shape in operation.error_shapes}
    tried = {name.partition(",")[0] for name in [*OF_THE_ACCOUNT, *OF_THE_MESSAGE]}
    assert len(shapes) == 8
    assert shapes <= tried


@pytest.mark.parametrize("name", OF_THE_ACCOUNT)
def test_broken_account_is_asked_by_one_message_a_minute(
    aws: ScriptedSes, live: SesSettings, name: str
) -> None:
    answer, reason = OF_THE_ACCOUNT[name]
    aws.decide = lambda post: answer
    put_many(1_000)
    send_due()
    # Only what was on its way when the first answer came home
    assert len(aws.log) <= pump.SLOTS
    assert states() == {State.HELD: 1_000}
    assert reasons(State.HELD) == {reason: 1_000}
    assert SesSettings.load().hold_code == reason
    shown = OutboxMessage.objects.exclude(reason="").exclude(reason_detail="")
    assert shown.count() == 1_000

    asked = len(aws.log)
    for _ in range(5):
        make_waiting_due()
        send_due()
    assert len(aws.log) == asked
    for probe in (1, 2):
        hold.probe_now()
        send_due()
        assert len(aws.log) == asked + probe
    # None has come nearer to being given up.
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {0}


def test_all_leave_once_when_the_account_is_mended(
    aws: ScriptedSes, live: SesSettings
) -> None:
    answer, _ = OF_THE_ACCOUNT["AccountSuspendedException"]
    aws.decide = lambda post: answer
    put_many(200)
    send_due()
    aws.decide = accept
    hold.probe_now()
    send_due()
    assert states() == {State.SENT: 200}
    assert aws.doubled() == []
    assert SesSettings.load().held_since is None


def test_broken_account_would_be_stormed_without_the_hold(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "hold_all", lambda *args, **kwargs: None)
    answer, _ = OF_THE_ACCOUNT["AccountSuspendedException"]
    aws.decide = lambda post: answer
    put_many(100)
    send_due()
    assert len(aws.log) == 100


@pytest.mark.parametrize("name", OF_THE_MESSAGE)
def test_one_bad_message_among_many_keeps_nobody_back(
    aws: ScriptedSes,
    live: SesSettings,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, state, reason = OF_THE_MESSAGE[name]
    # A second or two may pass on a busy machine before it is looked for again.
    monkeypatch.setattr(settle, "moment", lambda: timedelta(minutes=1))

    def refuse_the_odd_one(post: Post) -> Deed:
        return answer if post.recipient.startswith("odd@") else accept(post)

    aws.decide = refuse_the_odd_one
    put_many(20)
    odd = make_message(recipient="odd@larkfield.example")
    late = put_many(20, prefix="late")
    send_due()
    odd.refresh_from_db()
    assert (odd.state, odd.reason_code) == (state, reason)
    assert odd.reason
    assert states() == {State.SENT: 40, state: 1}
    assert OutboxMessage.objects.filter(
        pk__in=[message.pk for message in late], state=State.SENT
    ).count() == len(late)
    assert SesSettings.load().hold_code == ""
    asked = len(aws.log)
    send_due()  # not tried again at once
    assert len(aws.log) == asked
