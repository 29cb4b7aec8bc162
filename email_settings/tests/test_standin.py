"""The stand-in for AWS, asked through the product's own gateway and probe."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from email_settings.credentials import Credentials, Secret
from email_settings.gateway import ses
from email_settings.gateway.base import Outgoing
from email_settings.gateway.errors import SendError
from email_settings.gateway.probe import AccountState, check_account
from email_settings.gateway.ses import SesGateway, make_client
from email_settings.standin import protocol
from email_settings.standin.account import Account, Identity, Region
from email_settings.standin.console.changes import CHANGES
from email_settings.standin.faults import Fault, Trouble
from email_settings.standin.protocol import Reply, Request
from email_settings.standin.server import answer, running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET

FROM = "help@larkfield.example"
HANNAH = "hannah@larkfield.example"
STRANGER = "someone@elsewhere.example"


@dataclass
class Aws:
    """The account behind the stand-in, and somebody who uses it."""

    account: Account
    access_key_id: str = ACCESS_KEY_ID
    secret: str = SECRET

    @property
    def region(self) -> Region:
        return self.account.region("eu-west-1")

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.access_key_id, Secret(self.secret), "eu-west-1")

    def check(self) -> AccountState:
        return check_account(self.credentials, FROM, total_seconds=30)

    def send(
        self, recipient: str = HANNAH, *, sender: str = FROM, size: int = 0
    ) -> str:
        client = make_client(self.credentials, slots=1)
        mime = f"From: Help <{sender}>\r\nTo: {recipient}\r\n\r\nHello{'!' * size}"
        outgoing = Outgoing(
            mime.encode(), recipient, sender, tags={"tf-msg": "0f" * 16}
        )
        try:
            return SesGateway(client, region="eu-west-1").send(outgoing)
        finally:
            client.close()

    def problem(self, recipient: str = HANNAH, **values: object) -> str:
        """Return the code of the problem that sending meets."""
        with pytest.raises(SendError) as caught:
            self.send(recipient, **values)  # type: ignore[arg-type]
        return str(caught.value.problem.code)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield Aws(account)


def test_a_good_account_answers_every_question_and_takes_mail(aws: Aws) -> None:
    state = aws.check()
    assert state.problems == []
    assert state.is_from_verified
    assert state.is_sandbox is False
    assert state.max_send_rate == 14
    assert state.principal_arn.endswith(":user/ticketflow-ses")

    message_id = aws.send()
    [mail] = aws.account.mails
    assert mail.message_id == message_id
    assert mail.recipients == (HANNAH,)
    assert mail.tags == {"tf-msg": "0f" * 16}
    assert mail.raw.endswith(b"Hello")
    assert aws.check().sent_last_24_hours == 1


def test_every_question_is_answered_where_ses_takes_one_a_second(aws: Aws) -> None:
    aws.account.one_call_a_second = True
    state = aws.check()
    assert state.is_sandbox is False
    assert state.is_from_verified is True
    assert state.problems == []


def test_a_wrong_secret_does_not_sign(aws: Aws) -> None:
    aws.secret = "x" * 40
    assert aws.problem() == "secret_mismatch"
    assert [p.code for p in aws.check().problems] == ["secret_mismatch"]
    assert aws.account.mails == []


def test_a_key_that_is_unknown_or_inactive_is_told_the_same(aws: Aws) -> None:
    aws.access_key_id = "AKIAI44QH8DHBEXAMPLE"
    assert aws.problem() == "key_unknown"
    aws.access_key_id = ACCESS_KEY_ID
    aws.account.keys[ACCESS_KEY_ID].is_active = False
    assert aws.problem() == "key_unknown"


def test_any_key_is_right_where_that_is_wanted(aws: Aws) -> None:
    aws.account.takes_any_key = True
    aws.access_key_id, aws.secret = "AKIAI44QH8DHBEXAMPLE", "y" * 40
    assert aws.check().problems == []
    assert aws.send()


@pytest.mark.parametrize("minutes", [12, -12])
def test_a_clock_that_is_wrong_is_told_by_how_much(aws: Aws, minutes: int) -> None:
    aws.account.clock_offset = timedelta(minutes=minutes)
    with pytest.raises(SendError) as caught:
        aws.send()
    assert caught.value.problem.code == "clock_skew"
    assert "by 12 minutes" in caught.value.problem.title


def test_a_region_that_is_not_enabled_knows_no_key(aws: Aws) -> None:
    aws.region.is_enabled = False
    assert [p.code for p in aws.check().problems] == ["region_not_enabled"]


def test_identities_belong_to_a_region(aws: Aws) -> None:
    assert aws.problem(sender=STRANGER) == "from_not_verified"
    aws.account.region("us-east-1").identities["elsewhere.example"] = Identity(
        "elsewhere.example"
    )
    assert aws.problem(sender=STRANGER) == "from_not_verified"
    aws.region.identities["elsewhere.example"] = Identity("elsewhere.example")
    assert aws.send(sender="someone@deep.inside.elsewhere.example")


def test_an_identity_has_to_be_verified_first(aws: Aws) -> None:
    client = make_client(aws.credentials, slots=1)
    client.create_email_identity(EmailIdentity=STRANGER)
    assert client.get_email_identity(EmailIdentity=STRANGER)["VerificationStatus"] == (
        "PENDING"
    )
    with pytest.raises(client.exceptions.AlreadyExistsException):
        client.create_email_identity(EmailIdentity=STRANGER)
    names = {
        i["IdentityName"] for i in client.list_email_identities()["EmailIdentities"]
    }
    client.close()
    assert names == {"larkfield.example", STRANGER}
    assert aws.problem(sender=STRANGER) == "from_not_verified"
    aws.region.identities[STRANGER].is_verified = True
    assert aws.send(sender=STRANGER)


def test_the_sandbox_delivers_to_verified_addresses_and_the_simulator(aws: Aws) -> None:
    aws.region.is_production = False
    assert aws.check().is_sandbox
    assert aws.problem(STRANGER) == "recipient_not_verified"
    assert aws.send(HANNAH)
    aws.account.clock_offset += timedelta(seconds=1)
    assert aws.send("bounce+7@simulator.amazonses.com")


def test_one_a_second_is_all_that_the_sandbox_takes(aws: Aws) -> None:
    aws.region.is_production = False
    aws.send()
    # However slow this machine is: the mail was taken this very second, and then not.
    aws.region.taken = [aws.account.now() + timedelta(seconds=60)]
    assert aws.problem() == "rate_exceeded"
    aws.region.taken = [aws.account.now() - timedelta(seconds=1)]
    assert aws.send()


def test_the_daily_quota_rolls(aws: Aws) -> None:
    aws.region.max_24_hour_send = 2
    aws.send()
    aws.send()
    assert aws.problem() == "daily_quota"
    # To let yesterday's mail be older; the clock itself would break the signatures.
    aws.region.taken = [moment - timedelta(hours=24) for moment in aws.region.taken]
    assert aws.send()


def test_an_account_can_be_paused_by_its_owner_and_by_aws(aws: Aws) -> None:
    aws.region.is_sending_enabled = False
    assert aws.problem() == "sending_switched_off"
    aws.region.is_sending_enabled = True
    aws.region.enforcement = "SHUTDOWN"
    assert aws.problem() == "sending_paused_by_aws"
    assert [p.code for p in aws.check().problems] == ["sending_paused_by_aws"]


def test_a_key_may_do_what_its_policy_allows(aws: Aws) -> None:
    key = aws.account.keys[ACCESS_KEY_ID]
    key.actions = {"ses:SendEmail"}
    assert aws.problem() == "access_denied"
    key.actions = {"ses:SendRawEmail"}
    assert aws.send()
    state = aws.check()
    assert state.account_id  # STS asks for no permission
    assert {p.code for p in state.problems} == {"access_denied"}


@pytest.mark.parametrize(
    "recipient", ["nobody", "a b@larkfield.example", "a@localhost"]
)
def test_a_recipient_that_is_no_address_is_refused(aws: Aws, recipient: str) -> None:
    assert aws.problem(recipient) == "recipient_invalid"


def test_a_mail_that_is_too_large_is_refused(aws: Aws) -> None:
    assert aws.problem(size=41 * 1024 * 1024) == "message_malformed"


@pytest.mark.parametrize(
    ("fault", "code", "taken"),
    [
        (Fault.HANGS, "no_answer", 1),
        (Fault.BREAKS, "no_answer", 1),
        (Fault.THROTTLES, "rate_exceeded", 0),
        (Fault.FAILS, "aws_failed", 0),
        (Fault.IS_AWAY, "aws_unavailable", 0),
        (Fault.IS_A_PORTAL, "not_aws", 0),
        (Fault.IS_A_FRIENDLY_PORTAL, "empty_answer", 0),
    ],
)
def test_what_goes_wrong_on_the_way_does_so_as_often_as_wanted(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, fault: Fault, code: str, taken: int
) -> None:
    monkeypatch.setattr(ses, "READ_SECONDS", 0.5)
    aws.account.trouble = Trouble(fault, times=1)
    assert aws.problem() == code
    assert len(aws.account.mails) == taken
    assert aws.send()


def ask(aws: Aws, target: str, method: str = "GET", **headers: str) -> Reply:
    """Ask the console as a browser would; `body` among the headers is the form."""
    body = headers.pop("body", "").encode()
    request = Request(method, target, {"host": "127.0.0.1:1", **headers}, body)
    reply = answer(aws.account, request)
    assert isinstance(reply, Reply)
    return reply


def change(aws: Aws, what: str, value: str) -> Reply:
    form = urlencode({"what": what, "value": value})
    origin = "http://127.0.0.1:1"
    return ask(aws, "/change?region=eu-west-1", "POST", origin=origin, body=form)


def test_the_console_breaks_and_mends_the_account(aws: Aws) -> None:
    for what, broken, code, good in [
        ("keys", "no", "key_unknown", "yes"),
        ("rights", "none", "access_denied", "all"),
        ("enabled", "no", "key_unknown", "yes"),
        ("sending", "no", "sending_switched_off", "yes"),
        ("enforcement", "SHUTDOWN", "sending_paused_by_aws", "HEALTHY"),
        ("quota", "0", "daily_quota", "50000"),
        ("trouble", "THROTTLES:9", "rate_exceeded", ""),
    ]:
        assert change(aws, what, broken).status == 303
        assert aws.problem() == code
        change(aws, "calm" if what == "trouble" else what, good)
        assert aws.send()

    assert aws.problem(sender=STRANGER) == "from_not_verified"
    change(aws, "verify", " Elsewhere.example ")
    assert aws.send(sender=STRANGER)
    change(aws, "forget", "elsewhere.example")
    assert aws.problem(sender=STRANGER) == "from_not_verified"

    change(aws, "production", "no")
    assert aws.check().is_sandbox
    change(aws, "production", "yes")
    change(aws, "rate", "3")
    assert aws.check().max_send_rate == 3


def test_the_console_shows_what_was_taken(aws: Aws) -> None:
    aws.send()
    page = ask(aws, "/").body.decode()
    assert f"to {HANNAH}" in page
    assert ACCESS_KEY_ID in page
    aws.account.region("ap-east-2").identities["<b>"] = Identity("<b>")
    assert "&lt;b&gt;" in ask(aws, "/?region=ap-east-2").body.decode()


def test_nonsense_changes_nothing(aws: Aws) -> None:
    before = copy.deepcopy(aws.region)
    for what in [*CHANGES, "nonsense"]:
        for value in ("", "-1", "½", "nonsense:x"):
            if what not in {"keys", "verify", "enabled", "production", "sending"}:
                change(aws, what, value)
    assert aws.region == before
    assert aws.send()


def test_only_the_console_itself_may_change_something(aws: Aws) -> None:
    form = urlencode({"what": "sending", "value": "no"})
    for headers in (
        {"origin": "https://elsewhere.example"},
        {},
        {"host": "elsewhere.example", "origin": "http://elsewhere.example"},
    ):
        assert ask(aws, "/change", "POST", body=form, **headers).status == 403
    assert ask(aws, "/", host="elsewhere.example").status == 403
    assert aws.send()


@pytest.mark.parametrize(
    "wrong",
    [
        {"Nonsense": 1},
        {"SendingEnabled": "yes"},
        {"SendQuota": {"Nonsense": 1}},
    ],
)
def test_an_answer_that_the_sdk_does_not_know_is_a_bug(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(TypeError, match="GetAccount"):
        protocol.write_json("sesv2", "GetAccount", wrong)
