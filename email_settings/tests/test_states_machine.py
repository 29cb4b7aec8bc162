"""Any order of everything that can happen to mail, against a model of what may follow.

Hypothesis plays two workers that claim, call, die and come back, an Amazon SES that
answers in every way, time, admins and evidence that is late. The claims, calls,
settlements, recoveries and wishes are the product's own; the model knows only what was
put in the outbox, what was posted, and which arrows are drawn between the states.
"""

import collections
import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from email_settings.delivery import by_hand, doubt, hold, journal, recovery, send
from email_settings.delivery.claim import Claim
from email_settings.delivery.pump import Pump
from email_settings.delivery.settle import Outcome
from email_settings.delivery.slots import Slots
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import (
    DeliveryAttempt,
    Lane,
    OutboxMessage,
    SesSettings,
    Suppression,
)
from email_settings.pacing import NoPace
from email_settings.suppression.standing import standing_of
from email_settings.suppression.wishes import release
from email_settings.tests.builders import make_message, make_settings
from email_settings.void_links import void_links
from ticketflow.errors import DomainError

REPEATS = int(os.environ.get("FAULT_REPEATS", "1"))
EXAMPLES, STEPS = 120 * REPEATS, 40

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome

# The arrows of docs/architecture.md that nobody needs to draw by hand …
ARROWS: dict[str, set[str]] = {
    State.QUEUED: {
        *(State.SENDING, State.HELD, State.FAILED, State.CANCELLED),
        State.SUPPRESSED,
    },
    State.SENDING: {State.SENT, State.QUEUED, State.HELD, State.FAILED, State.UNKNOWN},
    State.HELD: {
        *(State.QUEUED, State.SENDING, State.FAILED, State.CANCELLED),
        State.SUPPRESSED,
    },
    State.UNKNOWN: set(),
    State.SENT: set(),
    State.FAILED: set(),
    State.SUPPRESSED: set(),
    State.CANCELLED: set(),
}
# … and those that take a person or evidence.
BY_EVIDENCE: set[tuple[str, str]] = {
    (state, State.SENT) for state in (State.UNKNOWN, State.QUEUED, State.HELD)
}

ADDRESSES = ("hannah@larkfield.example", "oliver@larkfield.example", "ida@x.example")

# How Amazon SES may answer, and whether the mail is there afterwards: None if nobody
# can know, because it may or may not be.
ANSWERS: dict[str, bool | None] = {
    "ok": True,
    "rate_exceeded": False,
    "daily_quota": False,
    "account_suspended": False,
    "access_denied": False,
    "recipient_not_verified": False,
    "message_rejected": False,
    "aws_unavailable": False,
    "cannot_connect": False,
    "no_answer": None,
    "aws_failed": None,
    "a bug": None,
}
# What says nothing about the message, and so brings it no nearer to being given up
BURNS_NO_TRY = {
    *("rate_exceeded", "daily_quota", "account_suspended", "access_denied"),
    "recipient_not_verified",
}


class Killed(BaseException):
    """The worker's process ends here."""


@dataclass
class Fact:
    """What really happened to one message, told by nobody of the product."""

    attempts_posted: list[uuid.UUID] = field(default_factory=list)
    perhaps_taken: int = 0  # POSTs after which Amazon SES may have it
    taken: list[uuid.UUID] = field(default_factory=list)
    sent_again_by_hand: int = 0
    marked_as_sent: bool = False
    has_void_link: bool = False
    tries: int = 0  # that may count towards giving up
    state: str = State.QUEUED  # when it was looked at last


@dataclass
class Worker:
    """One process: its pump, what it has claimed, and what is on the wire."""

    pump: Pump
    claims: list[Claim] = field(default_factory=list)
    on_the_wire: list[Claim] = field(default_factory=list)


def closure(state: str) -> set[str]:
    """Every state that the arrows lead to from here, over any number of others."""
    found: set[str] = set()
    ahead = {state}
    while ahead:
        now = ahead.pop()
        ahead |= ARROWS[State(now)] - found
        found |= ARROWS[State(now)]
    return found


REACHABLE = {state: closure(state) for state in ARROWS}


def new_worker() -> Worker:
    pump = Pump(slots=Slots(3), pace_for=lambda sender: NoPace())
    pump._deadline = float("inf")
    return Worker(pump)


