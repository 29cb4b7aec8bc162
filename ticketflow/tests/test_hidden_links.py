"""What stands in the log, anybody who runs the server may read."""

import io
import logging
from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.builders import invite, path_of, token_of
from email_settings.models import Brand


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the console shows."""
    [console] = [
        handler
        for handler in logging.getLogger().handlers
        if type(handler) is logging.StreamHandler
    ]
    written = io.StringIO()
    before = console.setStream(written)
    yield written
    console.setStream(before)


@pytest.mark.django_db
def test_an_open_invitation_that_somebody_else_opens_is_not_logged(
    client: Client, admin: User, brand: Brand, log: io.StringIO
) -> None:
    invitation = invite(admin)
    client.force_login(admin)

    assert client.get(path_of(invitation)).status_code == 409

    assert "Conflict: /invitations/…/" in log.getvalue()
    assert token_of(invitation) not in log.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Gone: https://help.example.com/invitations/5.Zm9vYmFy/",
            "Gone: https://help.example.com/invitations/…/",
        ),
        (
            "Gone: /email-changes/7.Zm9vYmFy/",
            "Gone: /email-changes/…/",
        ),
        (
            "Not Found: /accounts/password/reset/key/1-dijfp3-dd930c15/",
            "Not Found: /accounts/password/reset/key/…/",
        ),
        (
            "Not Found: /admin-panel/users/invitations/9/resend/",
            "Not Found: /admin-panel/users/invitations/9/resend/",
        ),
    ],
)
def test_only_links_that_work_like_a_password_are_hidden(
    text: str, shown: str, log: io.StringIO
) -> None:
    logging.getLogger("django.request").warning("%s", text)
    assert log.getvalue().strip().endswith(shown)
