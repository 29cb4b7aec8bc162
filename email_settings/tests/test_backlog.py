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


def analyze() -> None:
    """Have the database make statistics, which many an installation never does."""
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
def acts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], object]]:
    """What a worker does all the time."""
    begin_with_an_empty_file(OutboxMessage)
    sender = make_settings()
    held = make_settings()
    held.hold_code = "key_unknown"
    # What is changed costs something for each message.
    monkeypatch.setattr(hold, "AT_ONCE", 1)
    return {
        "claim": lambda: claim.claim_due(16, token="t", sender=sender),
        "claim held": lambda: claim.claim_held(token="t", sender=sender),
        "look": due.is_something_due,
        "probe": hold.is_anything_to_try,
        "leases": recovery.call_unknown_what_lost_its_lease,
        "expired": recovery.give_up_what_expired,
        "reasons": due.held_reasons,
        "park": lambda: hold.park_behind(hold.Gate(Lane.SECURITY, hold.RESERVE)),
        "release": lambda: hold.release_what_may_go(
            held, None, waiting_since=timezone.now()
        ),
    }


def become_dear(
    few: dict[str, int], many: dict[str, int]
) -> dict[str, tuple[int, int]]:
    """Return what costs more where many wait than where few do."""
    # An index is a little higher, and has some pages of what was undone. To read the
    # table instead would cost thousands.
    return {
        name: (few[name], many[name])
        for name in few
        if many[name] > 2 * few[name] + 300
    }


def test_what_waits_costs_the_worker_nothing(
    acts: dict[str, Callable[[], object]],
) -> None:
    put(100)
    put(100, state=State.HELD, reason_code="key_unknown")
    analyze()
    few = {name: work_of(act) for name, act in acts.items()}
    put(MANY)
    put(MANY, lane=Lane.DIGEST, due_in=timedelta(hours=1))
    put(MANY, lane=Lane.SECURITY, due_in=timedelta(hours=1))
    put(MANY, state=State.HELD, reason_code="key_unknown")
    put(MANY, state=State.SENT, sent_at=timezone.now())
    analyze()
    many = {name: work_of(act) for name, act in acts.items()}
    assert not become_dear(few, many)


@pytest.mark.parametrize("has_statistics", [True, False])
def test_what_is_held_costs_the_worker_nothing(
    acts: dict[str, Callable[[], object]],
    has_statistics: bool,  # noqa: FBT001
) -> None:
    """Be it for the account, or for what no probe finds out about."""
    acts.pop("expired")  # without statistics SQLite finds it among what is captured
    reasons = [("key_unknown", Lane.NOTICE), ("daily_quota", Lane.DIGEST)]
    apart = ["body_key_missing", "recipient_not_verified", "rehearsal"]
    reasons += [(code, Lane.SECURITY) for code in apart]
    for code, lane in reasons:
        put(20, state=State.HELD, reason_code=code, lane=lane)
    put(MANY, state=State.SENT, sent_at=timezone.now())
    if has_statistics:
        analyze()
    few = {name: work_of(act) for name, act in acts.items()}
    for code, lane in reasons:
        put(MANY, state=State.HELD, reason_code=code, lane=lane)
    put(4 * MANY, state=State.SENT, sent_at=timezone.now())
    if has_statistics:
        analyze()
    many = {name: work_of(act) for name, act in acts.items()}
    assert not become_dear(few, many)
