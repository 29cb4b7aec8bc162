"""An admin holds and releases all mail, and ends doubts, with a real worker."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from email_settings.standin.account import Account, Identity
from email_settings.standin.faults import Fault, Trouble
from email_settings.standin.server import running
from ticketflow.tests.browser.test_story import (
    ACCESS_KEY_ID,
    PASSWORD,
    SECRET_ACCESS_KEY,
    go_live,
)
from ticketflow.tests.processes import Installation, running_installation, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

REGION = "eu-west-2"


@pytest.fixture
def aws() -> Account:
    """An account at the stand-in for AWS, with one key and one verified domain."""
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    domain = "larkfield.example"
    account.region(REGION).identities[domain] = Identity(domain)
    return account


@pytest.fixture
def installation(
    aws: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with (
        running(aws) as server,
        running_installation(
            tmp_path_factory.mktemp("operating"), {"AWS_ENDPOINT_URL": server.url}
        ) as site,
    ):
        yield site


def set_up(installation: Installation, page: Page) -> None:
    """From the first-run page to live mail."""
    create_admin(installation, page)
    save_settings(page)
    go_live(page)


def create_admin(installation: Installation, page: Page) -> None:
    """From the first-run page to Email Settings."""
    page.set_default_timeout(10_000)
    page.goto(installation.setup_url)
    page.get_by_label("Help desk name").fill("Larkfield")
    page.get_by_label("Your name").fill("Ewa Kowalska")
    page.get_by_label("Your e-mail").fill("ewa@larkfield.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create admin and continue").click()
    page.get_by_role("link", name="Email Settings").first.click()


def save_settings(page: Page) -> None:
    """Fill in the form and save it."""
    page.get_by_label("AWS Access Key ID").fill(ACCESS_KEY_ID)
    page.get_by_label("AWS Secret Access Key").fill(SECRET_ACCESS_KEY)
    page.get_by_label("AWS Region").select_option(REGION)
    page.get_by_label("From Email").fill("help@larkfield.example")
    page.get_by_label("From Name").fill("Larkfield Help Desk")
    page.get_by_role("button", name="Save Settings").click()
    expect(page.get_by_text("Settings saved").first).to_be_visible()


def send_test_mail(installation: Installation, page: Page) -> None:
    page.goto(f"{installation.url}/admin-panel/email-settings/")
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.get_by_text("It goes the same road")).to_be_visible()


def open_activity(installation: Installation, page: Page, query: str = "") -> None:
    page.goto(f"{installation.url}/admin-panel/email-activity/{query}")


def open_the_unknown_test(installation: Installation, page: Page) -> None:
    open_activity(installation, page, "?state=unknown&kind=test")
    page.get_by_role("link", name="A test e-mail").first.click()


def mails_taken(aws: Account) -> int:
    return sum(b"Subject: A test e-mail" in mail.raw for mail in aws.mails)


def test_what_an_admin_does_about_mail(
    installation: Installation, aws: Account, page: Page
) -> None:
    set_up(installation, page)

    # Hold all: it asks first, and then nothing leaves
    open_activity(installation, page)
    page.get_by_role("link", name="Hold all").first.click()
    expect(page.get_by_role("heading", name="Hold all mail?")).to_be_visible()
    page.locator("main button[type=submit]").last.click()
    expect(page.get_by_text("Ewa Kowalska holds all mail").first).to_be_visible()
    send_test_mail(installation, page)
    expect(page.get_by_text("Held").first).to_be_visible(timeout=15_000)
    assert mails_taken(aws) == 0

    # Release: it says how many, and they leave
    open_activity(installation, page)
    page.get_by_role("link", name="Release").first.click()
    page.get_by_role("button", name="Release 1").click()
    wait_until(lambda: mails_taken(aws) == 1, seconds=20)

    # In doubt, and sent again although it may arrive twice
    aws.trouble = Trouble(Fault.BREAKS, times=1)
    send_test_mail(installation, page)
    expect(page.get_by_text("Nobody knows whether it arrived")).to_be_visible(
        timeout=15_000
    )
    assert mails_taken(aws) == 2
    open_the_unknown_test(installation, page)
    page.get_by_role("link", name="Resend").first.click()
    page.locator("main button[type=submit]").last.click()
    wait_until(lambda: mails_taken(aws) == 3, seconds=20)

    # In doubt, and called sent by a person: nothing more leaves
    aws.trouble = Trouble(Fault.BREAKS, times=1)
    send_test_mail(installation, page)
    expect(page.get_by_text("Nobody knows whether it arrived")).to_be_visible(
        timeout=15_000
    )
    open_the_unknown_test(installation, page)
    page.get_by_role("link", name="Mark as sent").first.click()
    page.locator("main button[type=submit]").last.click()
    expect(page.get_by_text("Ewa Kowalska marked it as sent.").first).to_be_visible()
    open_activity(installation, page, "?state=unknown&kind=test")
    expect(page.get_by_role("link", name="A test e-mail")).to_have_count(0)
    assert mails_taken(aws) == 4
