"""Properties are saved as soon as they change, also by an arrow key."""

import pytest
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from ticketflow.tests.browser.conftest import SignIn
from tickets import services
from tickets.models import Queue

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_closing_for_good_is_asked_about_and_nothing_else_is(
    live_server: LiveServer,
    sign_in: SignIn,
    agent: User,
    requester: User,
    queue: Queue,
) -> None:
    ticket = services.open_ticket(
        actor=requester, subject="VPN", body="It drops.", queue=queue
    )
    page = sign_in(agent)
    page.goto(f"{live_server.url}/tickets/{ticket.number}/")
    status = page.get_by_label("Status", exact=True)
    with page.expect_navigation():
        status.select_option("solved")
    status.select_option("closed")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(status).to_have_value("solved")
    ticket.refresh_from_db()
    assert ticket.status == "solved"
    status.select_option("closed")
    with page.expect_navigation():
        page.get_by_role("button", name="Close for good").click()
    ticket.refresh_from_db()
    assert ticket.status == "closed"
