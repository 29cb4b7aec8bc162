"""Mail that is held: by the account, by the network, by an admin; and let go again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings.delivery import claim, hold, settle
from email_settings.delivery.pump import Pump
from email_settings.delivery.settle import Outcome
from email_settings.delivery.slots import Slots
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import Lane, OutboxMessage, SesSettings
from email_settings.pacing import LocalPace, NoPace, Pace
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


@pytest.fixture(autouse=True)
def network_is_new() -> None:
    settle._streak.length = 0


def run(gateway: Any, *, pace: Pace | None = None) -> None:
    turn = pace or NoPace()
    while Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(4),
        pace_for=lambda sender: turn,
    ).run():
        pass


def make_many(count: int, *, state: str = State.QUEUED, reason_code: str = "") -> None:
    ids = [make_message().pk for _ in range(count)]
    OutboxMessage.objects.filter(pk__in=ids).update(
        state=state, reason_code=reason_code
    )


def states() -> dict[str, int]:
    found = list(OutboxMessage.objects.values_list("state", flat=True))
    return {state: found.count(state) for state in set(found)}


def error(code: str, **words: str) -> SendError:
    return SendError(problem_for(code), detail="its own words", **words)


def outcome(code: str = "", *, is_probe: bool = False, **words: str) -> Outcome:
    made = make_claim(make_message(), SesSettings.load())
    made = replace(made, is_probe=is_probe)
    if not code:
        return Outcome(made, ses_message_id="0100-a")
    return Outcome(made, error=error(code, **words))


# By hand


def test_nothing_is_claimed_while_an_admin_holds_all_mail(admin: Any) -> None:
    make_settings()
    make_many(3)
    assert hold.how_many_would_be_held() == 3
    assert hold.stop_all(admin) == 3
    urgent = make_message(lane=Lane.SECURITY)
    gateway = FakeGateway()
    run(gateway)
    assert gateway.sent == []
    assert states() == {State.HELD: 4}
    urgent.refresh_from_db()
    assert urgent.reason_code == "stopped_by_hand"
    row = SesSettings.load()
    assert (row.stopped_by_id, row.hold_code) == (admin.pk, "")


def test_mail_held_by_hand_leaves_when_it_is_released(admin: Any) -> None:
    make_settings()
    make_many(3)
    hold.stop_all(admin)
    assert hold.start_all() == 3
    gateway = FakeGateway()
    run(gateway)
    assert len(gateway.sent) == 3


def test_no_probe_leaves_while_an_admin_holds_all_mail(admin: Any) -> None:
    make_settings()
    make_message()
    run(FakeGateway(error=error("key_unknown")))
    hold.stop_all(admin)
    hold.probe_now()
    gateway = FakeGateway()
    run(gateway)
    assert gateway.sent == []
    hold.start_all()
    run(gateway)
    assert len(gateway.sent) == 1


def test_retry_that_is_due_later_keeps_its_time(admin: Any) -> None:
    make_settings()
    later = timezone.now() + timedelta(hours=3)
    message = make_message()
    OutboxMessage.objects.update(due_at=later)
    hold.stop_all(admin)
    hold.start_all()
    message.refresh_from_db()
    assert (message.state, message.due_at) == (State.QUEUED, later)


def test_holding_and_releasing_goes_on_in_parts(
    admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "AT_ONCE", 2)
    make_settings()
    make_many(7)
    assert hold.stop_all(admin) == 7
    assert states() == {State.HELD: 2, State.QUEUED: 5}
    gateway = FakeGateway()
    run(gateway)
    assert states() == {State.HELD: 7}
    assert hold.start_all() == 7
    run(gateway)
    assert states() == {State.SENT: 7}


def test_second_who_holds_all_mail_changes_neither_who_nor_when(
    admin: Any, agent: Any
) -> None:
    make_settings()
    hold.stop_all(admin)
    first = SesSettings.load()
    hold.stop_all(agent)
    second = SesSettings.load()
    assert second.stopped_by_id == admin.pk
    assert second.stopped_at == first.stopped_at


@pytest.mark.parametrize("change", [{"hold_code": "access_denied"}, {"version": 99}])
def test_hold_that_began_meanwhile_is_not_ended(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """Of what a probe found out with settings of before."""
    make_settings()
    settle.settle([outcome("key_unknown")])
    seen = SesSettings.load()
    SesSettings.objects.update(**change)
    with monkeypatch.context() as patch:
        patch.setattr(SesSettings, "load", lambda: seen)
        hold.lift()
    assert SesSettings.load().hold_code


# What a probe may try


@pytest.mark.parametrize(
    "reason_code",
    [
        "rehearsal",
        "stopped_by_hand",
        "quota_reserve",
        "reputation_guard",
        "recipient_not_verified",
    ],
)
def test_what_waits_for_something_else_is_no_probe_and_not_freed_with_the_account(
    reason_code: str,
) -> None:
    sender = make_settings()
    make_many(1, state=State.HELD, reason_code=reason_code)
    assert claim.claim_held(token="a", sender=sender) == []
    assert not hold.held_for_the_account().exists()
    assert hold.lift() == 0
    assert states() == {State.HELD: 1}


def test_sandbox_holds_one_message_and_not_the_account() -> None:
    make_settings()
    make_many(3)
    run(FakeGateway(errors=[error("recipient_not_verified")]))
    assert states() == {State.HELD: 1, State.SENT: 2}
    assert SesSettings.load().hold_code == ""
    gateway = FakeGateway()
    run(gateway)
    assert gateway.sent == []


def test_what_a_dead_worker_did_not_free_is_freed() -> None:
    make_settings()
    make_many(3, state=State.HELD, reason_code="key_unknown")
    gateway = FakeGateway()
    run(gateway)
    assert len(gateway.sent) == 3


def test_lift_frees_a_part_and_the_pump_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hold, "AT_ONCE", 2)
    make_settings()
    make_many(9, state=State.HELD, reason_code="key_unknown")
    assert hold.lift() == 9
    assert states() == {State.HELD: 7, State.QUEUED: 2}
    run(FakeGateway())
    assert states() == {State.SENT: 9}


@pytest.mark.parametrize(
    ("code", "minutes", "expected"),
    [
        ("key_unknown", 0, 60),
        ("key_unknown", 9, 60),
        ("key_unknown", 11, 300),
        ("key_unknown", 600, 600),
        ("daily_quota", 0, 900),
        ("cannot_connect", 0, 5),
        ("cannot_connect", 1, 60),
        ("cannot_connect", 600, 300),
        # Each of these tries may be one more in doubt.
        (hold.SILENT, 0, 60),
        (hold.SILENT, 600, 600),
    ],
)
def test_probes_become_fewer(code: str, minutes: float, expected: float) -> None:
    interval = hold.probe_interval(code, timedelta(minutes=minutes))
    assert interval.total_seconds() == expected


def test_nobody_takes_a_turn_to_probe_while_nothing_is_held() -> None:
    make_settings()
    make_many(1)
    assert not hold.take_turn_to_probe()
    assert SesSettings.load().probe_at is None


# AWS can't be reached


def test_ten_in_a_row_without_aws_pause_all_mail_and_nothing_is_stormed() -> None:
    make_settings()
    make_many(60)
    gateway = FakeGateway(error=error("cannot_connect"))
    calls: list[int] = []

    class Counting:
        def send(self, outgoing: Any) -> str:
            calls.append(1)
            return gateway.send(outgoing)

    run(Counting())
    assert len(calls) < 10 + 10  # and what the slots held
    account = SesSettings.load()
    assert account.hold_code == "cannot_connect"
    assert account.held_since is not None
    assert states() == {State.QUEUED: 60}
    tried = len(calls)
    run(Counting())
    assert len(calls) == tried
    hold.probe_now()
    run(Counting())
    assert len(calls) == tried + 1
    gateway.error = None
    hold.probe_now()
    run(Counting())
    OutboxMessage.objects.filter(state=State.QUEUED).update(due_at=timezone.now())
    run(Counting())
    assert states() == {State.SENT: 60}
    assert SesSettings.load().hold_code == ""


def test_pause_burns_no_try() -> None:
    make_settings()
    settle.settle([outcome("cannot_connect") for _ in range(10)])
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {1}
    probe = outcome("cannot_connect", is_probe=True)
    settle.settle([probe])
    probe.claim.message.refresh_from_db()
    assert probe.claim.message.attempts == 0


def test_answer_of_aws_ends_the_row_of_failures() -> None:
    make_settings()
    settle.settle([outcome("cannot_connect") for _ in range(9)])
    settle.settle([outcome()])
    settle.settle([outcome("cannot_connect") for _ in range(9)])
    assert SesSettings.load().hold_code == ""
    settle.settle([outcome("cannot_connect")])
    assert SesSettings.load().hold_code == "cannot_connect"


@pytest.mark.parametrize("code", ["no_answer", "aws_failed", "empty_answer"])
def test_ten_in_a_row_in_doubt_pause_all_mail_as_well(code: str) -> None:
    """An AWS that takes mail and never answers would put the whole backlog in doubt."""
    make_settings()
    make_many(60)
    gateway = FakeGateway(error=error(code, request_id="0f0f"))
    run(gateway)
    assert SesSettings.load().hold_code == hold.SILENT
    in_doubt = states()[State.UNKNOWN]
    assert in_doubt < 10 + 10  # and what was on the wire
    assert states() == {State.UNKNOWN: in_doubt, State.QUEUED: 60 - in_doubt}
    # No clear answer to the probe either: it alone is risked.
    hold.probe_now()
    run(gateway)
    assert states()[State.UNKNOWN] == in_doubt + 1
    run(gateway)
    assert states()[State.UNKNOWN] == in_doubt + 1
    gateway.error = None
    hold.probe_now()
    run(gateway)
    assert SesSettings.load().hold_code == ""
    assert states() == {State.UNKNOWN: in_doubt + 1, State.SENT: 59 - in_doubt}


def test_doubt_and_no_aws_in_turn_pause_all_mail() -> None:
    make_settings()
    settle.settle([outcome("no_answer"), outcome("cannot_connect")] * 5)
    assert SesSettings.load().hold_code == "cannot_connect"


def test_doubt_now_and_then_pauses_nobody() -> None:
    make_settings()
    for _ in range(3):
        settle.settle([outcome("no_answer") for _ in range(9)])
        settle.settle([outcome("recipient_invalid", request_id="0f0f")])
    assert SesSettings.load().hold_code == ""


def test_doubt_does_not_hide_that_the_account_is_broken() -> None:
    make_settings()
    settle.settle([outcome("key_unknown")])
    settle.settle([outcome("no_answer") for _ in range(10)])
    assert SesSettings.load().hold_code == "key_unknown"


def test_bug_of_ours_pauses_nobody() -> None:
    make_settings()
    settle.settle([outcome("sender_failed") for _ in range(20)])
    assert SesSettings.load().hold_code == ""


def test_refusal_by_aws_itself_ends_the_pause() -> None:
    make_settings()
    settle.settle([outcome("cannot_connect") for _ in range(10)])
    settle.settle([outcome("recipient_invalid", is_probe=True, request_id="0f0f")])
    assert SesSettings.load().hold_code == ""


def test_refusal_of_one_message_does_not_mend_a_broken_account() -> None:
    make_settings()
    settle.settle([outcome("key_unknown")])
    settle.settle([outcome("recipient_invalid", is_probe=True, request_id="0f0f")])
    assert SesSettings.load().hold_code == "key_unknown"


def test_broken_account_stays_so_while_aws_can_not_be_reached() -> None:
    make_settings()
    settle.settle([outcome("key_unknown")])
    settle.settle([outcome("cannot_connect") for _ in range(10)])
    assert SesSettings.load().hold_code == "key_unknown"


def test_nothing_is_claimed_while_the_clock_of_the_pace_is_away() -> None:
    make_settings()
    make_many(5)
    pace = LocalPace(100)
    pace._away(OSError("Redis is away"))
    gateway = FakeGateway()
    run(gateway, pace=pace)
    assert states() == {State.QUEUED: 5}
    assert not OutboxMessage.objects.exclude(claims=0).exists()


def test_too_fast_slows_down_and_counts_no_try() -> None:
    make_settings(max_send_rate=14)
    many = [outcome("rate_exceeded") for _ in range(5)]
    settle.settle(many)
    assert SesSettings.load().slowed_to == 7
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {0}
