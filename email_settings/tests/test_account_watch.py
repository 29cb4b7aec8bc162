"""AWS is asked about the account now and then, by one worker, and what follows."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from email_settings import account_watch
from email_settings.credentials import Credentials
from email_settings.delivery import hold
from email_settings.gateway.errors import SendError, problem_for
from email_settings.gateway.probe import AccountState, ask_account
from email_settings.models import OutboxMessage, PaceClock, SesSettings
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_account import (
    FakeAccount,
    account,
    running_fake_account,
)
from email_settings.tests.fake_ses import refusal

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
DENIED = refusal(
    403, "AccessDeniedException", "User is not authorized to perform: ses:GetAccount"
)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAccount]:
    with running_fake_account() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def asked_ago(**values: object) -> SesSettings:
    """Return settings that AWS was asked about so long ago, with what it said."""
    row = make_settings()
    told = {"max_24_hour_send": 50_000, "sent_last_24_hours": 10, "is_sandbox": False}
    SesSettings.objects.update(**{**told, **values})
    return SesSettings.objects.get(pk=row.pk)


def minutes_ago(minutes: float) -> dict[str, object]:
    return {"checked_at": timezone.now() - timedelta(minutes=minutes)}


def let_turn_come() -> None:
    PaceClock.objects.update(next_start_at=timezone.now())


def hold_for(code: str) -> None:
    version = SesSettings.load().version
    hold.hold_all(SendError(problem_for(code)), version=version)


def is_probe_due() -> bool:
    probe_at = SesSettings.load().probe_at
    return probe_at is not None and probe_at <= timezone.now()


def test_one_question_brings_rate_and_quota(aws: FakeAccount) -> None:
    asked_ago(**minutes_ago(16), max_send_rate=1)
    assert account_watch.look()
    row = SesSettings.load()
    assert (row.max_send_rate, row.max_24_hour_send) == (14, 50_000)
    assert row.checked_at is not None
    assert row.checked_at > timezone.now() - timedelta(minutes=1)
    assert aws.asked == ["GetAccount"]


@pytest.mark.parametrize(
    ("minutes", "values", "questions"),
    [
        (14, {}, 0),
        (16, {}, 1),
        (2, {"sent_last_24_hours": 41_000}, 1),
        (0.5, {"sent_last_24_hours": 41_000}, 0),
        (2, {"hold_code": "daily_quota"}, 1),
        (2, {"hold_code": hold.SILENT}, 1),
        (2, {"hold_code": "key_unknown"}, 0),
        (2, {"access_key_id": ""}, 0),
    ],
)
def test_it_is_asked_every_quarter_of_an_hour_and_more_often_near_the_end(
    aws: FakeAccount, minutes: float, values: dict[str, object], questions: int
) -> None:
    asked_ago(**minutes_ago(minutes), **values)
    account_watch.look()
    assert len(aws.asked) == questions


def test_it_is_asked_at_once_after_saving(aws: FakeAccount) -> None:
    asked_ago(**minutes_ago(1), saved_at=timezone.now())
    assert account_watch.look()


def test_of_many_workers_one_asks(aws: FakeAccount) -> None:
    asked_ago(checked_at=None)
    assert account_watch.look()
    SesSettings.objects.update(checked_at=None)
    assert not account_watch.look()
    let_turn_come()
    assert account_watch.look()


def test_answer_about_settings_of_before_changes_nothing(
    aws: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_ago(checked_at=None, max_send_rate=3)

    def slowly(known: Credentials) -> AccountState:
        SesSettings.objects.update(version=99)
        return ask_account(known)

    monkeypatch.setattr(account_watch, "ask_account", slowly)
    assert account_watch.look()
    assert SesSettings.load().max_send_rate == 3


def test_what_was_known_stays_while_aws_can_not_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    asked_ago(checked_at=None, max_send_rate=3)
    assert account_watch.look()
    row = SesSettings.load()
    assert (row.max_send_rate, row.checked_at) == (3, None)


def test_right_that_was_taken_away_is_noticed(aws: FakeAccount) -> None:
    aws.account = DENIED
    asked_ago(checked_at=None, max_send_rate=3)
    account_watch.look()
    assert SesSettings.load().max_send_rate is None


def test_mail_leaves_that_only_the_sandbox_kept_back(aws: FakeAccount) -> None:
    asked_ago(checked_at=None, is_sandbox=True)
    message = make_message()
    OutboxMessage.objects.update(state=State.HELD, reason_code="recipient_not_verified")
    aws.account = account(is_sandbox=True)
    account_watch.look()
    message.refresh_from_db()
    assert message.state == State.HELD
    let_turn_come()
    SesSettings.objects.update(checked_at=None)
    aws.account = account(is_sandbox=False)
    account_watch.look()
    message.refresh_from_db()
    assert message.state == State.QUEUED


def test_one_message_tries_the_quota_when_aws_says_that_it_has_room(
    aws: FakeAccount,
) -> None:
    asked_ago(checked_at=None)
    hold_for("daily_quota")
    aws.account = account(sent=49_999)
    account_watch.look()
    assert not is_probe_due()
    let_turn_come()
    SesSettings.objects.update(checked_at=None)
    aws.account = account(sent=100)
    account_watch.look()
    assert is_probe_due()


def test_quota_that_aws_does_not_tell_is_tried_by_a_message_every_quarter_of_an_hour(
    aws: FakeAccount,
) -> None:
    asked_ago(checked_at=None)
    hold_for("daily_quota")
    aws.account = DENIED
    account_watch.look()
    probe_at = SesSettings.load().probe_at
    assert probe_at is not None
    assert timedelta(minutes=14) < probe_at - timezone.now() <= timedelta(minutes=15)


def test_account_that_may_send_again_is_tried_at_once(aws: FakeAccount) -> None:
    asked_ago(checked_at=None)
    hold_for("sending_switched_off")
    account_watch.look()
    assert is_probe_due()


@pytest.mark.parametrize(
    ("code", "hours", "is_put_off"),
    [(hold.SILENT, 0, True), (hold.SILENT, 2, False), ("key_unknown", 0, False)],
)
def test_no_message_is_risked_on_an_aws_that_answers_no_question_either(
    aws: FakeAccount,
    code: str,
    hours: float,
    is_put_off: bool,  # noqa: FBT001
) -> None:
    asked_ago(checked_at=None)
    hold_for(code)
    held_since = timezone.now() - timedelta(hours=hours)
    SesSettings.objects.update(held_since=held_since)
    hold.probe_now()
    aws.account = refusal(500, "InternalServiceErrorException", "Internal failure.")
    account_watch.look()
    assert is_probe_due() is not is_put_off
    # A clear answer, be it a no: now a message may find out.
    hold.probe_now()
    let_turn_come()
    aws.account = DENIED
    account_watch.look()
    assert is_probe_due()
