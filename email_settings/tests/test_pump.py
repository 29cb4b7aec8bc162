"""The pump as a whole: what is due leaves once, whatever goes wrong around it."""

import collections
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.utils import timezone

from email_settings.delivery import claim, hold, pump
from email_settings.delivery.journal import Journal
from email_settings.delivery.pump import Pump
from email_settings.delivery.settle import settle
from email_settings.delivery.slots import Slots
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import DeliveryAttempt, Lane, OutboxMessage, SesSettings
from email_settings.pacing import LocalPace, NoPace, Pace
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway
from ticketflow.lib import encryption

pytestmark = pytest.mark.django_db

State = OutboxMessage.State


@pytest.fixture(autouse=True)
def not_stopping() -> Iterator[None]:
    yield
    pump.stopping.clear()


def run(
    gateway: Any, *, slots: int = 4, pace: Pace | None = None, budget: float = 10
) -> bool:
    """Send what is due through the gateway and return whether there is more."""
    turn = pace or NoPace()
    return Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(slots),
        pace_for=lambda sender: turn,
    ).run(budget)


def states() -> dict[str, int]:
    return dict(
        collections.Counter(OutboxMessage.objects.values_list("state", flat=True))
    )


def subjects(gateway: FakeGateway) -> list[str]:
    return [
        line.removeprefix(b"Subject: ").decode()
        for mail in gateway.sent
        for line in mail.mime.split(b"\r\n")
        if line.startswith(b"Subject: ")
    ]


def error(code: str) -> SendError:
    return SendError(problem_for(code), detail="AWS's own words")


def test_all_that_is_due_leaves_once() -> None:
    make_settings()
    for number in range(150):
        make_message(subject=f"Mail {number}")
    gateway = FakeGateway()
    assert run(gateway) is False
    assert states() == {State.SENT: 150}
    assert len(set(subjects(gateway))) == len(gateway.sent) == 150
    assert DeliveryAttempt.objects.filter(outcome="accepted").count() == 150


def test_urgent_mail_goes_first() -> None:
    make_settings()
    for lane in (Lane.DIGEST, Lane.NOTICE, Lane.REPLY, Lane.SECURITY):
        make_message(lane=lane, subject=str(lane.label))
    gateway = FakeGateway()
    run(gateway, slots=1)
    assert subjects(gateway) == ["Security", "Reply", "Notice", "Digest"]


def test_mail_names_its_installation_message_and_attempt() -> None:
    sender = make_settings()
    message = make_message()
    gateway = FakeGateway()
    run(gateway)
    (mail,) = gateway.sent
    assert mail.tags == {
        "tf-inst": sender.installation.hex,
        "tf-msg": message.uid.hex,
        "tf-att": message.attempt_set.get().uid.hex,
    }


def test_secret_body_is_opened_for_the_mail_only() -> None:
    make_settings()
    message = make_message(text_body="The link: 12345\n", is_secret=True)
    gateway = FakeGateway()
    run(gateway)
    assert b"The link: 12345" in gateway.sent[0].mime
    message.refresh_from_db()
    assert message.text_body == ""


def test_secret_body_that_can_not_be_read_fails_alone() -> None:
    make_settings()
    broken, fine = make_message(is_secret=True), make_message()
    damaged = f"{encryption.prefix_of(encryption.current_key_id())}AAAA"
    OutboxMessage.objects.filter(pk=broken.pk).update(text_body=damaged)
    run(FakeGateway())
    broken.refresh_from_db()
    fine.refresh_from_db()
    assert (broken.state, broken.reason_code) == (State.FAILED, "body_unreadable")
    assert fine.state == State.SENT


def test_line_break_in_a_header_fails_alone() -> None:
    make_settings()
    message = make_message(subject="Hello\nBcc: all@larkfield.example")
    make_message()
    gateway = FakeGateway()
    run(gateway)
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (State.FAILED, "header_refused")
    assert len(gateway.sent) == 1


def test_bug_while_the_call_is_out_is_unknown_and_costs_one_message() -> None:
    make_settings()
    for _ in range(5):
        make_message()
    run(FakeGateway(errors=[ZeroDivisionError("a bug")]))
    assert states() == {State.SENT: 4, State.UNKNOWN: 1}


def test_bug_before_the_call_is_tried_again() -> None:
    make_settings()
    message = make_message()

    def broken(sender: SesSettings) -> FakeGateway:
        raise ZeroDivisionError("a bug")

    Pump(choose_gateway=broken, slots=Slots(2), pace_for=lambda sender: NoPace()).run()
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (State.QUEUED, "sender_failed")
    assert message.attempts == 1


