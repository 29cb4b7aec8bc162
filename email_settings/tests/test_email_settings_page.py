"""Admin Panel → Email Settings: saving, what AWS says to it, and what is never shown."""

import logging
import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from email_settings import credentials, services
from email_settings.credentials import Credentials
from email_settings.delivery import hold
from email_settings.gateway import probe
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import OutboxMessage, SesSettings
from email_settings.readiness import run
from email_settings.tests.builders import (
    ACCESS_KEY_ID,
    SECRET,
    make_message,
    make_settings,
)
from email_settings.tests.fake_account import (
    FakeAccount,
    account,
    running_fake_account,
    sts_refusal,
)
from email_settings.tests.fake_ses import Answer, page, refusal

NEW_KEY_ID = "AKIAI44QH8DHBEXAMPLE"
NEW_SECRET = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"
PLACEHOLDER = 'placeholder="••••••••"'
GOOD = {
    "access_key_id": NEW_KEY_ID,
    "secret_access_key": NEW_SECRET,
    "region": "eu-west-2",
    "from_email": "help@larkfield.example",
    "from_name": "Larkfield Help Desk",
    "reply_to": "",
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAccount]:
    with running_fake_account() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def save(panel: Client, **changes: str) -> HttpResponse:
    url = reverse("email_settings:settings")
    return panel.post(url, {**GOOD, **changes}, follow=True)  # type: ignore[return-value]


def text(response: HttpResponse) -> str:
    return response.content.decode()


def show(panel: Client) -> str:
    return text(panel.get(reverse("email_settings:settings")))  # type: ignore[arg-type]


def stored_secret() -> str:
    return credentials.read_credentials(SesSettings.load()).secret.reveal()


def test_first_visit_has_every_field_and_writes_nothing(panel: Client) -> None:
    shown = show(panel)
    for label in (
        "AWS Access Key ID",
        "AWS Secret Access Key",
        "AWS Region",
        "From Email",
        "From Name",
        "Reply-To",
    ):
        assert f">{label}" in shown
    assert "Save Settings" in shown
    assert "Save working settings first" in shown
    assert not SesSettings.objects.exists()


def test_good_settings_are_saved_with_what_aws_said(
    panel: Client, aws: FakeAccount, admin: AbstractBaseUser
) -> None:
    shown = text(save(panel))
    assert "Settings saved" in shown
    row = SesSettings.load()
    assert (row.access_key_id, row.region) == (NEW_KEY_ID, "eu-west-2")
    assert stored_secret() == NEW_SECRET
    assert row.saved_by == admin
    assert row.saved_at is not None
    assert row.account_id == "123456789012"
    assert row.is_sandbox is False
    assert row.is_from_verified is True
    assert row.max_send_rate == 14
    assert not row.is_live


