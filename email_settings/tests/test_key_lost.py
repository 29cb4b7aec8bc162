"""The key file is lost, wrong or closed: mail waits, all else works, and it heals by itself."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from email_settings import credentials, services
from email_settings.credentials import Secret
from email_settings.delivery import hold
from email_settings.delivery.pump import Pump, choose_gateway
from email_settings.delivery.slots import Slots
from email_settings.gateway.probe import AccountState
from email_settings.gateway.rehearsal import RehearsalGateway
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.pacing import NoPace
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeSes, running_fake_ses
from email_settings.tests.workers import Site, make_site, running_worker
from email_settings.void_links import void_links
from ticketflow.lib import encryption
from ticketflow.lib.encryption import KeyFileMissingError
from ticketflow.tests.processes import wait_until

State = OutboxMessage.State


@pytest.fixture
def key_file(db: None, settings: Settings, tmp_path: Path) -> Path:
    settings.KEYS_FILE = tmp_path / "keys"
    encryption.create_key_file()
    return tmp_path / "keys"


def lose(key_file: Path) -> Path:
    """Put another installation's key file in the place of this one's."""
    right = key_file.rename(key_file.with_name("right"))
    encryption.create_key_file()
    return right


def run() -> None:
    turn = NoPace()
    Pump(
        choose_gateway=choose_gateway, slots=Slots(2), pace_for=lambda sender: turn
    ).run()


def state_of(message: OutboxMessage) -> tuple[str, str, int]:
    message.refresh_from_db()
    return message.state, message.reason_code, message.attempts


# Who makes a key file, and when


def test_first_secret_makes_the_key_file(key_file: Path) -> None:
    key_file.unlink()
    make_message(is_secret=True)
    assert key_file.exists()


def test_mail_with_a_link_never_makes_a_file_in_the_place_of_a_lost_one(
    key_file: Path,
) -> None:
    make_settings()
    key_file.unlink()
    with pytest.raises(KeyFileMissingError):
        make_message(is_secret=True)
    with pytest.raises(KeyFileMissingError):
        credentials.ensure_key_file()
    assert not key_file.exists()


def test_sealed_mail_alone_needs_the_lost_file_too(key_file: Path) -> None:
    message = make_message(is_secret=True)
    key_file.unlink()
    with pytest.raises(KeyFileMissingError):
        credentials.ensure_key_file()
    void_links(OutboxMessage.objects.filter(pk=message.pk))
    credentials.ensure_key_file()
    assert key_file.exists()


def test_secret_that_is_typed_in_again_makes_the_file_anew(key_file: Path) -> None:
    row = make_settings()
    key_file.unlink()
    credentials.store_secret(row, "C" * 40)
    row.save()
    assert credentials.read_secret(SesSettings.load()).reveal() == "C" * 40


# The account's secret


def test_wrong_key_holds_mail_and_uses_up_no_try(
    key_file: Path, fake_ses: FakeSes
) -> None:
    make_settings()
    message = make_message()
    right = lose(key_file)
    run()
    assert state_of(message) == (State.HELD, "encryption_key_missing", 0)
    # As long as it is away nothing is tried: a night leaves no heap of tries behind.
    SesSettings.objects.update(
        probe_at=timezone.now(), held_since=timezone.now() - timedelta(hours=9)
    )
    for _ in range(3):
        run()
    assert DeliveryAttempt.objects.count() == 1
    assert fake_ses.posts == []
    right.replace(key_file)
    run()
    assert state_of(message)[0] == State.SENT
    assert len(fake_ses.posts) == 1


def test_key_file_that_others_can_read_holds_mail_until_it_is_closed(
    key_file: Path, fake_ses: FakeSes
) -> None:
    make_settings()
    message = make_message()
    key_file.chmod(0o644)
    run()
    assert state_of(message) == (State.HELD, "key_file_unusable", 0)
    key_file.chmod(0o600)
    SesSettings.objects.update(probe_at=timezone.now())
    run()
    assert state_of(message)[0] == State.SENT


def test_key_is_looked_for_often_however_long_it_is_away() -> None:
    interval = hold.probe_interval("encryption_key_missing", timedelta(days=3))
    assert interval < timedelta(seconds=10)


@pytest.mark.parametrize(
    "name", ["admin-overview", "email_settings:settings", "email_settings:message-list"]
)
def test_panel_works_and_names_the_key_and_the_file(
    panel: Client, key_file: Path, name: str
) -> None:
    row = make_settings()
    make_message()
    lose(key_file)
    key_id = row.secret_access_key_encrypted.split(":")[1]
    shown = panel.get(reverse(name)).content.decode()
    assert "The stored AWS secret can’t be read" in shown
    assert f"the key {key_id}, which is not in {key_file}" in shown


def test_new_secret_is_saved_without_reading_the_old_one(
    panel: Client,
    admin: AbstractBaseUser,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = make_settings()
    lose(key_file)
    values = services.SettingsInput(
        access_key_id=old.access_key_id,
        secret=Secret(""),
        region=old.region,
        from_email=old.from_email,
        from_name=old.from_name,
        reply_to="",
    )
    with pytest.raises(encryption.KeyMissingError):
        services.check_and_save_settings(actor=admin, values=values)
    stored = SesSettings.load().secret_access_key_encrypted
    assert stored == old.secret_access_key_encrypted
    monkeypatch.setattr(services, "check_account", nothing_to_say)
    services.check_and_save_settings(
        actor=admin,
        values=services.SettingsInput(**{**vars(values), "secret": Secret("D" * 40)}),
        save_anyway=True,
    )
    assert credentials.read_secret(SesSettings.load()).reveal() == "D" * 40


def nothing_to_say(*args: Any) -> AccountState:
    """Stand in for an AWS that is not reached."""
    return AccountState()


# Sealed mail


def test_sealed_mail_of_a_missing_key_waits_alone_until_the_key_is_back(
    key_file: Path, fake_ses: FakeSes
) -> None:
    make_settings()
    sealed, plain = make_message(is_secret=True), make_message()
    right = lose(key_file)
    make_settings()  # the secret was typed in again
    run()
    assert state_of(sealed) == (State.HELD, "body_key_missing", 0)
    assert state_of(plain)[0] == State.SENT
    run()
    assert DeliveryAttempt.objects.filter(message=sealed).count() == 1
    key_file.write_text(key_file.read_text() + right.read_text())
    run()
    run()
    assert state_of(sealed)[0] == State.SENT


def test_sealed_mail_of_a_missing_key_is_no_probe_of_a_broken_account(
    key_file: Path, fake_ses: FakeSes
) -> None:
    row = make_settings()
    sealed, plain = make_message(is_secret=True), make_message()
    OutboxMessage.objects.filter(pk=sealed.pk).update(
        state=State.HELD, reason_code="body_key_missing", lane=0
    )
    OutboxMessage.objects.filter(pk=plain.pk).update(
        state=State.HELD, reason_code="key_unknown"
    )
    SesSettings.objects.filter(pk=row.pk).update(
        hold_code="key_unknown", held_since=timezone.now(), probe_at=timezone.now()
    )
    lose(key_file)
    make_settings()
    run()
    assert state_of(plain)[0] == State.SENT
    assert state_of(sealed)[:2] == (State.HELD, "body_key_missing")
    assert not SesSettings.load().hold_code


def test_rehearsal_keeps_sealed_mail_it_cannot_read(key_file: Path) -> None:
    make_settings(is_live=False)
    sealed = make_message(is_secret=True)
    lose(key_file)
    turn = NoPace()
    Pump(
        choose_gateway=lambda sender: RehearsalGateway(),
        slots=Slots(1),
        pace_for=lambda sender: turn,
    ).run()
    assert state_of(sealed) == (State.HELD, "body_key_missing", 0)


# With real processes

_PREPARE = """
from email_settings.tests.builders import make_message, make_settings
make_settings(max_send_rate=200)
make_message()
make_message(is_secret=True)
"""
_READ_REASONS = """
import json
from email_settings.models import OutboxMessage
rows = OutboxMessage.objects.order_by("pk")
print(json.dumps([[m.state, m.reason_code, m.attempts] for m in rows]))
"""
_OPEN_PAGES = """
from django.core.management import call_command
from django.test import Client
from accounts.models import Role, User
call_command("collectstatic", interactive=False, verbosity=0)
admin = User.objects.create_user(
    "ewa@larkfield.example", "correct horse battery", name="Ewa", role=Role.ADMIN
)
browser = Client(headers={"host": "help.example.com"})
browser.force_login(admin)
for path in ["/admin-panel/", "/admin-panel/email-settings/", "/tickets/", "/healthz", "/readyz"]:
    page = browser.get(path, secure=True, follow=True)
    print(path, page.status_code, "secret can’t be read" in page.content.decode())