def test_rehearsal_keeps_everything_and_needs_no_keys() -> None:
    for _ in range(3):
        make_message()
    Pump().run()
    assert states() == {State.HELD: 3}
    assert set(OutboxMessage.objects.values_list("reason_code", flat=True)) == {
        "rehearsal"
    }
    assert DeliveryAttempt.objects.filter(outcome="captured").count() == 3


def test_live_without_credentials_holds_all_mail_instead_of_failing_it() -> None:
    SesSettings.load()
    SesSettings.objects.update(mode=SesSettings.Mode.LIVE)
    make_message()
    Pump().run()
    assert states() == {State.HELD: 1}
    assert SesSettings.load().hold_code == "not_configured"


def test_broken_account_is_not_stormed_and_everything_leaves_when_it_is_mended() -> (
    None
):
    make_settings()
    for _ in range(30):
        make_message()
    gateway = FakeGateway(error=error("key_unknown"))
    calls = collections.Counter[str]()

    class Counting:
        def send(self, outgoing: Any) -> str:
            calls["send"] += 1
            return gateway.send(outgoing)

    run(Counting())
    assert states() == {State.HELD: 30}
    assert calls["send"] <= 4  # what the slots held when the first answer came
    run(Counting())
    assert calls["send"] <= 4  # not within the minute
    hold.probe_now()
    run(Counting())
    assert calls["send"] <= 5  # one probe
    gateway.error = None
    hold.probe_now()
    run(Counting())
    assert states() == {State.SENT: 30}
    assert SesSettings.load().held_since is None


def test_new_mail_waits_with_the_rest_while_all_mail_is_held() -> None:
    make_settings()
    make_message()
    run(FakeGateway(error=error("daily_quota")))
    late = make_message()
    run(FakeGateway())
    late.refresh_from_db()
    assert (late.state, late.reason_code) == (State.HELD, "daily_quota")


def test_throttled_mail_stays_queued_and_counts_no_try() -> None:
    make_settings()
    message = make_message()
    run(FakeGateway(errors=[error("rate_exceeded")]))
    message.refresh_from_db()
    assert (message.state, message.attempts) == (State.QUEUED, 0)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_and_the_try_is_written_while_aws_is_called() -> None:
    make_settings()
    make_message()
    pumping = connections["default"]
    seen: list[object] = []

    class Looking:
        def send(self, outgoing: Any) -> str:
            seen.append(pumping.in_atomic_block)
            seen.extend(DeliveryAttempt.objects.values_list("outcome", flat=True))
            connection.close()
            return "0100-a"

    run(Looking())
    assert seen == [False, "started"]


def test_new_mail_does_not_wait_for_a_call_that_hangs() -> None:
    make_settings()
    make_message(subject="hangs")
    taken, let_go = threading.Event(), threading.Event()
    gateway = FakeGateway()

    class Hanging:
        def send(self, outgoing: Any) -> str:
            if b"Subject: hangs" in outgoing.mime:
                taken.set()
                assert let_go.wait(10)
            else:
                let_go.set()  # only the second message frees the first
            return gateway.send(outgoing)

    running = Pump(
        choose_gateway=lambda sender: Hanging(),
        slots=Slots(4),
        pace_for=lambda sender: NoPace(),
    )
    original = running._wait_for_a_reason

    def waiting() -> bool:
        """Put new mail in the outbox once the pump has found nothing more."""
        if running._in_flight and not let_go.is_set():
            assert taken.wait(10)
            make_message(subject="second")
            running.wake()
        return original()

    running._wait_for_a_reason = waiting  # type: ignore[method-assign]
    running.run()
    assert set(states()) == {State.SENT}


# Claimed ahead of a free slot


class Gate:
    """Lets no call come home until it is opened; the first two meet `error` then."""

    def __init__(self, error: SendError | None = None) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self.error = error
        self.calls: list[str] = []

    def send(self, outgoing: Any) -> str:
        self.calls.append(outgoing.tags["tf-msg"])
        meets_error = self.error is not None and len(self.calls) <= 2
        self.entered.release()
        assert self.opened.wait(10)
        if meets_error:
            assert self.error
            raise self.error
        return f"0100-{outgoing.tags['tf-msg']}"


