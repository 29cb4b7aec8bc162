"""Whatever waits, finding the next message costs the same.

Counted in work that does not depend on what else the machine does: pages that PostgreSQL
touches, steps that SQLite takes.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from email_settings.delivery import claim, due, hold, recovery
from email_settings.models import Lane, OutboxMessage
from email_settings.tests.builders import begin_with_an_empty_file, make_settings

pytestmark = pytest.mark.django_db

State = OutboxMessage.State

MANY = 5_000
STEPS = 100  # of SQLite, between two counts


def put(
    count: int,
    *,
    lane: Lane = Lane.NOTICE,
    due_in: timedelta = timedelta(0),
    **values: Any,
) -> None:
    now = timezone.now()
    OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                kind="ticket_received",
                lane=lane,
                recipient="hannah@larkfield.example",
                subject="Mail",
                text_body="Hello",
                due_at=now + due_in,
                expires_at=now + timedelta(days=3),
                **values,
            )
            for _ in range(count)
        ],
        batch_size=2_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def work_of(act: Callable[[], object]) -> int:
    """Do it, undo it, and return how much the database had to look at."""
    count = _pages_of if connection.vendor == "postgresql" else _steps_of
    work = 0
    for _ in range(2):  # the first time it reads about the tables, too
        with transaction.atomic():
            work = count(act)
            transaction.set_rollback(True)
    return work


def _steps_of(act: Callable[[], object]) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.connection.set_progress_handler(count, STEPS)
    try:
        act()
    finally:
        connection.connection.set_progress_handler(None, 0)
    return steps * STEPS


def _pages_of(act: Callable[[], object]) -> int:
    pages = 0

    def explain(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        nonlocal pages
        if sql.lstrip().startswith(("WITH", "SELECT", "UPDATE")):
            with transaction.atomic(), connection.cursor() as cursor:
                # Past this wrapper
                cursor.cursor.execute(
                    f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params
                )
                ((plan,),) = cursor.cursor.fetchall()
                pages += sum(
                    plan[0]["Plan"][f"Shared {how} Blocks"] for how in ("Hit", "Read")
                )
                transaction.set_rollback(True)
        return run(sql, params, many, context)

    with connection.execute_wrapper(explain):
        act()
    return pages


@pytest.fixture
def acts() -> dict[str, Callable[[], object]]:
    """What a worker does all the time."""
    begin_with_an_empty_file(OutboxMessage)
    sender = make_settings()
    return {
        "claim": lambda: claim.claim_due(16, token="t", sender=sender),
        "look": due.is_something_due,
        "probe": hold.is_anything_to_try,
        "leases": recovery.call_unknown_what_lost_its_lease,
        "expired": recovery.give_up_what_expired,
        "reasons": lambda: list(hold.held_reasons()),
    }


def test_what_waits_costs_the_worker_nothing(
    acts: dict[str, Callable[[], object]],
) -> None:
    put(100)
    put(100, state=State.HELD, reason_code="key_unknown")
    few = {name: work_of(act) for name, act in acts.items()}
    put(MANY)
    put(MANY, lane=Lane.DIGEST, due_in=timedelta(hours=1))
    put(MANY, lane=Lane.SECURITY, due_in=timedelta(hours=1))
    put(MANY, state=State.HELD, reason_code="key_unknown")
    put(MANY, state=State.SENT, sent_at=timezone.now())
    many = {name: work_of(act) for name, act in acts.items()}
    dear = {
        name: (few[name], many[name])
        for name in acts
        # An index is a little higher, and has some pages of what was undone. To read the
        # table instead would cost thousands.
        if many[name] > 2 * few[name] + 300
    }
    assert not dear
