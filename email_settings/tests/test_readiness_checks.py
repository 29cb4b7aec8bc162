"""Every line of the checklist in every state it can be in, over real HTTP and DNS."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from email_settings import credentials
from email_settings.gateway import reader
from email_settings.models import (
    DeliveryAttempt,
    DeliveryEvent,
    EventFeed,
    MailWatch,
    OutboxMessage,
    SesSettings,
)
from email_settings.readiness.checks import sender as sender_check
from email_settings.readiness.finding import State
from email_settings.standin.account import (
    ACCOUNT_ID,
    Identity,
    MailFrom,
    Review,
)
from email_settings.standin.presets import SENDING, connect_events
from email_settings.standin.zone import Answer
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_message
from email_settings.tests.fake_account import running_fake_account
from email_settings.tests.fake_ses import Answer as FakeAnswer
from email_settings.tests.fake_ses import page
from email_settings.tests.live_account import DOMAIN, FROM, HERE, LiveAccount

pytestmark = pytest.mark.django_db

DONE, TODO, WRONG, UNKNOWN, UNNEEDED = State
# The password that SES makes from a secret: 44 characters, the first byte is 4
SMTP_PASSWORD = "BF" + "a" * 42
Change = Callable[[LiveAccount], object]


def settings(**values: object) -> SesSettings:
    SesSettings.objects.update(**values)
    return SesSettings.load()


def store(secret: str) -> None:
    row = SesSettings.load()
    credentials.store_secret(row, secret)
    row.save()


def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")


# Clock


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (0, DONE, "Right"),
        (-50, DONE, "Right"),
        (-200, WRONG, "3 minutes slow"),
        (200, WRONG, "3 minutes fast"),
        # So far off that AWS refuses: the refusal tells the time, too.
        (-2400, WRONG, "40 minutes slow"),
        (3 * 3600, WRONG, "3 hours fast"),
    ],
)
def test_clock(live: LiveAccount, ahead: int, state: State, said: str) -> None:
    live.account.clock_offset = -timedelta(seconds=ahead)
    found = live.look("clock")
    assert (found.state, found.said) == (state, said)
    assert ("timedatectl" in found.fix) is (state == WRONG)


def test_clock_is_not_known_while_aws_is_out_of_reach(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplugged(monkeypatch)
    found = live.look("clock")
    assert found.state == UNKNOWN
    assert "can't reach" in found.evidence


# The key


@pytest.mark.parametrize(
    ("key_id", "secret", "state", "says"),
    [
        (ACCESS_KEY_ID, SECRET, DONE, "ends in MPLE"),
        ("ASIAIOSFODNN7EXAMPLE", SECRET, WRONG, "temporary key"),
        ("AKIA", SECRET, WRONG, "not an Access Key ID"),
        (ACCESS_KEY_ID, SMTP_PASSWORD, WRONG, "SMTP password"),
        (ACCESS_KEY_ID, "short", WRONG, "not a Secret Access Key"),
    ],
)
def test_key_format(
    live: LiveAccount, key_id: str, secret: str, state: State, says: str
) -> None:
    settings(access_key_id=key_id)
    store(secret)
    found = live.look("key_format")
    assert found.state == state
    assert says in found.evidence
    assert secret not in repr(found)
    assert not live.account.calls


def test_secret_that_cannot_be_read_is_named_at_the_key(live: LiveAccount) -> None:
    settings(secret_access_key_encrypted="v1:nobody:AAAA")
    found = live.look("key_format")
    assert found.state == WRONG
    assert "can't be read" in found.evidence


def test_no_key_is_needed_where_the_server_has_a_role(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_settings, "ALLOW_SERVER_ROLE", True)
    settings(source="server", access_key_id="")
    assert live.look("key_format").state == UNNEEDED


# Whose key it is


def test_credentials_name_account_and_user(live: LiveAccount) -> None:
    found = live.look("credentials")
    assert (found.state, found.said) == (DONE, "Valid")
    assert found.evidence == "AWS account 1234-5678-9012, user ticketflow-ses."
    row = SesSettings.load()
    assert row.account_id == ACCOUNT_ID
    assert row.principal_arn == live.key.arn


def test_root_user_is_warned_about(live: LiveAccount) -> None:
    live.key.assumed = f"arn:aws:iam::{ACCOUNT_ID}:root"
    found = live.look("credentials")
    assert (found.state, found.said) == (TODO, "Root user")


def _forget_the_key(live: LiveAccount) -> None:
    live.account.keys.clear()


def _change_the_secret(live: LiveAccount) -> None:
    live.key.secret = "x" * 40


def _be_late(live: LiveAccount) -> None:
    live.account.clock_offset = timedelta(minutes=20)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_forget_the_key, "AWS does not know this access key."),
        (_change_the_secret, "The secret access key does not belong to this key ID."),
        (_be_late, "The clock of this server is wrong by 20 minutes."),
    ],
)
def test_credentials_that_aws_refuses(
    live: LiveAccount, change: Change, says: str
) -> None:
    change(live)
    found = live.look("credentials")
    assert (found.state, found.said) == (WRONG, "Refused")
    assert says in found.evidence
    assert found.fix
    assert "AWS request ID" in found.words


def test_credentials_without_sts_are_known_by_ses(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    found = live.look("credentials")
    assert found.state == DONE
    assert "STS, which would say whose it is, could not be reached" in found.evidence


def test_credentials_are_not_known_while_nothing_answers(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplugged(monkeypatch)
    found = live.look("credentials")
    assert (found.state, found.said) == (UNKNOWN, "No answer")
    assert "port 443" in found.fix


@pytest.mark.parametrize("key", ["clock", "credentials", "region", "account", "sender"])
@pytest.mark.parametrize("status", [200, 403])
def test_portal_that_answers_in_the_place_of_aws_is_told(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch, key: str, status: int
) -> None:
    with running_fake_account() as portal:
        portal.who = portal.account = portal.identity_refusal = page(status)
        monkeypatch.setenv("AWS_ENDPOINT_URL", portal.url)
        found = live.look(key)
    assert (found.state, found.said) == (UNKNOWN, "No answer")
    assert "Something other than AWS answered." in found.evidence


def test_empty_answer_without_a_number_is_not_that_of_aws(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_fake_account() as portal:
        portal.account = FakeAnswer(body="{}", is_from_aws=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", portal.url)
        found = live.look("account")
    assert (found.state, found.said) == (UNKNOWN, "No answer")
    assert SesSettings.load().is_sandbox is None


# Region


def test_region_that_is_not_enabled_is_told_from_a_wrong_key(live: LiveAccount) -> None:
    assert live.look("region").state == DONE
    live.region.is_enabled = False
    found = live.look("region")
    assert (found.state, found.said) == (WRONG, "Not enabled")
    assert found.evidence.startswith(f"The region {HERE} is not enabled")


def test_region_answers_even_when_it_says_no(live: LiveAccount) -> None:
    live.key.actions = SENDING
    assert live.look("region").state == DONE


# Account


def _sandbox(live: LiveAccount) -> None:
    live.region.is_production = False


def _review(status: str) -> Change:
    def change(live: LiveAccount) -> None:
        _sandbox(live)
        live.region.review = Review(status=status, case_id="00042")

    return change


def _shut_down(live: LiveAccount) -> None:
    live.region.enforcement = "SHUTDOWN"


def _watch(live: LiveAccount) -> None:
    live.region.enforcement = "PROBATION"


def _switch_off(live: LiveAccount) -> None:
    live.region.is_sending_enabled = False


@pytest.mark.parametrize(
    ("change", "state", "said", "says"),
    [
        (lambda live: None, DONE, "Production", "any address"),
        (_sandbox, TODO, "Sandbox", "200 mails a day and 1 a second"),
        (_review("PENDING"), TODO, "Under review", "case 00042"),
        (_review("DENIED"), WRONG, "Denied", "case 00042"),
        (_review("FAILED"), WRONG, "Request failed", "did not come through"),
        (_shut_down, WRONG, "Paused by AWS", "paused"),
        (_switch_off, WRONG, "Switched off", "switched off"),
        (_watch, TODO, "On probation", "AWS watches this account"),
    ],
)
def test_account(
    live: LiveAccount, change: Change, state: State, said: str, says: str
) -> None:
    change(live)
    found = live.look("account")
    assert (found.state, found.said) == (state, said)
    assert says in found.evidence
    assert bool(found.fix) is (state != DONE)


def test_sandbox_counts_the_mail_that_waits_for_its_end(live: LiveAccount) -> None:
    _sandbox(live)
    make_message()
    OutboxMessage.objects.update(
        state=OutboxMessage.State.HELD, reason_code="recipient_not_verified"
    )
    found = live.look("account")
    assert "1 mail waits for its end here." in found.evidence
    assert found.actions == ("request_production",)


# A right that is missing


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("account", "ses:GetAccount"),
        ("quota", "ses:GetAccount"),
        ("sender", "ses:GetEmailIdentity"),
        ("dkim", "ses:GetEmailIdentity"),
        ("mail_from", "ses:GetEmailIdentity"),
    ],
)
def test_missing_right_degrades_its_own_line_and_shows_the_statement(
    live: LiveAccount, key: str, action: str
) -> None:
    live.key.actions = SENDING
    found = live.look(key)
    assert (found.state, found.said) == (UNKNOWN, "No permission")
    assert f"may not do this: {action}." in found.evidence
    assert f'"{action}"' in found.statement
    assert "{" not in found.fix
    assert live.key.arn in found.words
    # What needs no right, or another one, is as it was.
    assert live.look("region").state == DONE
    assert live.look("dmarc").state == DONE


# Quota


@pytest.mark.parametrize(
    ("limit", "sent", "state", "said"),
    [
        (1000, 20, DONE, "2 % used"),
        (1000, 799, DONE, "80 % used"),
        (1000, 800, TODO, "80 % used"),
        (1000, 1000, WRONG, "100 % used"),
        (-1, 20, DONE, "Unlimited"),
    ],
)
def test_quota(
    live: LiveAccount, limit: int, sent: int, state: State, said: str
) -> None:
    live.region.max_24_hour_send = limit
    live.region.taken = [datetime.now(UTC)] * sent
    found = live.look("quota")
    assert (found.state, found.said) == (state, said)
    assert "up to 14 per second" in found.evidence
    assert found.used == sent


# From


def test_sender_whose_domain_is_verified(live: LiveAccount) -> None:
    found = live.look("sender")
    assert (found.state, found.said) == (DONE, "Verified")
    assert found.evidence == f"The whole domain {DOMAIN} is verified in {HERE}."
    assert SesSettings.load().is_from_verified is True


def test_sender_that_is_verified_by_itself(live: LiveAccount) -> None:
    live.replace(FROM)
    assert live.look("sender").evidence == f"The address {FROM} is verified in {HERE}."


def test_sender_that_a_domain_above_covers(live: LiveAccount) -> None:
    settings(from_email=f"help@desk.{DOMAIN}")
    found = live.look("sender")
    assert found.state == DONE
    assert f"which covers desk.{DOMAIN}" in found.evidence


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("CNAME", "found no such name in DNS"),
        ("TXT", "without the kind of record"),
        ("wrong", "its value is not the one"),
        ("fails", "gave AWS an error or no answer"),
    ],
)
def test_sender_that_waits_for_dns_says_what_aws_found(
    live: LiveAccount, error: str, says: str
) -> None:
    live.domain.is_verified = False
    name = f"{live.domain.tokens[0]}._domainkey.{DOMAIN}"
    live.zone.withdraw(name, "CNAME")
    if error == "TXT":
        live.zone.put(name, "TXT", "x")
    elif error == "wrong":
        live.zone.put(name, "CNAME", "elsewhere.example")
    elif error == "fails":
        live.zone.broken[name] = Answer.SERVER_FAILS
    found = live.look("sender")
    assert (found.state, found.said) == (WRONG, "Not verified yet")
    assert says in found.evidence
    assert "AWS last looked on" in found.evidence
    assert "DKIM" in found.fix
    assert SesSettings.load().is_from_verified is False


def test_sender_whose_mail_was_not_answered(live: LiveAccount) -> None:
    identity = live.replace(FROM, is_verified=False)
    assert "press the link in the mail" in live.look("sender").evidence
    identity.status = "FAILED"
    found = live.look("sender")
    assert (found.state, found.said) == (WRONG, "Failed")


def test_sender_of_which_aws_gave_up(live: LiveAccount) -> None:
    live.domain.is_verified = False
    live.domain.status = "FAILED"
    live.zone.withdraw(f"{live.domain.tokens[0]}._domainkey.{DOMAIN}", "CNAME")
    found = live.look("sender")
    assert found.said == "Failed"
    assert "given up" in found.evidence


@pytest.mark.parametrize("name", [DOMAIN, FROM])
def test_sender_that_is_verified_in_another_region_is_found_there(
    live: LiveAccount, name: str
) -> None:
    live.region.identities.clear()
    live.account.region("ap-southeast-2").identities[name] = Identity(name)
    found = live.look("sender")
    assert (found.state, found.said) == (WRONG, "In ap-southeast-2")
    assert f"{name} is verified in ap-southeast-2, not here in {HERE}" in found.evidence
    assert "Choose ap-southeast-2 as AWS Region" in found.fix


def test_search_stops_at_the_first_hit(live: LiveAccount) -> None:
    live.region.identities.clear()
    live.account.region("us-east-1").identities[DOMAIN] = Identity(DOMAIN)
    live.look("sender")
    elsewhere = [
        call
        for call in live.account.calls_of("ses:GetEmailIdentity")
        if call.region != HERE
    ]
    assert [call.region for call in elsewhere] == ["us-east-1"]


def test_search_ends_in_time_and_says_how_far_it_came(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_check, "SEARCH_SECONDS", 0.0)
    live.region.identities.clear()
    found = live.look("sender")
    assert (found.state, found.said) == (WRONG, "Not verified")
    assert "in none of 1 other regions" in found.evidence


def test_regions_that_do_not_answer_do_not_end_the_search(live: LiveAccount) -> None:
    live.region.identities.clear()
    live.account.region("us-east-1").is_enabled = False
    found = live.look("sender")
    assert found.said == "Not verified"
    assert "none of the other regions" in found.evidence


def test_sender_is_looked_for_in_its_own_part_of_aws(live: LiveAccount) -> None:
    settings(region="us-gov-west-1")
    row = SesSettings.load()
    asked = {region for region, _ in reader.Reader(row).elsewhere(DOMAIN)}
    assert asked == {"us-gov-east-1"}


def test_sender_with_other_capitals(live: LiveAccount) -> None:
    live.replace(FROM)
    settings(from_email=f"Help@{DOMAIN}")
    found = live.look("sender")
    assert (found.state, found.said) == (WRONG, "Other capitals")
    assert f"Write {FROM} as From Email" in found.fix


def test_sender_of_a_free_mail_provider_is_warned_about(live: LiveAccount) -> None:
    settings(from_email="larkfield@gmail.com")
    live.replace("larkfield@gmail.com")
    found = live.look("sender")
    assert (found.state, found.said) == (TODO, "Free mail domain")
    assert "gmail.com tells other providers to distrust mail" in found.evidence


def test_right_to_read_the_domain_alone_is_enough(live: LiveAccount) -> None:
    live.key.actions = ()
    live.key.policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "ses:GetEmailIdentity",
                "Resource": f"arn:aws:ses:{HERE}:{ACCOUNT_ID}:identity/{DOMAIN}",
            }
        ]
    }
    assert live.look("sender").state == DONE


# DKIM


def _first_name(live: LiveAccount) -> str:
    return f"{live.domain.tokens[0]}._domainkey.{DOMAIN}"


def _withdraw(live: LiveAccount) -> None:
    live.zone.withdraw(_first_name(live), "CNAME")


def _point_elsewhere(live: LiveAccount) -> None:
    live.zone.put(_first_name(live), "CNAME", "elsewhere.example")


def _double(live: LiveAccount) -> None:
    _withdraw(live)
    live.zone.put(f"{_first_name(live)}.{DOMAIN}", "CNAME", "x.dkim.amazonses.com")


def _proxy(live: LiveAccount) -> None:
    _withdraw(live)
    live.zone.put(_first_name(live), "A", "192.0.2.7")


@pytest.mark.parametrize(
    ("change", "is_verified", "state", "said", "note"),
    [
        (lambda live: None, True, DONE, "Signed", ""),
        (_withdraw, False, TODO, "2 of 3 found", ""),
        # AWS saw them once, and they are gone: it will stop signing.
        (_withdraw, True, WRONG, "2 of 3 found", ""),
        (_point_elsewhere, False, WRONG, "2 of 3 found", "points to another place"),
        (_double, False, WRONG, "2 of 3 found", "The domain stands in it twice"),
        (_proxy, False, WRONG, "2 of 3 found", "orange cloud"),
    ],
)
def test_dkim(
    live: LiveAccount,
    change: Change,
    is_verified: bool,  # noqa: FBT001
    state: State,
    said: str,
    note: str,
) -> None:
    live.domain.is_verified = is_verified
    change(live)
    found = live.look("dkim")
    assert (found.state, found.said) == (state, said)
    assert len(found.records) == 3
    assert note in found.records[0].note
    assert [record.state for record in found.records[1:]] == [DONE, DONE]
    assert found.records[0].value == f"{live.domain.tokens[0]}.dkim.amazonses.com"


def test_dkim_that_aws_has_not_looked_at_yet(live: LiveAccount) -> None:
    live.domain.is_verified = False
    live.account.looks_at_dns = False
    found = live.look("dkim")
    assert (found.state, found.said) == (TODO, "AWS will look")
    assert "DNS is right" in found.evidence
    assert "72 hours" in found.evidence


def test_dkim_in_a_region_with_a_zone_of_its_own(live: LiveAccount) -> None:
    settings(region="eu-south-1")
    region = live.account.region("eu-south-1")
    identity = region.identities[DOMAIN] = Identity(DOMAIN)
    for name, kind, value in live.account.records_for(region, identity):
        live.zone.put(name, kind, value)
    found = live.look("dkim")
    assert found.state == DONE
    assert found.records[0].value.endswith(".dkim.eu-south-1.amazonses.com")


def test_dkim_of_an_address_alone_offers_the_domain(live: LiveAccount) -> None:
    live.replace(FROM)
    found = live.look("dkim")
    assert (found.state, found.said) == (TODO, "Not signed")
    assert f"Verify the whole domain {DOMAIN}" in found.fix
    assert found.actions == ("create_identity",)


def test_dkim_waits_while_ses_knows_no_identity(live: LiveAccount) -> None:
    live.region.identities.clear()
    assert (live.look("dkim").state, live.look("mail_from").state) == (UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("answer", [Answer.SILENCE, Answer.SERVER_FAILS])
@pytest.mark.parametrize(("is_verified", "state"), [(True, DONE), (False, UNKNOWN)])
def test_dkim_that_could_not_be_looked_up_is_not_called_missing(
    live: LiveAccount,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    is_verified: bool,  # noqa: FBT001
    state: State,
) -> None:
    monkeypatch.setattr("email_settings.readiness.dns.LIFETIME_SECONDS", 0.3)
    live.domain.is_verified = is_verified
    live.account.looks_at_dns = False
    live.zone.broken[""] = answer
    found = live.look("dkim")
    assert found.state == state
    assert {record.state for record in found.records} == {UNKNOWN}
    assert "could not" in found.evidence


# MAIL FROM


def _no_mx(live: LiveAccount) -> None:
    live.zone.withdraw(f"mail.{DOMAIN}", "MX")


def _two_mx(live: LiveAccount) -> None:
    live.zone.publish(f"mail.{DOMAIN}", "MX", "20 mx.larkfield.example")


def _wrong_mx(live: LiveAccount) -> None:
    live.zone.put(f"mail.{DOMAIN}", "MX", "10 feedback-smtp.us-east-1.amazonses.com")


def _two_spf(live: LiveAccount) -> None:
    live.zone.publish(f"mail.{DOMAIN}", "TXT", "v=spf1 -all")


def _no_spf(live: LiveAccount) -> None:
    live.zone.put(f"mail.{DOMAIN}", "TXT", "google-site-verification=x")


def _poor_spf(live: LiveAccount) -> None:
    live.zone.put(f"mail.{DOMAIN}", "TXT", "v=spf1 include:example.net -all")


@pytest.mark.parametrize(
    ("change", "said", "place", "note"),
    [
        (_no_mx, "Records missing", 0, ""),
        (_two_mx, "Records wrong", 0, "There must be exactly one"),
        (_wrong_mx, "Records wrong", 0, "It must be this one."),
        (_two_spf, "Records wrong", 1, "several SPF records"),
        (_no_spf, "Records missing", 1, ""),
        (_poor_spf, "Records wrong", 1, "It lacks include:amazonses.com."),
    ],
)
@pytest.mark.parametrize("behaviour", ["USE_DEFAULT_VALUE", "REJECT_MESSAGE"])
def test_mail_from_with_records_that_are_not_right(
    live: LiveAccount, change: Change, said: str, place: int, note: str, behaviour: str
) -> None:
    change(live)
    assert live.domain.mail_from
    live.domain.mail_from.on_failure = behaviour
    found = live.look("mail_from")
    refuses_mail = behaviour == "REJECT_MESSAGE" and place == 0
    assert (found.state, found.said) == (WRONG if refuses_mail else TODO, said)
    assert note in found.records[place].note
    assert ("refuses all mail" in found.evidence) is refuses_mail
    assert found.records[0].value == f"10 feedback-smtp.{HERE}.amazonses.com"


def test_mail_from_that_is_set(live: LiveAccount) -> None:
    found = live.look("mail_from")
    assert (found.state, found.said) == (DONE, "Set")


def test_mail_from_that_aws_has_not_looked_at_yet(live: LiveAccount) -> None:
    live.account.looks_at_dns = False
    assert live.look("mail_from").said == "AWS will look"


def test_mail_from_that_is_not_set_is_not_needed(live: LiveAccount) -> None:
    live.domain.mail_from = None
    found = live.look("mail_from")
    assert (found.state, found.said) == (UNNEEDED, "Not set")
    assert f"mail.{DOMAIN}" in found.evidence
    assert found.actions == ("set_mail_from",)


def test_mail_from_that_could_not_be_looked_up(live: LiveAccount) -> None:
    live.account.looks_at_dns = False
    live.zone.broken[f"mail.{DOMAIN}"] = Answer.SERVER_FAILS
    found = live.look("mail_from")
    assert found.state == UNKNOWN
    assert "SERVFAIL" in found.evidence


def test_mail_from_of_an_identity_with_another_name(live: LiveAccount) -> None:
    live.domain.mail_from = MailFrom(f"bounce.{DOMAIN}")
    found = live.look("mail_from")
    assert found.records[0].name == f"bounce.{DOMAIN}"
    assert found.state == TODO


# DMARC

ALL_DONE = {"dkim": DONE, "mail_from": DONE}


@pytest.mark.parametrize(
    ("record", "lines", "state", "said", "says"),
    [
        (
            "p=none; rua=mailto:a@b.example",
            {},
            DONE,
            "p=none",
            "Reports go to a@b.exam",
        ),
        ("p=none", {}, DONE, "p=none", "No reports are asked for"),
        ("p=reject; pct=50", ALL_DONE, DONE, "p=reject", "for 50 % of it"),
        ("p=reject", {}, TODO, "p=reject", "DKIM is not done yet"),
        ("p=quarantine", {"dkim": TODO}, TODO, "p=quarantine", "DKIM is not done yet"),
        ("p=reject; aspf=s", {"mail_from": DONE}, TODO, "p=reject", "aspf=s"),
        ("p=reject; aspf=s", ALL_DONE, DONE, "p=reject", "is refused"),
        ("p=reject; adkim=s", ALL_DONE, DONE, "p=reject", "is refused"),
        ("p=sometimes", {}, WRONG, "Not valid", "which is no policy"),
        ("rua=mailto:a@b.example", {}, WRONG, "Not valid", "lacks p="),
    ],
)
def test_dmarc(
    live: LiveAccount,
    record: str,
    lines: dict[str, State],
    state: State,
    said: str,
    says: str,
) -> None:
    live.zone.put(f"_dmarc.{DOMAIN}", "TXT", f"v=DMARC1; {record}")
    found = live.look("dmarc", lines)
    assert (found.state, found.said) == (state, said)
    assert says in found.evidence
    assert found.records[0].found == f"v=DMARC1; {record}"


def test_dmarc_that_is_missing_gives_the_record_to_paste(live: LiveAccount) -> None:
    live.zone.withdraw(f"_dmarc.{DOMAIN}", "TXT")
    live.zone.put(f"_dmarc.{DOMAIN}", "TXT", "v=spf1 -all")
    found = live.look("dmarc")
    assert (found.state, found.said) == (TODO, "Missing")
    [record] = found.records
    assert record.name == f"_dmarc.{DOMAIN}"
    assert record.value == f"v=DMARC1; p=none; rua=mailto:dmarc@{DOMAIN}"


def test_several_dmarc_records_are_none(live: LiveAccount) -> None:
    live.zone.publish(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=reject")
    found = live.look("dmarc")
    assert (found.state, found.said) == (WRONG, "2 records")


def test_dmarc_of_the_domain_above_counts_with_its_policy_for_those_below(
    live: LiveAccount,
) -> None:
    settings(from_email=f"help@desk.{DOMAIN}")
    live.zone.put(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=none; sp=reject")
    found = live.look("dmarc", ALL_DONE)
    assert (found.state, found.said) == (DONE, "p=reject")
    assert f"that of {DOMAIN}, above it" in found.evidence
    # adkim=s wants a signature of desk.larkfield.example itself.
    live.zone.put(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=none; adkim=s")
    found = live.look("dmarc", ALL_DONE)
    assert (found.state, found.said) == (TODO, "p=none")
    assert f"mail is signed for {DOMAIN}" in found.evidence


def test_dmarc_that_could_not_be_looked_up_is_not_called_missing(
    live: LiveAccount,
) -> None:
    live.zone.broken[f"_dmarc.{DOMAIN}"] = Answer.SERVER_FAILS
    found = live.look("dmarc")
    assert (found.state, found.said) == (UNKNOWN, "Could not look")


def test_what_stands_in_dns_can_be_stored(live: LiveAccount) -> None:
    live.zone.put(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=none; x=" + "y" * 5000)
    found = live.look("dmarc")
    assert len(found.records[0].found) == 1000


# Permission to send


def _sent(**values: object) -> DeliveryAttempt:
    message = make_message()
    now = timezone.now()
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=OutboxMessage.State.SENT, sent_at=now
    )
    given = {
        "outcome": DeliveryAttempt.Outcome.ACCEPTED,
        "region": HERE,
        "access_key_hint": ACCESS_KEY_ID[-4:],
        **values,
    }
    return DeliveryAttempt.objects.create(message=message, number=1, **given)


def test_permission_that_nothing_has_tried(live: LiveAccount) -> None:
    found = live.look("permission")
    assert (found.state, found.said) == (TODO, "Not tried")
    assert "Send Test Email" in found.fix
    assert not live.account.calls


def test_permission_is_there_when_a_mail_left_with_it(live: LiveAccount) -> None:
    _sent()
    assert (live.look("permission").state, live.look("permission").said) == (
        DONE,
        "May send",
    )


@pytest.mark.parametrize(
    "values",
    [
        {"region": "us-east-1"},
        {"access_key_hint": "OTHR"},
        {"outcome": DeliveryAttempt.Outcome.REFUSED},
    ],
)
def test_mail_of_another_key_region_or_fate_proves_nothing(
    live: LiveAccount, values: dict[str, object]
) -> None:
    _sent(**values)
    assert live.look("permission").state == TODO


def test_mail_from_before_the_settings_were_saved_proves_nothing(
    live: LiveAccount,
) -> None:
    _sent()
    settings(saved_at=timezone.now() + timedelta(seconds=1))
    assert live.look("permission").state == TODO


DENIED = (
    f"User: arn:aws:iam::{ACCOUNT_ID}:user/ses is not authorized to perform: "
    f"ses:SendRawEmail on resource: arn:aws:ses:{HERE}:{ACCOUNT_ID}:identity/{DOMAIN} "
    "because no identity-based policy allows the ses:SendRawEmail action"
)


@pytest.mark.parametrize("where", ["hold", "message"])
def test_permission_that_is_denied_names_who_what_and_the_statement(
    live: LiveAccount, where: str
) -> None:
    _sent()
    if where == "hold":
        settings(hold_code="access_denied", hold_detail=DENIED)
    else:
        make_message()
        OutboxMessage.objects.filter(state="queued").update(
            state="held", reason_code="access_denied", reason_detail=DENIED
        )
    found = live.look("permission")
    assert (found.state, found.said) == (WRONG, "No permission")
    assert f"arn:aws:iam::{ACCOUNT_ID}:user/ses" in found.evidence
    assert "ses:SendRawEmail" in found.evidence
    assert f"identity/{DOMAIN}" in found.evidence
    assert '"ses:SendRawEmail"' in found.statement
    assert "{" not in found.fix


def test_permission_lists_the_reads_that_were_denied(live: LiveAccount) -> None:
    _sent()
    live.key.actions = SENDING
    others = {key: live.look(key) for key in ("account", "quota", "sender")}
    found = live.look_beside("permission", others)
    assert found.state == DONE
    assert "It may not do ses:GetAccount, ses:GetEmailIdentity;" in found.evidence


# Events

SET = "ticketflow-ses"
QUEUE = f"https://sqs.{HERE}.amazonaws.com/{ACCOUNT_ID}/{SET}"
TOPIC = f"arn:aws:sns:{HERE}:{ACCOUNT_ID}:{SET}"
MINUTE = timedelta(minutes=1)


def connect(live: LiveAccount, **feed: object) -> None:
    """Connect events, with a queue that was read a moment ago and brought one event."""
    connect_events(live.account, live.region)
    settings(configuration_set=SET, event_queue_url=QUEUE, event_topic_arn=TOPIC)
    now = timezone.now()
    told = {"asked_at": now, "last_event_at": now - MINUTE, "event_count": 7}
    EventFeed.objects.create(pk=EventFeed.ONLY_ID, queue_url=QUEUE, **{**told, **feed})


def _forget_the_set(live: LiveAccount) -> None:
    live.region.sets.clear()


def _switch_off_the_set(live: LiveAccount) -> None:
    live.region.sets[SET].options = {"SendingOptions": {"SendingEnabled": False}}


def _forget_the_destination(live: LiveAccount) -> None:
    live.region.sets[SET].destinations.clear()


def _switch_off_the_destination(live: LiveAccount) -> None:
    live.region.sets[SET].destinations[SET].is_enabled = False


def _leave_out_bounces(live: LiveAccount) -> None:
    live.region.sets[SET].destinations[SET].types.remove("BOUNCE")


def _send_elsewhere(live: LiveAccount) -> None:
    live.region.sets[SET].destinations[SET].topic_arn = f"{TOPIC}-other"


def test_events_line_says_that_mail_leaves_and_no_news_comes(live: LiveAccount) -> None:
    connect(live)
    MailWatch.load()
    MailWatch.objects.update(
        silence="unheard", silent_since=timezone.now(), silent_count=27
    )
    found = live.look("events")
    assert (found.state, found.said) == (WRONG, "No news")
    assert "27 mails left" in found.evidence


def test_events_that_are_not_connected_say_what_that_means(live: LiveAccount) -> None:
    found = live.look("events")
    assert (found.state, found.said) == (TODO, "Not connected")
    assert "bounced or was called spam is not seen here" in found.evidence
    assert found.actions == ("connect_events",)
    assert not live.account.calls


def test_events_that_come(live: LiveAccount) -> None:
    connect(live)
    found = live.look("events")
    assert (found.state, found.said) == (DONE, "Connected")
    assert "7 in all" in found.evidence


@pytest.mark.parametrize(
    ("change", "said", "says"),
    [
        (_forget_the_set, "Set missing", "Every mail names it"),
        (_switch_off_the_set, "Set switched off", "refuses every mail"),
        (_forget_the_destination, "No destination", f"not to {TOPIC}"),
        (_send_elsewhere, "No destination", f"not to {TOPIC}"),
        (_switch_off_the_destination, "Destination off", "switched off"),
        (_leave_out_bounces, "Kinds missing", "leaves out BOUNCE"),
    ],
)
def test_events_that_can_not_come(
    live: LiveAccount, change: Change, said: str, says: str
) -> None:
    connect(live)
    change(live)
    found = live.look("events")
    assert (found.state, found.said) == (WRONG, said)
    assert says in found.evidence
    assert found.fix


PROBLEM = {
    "code": "access_denied",
    "title": "The queue may not be read.",
    "why": "No policy allows it.",
    "fix": "Add this statement.",
    "words": "AccessDenied",
    "statement": '{"Action": "sqs:ReceiveMessage"}',
}


@pytest.mark.parametrize(
    ("feed", "state", "said"),
    [
        ({"problem": PROBLEM}, WRONG, "Queue not read"),
        ({"asked_at": None}, TODO, "Queue not read"),
        ({"asked_at": datetime(2026, 1, 1, tzinfo=UTC)}, TODO, "Queue not read"),
        ({"last_event_at": None}, TODO, "No event yet"),
        (
            {"last_event_at": None, "validated_at": datetime(2026, 1, 1, tzinfo=UTC)},
            DONE,
            "Connected",
        ),
    ],
)
def test_events_as_the_queue_tells_them(
    live: LiveAccount, feed: dict[str, object], state: State, said: str
) -> None:
    connect(live, **feed)
    found = live.look("events")
    assert (found.state, found.said) == (state, said)
    if "problem" in feed:
        assert found.statement == PROBLEM["statement"]


def test_events_that_come_need_no_right_to_read_the_set(live: LiveAccount) -> None:
    connect(live)
    live.key.actions = SENDING
    assert live.look("events").state == DONE
    EventFeed.objects.update(last_event_at=None)
    found = live.look("events")
    assert (found.state, found.said) == (UNKNOWN, "No permission")
    assert '"ses:GetConfigurationSet"' in found.statement


# The webhook, alone and besides


def by_webhook(live: LiveAccount, *, has_queue: bool = False, **feed: Any) -> None:
    """Connect events by a webhook that was confirmed and has brought one event."""
    now = timezone.now()
    told: dict[str, object] = {
        "webhook_topic_arn": TOPIC,
        "webhook_wanted_at": now,
        "webhook_confirmed_at": now,
    }
    connect(live, **{**told, **feed})
    if not has_queue:
        settings(event_queue_url="")
        EventFeed.objects.update(queue_url="", asked_at=None)


@pytest.mark.parametrize(
    ("feed", "state", "said"),
    [
        ({}, DONE, "Connected"),
        ({"last_event_at": None}, TODO, "No event yet"),
        ({"webhook_confirmed_at": None}, TODO, "Not confirmed"),
        (
            {"webhook_ended_at": datetime(2026, 1, 1, tzinfo=UTC)},
            WRONG,
            "Webhook ended",
        ),
        ({"webhook_problem": PROBLEM}, WRONG, "Webhook not confirmed"),
        ({"webhook_topic_arn": "another"}, TODO, "Not connected"),
    ],
)
def test_events_by_webhook_alone(
    live: LiveAccount, feed: dict[str, Any], state: State, said: str
) -> None:
    by_webhook(live, **feed)
    found = live.look("events")
    assert (found.state, found.said) == (state, said)
    assert "queue" not in found.evidence or state != DONE


def test_webhook_makes_up_for_a_queue_that_is_not_read(live: LiveAccount) -> None:
    by_webhook(live, has_queue=True, problem=PROBLEM)
    found = live.look("events")
    assert (found.state, found.said) == (TODO, "Queue not read")
    assert "Events come by the webhook meanwhile." in found.evidence
    assert found.statement == PROBLEM["statement"]


def test_webhook_that_ended_beside_a_queue_is_told(live: LiveAccount) -> None:
    by_webhook(live, has_queue=True, webhook_ended_at=timezone.now())
    found = live.look("events")
    assert found.state == DONE
    assert "The webhook does not work besides" in found.evidence


# The simulator


def send_to_simulator(
    *, sent_ago: timedelta, seen: tuple[DeliveryEvent.Kind, ...] = ()
) -> None:
    mailboxes = {"delivery": "success", "bounce": "bounce", "complaint": "complaint"}
    sent_at = timezone.now() - sent_ago
    for kind, mailbox in mailboxes.items():
        message = make_message(recipient=f"{mailbox}+1@simulator.amazonses.com")
        OutboxMessage.objects.filter(pk=message.pk).update(
            kind=OutboxMessage.SIMULATOR,
            state=OutboxMessage.State.SENT,
            sent_at=sent_at,
        )
        if kind in seen:
            DeliveryEvent.objects.create(
                message=message,
                kind=kind,
                recipient=message.recipient,
                happened_at=sent_at,
                mark=kind,
                ses_message_id=f"0102-{kind}",
                received_at=sent_at + timedelta(seconds=4),
            )


def test_simulator_that_nothing_was_sent_to(live: LiveAccount) -> None:
    connect(live)
    found = live.look("simulator")
    assert (found.state, found.said) == (TODO, "Not tried")


Kind = DeliveryEvent.Kind


@pytest.mark.parametrize(
    ("minutes", "seen", "state", "said"),
    [
        (1, (), TODO, "On their way"),
        (1, (Kind.DELIVERY, Kind.BOUNCE), TODO, "On their way"),
        (11, (Kind.DELIVERY, Kind.BOUNCE), WRONG, "No news"),
        (11, (Kind.DELIVERY, Kind.BOUNCE, Kind.COMPLAINT), DONE, "Seen"),
    ],
)
def test_simulator(
    live: LiveAccount,
    minutes: int,
    seen: tuple[DeliveryEvent.Kind, ...],
    state: State,
    said: str,
) -> None:
    connect(live)
    send_to_simulator(sent_ago=minutes * MINUTE, seen=seen)
    found = live.look("simulator")
    assert (found.state, found.said) == (state, said)
    if state != DONE:
        assert "complaint" in found.evidence