def run_and_look(gate: Gate, look: Callable[[Pump], None]) -> None:
    """Send with two slots and three ahead; look once when both slots are busy."""
    running = Pump(
        choose_gateway=lambda sender: gate,
        slots=Slots(2, ahead=3),
        pace_for=lambda sender: NoPace(),
    )
    original = running._wait_for_a_reason

    def waiting() -> bool:
        if running._in_flight == 5 and not gate.opened.is_set():
            assert gate.entered.acquire(timeout=10)
            assert gate.entered.acquire(timeout=10)
            look(running)
            gate.opened.set()
        return original()

    running._wait_for_a_reason = waiting  # type: ignore[method-assign]
    while running.run():
        pass


def test_what_waits_for_a_slot_is_leased_and_not_in_doubt() -> None:
    make_settings()
    for _ in range(9):
        make_message()
    gate = Gate()
    seen: list[object] = []

    def look(running: Pump) -> None:
        assert running.journal
        noted = running.journal._path.read_bytes().count(b"\nW ")
        seen.extend([states(), noted])

    run_and_look(gate, look)
    assert seen == [{State.SENDING: 5, State.QUEUED: 4}, 2]
    assert states() == {State.SENT: 9}
    assert DeliveryAttempt.objects.count() == len(gate.calls) == 9


@pytest.mark.parametrize("code", ["key_unknown", "no_answer"])
def test_what_waits_for_a_slot_is_not_thrown_after_trouble(code: str) -> None:
    make_settings()
    for _ in range(5):
        make_message()
    gate = Gate(error(code))
    run_and_look(gate, lambda running: None)
    if code == "no_answer":
        # Tried when the pump had looked at what happened
        assert states() == {State.UNKNOWN: 2, State.SENT: 3}
        assert len(gate.calls) == 5
    else:
        assert states() == {State.HELD: 5}
        assert len(gate.calls) == 2
    called_off = DeliveryAttempt.objects.filter(error_code="called_off")
    assert called_off.filter(number=1).count() == 3
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) <= {0, 1}


def test_what_waits_for_a_slot_does_not_leave_when_an_admin_holds_all_mail() -> None:
    make_settings()
    for _ in range(5):
        make_message()
    gate = Gate()
    admin = get_user_model().objects.create(email="ewa@larkfield.example")

    def look(running: Pump) -> None:
        hold.stop_all(admin)
        running._settle_and_claim()

    run_and_look(gate, look)
    assert len(gate.calls) == 2
    assert states() == {State.SENT: 2, State.HELD: 3}
    assert SesSettings.load().stopped_at


def test_what_waits_for_a_slot_does_not_leave_when_another_worker_holds_all_mail() -> (
    None
):
    sender = make_settings()
    for _ in range(5):
        make_message()
    gate = Gate()

    def look(running: Pump) -> None:
        hold.hold_all(error("key_unknown"), version=sender.version)
        running._settle_and_claim()

    run_and_look(gate, look)
    assert len(gate.calls) == 2
    assert states() == {State.SENT: 2, State.HELD: 3}


def test_nothing_is_claimed_ahead_after_trouble_until_aws_answers() -> None:
    make_settings()
    for _ in range(10):
        make_message()
    gateway = FakeGateway(errors=[error("no_answer")])
    running = Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(1, ahead=3),
        pace_for=lambda sender: NoPace(),
    )
    original = running._settle_and_claim
    sizes: list[int] = []
    most_held = 0

    def settling() -> list[claim.Claim]:
        nonlocal most_held
        claims = original()
        if claims:
            sizes.append(len(claims))
        if len(sizes) > 2:
            most_held = max(most_held, running._in_flight + len(claims))
        return claims

    running._settle_and_claim = settling  # type: ignore[method-assign]
    running.run()
    # What was called off is no answer, either.
    assert sizes[:2] == [4, 1]
    assert most_held >= 4
    assert states() == {State.UNKNOWN: 1, State.SENT: 9}


def test_what_was_called_off_is_looked_for_again() -> None:
    make_settings()
    for _ in range(3):
        make_message()
    gateway = FakeGateway(errors=[error("no_answer")])
    running = Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(1, ahead=3),
        pace_for=lambda sender: NoPace(),
    )
    assert running.run() is False
    assert states() == {State.UNKNOWN: 1, State.SENT: 2}


def test_rehearsal_goes_on_while_the_account_is_broken() -> None:
    sender = make_settings()
    hold.hold_all(error("key_unknown"), version=sender.version)
    SesSettings.objects.update(mode=SesSettings.Mode.REHEARSAL)
    message = make_message()
    Pump().run()
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (State.HELD, "rehearsal")


