"""From an empty installation to a green checklist and a new key, with nothing but a browser.

What has to be done elsewhere is done as a person would: the DNS records are copied from
the page into the DNS, and AWS grants its production access.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from email_settings.standin import presets
from email_settings.standin.account import Account
from email_settings.standin.dns import answering
from email_settings.standin.server import running
from ticketflow.tests.browser.test_operating_mail import create_admin, save_settings
from ticketflow.tests.browser.test_story import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    go_live,
)
from ticketflow.tests.processes import Installation, running_installation, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

REGION = "eu-west-2"
DOMAIN = "larkfield.example"
LINES = 13
# The checks ask AWS once a second, on a machine that is busy with other tests.
PATIENCE_MS = 60_000


@pytest.fixture
def aws() -> Account:
    """An account as AWS hands it out: in the sandbox, with no sender."""
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    presets.begin_new(account, DOMAIN)
    return account


@pytest.fixture
def installation(
    aws: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with running(aws) as server, answering(aws) as names:
        environment = {"AWS_ENDPOINT_URL": server.url, "DNS_SERVERS": names.address}
        with running_installation(
            tmp_path_factory.mktemp("setting-up"), environment
        ) as site:
            yield site


def open_settings(installation: Installation, page: Page) -> None:
    page.goto(f"{installation.url}/admin-panel/email-settings/")


def line(page: Page, key: str) -> Locator:
    return page.locator(f"#line-{key}")


def expect_line(page: Page, key: str, tone: str) -> None:
    """Wait until the page says so by itself."""
    expect(line(page, key)).to_have_class(
        re.compile(rf"\bis-{tone}\b"), timeout=PATIENCE_MS
    )


def enter_in_dns(aws: Account, shown: Locator) -> None:
    """Copy the records that the page shows into the DNS, as a person would."""
    records = shown.locator("dl.dns")
    expect(records.first).to_be_visible()
    for record in records.all():
        kind = record.locator("dt").first.inner_text()
        name, value = record.locator(".copyline > span").all_inner_texts()
        aws.zone.put(name, kind, value)


def send_test(installation: Installation, page: Page) -> None:
    open_settings(installation, page)
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.get_by_text("It goes the same road")).to_be_visible()


def mails_of_tests(aws: Account) -> int:
    return sum(b"Subject: A test e-mail" in mail.raw for mail in aws.mails)


def last_signer(aws: Account) -> str:
    """Return the key that the last mail was signed with."""
    return aws.calls_of("ses:SendEmail")[-1].access_key_id


def test_from_nothing_to_a_green_checklist_and_to_a_new_key(
    installation: Installation, aws: Account, page: Page
) -> None:
    create_admin(installation, page)
    save_settings(page)

    # The page fills by itself, and says what is missing
    for key in ("clock", "key_format", "credentials", "region", "quota"):
        expect_line(page, key, "ok")
    expect_line(page, "account", "warn")
    expect_line(page, "sender", "bad")
    expect_line(page, "dmarc", "warn")

    # The sender, from here; its records go from the page into the DNS
    line(page, "sender").get_by_role("link", name="Create it in Amazon SES").click()
    page.get_by_role("button", name="Create in Amazon SES").click()
    expect(page.get_by_text(f"{DOMAIN} is created")).to_be_visible()
    enter_in_dns(aws, page.locator("main"))
    page.get_by_role("link", name="Back to the checklist").click()
    page.get_by_role("button", name="Check now").click()
    expect_line(page, "sender", "ok")
    expect_line(page, "dkim", "ok")

    # MAIL FROM and DMARC
    expect_line(page, "mail_from", "idle")
    line(page, "mail_from").get_by_role("link", name="Set a MAIL FROM domain").click()
    page.get_by_role("button", name="Set").click()
    enter_in_dns(aws, page.locator("main"))
    page.get_by_role("link", name="Back to the checklist").click()
    enter_in_dns(aws, line(page, "dmarc"))
    page.get_by_role("button", name="Check now").click()
    expect_line(page, "mail_from", "ok")
    expect_line(page, "dmarc", "ok")

    # Out of the sandbox: AWS takes its time, and then grants it
    line(page, "account").get_by_role("link", name="Request production access").click()
    page.get_by_label("Website").fill(f"https://{DOMAIN}/")
    page.get_by_role("button", name="Send to AWS").click()
    expect(page.get_by_text("The request is sent")).to_be_visible()
    page.get_by_role("link", name="Back to the checklist").click()
    region = aws.region(REGION)
    assert region.review.status == "PENDING"
    region.review.status, region.is_production = "GRANTED", True
    line(page, "account").get_by_role("button", name="Re-check").click()
    expect_line(page, "account", "ok")

    # Delivery events, and the proof that they come
    line(page, "events").get_by_role("link", name="Connect delivery events").click()
    page.get_by_role("button", name="Make it and connect").click()
    expect(page.get_by_text("Delivery events are connected")).to_be_visible()
    page.goto(f"{installation.url}/admin-panel/email-settings/events/")
    page.get_by_role("button", name="Send 3 mails to the simulator").click()
    expect(page.get_by_text("Proven")).to_be_visible(timeout=PATIENCE_MS)

    # Live, and a test that goes the road of every mail
    open_settings(installation, page)
    go_live(page)
    send_test(installation, page)
    wait_until(lambda: mails_of_tests(aws) == 1, seconds=30)

    open_settings(installation, page)
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("ol.checks > li.is-ok")).to_have_count(
        LINES, timeout=PATIENCE_MS
    )
    expect(page.get_by_text(f"{LINES} of {LINES} done", exact=True)).to_be_visible()

    # A new key takes the place of the old one while mail flows
    rotation = f"{installation.url}/admin-panel/email-settings/rotate/"
    page.goto(rotation)
    page.get_by_role("button", name="Rotate the key").click()
    for _ in range(3):
        send_test(installation, page)
    page.goto(rotation)
    expect(page.get_by_text("The new key is in use.")).to_be_visible(
        timeout=PATIENCE_MS
    )
    send_test(installation, page)
    wait_until(lambda: mails_of_tests(aws) == 5, seconds=30)
    assert last_signer(aws) != ACCESS_KEY_ID
    assert len({mail.tags["tf-msg"] for mail in aws.mails}) == len(aws.mails)

    # One click goes back
    page.goto(rotation)
    page.get_by_role("button", name="Switch back").click()
    expect(page.get_by_text("Back to the old key")).to_be_visible(timeout=PATIENCE_MS)
    open_settings(installation, page)
    expect(page.get_by_label("AWS Access Key ID")).to_have_value(
        ACCESS_KEY_ID, timeout=PATIENCE_MS
    )
    send_test(installation, page)
    wait_until(lambda: mails_of_tests(aws) == 6, seconds=30)
    assert last_signer(aws) == ACCESS_KEY_ID
