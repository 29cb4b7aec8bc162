"""Pages that move by themselves do so under the content security policy."""

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from email_settings.models import DeliveryAttempt, OutboxMessage
from ticketflow.tests.browser.conftest import SignIn

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_test_mail_shows_its_way_without_a_reload(
    admin: User, sign_in: SignIn, live_server: LiveServer
) -> None:
    message = OutboxMessage.objects.create(
        kind="test", recipient=admin.email, subject="Test", text_body="Test"
    )
    page = sign_in(admin)
    page.goto(
        live_server.url + reverse("email_settings:test-detail", args=[message.uid])
    )
    page.evaluate("window.isSameLoad = true")
    DeliveryAttempt.objects.create(
        message=message,
        number=1,
        outcome=DeliveryAttempt.Outcome.ACCEPTED,
        finished_at=timezone.now(),
    )
    message.state = OutboxMessage.State.SENT
    message.sent_at = timezone.now()
    message.save()
    expect(page.get_by_text("Accepted by Amazon SES").first).to_be_visible()
    assert page.evaluate("window.isSameLoad")