class Mail(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example._from_testcase = True  # type: ignore[attr-defined]
        self.example.__enter__()
        self.admin = get_user_model().objects.create(email="ewa@larkfield.example")
        make_settings()
        self.facts: dict[int, Fact] = {}
        self.workers = [new_worker(), new_worker()]
        self.allowed_by_hand: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        try:
            self.everything_ends_well()
        finally:
            for worker in self.workers:
                if worker.pump.journal:
                    worker.pump.journal.close()
            for path in journal.folder().glob("*.log"):
                path.unlink()
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    # What people and time do

    @initialize(secrets=st.lists(st.booleans(), min_size=2, max_size=4))
    def mail_waits_and_is_claimed(self, secrets: list[bool]) -> None:
        """Begin where things happen; else most examples would be about nothing."""
        for is_secret in secrets:
            self.enqueue(Lane.REPLY, is_secret, 72)
        self.worker_settles_and_claims(0)

    @rule(
        lane=st.sampled_from(list(Lane)),
        is_secret=st.booleans(),
        hours=st.sampled_from([1, 72]),
        number=st.integers(0, 2),
    )
    def enqueue(
        self,
        lane: Lane,
        is_secret: bool,  # noqa: FBT001
        hours: int,
        number: int = 0,
    ) -> None:
        message = make_message(
            recipient=ADDRESSES[number],
            lane=lane,
            is_secret=is_secret,
            lifetime=timedelta(hours=hours),
        )
        self.facts[message.pk] = Fact()

    @rule(minutes=st.sampled_from([1, 3, 30, 100, 26 * 60]))
    def time_passes(self, minutes: int) -> None:
        """All that is written down gets older, which is the same on both databases."""
        ago = timedelta(minutes=minutes)
        OutboxMessage.objects.update(
            due_at=F("due_at") - ago,
            expires_at=F("expires_at") - ago,
            lease_until=F("lease_until") - ago,
        )
        Suppression.objects.update(held_until=F("held_until") - ago)
        SesSettings.objects.update(
            probe_at=F("probe_at") - ago, held_since=F("held_since") - ago
        )
        for worker in self.workers:
            worker.claims = [
                replace(claim, claimed_at=claim.claimed_at - ago.total_seconds())
                for claim in worker.claims
            ]

    @rule()
    def settings_are_saved(self) -> None:
        SesSettings.objects.update(version=F("version") + 1)

    @rule()
    def admin_stops_all(self) -> None:
        hold.stop_all(self.admin)

    @rule()
    def admin_releases_all(self) -> None:
        hold.start_all()

    @rule()
    def admin_has_the_account_tried(self) -> None:
        hold.probe_now()

    def some(self, data: st.DataObject, *states: str) -> OutboxMessage | None:
        """Draw a message, one in these states if there is any."""
        fitting = [pk for pk, fact in self.facts.items() if fact.state in states]
        if not (candidates := fitting or list(self.facts)):
            return None
        return OutboxMessage.objects.get(pk=data.draw(st.sampled_from(candidates)))

    @rule(data=st.data())
    def admin_cancels(self, data: st.DataObject) -> None:
        if message := self.some(data, State.QUEUED, State.HELD):
            with_refusal(lambda: by_hand.cancel(message.uid, actor=self.admin))

    @rule(data=st.data())
    def admin_retries(self, data: st.DataObject) -> None:
        if message := self.some(data, State.FAILED, State.HELD, State.SUPPRESSED):
            self.allowed_by_hand = {
                (state, State.QUEUED) for state in (State.FAILED, State.SUPPRESSED)
            }
            if with_refusal(lambda: by_hand.retry_message(message.uid)):
                assert not self.facts[message.pk].has_void_link

    @rule(data=st.data())
    def admin_resends(self, data: st.DataObject) -> None:
        if message := self.some(data, State.UNKNOWN):
            self.allowed_by_hand = {(State.UNKNOWN, State.QUEUED)}
            if with_refusal(lambda: by_hand.resend(message.uid, actor=self.admin)):
                self.facts[message.pk].sent_again_by_hand += 1
                assert not self.facts[message.pk].has_void_link

    @rule(data=st.data())
    def admin_marks_as_sent(self, data: st.DataObject) -> None:
        if message := self.some(data, State.UNKNOWN):
            self.allowed_by_hand = {(State.UNKNOWN, State.SENT)}
            done = with_refusal(
                lambda: by_hand.resolve_by_hand_sent(message.uid, actor=self.admin)
            )
            self.facts[message.pk].marked_as_sent |= done

    @rule(number=st.integers(0, 2), for_good=st.booleans())
    def address_gets_no_mail(self, number: int, for_good: bool) -> None:  # noqa: FBT001
        """It bounced, or its mailbox is full for an hour."""
        held_until = None if for_good else timezone.now() + timedelta(hours=1)
        address = ADDRESSES[number]
        entry = Suppression(
            address=address.title(),
            address_lower=address,
            reason="bounced" if for_good else "failing",
            held_until=held_until,
        )
        Suppression.objects.bulk_create([entry], ignore_conflicts=True)

    @rule(number=st.integers(0, 2))
    def address_is_released(self, number: int) -> None:
        release(ADDRESSES[number], actor=self.admin)

    @rule(number=st.integers(0, 2))
    def security_mail_is_let_through(self, number: int) -> None:
        Suppression.objects.filter(address_lower=ADDRESSES[number]).update(
            security_allowed_at=timezone.now()
        )

    @rule(data=st.data())
    def link_becomes_void(self, data: st.DataObject) -> None:
        """An invitation is renewed, say: its earlier mail must not be sent again."""
        waiting = (State.UNKNOWN, State.SENDING, State.QUEUED, State.HELD)
        message = self.some(data, *waiting)
        if message and message.is_secret:
            self.allowed_by_hand = {(State.UNKNOWN, State.CANCELLED)}
            void_links(OutboxMessage.objects.filter(pk=message.pk))
            self.facts[message.pk].has_void_link = True

    @rule(data=st.data())
    def evidence_comes_late(self, data: st.DataObject) -> None:
        """An event of Amazon SES names an attempt that was taken."""
        taken = [uid for fact in self.facts.values() for uid in fact.taken]
        if taken:
            self.allowed_by_hand = BY_EVIDENCE
            doubt.resolve_as_sent(
                attempt_uid=data.draw(st.sampled_from(taken)),
                ses_message_id="0100-late",
                at=timezone.now(),
            )

    # What workers do

    @rule(number=st.integers(0, 1))
    def worker_settles_and_claims(self, number: int) -> None:
        self.allowed_by_hand = BY_EVIDENCE  # a late outcome is evidence
        worker = self.workers[number]
        worker.pump._is_dry = False
        claims = worker.pump._settle_and_claim()
        for message in (claim.message for claim in claims):
            standing = standing_of(message.recipient)
            assert standing is None or standing.lets_through(message.lane)
        worker.pump._in_flight += len(claims)
        worker.claims += claims

    @rule(number=st.integers(0, 1))
    def time_comes_and_worker_claims(self, number: int) -> None:
        """Every wait ends some day; else the machine would mostly look at waiting."""
        OutboxMessage.objects.filter(state=State.QUEUED).update(due_at=timezone.now())
        hold.probe_now()
        self.worker_settles_and_claims(number)

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(data=st.data(), answer=st.sampled_from(sorted(ANSWERS)))
    def worker_calls_and_settles(self, data: st.DataObject, answer: str) -> None:
        self.worker_calls(data, answer)
        self.worker_settles_and_claims(data.draw(st.integers(0, 1)))

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(data=st.data(), answer=st.sampled_from(sorted(ANSWERS)))
    def worker_calls(self, data: st.DataObject, answer: str) -> None:
        worker = self.draw_worker(data, claims=True)
        took_it = ANSWERS[answer]
        if took_it is None:
            took_it = data.draw(st.booleans())
        self.call(worker, worker.claims.pop(0), answer, took_it=took_it)

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(data=st.data())
    def worker_meets_a_bug_before_the_call(self, data: st.DataObject) -> None:
        worker = self.draw_worker(data, claims=True)
        self.facts[worker.claims[0].message.pk].tries += 1
        self.finish(worker, self.send(worker, worker.claims.pop(0), Buggy()))

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(data=st.data())
    def worker_begins_a_call_that_takes_long(self, data: st.DataObject) -> None:
        worker = self.draw_worker(data, claims=True)
        claim = worker.claims.pop(0)
        assert worker.pump.journal
        try:
            send._note_start(claim, worker.pump.journal)
        except SendError as error:
            self.finish(worker, Outcome(claim, error=error))
        else:
            self.post(claim, took_it=True)
            worker.on_the_wire.append(claim)

    @precondition(lambda self: any(worker.on_the_wire for worker in self.workers))
    @rule(data=st.data(), is_answered=st.booleans())
    def long_call_comes_home(self, data: st.DataObject, is_answered: bool) -> None:  # noqa: FBT001
        worker = self.draw_worker(data, claims=False)
        claim = worker.on_the_wire.pop(0)
        assert worker.pump.journal
        if is_answered:
            worker.pump.journal.accepted(claim.attempt.uid, "0100-long")
            self.finish(worker, Outcome(claim, ses_message_id="0100-long"))
        else:
            error = SendError(problem_for("no_answer"))
            self.finish(worker, Outcome(claim, error=error))

    @rule(number=st.integers(0, 1))
    def worker_dies(self, number: int) -> None:
        """With claims not called yet, calls on the wire and outcomes not written."""
        self.kill(self.workers[number])

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(data=st.data(), took_it=st.booleans())
    def worker_dies_in_a_call(self, data: st.DataObject, took_it: bool) -> None:  # noqa: FBT001
        worker = self.draw_worker(data, claims=True)
        claim = worker.claims.pop(0)
        with pytest.raises(Killed) if claim.may_start else no_call():
            self.send(worker, claim, Gateway(self, "killed", took_it=took_it))
        self.kill(worker)

    @rule()
    def sweep(self) -> None:
        self.allowed_by_hand = BY_EVIDENCE  # what a journal says
        recovery.recover()

    # What must always hold

    @invariant()
    def states_move_along_the_arrows_only(self) -> None:
        allowed, self.allowed_by_hand = self.allowed_by_hand, set()
        now = dict(OutboxMessage.objects.values_list("pk", "state"))
        assert now.keys() == self.facts.keys()  # nothing is lost, nothing made up
        for pk, fact in self.facts.items():
            was, fact.state = fact.state, now[pk]
            fact.tries += now[pk] == State.UNKNOWN != was
            if was != now[pk] and now[pk] not in REACHABLE[State(was)]:
                assert (was, now[pk]) in allowed, f"{was} became {now[pk]}"

    @invariant()
    def whatever_does_not_move_says_why(self) -> None:
        for message in OutboxMessage.objects.filter(
            state__in=[State.HELD, State.UNKNOWN, State.FAILED, State.SUPPRESSED]
        ):
            assert message.reason_code, message.state
            assert message.reason, message.state

    @invariant()
    def one_post_an_attempt_and_one_that_may_arrive_a_wish(self) -> None:
        posted = [uid for fact in self.facts.values() for uid in fact.attempts_posted]
        assert not [uid for uid, n in collections.Counter(posted).items() if n > 1]
        for pk, fact in self.facts.items():
            assert fact.perhaps_taken <= 1 + fact.sent_again_by_hand, f"{pk} is doubled"

    @invariant()
    def what_was_taken_is_sent_or_in_doubt(self) -> None:
        for fact in self.facts.values():
            if fact.taken and not fact.sent_again_by_hand:
                is_void = fact.has_void_link and fact.state == State.CANCELLED
                is_known = fact.state in {State.SENDING, State.UNKNOWN, State.SENT}
                assert is_known or is_void
            if fact.state == State.SENT:
                assert fact.taken or fact.marked_as_sent

    @invariant()
    def secrets_are_wiped_when_all_is_over_and_not_before(self) -> None:
        secrets = OutboxMessage.objects.filter(is_secret=True)
        for state, text in secrets.values_list("state", "text_body"):
            assert (text == "") == (state in OutboxMessage.FINAL_STATES), state

    @invariant()
    def tries_are_counted(self) -> None:
        for message in OutboxMessage.objects.prefetch_related("attempt_set"):
            assert 0 <= message.attempts <= message.claims
            is_trying = message.state == State.SENDING
            assert message.attempts <= self.facts[message.pk].tries + is_trying
            assert message.attempt_set.count() == message.claims
            number_known = {attempt.uid for attempt in message.attempt_set.all()}
            assert number_known >= set(self.facts[message.pk].attempts_posted)

    def everything_ends_well(self) -> None:
        """When all faults are over, nothing waits for ever."""
        for worker in self.workers:
            self.kill(worker)
        self.workers = [new_worker()]
        hold.start_all()
        SesSettings.objects.update(is_sandbox=False)
        waiting = OutboxMessage.objects.filter(
            state__in=[State.QUEUED, State.SENDING, State.HELD]
        )
        for _ in range(60):
            self.sweep()
            self.states_move_along_the_arrows_only()
            hold.probe_now()
            self.worker_settles_and_claims(0)
            while self.workers[0].claims:
                claim = self.workers[0].claims.pop(0)
                self.call(self.workers[0], claim, "ok", took_it=True)
            self.worker_settles_and_claims(0)
            self.states_move_along_the_arrows_only()
            self.one_post_an_attempt_and_one_that_may_arrive_a_wish()
            if not waiting.exists() and not self.workers[0].claims:
                break
            self.time_passes(60)
        left = waiting.exclude(reason_code=hold.SANDBOX)
        assert not left.exists(), list(left.values("state", "reason_code"))
        self.what_was_taken_is_sent_or_in_doubt()
        self.secrets_are_wiped_when_all_is_over_and_not_before()
        self.tries_are_counted()

    # How it is played

    def draw_worker(self, data: st.DataObject, *, claims: bool) -> Worker:
        return data.draw(
            st.sampled_from(
                [w for w in self.workers if (w.claims if claims else w.on_the_wire)]
            )
        )

    def call(self, worker: Worker, claim: Claim, answer: str, *, took_it: bool) -> None:
        gateway = Gateway(self, answer, took_it=took_it)
        self.finish(worker, self.send(worker, claim, gateway))

    def send(self, worker: Worker, claim: Claim, gateway: Any) -> Outcome:
        assert worker.pump.journal
        return send.send(
            claim,
            journal=worker.pump.journal,
            choose_gateway=lambda sender: gateway.opened(),
            pace=NoPace(),
            stopping=NEVER,
            started=lambda: None,
        )

    def finish(self, worker: Worker, outcome: Outcome) -> None:
        worker.pump._take(outcome)

    def post(
        self,
        claim: Claim,
        *,
        took_it: bool,
        may_be_there: bool = True,
        burns_a_try: bool = True,
    ) -> None:
        fact = self.facts[claim.message.pk]
        fact.attempts_posted.append(claim.attempt.uid)
        fact.perhaps_taken += may_be_there
        fact.tries += burns_a_try
        if took_it:
            fact.taken.append(claim.attempt.uid)

    def kill(self, worker: Worker) -> None:
        if worker.pump.journal:
            worker.pump.journal.let_go()
        self.workers = [
            new_worker() if other is worker else other for other in self.workers
        ]


class Never:
    """An event that is never set."""

    def is_set(self) -> bool:
        return False


NEVER: Any = Never()


@dataclass
class Gateway:
    """Amazon SES for one call."""

    mail: Mail
    answer: str
    took_it: bool

    def opened(self) -> "Gateway":
        return self

    def send(self, outgoing: Any) -> str:
        may_be_there = self.answer == "killed" or ANSWERS[self.answer] is not False
        self.mail.post(
            self.claim_of(outgoing),
            took_it=self.took_it,
            may_be_there=may_be_there,
            burns_a_try=self.answer not in BURNS_NO_TRY,
        )
        if self.answer == "killed":
            raise Killed
        if self.answer == "a bug":
            raise ZeroDivisionError
        if self.answer != "ok":
            raise SendError(problem_for(self.answer), "AWS's words", request_id="r-1")
        return f"0100-{outgoing.tags['tf-att']}"

    @staticmethod
    def claim_of(outgoing: Any) -> Claim:
        attempt = DeliveryAttempt.objects.select_related("message").get(
            uid=outgoing.tags["tf-att"]
        )
        return Claim(attempt.message, attempt, SesSettings())


class Buggy:
    """A bug of TicketFlow's own, before anything leaves."""

    def opened(self) -> Any:
        raise ZeroDivisionError


def no_call() -> Any:
    return pytest.MonkeyPatch.context()


def with_refusal(wish: Any) -> bool:
    """Do what an admin asks for, and return whether it was possible."""
    try:
        wish()
    except DomainError:
        return False
    return True


@pytest.fixture
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.faults
@pytest.mark.django_db
@pytest.mark.usefixtures("_quiet")
def test_nothing_is_lost_doubled_or_moved_back_whatever_happens() -> None:
    run_state_machine_as_test(
        Mail,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=REPEATS == 1,
            print_blob=True,
        ),
    )
