"""From an AWS account in which nothing is set up to mail that is followed all the way."""

import re
from collections.abc import Iterator

import pytest
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from email_settings.gateway import setup
from email_settings.models import Brand, PaceClock
from email_settings.standin import presets
from email_settings.standin.account import Account
from email_settings.standin.dns import answering
from email_settings.standin.server import running
from email_settings.tests.builders import make_settings
from ticketflow.tests.browser.conftest import Axe, SignIn
from ticketflow.tests.browser.test_axe import find
from ticketflow.tests.browser.test_story import (
    ACCESS_KEY_ID,
    PASSWORD,
    SECRET_ACCESS_KEY,
)
from ticketflow.tests.processes import Installation, running_installation

pytestmark = [pytest.mark.browser]

DOMAIN = "larkfield.example"
REGION = "eu-west-2"
FIXES = ["fix-identity", "fix-mail-from", "fix-production", "fix-events"]
PRESS = "main form button[type=submit]"


@pytest.fixture
def aws() -> Account:
    """An account as AWS hands it out, with a key that may do everything."""
    account = Account()
    account.domain = DOMAIN
    account.add_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    presets.begin_new(account, DOMAIN)
    return account


@pytest.fixture
def installation(
    aws: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with running(aws) as http, answering(aws) as names:
        around = {"AWS_ENDPOINT_URL": http.url, "DNS_SERVERS": names.address}
        folder = tmp_path_factory.mktemp("set_up")
        with running_installation(folder, around) as site:
            yield site


@pytest.mark.processes
def test_everything_is_set_up_from_the_panel_on_a_phone_without_javascript(
    installation: Installation, aws: Account, context: BrowserContext
) -> None:
    region = aws.region(REGION)
    settings = f"{installation.url}/admin-panel/email-settings/"
    browser = context.browser
    assert browser is not None
    page = browser.new_context(
        java_script_enabled=False, viewport={"width": 390, "height": 844}
    ).new_page()
    page.set_default_timeout(10_000)
    make_the_first_admin(installation, page)
    page.goto(settings)
    page.get_by_label("AWS Access Key ID").fill(ACCESS_KEY_ID)
    page.get_by_label("AWS Secret Access Key").fill(SECRET_ACCESS_KEY)
    page.get_by_label("AWS Region").select_option(REGION)
    page.get_by_label("From Email").fill(f"help@{DOMAIN}")
    page.get_by_role("button", name="Save Settings").click()

    page.goto(f"{settings}fix/sender/")
    press(page, "Create in Amazon SES", "is created in Amazon SES|was there already")
    for token in region.identities[DOMAIN].tokens:
        expect(page.get_by_text(f"{token}._domainkey.{DOMAIN}")).to_be_visible()

    page.goto(f"{settings}fix/mail-from/")
    press(page, "Set in Amazon SES", f"is set for {DOMAIN}")
    expect(page.get_by_text(f"10 feedback-smtp.{REGION}.amazonses.com")).to_be_visible()
    presets.publish_records(aws, region, region.identities[DOMAIN])

    page.goto(f"{settings}fix/events/")
    press(page, "Make it and connect", "Delivery events are connected")

    page.goto(f"{settings}fix/production-access/")
    page.get_by_label("Website").fill("https://help.larkfield.example")
    press(page, "Send to AWS", "The request is sent|looks at a request already")
    assert region.review.status == "PENDING"
    assert "configuration set" in region.review.details["UseCaseDescription"]
    region.review.status, region.is_production = "GRANTED", True

    page.goto(settings)
    page.get_by_role("button", name="Check now").click()
    for key, said in {
        "account": "Production",
        "sender": "Verified",
        "dkim": "Signed",
        "mail_from": "Set",
    }.items():
        wait_for(page, settings, f"#line-{key} .state", said)

    page.goto(f"{settings}events/")
    page.get_by_role("button", name="simulator").click()
    wait_for(page, f"{settings}events/", "main", "Proven")


def make_the_first_admin(installation: Installation, page: Page) -> None:
    page.goto(installation.setup_url)
    page.get_by_label("Help desk name").fill("Larkfield")
    page.get_by_label("Your name").fill("Ewa Kowalska")
    page.get_by_label("Your e-mail").fill("ewa@larkfield.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create admin and continue").click()
    expect(page.get_by_role("link", name="Email Settings").first).to_be_attached()


def press(page: Page, button: str, then: str) -> None:
    """Press, and again as the page asks for while the worker has its turn with AWS."""
    for _ in range(10):
        page.get_by_role("button", name=button).click()
        if not page.get_by_text("Press the button again").count():
            break
    expect(page.get_by_text(re.compile(then))).to_be_visible()


def wait_for(page: Page, address: str, where: str, text: str) -> None:
    """Load the page again and again until it says so; for a minute at most."""
    for _ in range(60):
        page.goto(address)
        if text in page.locator(where).first.inner_text():
            return
        page.wait_for_timeout(1000)
    expect(page.locator(where).first).to_contain_text(text)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rights", ["all", "none"])
def test_axe_finds_nothing_on_what_fixes(
    rights: str,
    aws: Account,
    admin: User,
    brand: Brand,
    page: Page,
    sign_in: SignIn,
    live_server: LiveServer,
    axe: Axe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setup, "TOTAL_SECONDS", 60.0)
    monkeypatch.setattr(setup, "CALL_SECONDS", 20.0)
    make_settings(is_live=False)
    aws.keys[ACCESS_KEY_ID].actions = presets.RIGHTS[rights]
    sign_in(admin)
    found = []
    with running(aws) as http:
        monkeypatch.setenv("AWS_ENDPOINT_URL", http.url)
        for name in FIXES:
            page.goto(live_server.url + reverse(f"email_settings:{name}"))
            found += find(page, axe)
            PaceClock.objects.all().delete()
            if name == "fix-production":
                page.get_by_label("Website").fill("https://help.larkfield.example")
            page.locator(PRESS).click(timeout=70_000)
            outcome = "main .banner-ok" if rights == "all" else "#fix-statement"
            expect(page.locator(outcome)).to_be_visible(timeout=70_000)
            found += find(page, axe)
    assert found == []


def test_axe_finds_nothing_on_the_page_of_the_stand_in(
    aws: Account, page: Page, axe: Axe
) -> None:
    presets.begin_ready(aws, DOMAIN)
    presets.connect_events(aws, aws.region(REGION))
    aws.bouncing.add("hannah@elsewhere.example")
    with running(aws) as http:
        page.goto(f"{http.url}/?region={REGION}")
        assert find(page, axe) == []
        page.get_by_role("button", name="DKIM with a wrong target").click()
        expect(page.get_by_text("Not verified yet")).to_be_visible()
        assert find(page, axe) == []
