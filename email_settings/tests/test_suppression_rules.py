"""What each event means for its address, row by row, and what several mean together."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from email_settings.events.parse import read
from email_settings.models import DeliveryEvent, Suppression
from email_settings.suppression.judgement import (
    HOLDS,
    REMEMBERED,
    Judgement,
    Past,
    judge,
)
from email_settings.suppression.rules import GRAVITY, Rule, is_simulator, rule_for
from email_settings.tests import event_bodies as said
from email_settings.tests.event_bodies import body

Kind = DeliveryEvent.Kind
Reason = Suppression.Reason
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def bounce(sub_kind: str) -> str:
    kind, sub = sub_kind.split("/")
    return body(said.bounce(None, kind, sub))


def complaint(kind: str | None, sub: str | None = None) -> str:
    return body(said.complaint(None, kind, sub))


# What AWS says, and what follows for the address
TABLE = [
    (bounce("Permanent/General"), Rule.BOUNCED),
    (bounce("Permanent/NoEmail"), Rule.BOUNCED),
    (bounce("Permanent/Suppressed"), Rule.AWS_EVERYWHERE),
    (bounce("Permanent/OnAccountSuppressionList"), Rule.AWS_LISTED),
    (bounce("Permanent/OnTenantSuppressionList"), Rule.NOTHING),
    (bounce("Permanent/EmailValidationSuppressed"), Rule.NOTHING),
    (bounce("Permanent/UnsubscribedRecipient"), Rule.NOTHING),
    (bounce("Permanent/FromNextYear"), Rule.BOUNCED),
    (bounce("Transient/General"), Rule.COUNTS),
    (bounce("Transient/MailboxFull"), Rule.COUNTS),
    (bounce("Transient/CustomTimeoutExceeded"), Rule.COUNTS),
    (bounce("Transient/FromNextYear"), Rule.COUNTS),
    (bounce("Undetermined/Undetermined"), Rule.COUNTS),
    (bounce("Transient/MessageTooLarge"), Rule.NOTHING),
    (bounce("Transient/ContentRejected"), Rule.NOTHING),
    (bounce("Transient/AttachmentRejected"), Rule.NOTHING),
    (body(said.auto_reply()), Rule.NOTHING),
    (complaint("abuse"), Rule.COMPLAINED),
    (complaint("fraud"), Rule.COMPLAINED),
    (complaint("virus"), Rule.COMPLAINED),
    (complaint("other"), Rule.COMPLAINED),
    (complaint(None), Rule.COMPLAINED),
    (complaint("from-next-year"), Rule.COMPLAINED),
    (complaint(None, "OnAccountSuppressionList"), Rule.AWS_LISTED),
    (complaint("not-spam"), Rule.FORGIVES),
    (complaint("auth-failure"), Rule.NOTHING),
    (body(said.delivery()), Rule.ARRIVED),
    (body(said.reject()), Rule.NOTHING),
    (body(said.delay()), Rule.NOTHING),
    (body(said.send()), Rule.NOTHING),
    (body(said.rendering_failure()), Rule.NOTHING),
    (body(said.opened()), Rule.NOTHING),
    (body(said.subscription()), Rule.NOTHING),
]


@pytest.mark.parametrize(("text", "rule"), TABLE)
def test_what_an_event_means_for_its_address(text: str, rule: Rule) -> None:
    (told,) = read(text).told
    event = DeliveryEvent(kind=told.kind, sub_kind=told.sub_kind)
    assert rule_for(event) is rule


def test_every_rule_is_met_and_every_reason_of_an_event_has_a_place() -> None:
    assert {rule for _, rule in TABLE} == set(Rule)
    assert set(GRAVITY) == set(Reason)


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("bounce@simulator.amazonses.com", True),
        ("OOTO+1@Simulator.AmazonSES.com", True),
        ("bounce@simulator.amazonses.com.evil.example", False),
        ("simulator.amazonses.com@larkfield.example", False),
    ],
)
def test_simulator(address: str, *, is_one: bool) -> None:
    assert is_simulator(address) is is_one


# Several events

numbers = itertools.count(1)


def event(sub_kind: str, at: datetime, *, mail: int | None = None) -> DeliveryEvent:
    kind = Kind.BOUNCE if "/" in sub_kind else Kind.COMPLAINT
    return DeliveryEvent(
        pk=next(numbers),
        kind=kind,
        sub_kind=sub_kind,
        happened_at=at,
        mark=str(next(numbers)),
        message_id=mail or next(numbers),
    )


def full(at: datetime, *, mail: int | None = None) -> DeliveryEvent:
    return event("Transient/MailboxFull", at, mail=mail)


def verdict(*events: DeliveryEvent, past: Past | None = None) -> Judgement | None:
    """Return the verdict, after it was seen to be the same in every order."""
    past = past or Past()
    found = {judge(order, past) for order in itertools.permutations(events)}
    (one,) = found
    return one


def reason(*events: DeliveryEvent, past: Past | None = None) -> str:
    found = verdict(*events, past=past)
    return found.reason if found else ""


def test_gravest_reason_stands_and_of_that_the_latest() -> None:
    gone = event("Permanent/NoEmail", NOON)
    later = event("Permanent/General", NOON + DAY)
    listed = event("Permanent/OnAccountSuppressionList", NOON + 2 * DAY)
    assert verdict(gone, later, listed) == Judgement(Reason.BOUNCED, later)
    assert reason(gone, event("abuse", NOON - DAY)) == Reason.COMPLAINED


def test_three_failures_in_a_week_hold_mail_for_a_day() -> None:
    two = [full(NOON), full(NOON + DAY)]
    assert verdict(*two) is None
    last = full(NOON + 6 * DAY)
    held = verdict(*two, last)
    assert held == Judgement(Reason.FAILING, last, last.happened_at + HOLDS[0])


def test_failures_that_are_more_than_a_week_apart_do_not() -> None:
    assert verdict(full(NOON), full(NOON + DAY), full(NOON + 8 * DAY)) is None


def test_one_mail_fails_once() -> None:
    assert verdict(*(full(NOON + n * DAY, mail=7) for n in range(4))) is None


def test_delivery_in_between_begins_the_count_anew() -> None:
    three = [full(NOON), full(NOON + DAY), full(NOON + 2 * DAY)]
    past = Past(arrived_at=NOON + timedelta(hours=30))
    assert verdict(*three, past=past) is None
    assert reason(*three, past=Past(arrived_at=NOON - DAY)) == Reason.FAILING


def test_after_a_hold_one_failure_holds_for_longer() -> None:
    last = full(NOON)
    once = Past(holds=(NOON - DAY,))
    twice = Past(holds=(NOON - 5 * DAY, NOON - DAY))
    often = Past(holds=tuple(NOON - n * DAY for n in range(1, 6)))
    for past, length in ((once, HOLDS[1]), (twice, HOLDS[2]), (often, HOLDS[2])):
        assert verdict(last, past=past) == Judgement(
            Reason.FAILING, last, NOON + length
        )


def test_hold_of_long_ago_or_before_a_delivery_is_forgotten() -> None:
    assert verdict(full(NOON), past=Past(holds=(NOON - REMEMBERED - DAY,))) is None
    arrived = Past(holds=(NOON - 2 * DAY,), arrived_at=NOON - DAY)
    assert verdict(full(NOON), past=arrived) is None


def test_what_happened_before_a_release_counts_no_more() -> None:
    released = Past(released_at=NOON)
    assert verdict(event("Permanent/NoEmail", NOON), past=released) is None
    two = [full(NOON + DAY), full(NOON + 2 * DAY)]
    assert verdict(full(NOON - DAY), *two, past=released) is None
    later = NOON + timedelta(seconds=1)
    assert reason(event("Permanent/NoEmail", later), past=released) == Reason.BOUNCED


def test_no_spam_takes_back_the_complaints_before_it_and_nothing_else() -> None:
    spam, no_spam = event("abuse", NOON), event("not-spam", NOON + DAY)
    assert verdict(spam, no_spam) is None
    assert reason(spam, no_spam, event("abuse", NOON + 2 * DAY)) == Reason.COMPLAINED
    gone = event("Permanent/NoEmail", NOON)
    assert reason(spam, no_spam, gone) == Reason.BOUNCED


def test_the_mails_own_faults_never_hold() -> None:
    for sub in ("MessageTooLarge", "ContentRejected", "AttachmentRejected"):
        assert (
            verdict(*(event(f"Transient/{sub}", NOON + n * DAY) for n in range(5)))
            is None
        )
