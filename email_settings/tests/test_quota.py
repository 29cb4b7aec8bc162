"""The daily quota: what is used of it, and what is kept for security mail."""

import math
from datetime import timedelta

import pytest
from django.utils import timezone

from email_settings.delivery import hold
from email_settings.delivery.claim import Claim
from email_settings.delivery.pump import Pump
from email_settings.delivery.slots import Slots
from email_settings.models import Lane, OutboxMessage, SesSettings
from email_settings.pacing import NoPace
from email_settings.quota import DAY, Gauge, Quota, reserve_of
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
HOUR = timedelta(hours=1)


def told(
    used: float | None,
    *,
    limit: float | None = 1000,
    ago: timedelta = timedelta(minutes=5),
) -> SesSettings:
    """Return settings with what AWS said so long ago."""
    make_settings()
    SesSettings.objects.update(
        checked_at=timezone.now() - ago,
        sent_last_24_hours=used,
        max_24_hour_send=limit,
    )
    return SesSettings.load()


def sent(count: int, *, ago: timedelta) -> None:
    ids = [make_message().pk for _ in range(count)]
    OutboxMessage.objects.filter(pk__in=ids).update(
        state=State.SENT, sent_at=timezone.now() - ago
    )


def quota_of(sender: SesSettings) -> Quota:
    quota = Quota.of(sender)
    assert quota is not None
    return quota


def run(gateway: FakeGateway) -> None:
    Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(4),
        pace_for=lambda sender: NoPace(),
    ).run()


@pytest.mark.parametrize(
    ("used", "limit"),
    [(None, 1000), (10, None), (10, -1), (10, 0), (10, math.inf), (math.inf, 1000)],
)
def test_no_limit_no_quota(used: float | None, limit: float | None) -> None:
    row = SesSettings(
        checked_at=timezone.now(), sent_last_24_hours=used, max_24_hour_send=limit
    )
    assert Quota.of(row) is None


def test_own_mail_is_counted_on_from_what_aws_said() -> None:
    sender = told(100)
    sent(3, ago=timedelta(minutes=1))
    sent(2, ago=HOUR)  # AWS has counted these
    assert quota_of(sender).used == 103


def test_own_mail_that_left_the_window_counts_no_more() -> None:
    sender = told(100, ago=2 * HOUR)
    sent(4, ago=DAY + HOUR)
    assert quota_of(sender).used == 96


def test_what_aws_said_long_ago_counts_no_more() -> None:
    sender = told(100, ago=DAY + HOUR)
    sent(4, ago=HOUR)
    assert quota_of(sender).used == 4


@pytest.mark.parametrize(
    ("limit", "reserve"),
    [(10, 5), (200, 10), (1000, 50), (50_000, 500), (1_000_000, 500)],
)
def test_reserve_has_its_bounds(limit: float, reserve: float) -> None:
    assert reserve_of(limit) == reserve


def test_next_room_is_when_enough_of_our_own_mail_is_a_day_old() -> None:
    sender = told(952)
    sent(2, ago=DAY - HOUR)
    sent(1, ago=DAY - 2 * HOUR)
    at = quota_of(sender).next_room_at
    assert at is not None
    assert timedelta(minutes=118) < at - timezone.now() < timedelta(minutes=121)


def test_next_room_is_unknown_when_others_fill_the_window() -> None:
    assert quota_of(told(1000)).next_room_at is None
    assert quota_of(told(10)).next_room_at is None


def test_only_security_mail_leaves_when_the_reserve_is_reached() -> None:
    told(960)
    reply = make_message(lane=Lane.REPLY)
    reset = make_message(lane=Lane.SECURITY)
    gateway = FakeGateway()
    run(gateway)
    reply.refresh_from_db()
    reset.refresh_from_db()
    assert reset.state == State.SENT
    assert (reply.state, reply.reason_code) == (State.HELD, "quota_reserve")
    assert SesSettings.load().hold_code == ""


def test_mail_for_which_there_is_room_leaves() -> None:
    told(900)
    make_message()
    gateway = FakeGateway()
    run(gateway)
    assert len(gateway.sent) == 1


def test_parked_mail_goes_on_by_itself_when_there_is_room_and_not_before() -> None:
    told(960)
    message = make_message()
    gateway = FakeGateway()
    run(gateway)
    SesSettings.objects.update(sent_last_24_hours=940)  # less than half the reserve
    run(gateway)
    message.refresh_from_db()
    assert message.state == State.HELD
    SesSettings.objects.update(sent_last_24_hours=900)
    run(gateway)
    message.refresh_from_db()
    assert message.state == State.SENT


def test_no_more_is_let_go_than_there_is_room_for() -> None:
    sender = told(920)
    ids = [make_message().pk for _ in range(60)]
    OutboxMessage.objects.filter(pk__in=ids).update(
        state=State.HELD, reason_code="quota_reserve"
    )
    now = timezone.now()
    quota = quota_of(sender)
    assert hold.release_what_may_go(sender, quota, waiting_since=now) == 30
    assert hold.release_what_may_go(sender, quota, waiting_since=now) == 0


def test_security_mail_does_not_wait_until_the_others_are_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hold, "AT_ONCE", 1)
    told(960)
    for _ in range(3):
        make_message()
    make_message(lane=Lane.SECURITY)
    events: list[str] = []
    park, start = hold.park_behind, Pump._start

    def parking(gate: hold.Gate) -> int:
        events.append("parked")
        return park(gate)

    def starting(running: Pump, claimed: Claim) -> None:
        events.append("started")
        start(running, claimed)

    monkeypatch.setattr(hold, "park_behind", parking)
    monkeypatch.setattr(Pump, "_start", starting)
    run(FakeGateway())
    # The first part was parked in the transaction that claimed it.
    assert events[:2] == ["parked", "started"]
    assert events.count("parked") == 4
    assert OutboxMessage.objects.filter(reason_code="quota_reserve").count() == 3


def test_parking_goes_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "AT_ONCE", 2)
    told(960)
    for _ in range(5):
        make_message()
    gateway = FakeGateway()
    run(gateway)
    assert gateway.sent == []
    assert OutboxMessage.objects.filter(reason_code="quota_reserve").count() == 5


def test_rehearsal_has_no_quota() -> None:
    told(1000)
    SesSettings.objects.update(mode=SesSettings.Mode.REHEARSAL)
    make_message()
    gateway = FakeGateway()
    run(gateway)
    assert len(gateway.sent) == 1


def test_one_that_asks_all_the_time_does_not_count_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(Quota, "of", lambda *args: counted.append(1))
    sender, gauge = told(0), Gauge()
    for _ in range(50):
        gauge.read(sender)
    assert len(counted) < 5
    sender.version += 1
    gauge.read(sender)
    assert len(counted) > 1
