"""The console of the stand-in: what its buttons break, and that they mend it again."""

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from email_settings.standin import presets
from email_settings.standin.account import Account, Region
from email_settings.standin.console.changes import CHANGES
from email_settings.standin.protocol import Reply, Request
from email_settings.standin.server import answer

DOMAIN = "larkfield.example"
HOST = "127.0.0.1:1"


@pytest.fixture
def account() -> Account:
    made = Account()
    made.domain = DOMAIN
    made.add_key("AKIAIOSFODNN7EXAMPLE", "x" * 40)
    presets.begin_ready(made, DOMAIN)
    return made


@pytest.fixture
def region(account: Account) -> Region:
    return account.region("eu-west-1")


def show(account: Account, region: str = "eu-west-1") -> str:
    reply = answer(account, Request("GET", f"/?region={region}", {"host": HOST}, b""))
    assert isinstance(reply, Reply)
    return reply.body.decode()


def press(account: Account, what: str, value: str) -> Reply:
    """Press a button that has to be on the page, or fill in a field of it."""
    page = show(account)
    assert f'name="what" value="{what}"' in page
    headers = {"host": HOST, "origin": f"http://{HOST}"}
    form = urlencode({"what": what, "value": value, "back": "dns"})
    target = "/change?region=eu-west-1"
    reply = answer(account, Request("POST", target, headers, form.encode()))
    assert isinstance(reply, Reply)
    assert reply.headers["Location"] == "/?region=eu-west-1#dns"
    return reply


def test_every_button_of_the_page_is_known(account: Account, region: Region) -> None:
    presets.connect_events(account, region)
    account.bouncing.add("b@elsewhere.example")
    account.complaining.add("c@elsewhere.example")
    account.full.add("@full.example")
    region.suppressed["s@elsewhere.example"] = ("BOUNCE", account.now())
    page = show(account)
    asked = set(re.findall(r'name="what" value="([^"]+)"', page))
    assert asked <= set(CHANGES)
    # The others are offered in states that this page is not in.
    assert set(CHANGES) - asked == {"calm", "add-mail-from"}
    assert "<script" not in page


def test_all_at_once(account: Account, region: Region) -> None:
    press(account, "begin", "new")
    fresh = account.region("eu-west-1")
    assert not fresh.is_production
    assert fresh.identities == {}
    press(account, "begin", "ready")
    assert account.region("eu-west-1").is_verified(f"help@{DOMAIN}")


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("missing", "HOST_NOT_FOUND"),
        ("wrong", "INVALID_VALUE"),
        ("doubled", "HOST_NOT_FOUND"),
    ],
)
def test_dkim_is_spoilt_and_mended(
    account: Account, region: Region, how: str, problem: str
) -> None:
    identity = region.identities[DOMAIN]
    press(account, "dkim", f"{DOMAIN}:{how}")
    account.look_at_dns(region)
    assert account.dkim_problem(region, identity) == problem
    assert not identity.is_verified
    token = identity.tokens[0]
    doubled = f"{token}._domainkey.{DOMAIN}.{DOMAIN}"
    assert bool(account.zone.values(doubled, "CNAME")) is (how == "doubled")
    press(account, "publish", DOMAIN)
    account.look_at_dns(region)
    assert identity.is_verified


def test_mail_from_is_spoilt_and_mended(account: Account, region: Region) -> None:
    identity = region.identities[DOMAIN]
    press(account, "mail-from", f"{DOMAIN}:two")
    assert account.mail_from_status(region, identity) == "FAILED"
    press(account, "mail-from", f"{DOMAIN}:missing")
    assert account.mail_from_status(region, identity) == "PENDING"
    press(account, "publish", DOMAIN)
    assert account.mail_from_status(region, identity) == "SUCCESS"
    identity.mail_from = None
    press(account, "add-mail-from", DOMAIN)
    assert account.mail_from_status(region, identity) == "PENDING"


@pytest.mark.parametrize(
    ("how", "records"),
    [
        ("missing", []),
        ("none", ["v=DMARC1; p=none"]),
        ("reject", ["v=DMARC1; p=reject"]),
        ("two", ["v=DMARC1; p=none", "v=DMARC1; p=reject"]),
        ("broken", ["v=DMARC1, policy=none"]),
    ],
)
def test_dmarc(account: Account, region: Region, how: str, records: list[str]) -> None:
    press(account, "dmarc", f"{DOMAIN}:{how}")
    assert account.zone.values(f"_dmarc.{DOMAIN}", "TXT") == records


def test_a_sender_moves_to_another_region(account: Account, region: Region) -> None:
    press(account, "move", f"{DOMAIN}>us-east-1")
    assert DOMAIN not in region.identities
    assert account.region("us-east-1").is_verified(f"help@{DOMAIN}")


def test_the_review_of_the_account(account: Account, region: Region) -> None:
    press(account, "production", "no")
    press(account, "review", "PENDING")
    assert region.review.case_id
    assert not region.is_production
    press(account, "review", "GRANTED")
    assert region.is_production


def test_events(account: Account, region: Region) -> None:
    press(account, "connect", "yes")
    [queue] = region.queues.values()
    assert len(queue.letters) == 1
    press(account, "feed", "stopped")
    assert account.feed.is_stopped
    press(account, "feed", "stopped")
    assert not account.feed.is_stopped
    press(account, "delay", "60")
    assert account.feed.delay == timedelta(minutes=1)
    [arn] = region.topics
    press(account, "close-topic", arn)
    assert not region.topics[arn].lets("ses.amazonaws.com", {})
    press(account, "remove-set", "ticketflow-ses")
    assert region.sets == {}
    press(account, "bounce", " Hannah@elsewhere.example ")
    assert account.bouncing == {"hannah@elsewhere.example"}
    press(account, "end-bounce", "hannah@elsewhere.example")
    press(account, "complain", "@Elsewhere.example")
    press(account, "full", "full@elsewhere.example")
    assert account.complaining == {"@elsewhere.example"}
    assert account.full == {"full@elsewhere.example"}
    press(account, "end-complain", "@elsewhere.example")
    press(account, "end-full", "full@elsewhere.example")
    assert account.complaining == account.full == set()
    press(account, "suppress", "Hannah@elsewhere.example")
    assert list(region.suppressed) == ["Hannah@elsewhere.example"]
    press(account, "end-suppression", "Hannah@elsewhere.example")
    assert region.suppressed == {}
    assert account.bouncing == set()


@pytest.mark.parametrize(
    ("what", "broken", "good", "is_good"),
    [
        ("looks", "no", "yes", lambda a: a.looks_at_dns),
        ("dns", "SERVER_FAILS", "FOUND", lambda a: not a.zone.broken),
        ("clock", "-12", "0", lambda a: not a.clock_offset),
        ("turns", "yes", "no", lambda a: not a.one_call_a_second),
        (
            "rights",
            "read",
            "all",
            lambda a: all("*" in k.actions for k in a.keys.values()),
        ),
    ],
)
def test_switches(
    account: Account,
    what: str,
    broken: str,
    good: str,
    is_good: Callable[[Account], bool],
) -> None:
    press(account, what, broken)
    assert not is_good(account)
    assert 'aria-pressed="true"' in show(account)
    press(account, what, good)
    assert is_good(account)