def test_secret_that_was_replaced_while_aws_was_asked_is_not_kept_for_another_key(
    panel: Client, aws: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_settings()

    def ask_slowly(keys: Credentials, from_email: str) -> probe.AccountState:
        row = SesSettings.load()
        row.access_key_id = NEW_KEY_ID
        credentials.store_secret(row, NEW_SECRET)
        row.save()
        return probe.check_account(keys, from_email)

    monkeypatch.setattr(services, "check_account", ask_slowly)
    shown = text(save(panel, access_key_id=ACCESS_KEY_ID, secret_access_key=""))
    assert "Somebody else saved another secret in this very moment." in shown
    assert SesSettings.load().access_key_id == NEW_KEY_ID


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_wait_for_each_other(admin: AbstractBaseUser) -> None:
    before = make_settings().version

    def go_live() -> None:
        services.go_live(actor=admin)
        connection.close()

    other = threading.Thread(target=go_live)
    with transaction.atomic():
        services.go_back_to_rehearsal(actor=admin)
        other.start()
        other.join(0.5)
    other.join()
    row = SesSettings.load()
    assert (row.mode, row.version) == (SesSettings.Mode.LIVE, before + 2)


def test_good_settings_are_saved_against_moto(panel: Client, moto_url: str) -> None:
    shown = text(save(panel, region="eu-west-1"))
    assert "Settings saved" in shown
    assert SesSettings.load().account_id == "123456789012"


def test_saving_makes_workers_take_a_new_client(
    panel: Client, aws: FakeAccount
) -> None:
    before = make_settings().version
    save(panel)
    assert SesSettings.load().version > before


@pytest.mark.parametrize(
    "changed", [{}, {"from_name": "Other"}, {"region": "eu-west-1"}]
)
def test_empty_secret_keeps_the_stored_one(
    panel: Client, aws: FakeAccount, changed: dict[str, str]
) -> None:
    make_settings()
    save(panel, access_key_id=ACCESS_KEY_ID, secret_access_key="", **changed)
    assert stored_secret() == SECRET


def test_empty_from_name_becomes_the_company(
    panel: Client, aws: FakeAccount, brand: object
) -> None:
    save(panel, from_name="")
    assert SesSettings.load().from_name == "Larkfield"


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            "AWS does not know this access key.",
        ),
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match.",
            "The secret access key does not belong to this key ID.",
        ),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20261124T100000Z is now earlier than "
            "20261124T101500Z (20261124T102000Z - 5 min.)",
            "The clock of this server is wrong by 20 minutes.",
        ),
    ],
)
def test_wrong_keys_never_replace_working_ones(
    panel: Client, aws: FakeAccount, code: str, message: str, said: str
) -> None:
    before = make_settings()
    aws.refuse_key(code, message)
    shown = text(save(panel))
    assert f"Not saved: {said}" in shown
    assert "The settings saved before stay in use." in shown
    assert "Please paste it once more." in shown
    assert NEW_SECRET not in shown
    assert 'name="save_anyway"' in shown
    after = SesSettings.load()
    assert (after.version, after.access_key_id) == (before.version, ACCESS_KEY_ID)
    assert stored_secret() == SECRET


def test_save_anyway_saves_keys_that_aws_refuses(
    panel: Client, aws: FakeAccount
) -> None:
    make_settings()
    aws.refuse_key("InvalidClientTokenId", "The security token is invalid.")
    shown = text(save(panel, save_anyway="on"))
    assert "Settings saved" in shown
    assert stored_secret() == NEW_SECRET
    assert "AWS does not know this access key." in shown


def test_save_anyway_is_not_offered_for_a_wrong_shape(
    panel: Client, aws: FakeAccount
) -> None:
    shown = text(save(panel, access_key_id="AKIA", save_anyway="on"))
    assert "16 characters are missing." in shown
    assert 'name="save_anyway"' not in shown
    assert not aws.asked
    assert not SesSettings.objects.exists()


def test_region_that_is_not_enabled_is_told_from_a_wrong_key(
    panel: Client, aws: FakeAccount
) -> None:
    aws.account = refusal(403, "UnrecognizedClientException", "The security token …")
    aws.identity_refusal = aws.account
    shown = text(save(panel))
    assert "The region eu-west-2 is not enabled in your AWS account." in shown
    assert not SesSettings.load().is_configured


def test_aws_that_hangs_is_nobodys_fault_and_ends_in_time(
    panel: Client, aws: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe.check_account, "__kwdefaults__", {"total_seconds": 0.3})
    aws.who = aws.account = Answer(hangs=True)
    shown = text(save(panel))
    assert "Not saved: AWS did not answer" in shown
    assert "It is not about your keys" in shown
    assert 'name="save_anyway"' in shown
    assert not SesSettings.load().is_configured


