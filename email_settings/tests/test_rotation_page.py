"""Rotate the key: its page, its card, the banner, and who may do it."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings.credentials import Secret
from email_settings.gateway import turns
from email_settings.key_age import KeyAge
from email_settings.models import (
    KeyRotation,
    KeyRotationEntry,
    OutboxMessage,
    SesSettings,
)
from email_settings.rotation import machine, page, reminder, words
from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_settings

pytestmark = pytest.mark.django_db(transaction=True)

Step = KeyRotation.Step
NEW_KEY_ID, NEW_SECRET = (
    "AKIAI44QH8DHBEXAMPLE",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(turns, "APART", timedelta(milliseconds=1))
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    with running(account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield account


def text(response: Any) -> str:
    return cast(HttpResponse, response).content.decode().replace("\xa0", " ")


def show(panel: Client, **headers: str) -> str:
    return text(panel.get(reverse("email_settings:rotation"), headers=headers))


def post(panel: Client, name: str, **values: str) -> str:
    return text(panel.post(reverse(f"email_settings:{name}"), values, follow=True))


def paste(panel: Client, key_id: str = NEW_KEY_ID, secret: str = NEW_SECRET) -> str:
    return post(panel, "rotation-paste", access_key_id=key_id, secret_access_key=secret)


def now() -> KeyRotation:
    return KeyRotation.objects.get()


def test_an_admin_rotates_with_the_page_alone(panel: Client, aws: Account) -> None:
    make_settings()
    shown = show(panel)
    assert f"The key in use ends in {ACCESS_KEY_ID[-4:]}" in shown
    assert "iam:CreateAccessKey" in shown
    shown = post(panel, "rotation-start", by_hand="yes")
    assert "It waits for you: create a key in AWS" in shown
    assert "Try this key" in shown
    aws.add_key(NEW_KEY_ID, NEW_SECRET)
    shown = paste(panel)
    assert "AWS is asked whose key it is" in shown
    machine.advance()
    shown = show(panel)
    assert "Mail leaves with the key AKIAI44QH8DHBEXAMPLE from now on." in shown
    assert "Switch back" in shown
    shown = post(panel, "rotation-act", do="back")
    machine.advance()
    assert SesSettings.load().access_key_id == ACCESS_KEY_ID
    assert "The old key stayed in use" in show(panel)


def test_a_problem_is_shown_with_what_to_do_and_aws_words(
    panel: Client, aws: Account
) -> None:
    make_settings()
    post(panel, "rotation-start", by_hand="yes")
    paste(panel)
    KeyRotation.objects.update(retry_until=None)
    machine.advance()
    shown = show(panel)
    assert "AWS does not know this access key." in shown
    assert "InvalidClientTokenId" in shown
    assert "Try again" in shown
    assert "Try this key" in shown


def test_htmx_gets_the_state_alone_and_asks_only_while_something_moves(
    panel: Client, aws: Account
) -> None:
    make_settings()
    post(panel, "rotation-start")
    fragment = show(panel, HX_Request="true")
    assert "<html" not in fragment
    assert 'hx-trigger="every 2s"' in fragment
    KeyRotation.objects.update(next_at=None, step=Step.PASTE)
    assert "hx-trigger" not in show(panel)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key_id": "AKIA"}, "16 characters are missing."),
        ({"key_id": ""}, "Paste the Access Key ID."),
        ({"secret": ""}, "Paste the Secret Access Key."),
        ({"key_id": NEW_SECRET}, "This looks like the secret."),
        ({"key_id": ACCESS_KEY_ID}, "This is the key that is in use."),
    ],
)
def test_what_can_be_no_new_key_is_refused_and_no_secret_comes_back(
    panel: Client, changes: dict[str, str], said: str
) -> None:
    make_settings()
    post(panel, "rotation-start", by_hand="yes")
    shown = paste(panel, **changes)
    assert said in shown
    assert NEW_SECRET not in shown
    assert now().new_secret_encrypted == ""


def test_secrets_are_in_no_page_no_log_and_no_error(
    panel: Client, aws: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="email_settings")
    make_settings()
    post(panel, "rotation-start", by_hand="yes")
    aws.add_key(NEW_KEY_ID, NEW_SECRET)
    seen = paste(panel)
    machine.advance()
    seen += show(panel) + text(panel.get(reverse("email_settings:settings")))
    for secret in (SECRET, NEW_SECRET):
        assert secret not in seen
        assert secret not in caplog.text
        assert secret not in str(KeyRotation.objects.values())
        assert secret not in str(KeyRotationEntry.objects.values())


def test_a_button_of_an_old_page_does_nothing(panel: Client, aws: Account) -> None:
    make_settings()
    for do in ("again", "accept", "drop", "finish", "back", "keep", "nonsense"):
        assert "moved on meanwhile" in post(panel, "rotation-act", do=do)
    assert not KeyRotation.objects.exists()
    post(panel, "rotation-start", by_hand="yes")
    for do in ("again", "accept", "drop", "finish", "keep"):
        assert "moved on meanwhile" in post(panel, "rotation-act", do=do, value="x")
    assert now().step == Step.PASTE


def test_a_second_admin_is_told_who_has_begun(
    panel: Client, aws: Account, agent: Any
) -> None:
    make_settings()
    machine.start(actor=agent, by_hand=True)
    assert "has begun to rotate the key already" in post(panel, "rotation-start")
    assert KeyRotation.objects.count() == 1


@pytest.mark.parametrize("who", ["agent", "requester"])
@pytest.mark.parametrize(
    "name", ["rotation", "rotation-start", "rotation-paste", "rotation-act"]
)
def test_only_admins_rotate(
    client: Client, request: pytest.FixtureRequest, who: str, name: str
) -> None:
    make_settings()
    client.force_login(request.getfixturevalue(who))
    url = reverse(f"email_settings:{name}")
    answer = client.get(url) if name == "rotation" else client.post(url)
    assert answer.status_code == 403
    assert not KeyRotation.objects.exists()


def test_without_a_key_the_page_says_so(panel: Client) -> None:
    assert "No access key is stored" in show(panel)
    assert "rotation-start" not in show(panel)


def test_every_step_has_its_words(admin: Any) -> None:
    make_settings()
    for step in Step:
        if step in machine.ENDED:
            continue
        rotation = KeyRotation(step=step, old_key_id="a", next_at=timezone.now())
        assert page.doing(rotation)
        assert [s.tone for s in page.stages(rotation)].count("idle") < 7
    for code in words.PROBLEMS:
        found = words.problem(code)
        assert "{" not in "".join(found.values())


# The age of the key


def aged(days: int, *, by_aws: int | None = None) -> SesSettings:
    row = make_settings()
    row.key_since = timezone.now() - timedelta(days=days)
    if by_aws is not None:
        row.key_created_at = timezone.now() - timedelta(days=by_aws)
    row.key_asked_at = timezone.now()
    row.save()
    return row


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (3, "3 days old"),
        (84, "84 days old, rotate within 6 days"),
        (91, "91 days old: time for a new one"),
    ],
)
def test_the_age_of_the_key_stands_under_it(
    panel: Client, days: int, said: str
) -> None:
    aged(days)
    shown = text(panel.get(reverse("email_settings:settings")))
    assert said in shown
    assert "Stored here since" in shown
    assert ("The AWS access key is 91 days old" in shown) is (days == 91)


def test_what_aws_says_of_the_age_counts_more(panel: Client) -> None:
    aged(1, by_aws=100)
    shown = text(panel.get(reverse("email_settings:settings")))
    assert "100 days old" in shown
    assert "AWS made it" in shown


def test_no_age_where_no_key_signs(panel: Client) -> None:
    row = aged(100)
    SesSettings.objects.update(source="server", secret_access_key_encrypted="")
    row.refresh_from_db()
    assert KeyAge.of(row) is None


def test_admins_are_told_by_mail_once_for_each_key(admin: Any, agent: Any) -> None:
    aged(89)
    reminder.look()
    assert not OutboxMessage.objects.exists()
    row = aged(90)
    for _ in range(3):
        reminder.look()
    [mail] = OutboxMessage.objects.all()
    assert (mail.kind, mail.recipient) == ("alert_key_old", admin.email)
    assert mail.subject == "The AWS access key is 90 days old"
    assert f"that ends in {ACCESS_KEY_ID[-4:]} has been stored here since" in mail.text
    row.access_key_id = NEW_KEY_ID
    row.save()
    reminder.look()
    assert OutboxMessage.objects.count() == 2


def test_nobody_is_told_while_the_key_is_being_rotated(admin: Any) -> None:
    aged(90)
    machine.start(actor=admin, by_hand=True)
    reminder.look()
    assert not OutboxMessage.objects.exists()


def test_aws_is_asked_once_a_day_when_the_key_was_made(aws: Account) -> None:
    make_settings()
    made = timezone.now() - timedelta(days=40)
    aws.keys[ACCESS_KEY_ID].created_at = made
    reminder.look()
    reminder.look()
    assert SesSettings.load().key_created_at == made
    assert len(aws.calls_of("iam:ListAccessKeys")) == 1


def test_a_key_that_may_not_ask_keeps_the_date_of_here(aws: Account) -> None:
    row = aged(5)
    SesSettings.objects.filter(pk=row.pk).update(key_asked_at=None)
    aws.keys[ACCESS_KEY_ID].actions = {"ses:SendEmail"}
    reminder.look()
    age = KeyAge.of(SesSettings.load())
    assert age is not None
    assert (age.days, age.is_aws_word) == (5, False)


def test_another_key_begins_its_own_age(panel: Client, aws: Account) -> None:
    aged(100, by_aws=100)
    aws.add_key(NEW_KEY_ID, NEW_SECRET)
    values = {
        "access_key_id": NEW_KEY_ID,
        "secret_access_key": NEW_SECRET,
        "region": "eu-west-1",
        "from_email": "help@larkfield.example",
    }
    assert "Settings saved" in post(panel, "settings", **values)
    age = KeyAge.of(SesSettings.load())
    assert age is not None
    assert age.days == 0


def test_a_pasted_secret_does_not_show_itself() -> None:
    assert NEW_SECRET not in repr(Secret(NEW_SECRET))
