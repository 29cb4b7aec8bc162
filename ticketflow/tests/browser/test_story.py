"""The whole story, as docs/ses-setup.md tells it, with real processes and a real browser.

From the first-run page to the agent's reply arriving at the (stand-in) Amazon SES.
"""

import email
import email.policy
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from playwright.sync_api import Page, expect

from ticketflow.tests.processes import Installation, running_installation, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # from the AWS docs
PASSWORD = "a long enough password"


class StandInForAws:
    """moto's server, and what has arrived there."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        # moto's stores belong to the process, whatever server another test had.
        urllib.request.urlopen(f"{self.url}/moto-api/reset", data=b"").close()  # noqa: S310
        boto3.client(
            "sesv2",
            region_name="eu-west-2",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        ).create_email_identity(EmailIdentity="larkfield.example")

    def stop(self) -> None:
        self._server.stop()

    def mails(self) -> list[EmailMessage]:
        with urllib.request.urlopen(f"{self.url}/moto-api/data.json") as answer:  # noqa: S310 - our own server, over loopback
            data: dict[str, Any] = json.load(answer)
        raw = [row["raw_data"] for row in data["ses"].get("RawMessage", [])]
        return [
            email.message_from_string(text, policy=email.policy.default) for text in raw
        ]

    def mail_to(self, address: str, subject: str) -> EmailMessage:
        """Return the mail to this address whose subject starts so, once it has arrived."""

        def arrived() -> EmailMessage | None:
            return next(
                (
                    mail
                    for mail in self.mails()
                    if address in mail["To"] and mail["Subject"].startswith(subject)
                ),
                None,
            )

        return wait_until(arrived, seconds=20)


@pytest.fixture
def aws() -> Iterator[StandInForAws]:
    stand_in = StandInForAws()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def installation(
    aws: StandInForAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with running_installation(
        tmp_path_factory.mktemp("story"), {"AWS_ENDPOINT_URL": aws.url}
    ) as running:
        yield running


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def link_in(mail: EmailMessage, path: str) -> str:
    found = re.search(rf"http://\S*{path}\S*", text_of(mail))
    assert found, text_of(mail)
    return found.group()


def test_from_first_run_to_the_agents_reply(
    installation: Installation,
    aws: StandInForAws,
    page: Page,
    new_person: Callable[[], Page],
) -> None:
    for_all = 10_000  # milliseconds
    page.set_default_timeout(for_all)

    # First run
    page.goto(installation.setup_url)
    page.get_by_label("Help desk name").fill("Larkfield")
    page.get_by_label("Your name").fill("Ewa Kowalska")
    page.get_by_label("Your e-mail").fill("ewa@larkfield.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create admin and continue").click()
    expect(page.get_by_role("heading", level=1, name="Admin Panel")).to_be_visible()
    expect(page.get_by_text("rehearsal").first).to_be_visible()

    # Email Settings
    page.get_by_role("link", name="Email Settings").first.click()
    page.get_by_label("AWS Access Key ID").fill(ACCESS_KEY_ID)
    page.get_by_label("AWS Secret Access Key").fill(SECRET_ACCESS_KEY)
    page.get_by_label("AWS Region").select_option("eu-west-2")
    page.get_by_label("From Email").fill("help@larkfield.example")
    page.get_by_label("From Name").fill("Larkfield Help Desk")
    page.get_by_role("button", name="Save Settings").click()
    expect(page.get_by_text("Settings saved").first).to_be_visible()
    assert SECRET_ACCESS_KEY not in page.content()

    # Send Test Email
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.get_by_text("Accepted by Amazon SES").first).to_be_visible(
        timeout=15_000
    )
    test_mail = aws.mail_to("ewa@larkfield.example", "A test e-mail")
    assert test_mail["From"].startswith("Larkfield Help Desk <help@larkfield.example>")

    # Go live
    page.get_by_role("link", name="Email Settings").first.click()
    go_live(page)

    # Invite User
    page.get_by_role("link", name="User Management").first.click()
    for address, role in [
        ("maya@larkfield.example", "Agent"),
        ("hannah@larkfield.example", "Requester"),
    ]:
        page.get_by_role("link", name="Invite User").first.click()
        page.get_by_label("E-mail addresses").fill(address)
        page.get_by_role("radio", name=re.compile(f"^{role}")).check(force=True)
        page.get_by_role("button", name=re.compile("Send invitation")).click()
        expect(page.get_by_text(address).first).to_be_visible()

    # The agent and the requester accept
    agent, requester = new_person(), new_person()
    for person, address, name in [
        (agent, "maya@larkfield.example", "Maya Okafor"),
        (requester, "hannah@larkfield.example", "Hannah Brooks"),
    ]:
        invitation = aws.mail_to(address, "Ewa Kowalska invited you")
        person.goto(link_in(invitation, "/invitations/"))
        person.get_by_label("Your name").fill(name)
        person.get_by_label("Password", exact=True).fill(PASSWORD)
        person.get_by_role("button", name="Create account and continue").click()
        expect(person.get_by_role("heading", level=1)).to_be_visible()

    # The requester opens a ticket
    requester.get_by_role("link", name="New ticket").first.click()
    requester.get_by_label("Short summary").fill("VPN drops every 20 minutes")
    requester.get_by_label("What happened?").fill("It **drops** since this morning.")
    requester.get_by_role("button", name="Send ticket").click()
    expect(
        requester.get_by_role("heading", level=1, name="VPN drops every 20 minutes")
    ).to_be_visible()
    receipt = aws.mail_to("hannah@larkfield.example", "We received your request")
    assert receipt["Auto-Submitted"] == "auto-replied"

    # The agent leaves a note, then replies
    agent.goto(f"{installation.url}/tickets/?view=open")
    agent.get_by_role("link", name="VPN drops every 20 minutes").click()
    agent.get_by_text("Internal note", exact=True).first.click()
    agent.get_by_label("Message", exact=True).fill("The gateway again, canary-note")
    agent.get_by_role("button", name="Add note").click()
    expect(agent.get_by_text("canary-note").first).to_be_visible()
    agent.get_by_label("Message", exact=True).fill(
        "Please choose the **legacy** profile."
    )
    agent.get_by_role("button", name="Send reply").click()
    expect(agent.get_by_text("legacy").first).to_be_visible()

    # It arrives as it should
    reply = aws.mail_to("hannah@larkfield.example", "[#1] VPN drops")
    assert reply["To"] == "Hannah Brooks <hannah@larkfield.example>"
    assert "Auto-Submitted" not in reply
    assert reply["X-TicketFlow-Message"]
    assert reply["References"] == receipt["References"]
    assert reply.get_content_type() == "multipart/alternative"
    for part in reply.walk():
        if not part.is_multipart():
            assert part["Content-Transfer-Encoding"] in {"quoted-printable", "7bit"}
    assert "legacy" in text_of(reply)
    assert link_in(reply, "/tickets/").startswith(installation.url)
    assert all("canary-note" not in mail.as_string() for mail in aws.mails())

    # and the requester reads it, without the note
    requester.reload()
    expect(requester.get_by_text("legacy").first).to_be_visible()
    assert "canary-note" not in requester.content()

    # Email Activity shows all of it
    page.get_by_role("link", name="Email Activity").first.click()
    expect(page.get_by_text("hannah@larkfield.example").first).to_be_visible()


def go_live(page: Page) -> None:
    """Press Go live, and confirm."""
    page.get_by_role("link", name="Go live").or_(
        page.get_by_role("button", name="Go live")
    ).first.click()
    page.get_by_role("button", name="Go live").last.click()
    expect(page.get_by_text("live").first).to_be_visible()
