"""A new password by mail."""

import html
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import passwords, services
from accounts.models import User
from accounts.tests.builders import NEW_PASSWORD, PASSWORD
from accounts.tokens import ResetTokenGenerator
from email_settings import credentials, outbox
from email_settings import services as mail_services
from email_settings.models import Lane, OutboxMessage
from ticketflow.errors import DomainError
from ticketflow.templatetags.ui import NO_BREAK

ASK = "/accounts/password/reset/"


def mailed_link() -> str:
    """The path of the link in the newest mail."""
    mail = OutboxMessage.objects.latest("pk")
    text, page = credentials.open_body(mail)
    link = re.search(r"https?://\S+/accounts/password/reset/key/\S+", text)
    assert link
    assert link[0] in page
    assert link[0].startswith(f"{django_settings.SITE_URL}/")
    return link[0].removeprefix(django_settings.SITE_URL)


def ask(email: str) -> str:
    passwords.request_reset(email=email)
    return mailed_link()


def follow(client: Client, link: str, password: str = NEW_PASSWORD) -> int:
    """Open the link and fill in the form behind it; return the last status."""
    opened = client.get(link)
    if opened.status_code != 302:
        return opened.status_code
    return client.post(opened["Location"], {"password1": password}).status_code


def test_the_link_comes_by_mail_through_the_outbox(
    client: Client, requester: User
) -> None:
    response = client.post(ASK, {"email": requester.email.upper()})

    mail = OutboxMessage.objects.get()
    assert response["Location"] == "/accounts/password/reset/done/"
    assert (mail.kind, mail.lane) == ("password_reset", Lane.SECURITY)
    assert mail.is_secret
    assert mail.recipient == requester.email
    assert mail.recipient_name == requester.name
    assert mail.expires_at is not None
    assert mail.expires_at - mail.due_at == timedelta(hours=1)
    assert mail.headers["Auto-Submitted"] == "auto-generated"
    for part in credentials.open_body(mail):
        assert "for 1 hour." in html.unescape(part).replace(NO_BREAK, " ")
    assert requester.email in credentials.open_body(mail)[0]


def test_the_link_sets_a_new_password_once(client: Client, requester: User) -> None:
    link = ask(requester.email)

    assert follow(client, link) == 302
    requester.refresh_from_db()
    assert requester.check_password(NEW_PASSWORD)
    assert "was changed" in OutboxMessage.objects.latest("pk").subject

    again = Client().get(link)
    assert again.status_code == 200
    assert "This link does not work any more" in again.content.decode()


def test_opening_the_link_changes_nothing_and_hides_the_key(
    client: Client, requester: User
) -> None:
    link = ask(requester.email)
    before = User.objects.values().get()

    opened = client.get(link)
    page = client.get(opened["Location"])

    assert opened["Location"].endswith("-set-password/")
    assert "Choose a new password" in page.content.decode()
    assert page["Referrer-Policy"] == "same-origin"
    assert User.objects.values().get() == before


def test_a_reset_ends_every_session(client: Client, requester: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(requester)

    follow(client, ask(requester.email))

    assert elsewhere.get("/profile/").status_code == 302
    assert client.get("/profile/").status_code == 302


@pytest.mark.parametrize(
    "password", ["short7!", "password1", "hannah@larkfield.example"]
)
def test_a_bad_new_password_is_refused(
    client: Client, requester: User, password: str
) -> None:
    assert follow(client, ask(requester.email), password) == 200

    requester.refresh_from_db()
    assert requester.check_password(PASSWORD)


def test_known_unknown_and_deactivated_addresses_get_the_same_answer(
    admin: User, requester: User, outsider: User
) -> None:
    services.deactivate_user(actor=admin, user_id=outsider.pk)
    answers = []
    for email in (requester.email, "nobody@x.example", outsider.email):
        client = Client()
        first = client.post(ASK, {"email": email})
        done = client.get(first["Location"])
        answers.append((first.status_code, first["Location"], done.content))

    assert answers[0] == answers[1] == answers[2]
    assert OutboxMessage.objects.get().recipient == requester.email


def test_the_same_work_is_done_for_an_unknown_address(
    requester: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    real = outbox.enqueue

    def spy(**given: Any) -> OutboxMessage:
        rendered.append(given["recipient"])
        return real(**given)

    monkeypatch.setattr(outbox, "enqueue", spy)
    passwords.request_reset(email="nobody@x.example")
    passwords.request_reset(email=requester.email)

    assert rendered == ["nobody@x.example", requester.email]
    assert OutboxMessage.objects.get().recipient == requester.email


@pytest.mark.parametrize("host", ["evil.example", "help.example.com:1@evil.example"])
def test_a_forged_host_is_refused(client: Client, requester: User, host: str) -> None:
    response = client.post(ASK, {"email": requester.email}, headers={"Host": host})

    assert response.status_code == 400
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "127.0.0.1:8000"},
        {"X-Forwarded-Host": "evil.example"},
        {"Forwarded": "host=evil.example"},
    ],
)
def test_the_link_names_our_own_site_whatever_the_request_says(
    client: Client, requester: User, headers: dict[str, str]
) -> None:
    response = client.post(ASK, {"email": requester.email}, headers=headers)

    assert response.status_code == 302
    assert mailed_link().startswith("/accounts/password/reset/key/")
    text, html = credentials.open_body(OutboxMessage.objects.get())
    for part in (text, html):
        assert "evil" not in part
        assert "localhost" not in part
        assert "127.0.0.1" not in part