"""


@pytest.mark.processes
def test_worker_with_the_wrong_key_holds_mail_and_sends_it_once_the_right_one_is_back(
    tmp_path: Path,
) -> None:
    with running_fake_ses() as ses:
        site = make_site(tmp_path, endpoint_url=ses.url)
        site.run(_PREPARE)
        key_file = tmp_path / "keys"
        right = key_file.rename(tmp_path / "right")
        key_file.touch(0o600)
        key_file.write_text(f"{encryption.new_key()}\n")
        with running_worker(site):
            wait_until(lambda: reasons(site) == HELD_TWICE, seconds=40)
            pages = site.run(_OPEN_PAGES)
            right.replace(key_file)
            wait_until(lambda: all_sent(site), seconds=60)
        # Besides them the account is asked about, which has no recipient.
        assert len([post for post in ses.posts if "Destination" in post]) == 2
    assert "/admin-panel/ 200 True" in pages
    assert "/admin-panel/email-settings/ 200 True" in pages
    assert "/tickets/ 200" in pages
    assert "/healthz 200" in pages
    assert "/readyz 503" in pages


HELD_TWICE = [["held", "encryption_key_missing", 0]] * 2


def reasons(site: Site) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(site.run(_READ_REASONS).splitlines()[-1])
    return found


def all_sent(site: Site) -> bool:
    return all(state == "sent" for state, _, _ in reasons(site))
