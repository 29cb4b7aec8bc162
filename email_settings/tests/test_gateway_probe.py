"""What AWS says about an account, and what is made of it when it does not."""

import json
import time

import pytest

from email_settings.credentials import Credentials
from email_settings.gateway.probe import AccountState, check_account
from email_settings.tests.fake_ses import REQUEST_ID, Answer, FakeSes, page, refusal

FROM = "help@desk.larkfield.example"
UNKNOWN_KEY = "The security token included in the request is invalid."
IDENTITIES = "/v2/email/identities/"

WHO = Answer(
    body=(
        "<GetCallerIdentityResponse "
        'xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        "<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/helpdesk</Arn>"
        "<UserId>AIDA</UserId><Account>123456789012</Account>"
        "</GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId>"
        "</ResponseMetadata></GetCallerIdentityResponse>"
    ),
    content_type="text/xml",
)
WHO_REFUSED = Answer(
    status=403,
    body=(
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        "<Type>Sender</Type><Code>InvalidClientTokenId</Code>"
        f"<Message>{UNKNOWN_KEY}</Message></Error><RequestId>r-1</RequestId>"
        "</ErrorResponse>"
    ),
    content_type="text/xml",
)


def account(**changes: object) -> Answer:
    values = {
        "ProductionAccessEnabled": False,
        "SendingEnabled": True,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": {
            "Max24HourSend": 200.0,
            "MaxSendRate": 1.0,
            "SentLast24Hours": 12.0,
        },
        **changes,
    }
    return Answer(body=json.dumps(values))


def identity(*, is_verified: bool) -> Answer:
    return Answer(body=json.dumps({"VerifiedForSendingStatus": is_verified}))


NO_IDENTITY = refusal(404, "NotFoundException", "Email identity does not exist.")


@pytest.fixture
def aws(fake_ses: FakeSes) -> FakeSes:
    """An account in the sandbox with the parent domain of From verified."""
    fake_ses.routes = {
        "/": WHO,
        "/v2/email/account": account(),
        f"{IDENTITIES}larkfield.example": identity(is_verified=True),
    }
    fake_ses.answer = NO_IDENTITY
    return fake_ses


def codes(state: AccountState) -> list[str]:
    return [problem.code for problem in state.problems]


def test_account_in_order_is_told_in_full(
    aws: FakeSes, credentials: Credentials
) -> None:
    assert check_account(credentials, FROM) == AccountState(
        account_id="123456789012",
        principal_arn="arn:aws:iam::123456789012:user/helpdesk",
        is_sandbox=True,
        is_sending_enabled=True,
        max_send_rate=1.0,
        max_24_hour_send=200.0,
        sent_last_24_hours=12.0,
        is_from_verified=True,
        enforcement="HEALTHY",
        problems=[],
    )


def test_sender_without_an_identity_is_named(
    aws: FakeSes, credentials: Credentials
) -> None:
    del aws.routes[f"{IDENTITIES}larkfield.example"]
    state = check_account(credentials, FROM)
    assert state.is_from_verified is False
    assert codes(state) == ["from_not_verified"]
    assert FROM in state.problems[0].title


def test_identity_that_waits_for_dns_is_not_verified(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes[f"{IDENTITIES}larkfield.example"] = identity(is_verified=False)
    assert check_account(credentials, FROM).is_from_verified is False


def test_unknown_key_is_told_once(aws: FakeSes, credentials: Credentials) -> None:
    aws.routes = {"/": WHO_REFUSED}
    aws.answer = refusal(403, "UnrecognizedClientException", UNKNOWN_KEY)
    state = check_account(credentials, FROM)
    assert codes(state) == ["key_unknown"]
    assert (state.account_id, state.is_sandbox) == ("", None)


def test_key_that_only_this_region_does_not_know_means_the_region(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes = {"/": WHO}
    aws.answer = refusal(403, "UnrecognizedClientException", UNKNOWN_KEY)
    state = check_account(credentials, FROM)
    assert codes(state) == ["region_not_enabled"]
    assert "eu-west-1" in state.problems[0].title


def test_missing_permission_costs_only_its_own_line(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes["/v2/email/account"] = refusal(
        403,
        "AccessDeniedException",
        "User: arn:x is not authorized to perform: ses:GetAccount on resource: *",
    )
    state = check_account(credentials, FROM)
    assert codes(state) == ["access_denied"]
    assert "ses:GetAccount" in state.problems[0].fix
    assert (state.account_id, state.is_from_verified) == ("123456789012", True)
    assert state.max_send_rate is None


def test_stand_in_that_lacks_the_question_blames_nobody(
    moto_url: str, credentials: Credentials
) -> None:
    state = check_account(credentials)
    assert state.account_id == "123456789012"
    assert (state.is_sandbox, state.max_send_rate) == (None, None)
    assert state.problems == []


def test_portal_in_between_is_recognised(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes = {}
    aws.answer = page(403)
    state = check_account(credentials, FROM)
    assert codes(state) == ["not_aws"]


def test_account_that_aws_stopped_is_told(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes["/v2/email/account"] = account(EnforcementStatus="SHUTDOWN")
    assert codes(check_account(credentials, FROM)) == ["sending_paused_by_aws"]


def test_sending_that_is_switched_off_is_told(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes["/v2/email/account"] = account(SendingEnabled=False)
    assert codes(check_account(credentials, FROM)) == ["sending_switched_off"]


def test_answer_comes_in_time_even_when_aws_hangs(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes["/v2/email/account"] = Answer(hangs=True)
    began = time.monotonic()
    state = check_account(credentials, FROM, total_seconds=2)
    # One call alone would wait for four seconds.
    assert time.monotonic() - began < 3.8
    assert state.account_id == "123456789012"
    assert codes(state) == ["connect_timeout"]


def test_problem_carries_the_words_of_aws_for_its_support(
    aws: FakeSes, credentials: Credentials
) -> None:
    aws.routes = {"/": WHO_REFUSED}
    aws.answer = refusal(403, "UnrecognizedClientException", UNKNOWN_KEY)
    (problem,) = check_account(credentials, FROM).problems
    assert problem.words == (
        f"UnrecognizedClientException: {UNKNOWN_KEY}\nAWS request ID: {REQUEST_ID}"
    )
