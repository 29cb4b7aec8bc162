"""What is counted of mail, and what waits when too much of it comes to grief."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings import alerts
from email_settings.delivery import hold
from email_settings.delivery.pump import Pump
from email_settings.delivery.slots import Slots
from email_settings.models import (
    DeliveryEvent,
    Fate,
    Lane,
    MailWatch,
    OutboxMessage,
    SesSettings,
)
from email_settings.pacing import NoPace
from email_settings.reputation import guard, rates
from email_settings.reputation.count import Reputation, count
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway
from ticketflow.errors import DomainError
from ticketflow.lib.many_rows import insert_copies

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
FROM = "help@larkfield.example"
HOUR = timedelta(hours=1)


def sent(
    number: int,
    fate: Fate | None = Fate.DELIVERED,
    *,
    ago: timedelta = HOUR,
    kind: str = "public_reply",
    domain: str = "customer.example",
) -> None:
    """Let so many mails have left, and come to this."""
    row = OutboxMessage(
        state=State.SENT, sent_at=timezone.now() - ago, kind=kind, fate=fate
    )
    insert_copies(
        row,
        [
            {"uid": OutboxMessage().uid, "recipient": f"person{each}@{domain}"}
            for each in range(number)
        ],
    )


def not_tried(number: int, sub_kind: str) -> None:
    """Let so many mails have been refused without a try."""
    known = set(OutboxMessage.objects.values_list("pk", flat=True))
    sent(number, Fate.BOUNCED)
    DeliveryEvent.objects.bulk_create(
        DeliveryEvent(
            message=message,
            kind=DeliveryEvent.Kind.BOUNCE,
            sub_kind=sub_kind,
            mark=str(message.pk),
            happened_at=timezone.now(),
        )
        for message in OutboxMessage.objects.exclude(pk__in=known)
    )


def look() -> SesSettings:
    """Count now, whenever that was done last."""
    MailWatch.objects.update(counted_at=None)
    assert guard.look()
    return SesSettings.load()


def reputation() -> Reputation:
    return Reputation.of(MailWatch.load())


def run(gateway: FakeGateway) -> None:
    Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(4),
        pace_for=lambda sender: NoPace(),
    ).run()


def told() -> list[str]:
    return list(
        OutboxMessage.objects.filter(kind__in=alerts.KINDS)
        .order_by("pk")
        .values_list("kind", flat=True)
    )


# Counting


def test_rates_are_of_the_mails_that_something_is_known_of() -> None:
    sent(95)
    sent(4, Fate.BOUNCED)
    sent(1, Fate.COMPLAINED)
    sent(50, None)  # no event of these
    sent(10, Fate.BOUNCED, ago=timedelta(days=31))
    found = count(FROM)
    assert (found.mails, found.bounced, found.complained) == (100, 4, 1)


def test_probes_and_the_simulator_count_nowhere() -> None:
    sent(3, Fate.BOUNCED, kind=OutboxMessage.SIMULATOR)
    sent(3, kind=OutboxMessage.CANARY)
    sent(2, Fate.COMPLAINED, kind="test", domain="simulator.amazonses.com")
    found = count(FROM)
    assert (found.mails, found.bounced, found.complained) == (0, 0, 0)


@pytest.mark.parametrize(
    ("sub_kind", "counted"),
    [
        ("Permanent/OnAccountSuppressionList", 0),
        ("Permanent/OnTenantSuppressionList", 0),
        ("Permanent/EmailValidationSuppressed", 0),
        ("Permanent/Suppressed", 3),  # AWS's global list: it counts
        ("Permanent/NoEmail", 3),
    ],
)
def test_what_aws_did_not_try_counts_as_aws_counts_it(
    sub_kind: str, counted: int
) -> None:
    sent(5)
    not_tried(3, sub_kind)
    found = count(FROM)
    assert (found.mails, found.bounced) == (5 + counted, counted)
    assert (found.mails_outside, found.bounced_outside) == (5 + counted, counted)


def test_bounces_of_the_few_outside_are_not_hidden_by_the_many_inside() -> None:
    make_settings()
    sent(1500, domain="larkfield.example")
    sent(50, domain="eu.larkfield.example")
    sent(150)
    sent(50, Fate.BOUNCED)
    look()
    assert reputation().bounces == rates.Rate(50, 200, rates.BOUNCES)


def test_few_outside_say_nothing() -> None:
    make_settings()
    sent(1500, domain="larkfield.example")
    sent(10, Fate.BOUNCED)
    look()
    assert reputation().bounces.mails == 1510


def test_a_house_without_events_has_no_rates() -> None:
    make_settings()
    sent(500, None)
    look()
    assert not reputation().is_known


def test_window_reaches_back_for_mails_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "ENOUGH_MAILS", 20)
    sent(10, ago=HOUR)
    sent(10, ago=timedelta(days=12))
    sent(10, ago=timedelta(days=20))
    assert count(FROM).mails == 20
    monkeypatch.setattr(rates, "ENOUGH_MAILS", 5)
    assert count(FROM).mails == 10


def test_no_more_than_the_most_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_MAILS", 20)
    for hours in range(1, 5):
        sent(10, ago=hours * HOUR)
    assert count(FROM).mails == 20


def test_one_worker_counts_at_a_time() -> None:
    make_settings()
    assert guard.look()
    assert not guard.look()


def test_counting_costs_the_same_whatever_there_is(
    django_assert_num_queries: Any,
) -> None:
    sent(200)
    sent(20, Fate.BOUNCED)
    with django_assert_num_queries(4):
        count(FROM)


# Guarding


@pytest.fixture
def bad() -> None:
    """Of 200 mails to customers a tenth bounced."""
    make_settings()
    sent(180)
    sent(20, Fate.BOUNCED)


@pytest.mark.usefixtures("bad", "brand", "admin")
def test_notices_wait_and_what_somebody_waits_for_leaves() -> None:
    assert look().guarded_since
    lanes = {lane: make_message(lane=lane) for lane in Lane}
    run(FakeGateway())
    for message in lanes.values():
        message.refresh_from_db()
    assert lanes[Lane.SECURITY].state == lanes[Lane.REPLY].state == State.SENT
    for lane in (Lane.NOTICE, Lane.DIGEST):
        held = (lanes[lane].state, lanes[lane].reason_code)
        assert held == (State.HELD, "reputation_guard")
    # The alert itself is not kept back by what it tells of.
    assert OutboxMessage.objects.get(kind=alerts.GUARDED).state == State.SENT
    assert SesSettings.load().hold_code == ""


@pytest.mark.usefixtures("bad")
def test_notices_stay_where_they_are_until_the_rate_is_well_below() -> None:
    look()
    notice = make_message()
    run(FakeGateway())
    sent(100)  # 6.7 %
    assert look().guarded_since
    run(FakeGateway())
    notice.refresh_from_db()
    assert notice.state == State.HELD
    sent(50)  # 5.7 %
    assert look().guarded_since is None
    run(FakeGateway())
    notice.refresh_from_db()
    assert notice.state == State.SENT


@pytest.mark.usefixtures("bad")
def test_what_is_held_does_not_go_round_in_circles() -> None:
    sender = look()
    make_message()
    run(FakeGateway())
    now = timezone.now() + HOUR
    assert hold.release_what_may_go(sender, None, waiting_since=now) == 0


def test_one_bounce_of_ten_mails_holds_nothing() -> None:
    make_settings()
    sent(9)
    sent(1, Fate.BOUNCED)
    assert look().guarded_since is None
    notice = make_message()
    run(FakeGateway())
    notice.refresh_from_db()
    assert notice.state == State.SENT


def test_rehearsal_holds_nothing_back() -> None:
    make_settings(is_live=False)
    sent(180)
    sent(20, Fate.BOUNCED)
    assert look().guarded_since is None


@pytest.mark.usefixtures("bad")
def test_complaints_hold_notices_too() -> None:
    OutboxMessage.objects.filter(fate=Fate.BOUNCED).update(fate=Fate.DELIVERED)
    sent(3, Fate.COMPLAINED)
    assert look().guarded_since


@pytest.mark.usefixtures("bad")
def test_an_admin_lets_notices_go_for_a_day(admin: Any) -> None:
    look()
    notice = make_message()
    run(FakeGateway())
    waiting, until = guard.let_notices_go(admin)
    assert waiting == 1
    assert until - timezone.now() > timedelta(hours=23)
    run(FakeGateway())
    notice.refresh_from_db()
    assert notice.state == State.SENT
    with pytest.raises(DomainError):
        guard.let_notices_go(admin)
    # Looking again changes nothing about it.
    assert look().unguarded_by == admin


@pytest.mark.usefixtures("bad")
def test_after_that_day_notices_wait_again(admin: Any) -> None:
    look()
    guard.let_notices_go(admin)
    SesSettings.objects.update(unguarded_until=timezone.now() - HOUR)
    notice = make_message()
    run(FakeGateway())
    notice.refresh_from_db()
    assert notice.reason_code == hold.GUARD


@pytest.mark.usefixtures("bad")
def test_an_admin_ends_it_before(admin: Any) -> None:
    look()
    guard.let_notices_go(admin)
    guard.hold_notices_again()
    assert hold.is_guarded(SesSettings.load())
    with pytest.raises(DomainError):
        guard.hold_notices_again()


def test_nobody_lets_go_what_is_not_held(admin: Any) -> None:
    make_settings()
    with pytest.raises(DomainError):
        guard.let_notices_go(admin)


@pytest.mark.usefixtures("bad")
def test_the_end_of_an_episode_ends_what_an_admin_allowed(admin: Any) -> None:
    look()
    guard.let_notices_go(admin)
    sent(1000)
    row = look()
    assert (row.guarded_since, row.unguarded_until, row.unguarded_by) == (None,) * 3


@pytest.mark.usefixtures("bad")
def test_the_reserve_of_the_quota_comes_first() -> None:
    look()
    SesSettings.objects.update(
        checked_at=timezone.now(), sent_last_24_hours=1000, max_24_hour_send=1000
    )
    reply, notice = make_message(lane=Lane.REPLY), make_message()
    run(FakeGateway())
    reply.refresh_from_db()
    notice.refresh_from_db()
    assert reply.reason_code == notice.reason_code == "quota_reserve"
    SesSettings.objects.update(sent_last_24_hours=0)
    run(FakeGateway())
    reply.refresh_from_db()
    notice.refresh_from_db()
    assert (reply.state, notice.reason_code) == (State.SENT, "reputation_guard")


def test_parking_goes_on_in_parts(monkeypatch: pytest.MonkeyPatch, bad: None) -> None:
    look()
    monkeypatch.setattr(hold, "AT_ONCE", 2)
    for _ in range(5):
        make_message()
    run(FakeGateway())
    assert hold.count(hold.GUARD) == 5


# Telling


@pytest.mark.usefixtures("brand", "admin")
def test_admins_are_warned_once_before_anything_is_held() -> None:
    make_settings()
    sent(190)
    sent(8, Fate.BOUNCED)
    assert look().guarded_since is None
    look()
    assert told() == [alerts.REPUTATION]
    mail = OutboxMessage.objects.get(kind=alerts.REPUTATION)
    assert "8 of 198\N{NO-BREAK SPACE}mails" in mail.text_body


@pytest.mark.usefixtures("brand", "admin")
def test_admins_are_warned_again_after_it_was_good() -> None:
    make_settings()
    sent(190)
    sent(8, Fate.BOUNCED)
    look()
    sent(50)  # 3.2 %: better, and not good yet
    assert look().reputation_told_at
    sent(200)
    assert look().reputation_told_at is None
    sent(12, Fate.BOUNCED)
    look()
    assert told() == [alerts.REPUTATION, alerts.REPUTATION]


@pytest.mark.usefixtures("bad", "brand", "admin")
def test_who_reads_that_notices_wait_needs_no_warning() -> None:
    look()
    look()
    assert told() == [alerts.GUARDED]


@pytest.mark.usefixtures("brand", "admin")
def test_admins_are_told_when_aws_reviews_the_account() -> None:
    make_settings()
    watch = MailWatch.load()
    watch.enforcement = "PROBATION"
    watch.save()
    look()
    look()
    assert told() == [alerts.REPUTATION]
    mail = OutboxMessage.objects.get(kind=alerts.REPUTATION)
    assert "under review" in mail.subject
