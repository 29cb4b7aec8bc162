"""Amazon SES takes a mail and does not answer: one POST, and an honest "unknown"."""

import botocore.config
import pytest

from email_settings.gateway import ses
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_message
from email_settings.tests.faults_inside.aws import (
    Deed,
    Misdeed,
    Post,
    ScriptedSes,
    accept,
)
from email_settings.tests.faults_inside.mail import (
    make_waiting_due,
    put_many,
    send_due,
    states,
)

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for an answer is shortened, not left out."""
    monkeypatch.setattr(ses, "READ_SECONDS", 0.5)


class Deeds:
    """Treats one recipient badly, and all the others well."""

    def __init__(self, misdeed: Misdeed) -> None:
        self.misdeed = misdeed

    def __call__(self, post: Post) -> Deed:
        return self.misdeed if post.recipient.startswith("odd@") else accept(post)


@pytest.mark.parametrize("misdeed", [Misdeed.HANG, Misdeed.RESET])
def test_mail_without_an_answer_is_posted_once_and_unknown(
    aws: ScriptedSes, live: SesSettings, misdeed: Misdeed
) -> None:
    aws.decide = Deeds(misdeed)
    odd = make_message(recipient="odd@larkfield.example")
    put_many(10)
    send_due()
    odd.refresh_from_db()
    assert (odd.state, odd.reason_code) == (State.UNKNOWN, "no_answer")
    assert states() == {State.SENT: 10, State.UNKNOWN: 1}
    for _ in range(3):
        make_waiting_due()
        send_due()
    assert aws.posts_by_message()[odd.uid.hex] == 1
    attempt = odd.attempt_set.get()
    assert attempt.outcome == DeliveryAttempt.Outcome.UNKNOWN
    assert aws.posts_of_one_attempt() == 1


def test_one_attempt_would_post_again_and_again_with_the_retries_of_the_sdk(
    aws: ScriptedSes, live: SesSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise above rests on one line of configuration."""

    def with_retries(**options: object) -> botocore.config.Config:
        options["retries"] = {"total_max_attempts": 3, "mode": "standard"}
        return botocore.config.Config(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(ses, "Config", with_retries)
    aws.decide = Deeds(Misdeed.HANG)
    odd = make_message(recipient="odd@larkfield.example")
    send_due()
    assert aws.posts_by_message()[odd.uid.hex] == 3
    assert aws.posts_of_one_attempt() == 3
