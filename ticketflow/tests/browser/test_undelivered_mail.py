"""A reply bounces: from the mark on the ticket to the address that gets mail again.

With real processes, a real browser, and the stand-in for AWS in Amazon's place.
"""

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from playwright.sync_api import Page, expect

from email_settings.standin import presets
from email_settings.standin.account import Account
from email_settings.standin.dns import answering
from email_settings.standin.server import running
from ticketflow.tests.browser.test_operating_mail import create_admin, save_settings
from ticketflow.tests.browser.test_story import (
    ACCESS_KEY_ID,
    PASSWORD,
    SECRET_ACCESS_KEY,
    go_live,
    link_in,
)
from ticketflow.tests.processes import Installation, running_installation, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

HANNAH = "hannah@larkfield.example"
# Events, the notice and the release go through the worker, on a machine that is busy.
PATIENCE_S = 40


@pytest.fixture
def aws() -> Account:
    """An account in which all is set up but the events."""
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    presets.begin_ready(account, "larkfield.example")
    return account


@pytest.fixture
def installation(
    aws: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with running(aws) as server, answering(aws) as names:
        environment = {"AWS_ENDPOINT_URL": server.url, "DNS_SERVERS": names.address}
        with running_installation(
            tmp_path_factory.mktemp("undelivered"), environment
        ) as site:
            yield site


def mail_to(aws: Account, address: str, subject: str) -> EmailMessage:
    """Return the mail to this address with that in its subject, once it has come."""

    def arrived() -> EmailMessage | None:
        for taken in aws.mails:
            mail = message_from_bytes(taken.raw, policy=policy.default)
            if address in taken.recipients and subject in mail["Subject"]:
                return mail
        return None

    return wait_until(arrived, seconds=PATIENCE_S)


def let_in(installation: Installation, aws: Account, page: Page, person: Page) -> None:
    """Invite the requester, who accepts."""
    page.goto(f"{installation.url}/admin-panel/users/invite/")
    page.get_by_label("E-mail addresses").fill(HANNAH)
    page.get_by_role("radio", name=re.compile("^Requester")).check(force=True)
    page.get_by_role("button", name=re.compile("Send invitation")).click()
    invitation = mail_to(aws, HANNAH, "Ewa Kowalska invited you")
    person.goto(link_in(invitation, "/invitations/"))
    person.get_by_label("Your name").fill("Hannah Brooks")
    person.get_by_label("Password", exact=True).fill(PASSWORD)
    person.get_by_role("button", name="Create account and continue").click()
    person.get_by_role("link", name="New ticket").first.click()
    person.get_by_label("Short summary").fill("VPN drops every 20 minutes")
    person.get_by_label("What happened?").fill("It began this morning.")
    person.get_by_role("button", name="Send ticket").click()
    expect(person.get_by_role("heading", level=1)).to_contain_text("VPN drops")


def reply(installation: Installation, page: Page, text: str) -> None:
    page.goto(f"{installation.url}/tickets/1/")
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send reply").click()
    expect(page.locator(".msg-agent").last).to_contain_text(text)


def expect_mark(page: Page, text: str, *words: str) -> None:
    """Look at the ticket until the reply with that text is marked so."""
    mark = page.locator(".msg-agent", has_text=text).locator(".msg-foot")

    def is_marked() -> bool:
        page.goto(page.url.partition("#")[0])
        said = mark.inner_text()
        return all(word in said for word in words)

    wait_until(lambda: is_marked() or None, seconds=PATIENCE_S)


def test_a_reply_bounces_and_the_next_one_arrives(
    installation: Installation,
    aws: Account,
    page: Page,
    new_person: Callable[[], Page],
) -> None:
    create_admin(installation, page)
    save_settings(page)
    page.goto(f"{installation.url}/admin-panel/email-settings/fix/events/")
    page.get_by_role("button", name="Make it and connect").click()
    expect(page.get_by_text("Delivery events are connected")).to_be_visible()
    page.goto(f"{installation.url}/admin-panel/email-settings/")
    go_live(page)
    hannah = new_person()
    let_in(installation, aws, page, hannah)
    mail_to(aws, HANNAH, "We received your request")

    # Her mailbox is gone, and the reply bounces
    aws.bouncing.add(HANNAH)
    reply(installation, page, "Which client is it?")
    expect_mark(
        page,
        "Which client is it?",
        "Bounced",
        "Hannah Brooks: The recipient’s server refused it for good.",
        "Correct the address",
    )
    assert "smtp; 550" not in page.locator("main").inner_text()

    # Whoever wrote it is told by mail, and the list shows it
    notice = mail_to(aws, "ewa@larkfield.example", "Not delivered to Hannah Brooks")
    assert notice["Auto-Submitted"] == "auto-generated"
    page.goto(f"{installation.url}/profile/")
    page.goto(link_in(notice, "/tickets/1/"))
    expect(page.locator(".event-bad")).to_contain_text(
        "Hannah Brooks did not get the reply: it bounced."
    )
    page.goto(f"{installation.url}/tickets/")
    page.get_by_role("link", name="Not delivered").click()
    expect(page.locator(".tk-lost")).to_have_count(1)
    page.goto(f"{installation.url}/admin-panel/email-activity/?kind=reply_undelivered")
    expect(page.get_by_text("Not delivered to Hannah Brooks")).to_have_count(1)

    # Before the next one is written it is known that nobody gets it
    reply_page = f"{installation.url}/tickets/1/"
    page.goto(reply_page)
    expect(page.get_by_text("Hannah Brooks gets no e-mail")).to_be_visible()
    expect(page.locator(".composer-gap")).to_be_visible()
    reply(installation, page, "Are you there?")
    expect_mark(page, "Are you there?", "Suppressed", "Hannah Brooks")
    hannah.reload()
    expect(hannah.get_by_text("Are you there?")).to_be_visible()
    assert "Suppressed" not in hannah.content()

    # The mailbox is back: the address is released, and what was not sent is sent
    aws.bouncing.clear()
    page.locator(".gap").get_by_role("link", name="Why it gets no mail").click()
    expect(page.get_by_role("heading", level=1, name=HANNAH)).to_be_visible()
    page.get_by_role("link", name="Release").click()
    page.get_by_role("button", name="Release 1 address").click()
    expect(page.get_by_text("This address gets mail")).to_be_visible()
    wait_until(
        lambda: not any(r.suppressed for r in aws.regions.values()) or None,
        seconds=PATIENCE_S,
    )
    page.get_by_role("link", name=re.compile("Send .* again")).click()
    page.get_by_role("button", name=re.compile("Send 1")).click()
    page.goto(reply_page)
    expect(page.get_by_text("gets no e-mail")).to_have_count(0)
    expect_mark(page, "Are you there?", "Delivered", "Hannah Brooks")
    reply(installation, page, "Good to have you back")
    expect_mark(page, "Good to have you back", "Delivered", "Hannah Brooks")
    page.goto(f"{installation.url}/tickets/")
    expect(page.locator(".tk-lost")).to_have_count(0)
