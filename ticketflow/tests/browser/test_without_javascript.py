"""Every core action is a plain link or form."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Invitation, User
from conftest import PASSWORD
from email_settings.models import Brand
from ticketflow.tests.browser.conftest import watch
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], Page]


@pytest.fixture
def sign_in(
    new_context: Callable[..., BrowserContext],
    live_server: LiveServer,
    brand: Brand,
    trouble: list[str],
) -> SignIn:
    """Sign this person in by the form, in a browser without JavaScript."""

    def sign_in(user: User) -> Page:
        page = new_context(java_script_enabled=False).new_page()
        watch(page, trouble)
        page.goto(f"{live_server.url}/accounts/login/")
        page.get_by_label("E-mail").fill(user.email)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        return page

    return sign_in


def test_requester_opens_a_ticket(
    sign_in: SignIn, requester: User, queue: Queue
) -> None:
    page = sign_in(requester)
    page.get_by_role("link", name="New ticket").first.click()
    page.get_by_label("Short summary").fill("Printer jams")
    page.get_by_label("What happened?").fill("Every second page.")
    page.get_by_label("Photos and files").set_input_files(
        {"name": "jam.txt", "mimeType": "text/plain", "buffer": b"jam"}
    )
    page.get_by_role("button", name="Send ticket").click()
    expect(page.get_by_role("heading", level=1, name="Printer jams")).to_be_visible()
    expect(page.get_by_text("jam.txt")).to_be_visible()


def test_agent_answers_and_changes_a_ticket(
    sign_in: SignIn, agent: User, requester: User, queue: Queue
) -> None:
    ticket = make_ticket(requester=requester, queue=queue, subject="Printer jams")
    page = sign_in(agent)
    page.get_by_role("link", name="All open").first.click()
    page.get_by_role("link", name="Printer jams").click()
    page.get_by_label("Message", exact=True).fill("Try tray 2.")
    page.get_by_role("button", name="Send reply").click()
    expect(page.get_by_text("Try tray 2.").first).to_be_visible()
    page.get_by_label("Priority").select_option(label="High")
    page.get_by_role("button", name="Save properties").click()
    ticket.refresh_from_db()
    assert ticket.priority == Ticket.Priority.HIGH


def test_admin_invites_and_signs_out(sign_in: SignIn, admin: User) -> None:
    page = sign_in(admin)
    page.get_by_role("link", name="User Management").first.click()
    page.get_by_role("link", name="Invite User").first.click()
    page.get_by_label("E-mail addresses").fill("ines@larkfield.example")
    page.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_text("ines@larkfield.example").first).to_be_visible()
    assert Invitation.objects.count() == 1
    page.locator("summary.me").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
