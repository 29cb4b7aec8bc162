"""The database fails one statement, or one commit: the first, the second, and so on.

As a deadlock or a serialization failure does, or a server that goes away while it says
that all is written. Each place in a run of the pump gets its turn.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection

from email_settings.delivery import pump
from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings
from email_settings.tests.builders import make_settings
from email_settings.tests.faults_inside.aws import ScriptedSes
from email_settings.tests.faults_inside.conftest import QUICK
from email_settings.tests.faults_inside.mail import put_many, states

# The errors end real transactions, so the test must not be inside of one.
pytestmark = pytest.mark.django_db(transaction=True)

State = OutboxMessage.State

MAILS = 3
PLACES = 200  # more than there are; the loop ends where a run had no such place
ERRORS = {
    "40P01": "deadlock detected",
    "40001": "could not serialize access due to concurrent update",
    "locked": "database is locked",
}


@dataclass
class Fault:
    """Fails at one call, once."""

    at: int
    words: str
    calls: int = 0

    @property
    def has_happened(self) -> bool:
        return self.calls >= self.at

    def call(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise OperationalError(self.words)


@contextmanager
def failing_statement(fault: Fault) -> Iterator[None]:
    def execute(run: Callable[..., Any], *arguments: Any) -> Any:
        fault.call()
        return run(*arguments)

    with connection.execute_wrapper(execute):
        yield


@contextmanager
def failing_commit(fault: Fault, *, is_written: bool) -> Iterator[None]:
    """Nobody is told whether it was written, and it was or was not."""
    commit = connection._commit  # type: ignore[attr-defined]

    def fail() -> None:
        if is_written:
            commit()
        try:
            fault.call()
        except OperationalError:
            if not is_written:
                connection._rollback()  # type: ignore[attr-defined]
            raise
        if not is_written:
            commit()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "_commit", fail)
        yield


def drain() -> None:
    """Send as the worker's watch does: what fails is tried again."""
    try:
        pump.drain()
    except DatabaseError:
        connection.close()


def send_three(aws: ScriptedSes, fault: Fault, failing: Any) -> None:
    """Send them through the fault, and check that each left once and is known to."""
    aws.log.clear()
    OutboxMessage.objects.all().delete()
    put_many(MAILS)
    with failing:
        drain()
    drain()
    assert states() == {State.SENT: MAILS}, fault
    assert sorted(aws.posts_by_message().values()) == [1] * MAILS, fault
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {1}
    # The claims that were lost with their commit left no try behind.
    assert DeliveryAttempt.objects.exclude(outcome="accepted").count() == 0, fault


@pytest.fixture
def one_pump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left over from other tests, nor for them."""
    monkeypatch.setattr(pump, "_last", None)


@pytest.mark.usefixtures("one_pump")
@pytest.mark.parametrize("words", ERRORS.values(), ids=ERRORS)
def test_statement_that_fails_costs_no_mail(aws: ScriptedSes, words: str) -> None:
    make_settings(max_send_rate=QUICK)
    for at in range(1, PLACES):
        fault = Fault(at, words)
        send_three(aws, fault, failing_statement(fault))
        if not fault.has_happened:
            break
    assert at > 10


@pytest.mark.usefixtures("one_pump")
@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
def test_commit_that_nobody_heard_of_costs_no_mail(
    aws: ScriptedSes,
    is_written: bool,  # noqa: FBT001
) -> None:
    make_settings(max_send_rate=QUICK)
    for at in range(1, PLACES):
        fault = Fault(at, "server closed the connection unexpectedly")
        send_three(aws, fault, failing_commit(fault, is_written=is_written))
        if not fault.has_happened:
            break
    assert at > 3
    assert SesSettings.load().hold_code == ""
