"""Every state and every reason of a mail, as a person reads it."""

from collections.abc import Iterator

import pytest
from django.urls import reverse
from django.utils import timezone

from email_settings.gateway.catalogue import CATALOGUE
from email_settings.gateway.errors import recall
from email_settings.models import OutboxMessage
from email_settings.status import MailStatus
from email_settings.tests.builders import make_message, make_settings
from email_settings.timeline import Leg, legs
from email_settings.verdicts import verdict_on

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


def put(state: State, code: str = "", reason: str = "") -> OutboxMessage:
    message = make_message()
    message.state, message.reason_code = state, code
    message.reason = reason or (recall(code, region="eu-west-1").title if code else "")
    return message


def ending(message: OutboxMessage) -> Leg:
    story = legs(message, [], worker_is_running=True, now=timezone.now())
    return story[-1]


def texts(message: OutboxMessage) -> Iterator[str]:
    verdict = verdict_on(message, MailStatus())
    if verdict:
        yield from (verdict.title, verdict.text)
    yield from (ending(message).title, ending(message).text)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
@pytest.mark.parametrize(
    "state", [State.HELD, State.FAILED, State.UNKNOWN, State.SUPPRESSED]
)
def test_every_reason_is_told_in_sentences(state: State, code: str) -> None:
    make_settings()
    for text in texts(put(state, code)):
        assert text.strip()
        assert "_" not in code or code not in text
        assert "  " not in text
        assert "{" not in text.replace('{"Effect"', "")


def test_the_cause_of_a_hold_is_said_once() -> None:
    make_settings()
    said = " ".join(texts(put(State.HELD, "key_unknown")))
    assert said.count(CATALOGUE["key_unknown"].title) == 1


@pytest.mark.parametrize(
    ("code", "ends", "mended_in_settings"),
    [
        ("stopped_by_hand", "when an admin releases all mail", False),
        ("quota_reserve", "as the last 24 hours have room", False),
        ("address_held", "when the address is held no longer", False),
        ("recipient_not_verified", "out of the sandbox", True),
        ("key_unknown", "by itself when mail works again", True),
    ],
)
def test_held_mail_says_what_it_waits_for(
    code: str, ends: str, *, mended_in_settings: bool
) -> None:
    make_settings()
    message = put(State.HELD, code)
    assert ends in ending(message).text
    verdict = verdict_on(message, MailStatus())
    assert verdict
    is_shown = verdict.button_url == reverse("email_settings:settings")
    assert is_shown is mended_in_settings


def test_mail_marked_as_sent_says_who_said_so() -> None:
    said = "Ewa Kowalska marked it as sent."
    message = put(State.SENT, "marked_sent", said)
    verdict = verdict_on(message, MailStatus())
    assert verdict
    assert verdict.text == f"{said} Amazon SES itself never said that it took it."
    assert ending(message).title == "Marked as sent"


def test_mail_that_was_simply_sent_needs_no_verdict() -> None:
    assert verdict_on(put(State.SENT), MailStatus()) is None


def test_expired_mail_says_what_kept_it() -> None:
    make_settings()
    kept = f"{CATALOGUE['expired'].title} {CATALOGUE['key_unknown'].title}"
    verdict = verdict_on(put(State.FAILED, "expired", kept), MailStatus())
    assert verdict
    assert "AWS does not know this access key." in verdict.title
