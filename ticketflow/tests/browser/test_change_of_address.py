"""Somebody changes their address: asks on one device, confirms on another."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts import email_change
from accounts.models import EmailChange, User
from conftest import PASSWORD
from email_settings.models import Brand, OutboxMessage
from ticketflow.tests.browser.conftest import SignIn

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NEW = "hannah@new.example"


def test_asked_on_one_device_and_confirmed_on_another(
    brand: Brand,
    requester: User,
    page: Page,
    sign_in: SignIn,
    new_person: Callable[[], Page],
    live_server: LiveServer,
) -> None:
    sign_in(requester)
    page.goto(live_server.url + reverse("accounts:profile"))
    page.get_by_role("link", name="Change address").click()
    page.get_by_label("New e-mail address").fill(NEW)
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Send me the link").click()
    expect(page.get_by_text("It leaves in a moment.")).to_be_visible()
    OutboxMessage.objects.update(state=OutboxMessage.State.SENT, sent_at=timezone.now())
    expect(page.get_by_text("It has left.")).to_be_visible()

    link = email_change.link_for(EmailChange.objects.get()).split("/", 3)[3]
    phone = new_person()
    phone.goto(f"{live_server.url}/{link}")
    expect(phone.get_by_text("For the account of Hannah Brooks.")).to_be_visible()
    phone.get_by_role("button", name=f"Use {NEW}").click()
    expect(phone.get_by_text("Sign in with it.")).to_be_visible()
    phone.get_by_label("E-mail").fill(NEW)
    phone.get_by_label("Password", exact=True).fill(PASSWORD)
    phone.get_by_role("button", name="Sign in").click()
    expect(phone.get_by_role("heading", name="My tickets")).to_be_visible()

    page.goto(live_server.url + reverse("accounts:profile"))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