def test_aws_out_of_reach_can_be_saved_anyway(
    panel: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "It is not about your keys" in text(save(panel))
    shown = text(save(panel, save_anyway="on"))
    assert stored_secret() == NEW_SECRET
    assert "This server can&#x27;t reach Amazon SES." in shown


def test_portal_that_answers_instead_of_aws_is_told(
    panel: Client, aws: FakeAccount
) -> None:
    aws.who = aws.account = page(200)
    shown = text(save(panel))
    assert "Not saved" in shown
    assert not SesSettings.load().is_configured


def test_from_that_is_not_verified_is_saved_and_said(
    panel: Client, aws: FakeAccount
) -> None:
    aws.verified = set()
    shown = text(save(panel))
    assert "Settings saved. AWS named something to mend" in shown
    assert "Amazon SES does not know the sender help@larkfield.example" in shown
    assert SesSettings.load().is_from_verified is False


def test_sandbox_is_saved(panel: Client, aws: FakeAccount) -> None:
    aws.account = account(is_sandbox=True)
    assert "Settings saved" in text(save(panel))
    assert SesSettings.load().is_sandbox is True


def test_missing_rights_stand_in_nobodys_way(panel: Client, aws: FakeAccount) -> None:
    denied = "User: arn:aws:iam::1:user/x is not authorized to perform: "
    aws.account = refusal(403, "AccessDeniedException", f"{denied}ses:GetAccount")
    aws.identity_refusal = refusal(
        403, "AccessDeniedException", f"{denied}ses:GetEmailIdentity"
    )
    shown = text(save(panel))
    assert "Settings saved" in shown
    assert "The access key may not do this: ses:GetEmailIdentity." in shown


def test_paused_account_is_said(panel: Client, aws: FakeAccount) -> None:
    aws.account = account(is_sending_enabled=False)
    assert "Sending is switched off in Amazon SES." in text(save(panel))


def test_sts_out_of_reach_does_not_matter_when_ses_answers(
    panel: Client, aws: FakeAccount
) -> None:
    aws.who = sts_refusal("AccessDenied", "No STS here")
    assert "Settings saved" in text(save(panel))
    assert SesSettings.load().is_configured


@pytest.mark.parametrize("changes", [{}, {"access_key_id": "AKIA"}])
def test_secret_is_in_no_page_and_no_log(
    panel: Client,
    aws: FakeAccount,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
) -> None:
    caplog.set_level(logging.INFO)
    for page_text in (text(save(panel, **changes)), show(panel)):
        assert NEW_SECRET not in page_text
        has_secret = bool(SesSettings.load().secret_access_key_encrypted)
        assert (PLACEHOLDER in page_text) is has_secret
    assert NEW_SECRET not in caplog.text
    assert NEW_SECRET not in str(SesSettings.objects.values())


def test_secret_in_the_field_of_the_key_id_is_not_shown_again(
    panel: Client, aws: FakeAccount
) -> None:
    assert NEW_SECRET not in text(save(panel, access_key_id=NEW_SECRET))


def test_stored_secret_that_cannot_be_read_is_told_and_can_be_replaced(
    panel: Client, aws: FakeAccount
) -> None:
    row = make_settings()
    row.secret_access_key_encrypted = row.secret_access_key_encrypted[:-8] + "AAAAAAA="
    row.save()
    assert "Type it in again." in text(save(panel, secret_access_key=""))
    assert "Settings saved" in text(save(panel))
    assert stored_secret() == NEW_SECRET


def test_saving_frees_what_was_held_for_the_old_settings(
    panel: Client, aws: FakeAccount
) -> None:
    row = make_settings()
    message = make_message()
    hold.hold_all(SendError(problem_for("key_unknown")), version=row.version)
    hold.park_due(SesSettings.load())
    save(panel)
    message.refresh_from_db()
    assert message.state == OutboxMessage.State.QUEUED
    assert SesSettings.load().hold_code == ""


def test_save_anyway_tries_one_message_before_the_others(
    panel: Client, aws: FakeAccount
) -> None:
    row = make_settings()
    message = make_message()
    hold.hold_all(SendError(problem_for("key_unknown")), version=row.version)
    hold.park_due(SesSettings.load())
    aws.refuse_key("InvalidClientTokenId", "The security token is invalid.")
    save(panel, save_anyway="on")
    message.refresh_from_db()
    assert message.state == OutboxMessage.State.HELD
    assert hold.take_turn_to_probe()


@pytest.mark.parametrize("who", ["agent", "requester"])
@pytest.mark.parametrize("name", ["settings", "settings-check"])
def test_only_admins_change_settings(
    client: Client, request: pytest.FixtureRequest, who: str, name: str
) -> None:
    client.force_login(request.getfixturevalue(who))
    assert client.post(reverse(f"email_settings:{name}"), GOOD).status_code == 403
    assert not SesSettings.objects.exists()


def test_show_costs_a_constant_number_of_queries(
    panel: Client, django_assert_max_num_queries: object
) -> None:
    make_settings()
    for _ in range(30):
        make_message()
    run.want_all()
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        show(panel)