def test_nothing_is_claimed_while_more_is_out_than_there_may_be() -> None:
    """As after trouble: what was claimed ahead before it has still to come home."""
    make_settings()
    for _ in range(9):
        make_message()
    claimed: list[int] = []

    def look(running: Pump) -> None:
        running._is_wary = True
        claimed.append(len(running._settle_and_claim()))

    run_and_look(Gate(), look)
    assert claimed == [0]
    assert states() == {State.SENT: 9}


def test_all_that_is_due_is_held_in_one_run_however_much_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = make_settings()
    hold.hold_all(error("key_unknown"), version=sender.version)
    monkeypatch.setattr(hold, "AT_ONCE", 2)
    for _ in range(5):
        make_message()
    run(FakeGateway())
    assert states() == {State.HELD: 5}


def test_turn_to_try_is_kept_until_there_is_something_to_try() -> None:
    sender = make_settings()
    hold.hold_all(error("key_unknown"), version=sender.version)
    hold.probe_now()
    run(FakeGateway())
    make_message()
    run(FakeGateway())
    assert states() == {State.SENT: 1}


def test_all_urgent_mail_leaves_in_one_run_while_the_rest_waits() -> None:
    make_settings()
    SesSettings.objects.update(
        checked_at=timezone.now(), sent_last_24_hours=960, max_24_hour_send=1000
    )
    for _ in range(6):
        make_message(lane=Lane.SECURITY)
    run(FakeGateway(), slots=4)
    assert states() == {State.SENT: 6}


def test_slow_account_has_nothing_claimed_that_it_can_not_start_soon() -> None:
    make_settings()
    for _ in range(6):
        make_message()
    gate = Gate()
    pace = LocalPace(10)
    seen: list[dict[str, int]] = []
    running = Pump(
        choose_gateway=lambda sender: gate,
        slots=Slots(2, ahead=8),
        pace_for=lambda sender: pace,
    )
    original = running._wait_for_a_reason

    def waiting() -> bool:
        seen.append(states())
        gate.opened.set()
        return original()

    running._wait_for_a_reason = waiting  # type: ignore[method-assign]
    running.run()
    assert states() == {State.SENT: 6}
    # One on the wire in each slot, and the one whose turn is next
    assert max(found.get(State.SENDING, 0) for found in seen) <= 3


def test_results_are_kept_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    for _ in range(10):
        make_message()
    gateway = FakeGateway()
    failures = iter([True, True, True])

    def settle_later(outcomes: Any) -> None:
        if outcomes and next(failures, False):
            raise OperationalError("server closed the connection")
        settle(outcomes)

    pauses: list[float] = []
    closed: list[str] = []

    class NotStopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return False

    monkeypatch.setattr(pump, "stopping", NotStopping())
    monkeypatch.setattr(pump, "settle", settle_later)
    # The real close would end the transaction that this test runs in.
    monkeypatch.setattr(connection, "close", lambda: closed.append("connection"))
    run(gateway)
    assert states() == {State.SENT: 10}
    assert len(gateway.sent) == 10
    # A new connection each time, and longer between the tries
    assert len(closed) == 3
    assert pauses == [0.1, 0.2, 0.4]


def test_stopping_worker_does_not_wait_for_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = FakeGateway()
    failures = iter([True] * 5)

    def settle_later(outcomes: Any) -> None:
        if outcomes and next(failures, False):
            pump.stopping.set()
            raise OperationalError("server closed the connection")
        settle(outcomes)

    monkeypatch.setattr(pump, "settle", settle_later)
    monkeypatch.setattr(connection, "close", lambda: None)
    with pytest.raises(OperationalError):
        run(gateway)