@pytest.mark.parametrize(("minutes", "status"), [(59, 302), (61, 200)])
def test_the_link_works_for_an_hour(
    client: Client,
    requester: User,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    status: int,
) -> None:
    link = ask(requester.email)
    now: datetime = ResetTokenGenerator()._now()
    monkeypatch.setattr(
        ResetTokenGenerator, "_now", lambda self: now + timedelta(minutes=minutes)
    )

    assert follow(client, link) == status


def test_deactivation_voids_the_link_for_good(
    client: Client, admin: User, requester: User
) -> None:
    link = ask(requester.email)
    services.deactivate_user(actor=admin, user_id=requester.pk)
    assert follow(client, link) == 200
    services.reactivate_user(actor=admin, user_id=requester.pk)

    assert follow(client, link) == 200
    requester.refresh_from_db()
    assert requester.check_password(PASSWORD)


def test_deactivation_between_opening_and_saving_wins(
    client: Client, admin: User, requester: User
) -> None:
    form = client.get(ask(requester.email))["Location"]
    services.deactivate_user(actor=admin, user_id=requester.pk)

    response = client.post(form, {"password1": NEW_PASSWORD})

    requester.refresh_from_db()
    assert "This link does not work any more" in response.content.decode()
    assert requester.check_password(PASSWORD)
    assert not requester.is_active


def change_password(admin: User, person: User) -> None:
    assert follow(Client(), mailed_link()) == 302


def deactivate(admin: User, person: User) -> None:
    services.deactivate_user(actor=admin, user_id=person.pk)


def change_role(admin: User, person: User) -> None:
    services.change_role(actor=admin, user_id=person.pk, role="agent")


@pytest.mark.parametrize("change", [change_password, deactivate, change_role])
@pytest.mark.parametrize("state", ["queued", "held", "unknown"])
def test_no_link_is_mailed_or_sent_again_that_has_become_void(
    admin: User,
    requester: User,
    outsider: User,
    change: Callable[[User, User], None],
    state: str,
) -> None:
    passwords.request_reset(email=outsider.email)
    passwords.request_reset(email=requester.email)
    passwords.request_reset(email=requester.email)
    resets = OutboxMessage.objects.filter(kind="password_reset")
    resets.update(state=state, reason_code="no_answer")

    change(admin, requester)

    void = resets.filter(recipient=requester.email)
    assert list(void.values_list("state", "text_body")) == [("cancelled", "")] * 2
    for message in void:
        with pytest.raises(DomainError, match="does not work any more"):
            mail_services.resend_message(uid=message.uid, actor=admin)
    # Somebody else's link still opens something.
    kept = resets.get(recipient=outsider.email)
    assert (kept.state, kept.text_body != "") == (state, True)


def test_a_second_link_leaves_the_first_one_alone(requester: User) -> None:
    passwords.request_reset(email=requester.email)
    passwords.request_reset(email=requester.email)

    states = OutboxMessage.objects.values_list("state", flat=True)
    assert list(states) == ["queued", "queued"]


@pytest.mark.parametrize(
    "spoil",
    ["x", "1-x", "0-abc-def", "zzzzzzzzzzzzz-abc-def", "zzzzzzzzzzzzzz-abc-def"],
)
def test_a_made_up_link_opens_nothing(
    client: Client, requester: User, spoil: str
) -> None:
    response = client.get(f"/accounts/password/reset/key/{spoil}/")

    assert response.status_code in {200, 404}
    assert "Choose a new password" not in response.content.decode()


def test_the_link_of_one_person_does_not_open_another(
    client: Client, requester: User, outsider: User
) -> None:
    link = ask(requester.email)
    ours, key = link.rstrip("/").rsplit("/", 1)[1].split("-", 1)
    assert ours != str(outsider.pk)

    response = client.get(f"/accounts/password/reset/key/{outsider.pk}-{key}/")

    assert "This link does not work any more" in response.content.decode()


def test_one_mailbox_is_not_flooded(
    client: Client, requester: User, settings: Settings
) -> None:
    cache.clear()
    settings.ACCOUNT_RATE_LIMITS = {"reset_password": "20/m/ip,5/15m/key"}

    answers = [
        client.post(
            ASK, {"email": requester.email}, REMOTE_ADDR=f"192.0.2.{number}"
        ).status_code
        for number in range(7)
    ]

    assert answers == [302] * 5 + [429] * 2
    assert OutboxMessage.objects.count() == 5


def test_with_a_broken_key_file_the_page_says_so_instead_of_failing(
    client: Client, requester: User, settings: Settings, tmp_path: Path
) -> None:
    settings.KEYS_FILE = tmp_path / "keys"
    settings.KEYS_FILE.write_text("this is no key")

    answers = [
        client.post(ASK, {"email": email}).content.decode()
        for email in (requester.email, "nobody@x.example")
    ]

    assert all("No mail can be written just now" in page for page in answers)
    assert not OutboxMessage.objects.exists()