def test_run_that_gives_up_knows_what_came_of_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody else does, and the next run writes it."""
    make_settings()
    make_message(subject="hangs")
    make_message()
    let_go = threading.Event()

    class Hanging(FakeGateway):
        def send(self, outgoing: Any) -> str:
            if b"Subject: hangs" in outgoing.mime:
                assert let_go.wait(10)
            return super().send(outgoing)

    def never(outcomes: Any) -> None:
        if outcomes:
            raise OperationalError("server closed the connection")

    monkeypatch.setattr(pump, "DATABASE_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(connection, "close", lambda: None)
    running = Pump(
        choose_gateway=lambda sender: Hanging(),
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    bring_all_home = running._bring_all_home

    def bringing() -> None:
        let_go.set()
        bring_all_home()

    running._bring_all_home = bringing  # type: ignore[method-assign]
    with monkeypatch.context() as away:
        away.setattr(pump, "settle", never)
        with pytest.raises(OperationalError):
            running.run()
    known = [outcome.ses_message_id != "" for outcome in running.unsettled]
    let_go.set()
    assert known == [True, True]


def test_error_of_the_database_that_no_outcome_caused_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    failures = iter([True] * 5)
    claim_due = claim.claim_due

    def refuse(*args: Any, **options: Any) -> Any:
        if next(failures, False):
            raise IntegrityError("no such message")
        return claim_due(*args, **options)

    monkeypatch.setattr(claim, "claim_due", refuse)
    with pytest.raises(IntegrityError):
        run(FakeGateway())


def test_outcome_that_can_not_be_stored_keeps_no_other_from_being_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_settings()
    bad, good = make_message(), make_message()

    def refuse(outcomes: Any) -> None:
        settle(outcomes)
        if any(outcome.claim.message.pk == bad.pk for outcome in outcomes):
            raise IntegrityError("value too long")

    monkeypatch.setattr(pump, "settle", refuse)
    running = Pump(
        choose_gateway=lambda sender: FakeGateway(),
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    running.run()
    bad.refresh_from_db()
    good.refresh_from_db()
    # Until its lease ends
    assert (bad.state, good.state) == (State.SENDING, State.SENT)
    assert running.unsettled == []
    assert str(bad.uid) in caplog.text


def test_pump_refuses_to_run_where_nobody_would_see_its_leases() -> None:
    make_settings()
    make_message()
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        run(FakeGateway())


def test_run_puts_in_order_what_nobody_holds_any_more() -> None:
    sender = make_settings()
    make_message()
    claim.claim_due(1, token="dead", sender=sender)
    OutboxMessage.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    run(FakeGateway())
    assert states() == {State.UNKNOWN: 1}


# The journal


def test_call_that_is_out_stays_in_the_journal_while_others_are_written() -> None:
    """Else a crash would take it for never sent, and it would leave twice."""
    make_settings()
    make_message(subject="hangs")
    make_message()
    is_out, let_go = threading.Event(), threading.Event()

    class Hanging(FakeGateway):
        def send(self, outgoing: Any) -> str:
            if b"Subject: hangs" in outgoing.mime:
                is_out.set()
                assert let_go.wait(20)
            # The other one comes home when this one is out.
            assert is_out.wait(20)
            return super().send(outgoing)

    running = Pump(
        choose_gateway=lambda sender: Hanging(),
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    original = running._wait_for_a_reason
    noted: list[int] = []

    def waiting() -> bool:
        if states().get(State.SENT):
            assert running.journal
            noted.append(running.journal._path.read_bytes().count(b"\nW "))
            let_go.set()
        return original()

    running._wait_for_a_reason = waiting  # type: ignore[method-assign]
    running.run()
    assert noted[0] == 2
    assert states() == {State.SENT: 2}


def test_journal_forgets_what_is_written() -> None:
    make_settings()
    make_message()
    running = Pump(
        choose_gateway=lambda sender: FakeGateway(),
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    original = running._wait_for_a_reason
    noted: list[tuple[bool, int]] = []

    def waiting() -> bool:
        if running.journal:
            lines = running.journal._path.read_bytes().count(b"\n")
            noted.append((State.SENT in states(), lines))
        return original()

    running._wait_for_a_reason = waiting  # type: ignore[method-assign]
    running.run()
    assert noted[-1] == (True, 1)  # its first line


def test_journal_of_a_run_that_failed_is_removed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()

    def never(outcomes: Any) -> None:
        if outcomes:
            raise OperationalError("server closed the connection")

    monkeypatch.setattr(pump, "DATABASE_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(connection, "close", lambda: None)

    def new_pump() -> Pump:
        return Pump(
            choose_gateway=lambda sender: FakeGateway(),
            slots=Slots(2),
            pace_for=lambda sender: NoPace(),
        )

    first, second = new_pump(), new_pump()
    with monkeypatch.context() as away:
        away.setattr(pump, "settle", never)
        with pytest.raises(OperationalError):
            first.run()
    assert first.journal
    path = first.journal._path
    assert path.exists()
    second.take_over(first)
    second.run()
    assert not path.exists()
    assert second.journal is None


def test_nothing_is_claimed_while_the_journal_is_stuck() -> None:
    make_settings()
    make_message()
    stuck = Journal()
    stuck.is_stuck = True
    running = Pump(
        choose_gateway=lambda sender: FakeGateway(),
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    running.journal = stuck
    assert running.run() is True
    assert states() == {State.QUEUED: 1}
    assert not DeliveryAttempt.objects.exists()


def test_budget_that_ended_claims_no_more_and_says_that_there_is() -> None:
    make_settings()
    make_message()
    assert run(FakeGateway(), budget=0) is True
    assert states() == {State.QUEUED: 1}


def test_results_survive_the_run_when_the_database_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = FakeGateway()

    def never(outcomes: Any) -> None:
        if outcomes:
            raise OperationalError("server closed the connection")

    monkeypatch.setattr(pump, "DATABASE_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(connection, "close", lambda: None)
    monkeypatch.setattr(pump, "choose_gateway", lambda sender: gateway)
    with monkeypatch.context() as away:
        away.setattr(pump, "settle", never)
        first = Pump(
            choose_gateway=lambda sender: gateway,
            slots=Slots(2),
            pace_for=lambda sender: NoPace(),
        )
        with pytest.raises(OperationalError):
            first.run()
    # It was away for so long that the lease has run out meanwhile.
    OutboxMessage.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    second = Pump()
    second.take_over(first)
    second.run()
    assert states() == {State.SENT: 1}
    assert len(gateway.sent) == 1
    assert second.unsettled == []


def test_claim_in_doubt_of_an_earlier_run_is_given_back() -> None:
    """The server committed and was gone before it said so; nothing had been sent."""
    sender = make_settings()
    make_message()
    claim.claim_due(1, token="doubtful", sender=sender)
    OutboxMessage.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    gateway = FakeGateway()
    first = Pump()
    first.doubtful_tokens = ["doubtful"]
    second = Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    second.take_over(first)
    second.run()
    assert states() == {State.SENT: 1}
    assert len(gateway.sent) == 1


def test_stopping_worker_claims_no_more() -> None:
    make_settings()
    make_message()
    pump.stopping.set()
    run(FakeGateway())
    assert states() == {State.QUEUED: 1}
    assert not DeliveryAttempt.objects.exists()


def test_stopping_worker_gives_back_what_waits_for_its_turn() -> None:
    make_settings(max_send_rate=1)
    for _ in range(2):
        make_message()

    class Stopping(FakeGateway):
        def send(self, outgoing: Any) -> str:
            pump.stopping.set()
            return super().send(outgoing)

    pace = LocalPace(1)
    pace.ahead = 2
    run(Stopping(), pace=pace)
    assert states() == {State.SENT: 1, State.QUEUED: 1}
    left = OutboxMessage.objects.get(state=State.QUEUED)
    assert (left.attempts, left.reason_code) == (0, "not_started")


def test_mail_leaves_no_faster_than_the_rate() -> None:
    make_settings()
    for _ in range(25):
        make_message()
    starts: list[float] = []

    class Timing(FakeGateway):
        def send(self, outgoing: Any) -> str:
            starts.append(time.monotonic())
            return super().send(outgoing)

    run(Timing(), pace=LocalPace(20))
    starts.sort()
    assert len(starts) == 25
    assert all(late - early > 0.8 for early, late in zip(starts, starts[20:]))  # noqa: B905


@pytest.mark.django_db(transaction=True)
def test_one_pump_a_process_and_no_wake_up_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    running = collections.Counter[str]()
    most: list[int] = []

    class Counted(Pump):
        def run(self, budget_seconds: float = 10) -> bool:
            running["now"] += 1
            most.append(running["now"])
            try:
                return super().run(budget_seconds)
            finally:
                running["now"] -= 1

    gateway = FakeGateway()
    monkeypatch.setattr(pump, "Pump", Counted)
    monkeypatch.setattr(
        Pump.__init__,
        "__kwdefaults__",
        {
            "choose_gateway": lambda sender: gateway,
            "slots": Slots(2),
            "pace_for": lambda sender: NoPace(),
        },
    )

    def put_and_drain() -> None:
        for _ in range(5):
            make_message()
            if not pump.wake_running():
                pump.drain()
        connection.close()

    threads = [threading.Thread(target=put_and_drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states() == {State.SENT: 20}
    assert len(gateway.sent) == 20
    assert max(most) == 1
