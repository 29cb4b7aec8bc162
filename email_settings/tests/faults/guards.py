"""Takes one guard of the product away, to show that a test would notice.

Runs inside the process that a plan breaks. Each function names the guard; a test that
stays green without it proves nothing.
"""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from botocore.config import Config
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from email_settings import outbox, watch
from email_settings.delivery import claim, due, pump, settle
from email_settings.delivery.slots import Slots
from email_settings.gateway import ses
from email_settings.models import OutboxMessage
from email_settings.tests.faults.plan import replace, wrap
from ticketflow.lib import many_rows


def use_slots(count: int) -> None:
    """Fewer of them make a scene that is easy to set."""
    pump.SLOTS = count
    pump._slots = Slots(count)
    defaults = pump.Pump.__init__.__kwdefaults__
    assert defaults
    defaults["slots"] = pump._slots


def sweep_every(seconds: float) -> None:
    """Change the beat of the sweep; 0 takes it away."""
    schedule = dict(current_app.conf.beat_schedule)
    if seconds:
        schedule["outbox-sweep"] = {**schedule["outbox-sweep"], "schedule": seconds}
    else:
        del schedule["outbox-sweep"]
    current_app.conf.beat_schedule = schedule


def _no_sdk_retries() -> None:
    """Let the SDK post a mail again when the answer does not please it."""

    def with_retries(**options: Any) -> Config:
        return Config(**{**options, "retries": {"total_max_attempts": 3}})

    ses.Config = with_retries  # type: ignore[assignment,attr-defined]


def _no_journal() -> None:
    """Let nobody read what a dead worker wrote down."""
    replace("email_settings.delivery.journal.left_behind", lambda: iter(()))


def _no_latest_start() -> None:
    """Let a call begin however long ago its message was claimed."""
    claim.LATEST_START = timedelta(days=1)


def _no_claim_token() -> None:
    """Let a worker write to a message that it has lost meanwhile."""
    update_rows = many_rows.update_rows

    def whoever_holds_it(model: Any, rows: Any, *, match: Any, new: Any = None) -> int:
        if "claim_token" in match:
            match = [name for name in match if name != "claim_token"]
            rows, new = [{**row, "claim_token": ""} for row in rows], None
        return update_rows(model, rows, match=match, new=new)

    settle.update_rows = whoever_holds_it  # type: ignore[attr-defined]


def _no_lease() -> None:
    """Let a worker that died keep its messages."""
    claim.LEASE = timedelta(days=3650)


def _no_claim_by_condition() -> None:
    """Read what is due first, and mark it afterwards: as if nobody else did the same."""

    def naively(find: due.Find, token: str) -> list[OutboxMessage]:
        statement, values = find
        unlocked: Any = (statement.replace("FOR UPDATE SKIP LOCKED", ""), values)
        with connection.cursor() as cursor:
            cursor.execute(*unlocked)
            ids = [row[0] for row in cursor.fetchall()]
        if ids:
            _wait_for_the_other()
        found = OutboxMessage.objects.filter(pk__in=ids)
        found.update(
            state="sending",
            claim_token=token,
            lease_until=timezone.now() + claim.LEASE,
            attempts=1,
            claims=time.time_ns() % 1_000_000_000,
        )
        return list(found)

    replace("email_settings.delivery.claim._lease", naively)


def _wait_for_the_other() -> None:
    """Go on when another process has read the same, or had its time to."""
    readers = Path(settings.DATA_DIR) / "readers"
    readers.mkdir(exist_ok=True)
    (readers / str(os.getpid())).touch()
    ends_at = time.monotonic() + 15
    while len(list(readers.iterdir())) < 2 and time.monotonic() < ends_at:
        time.sleep(0.05)


def _no_kept_results() -> None:
    """Forget what came home when the database can't take it just now."""

    def forgetful(cycle: Callable[..., Any]) -> Callable[..., Any]:
        def around(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return cycle(self, *args, **kwargs)
            except Exception:
                self.unsettled = []
                raise

        return around

    wrap("email_settings.delivery.pump.Pump._cycle", forgetful)


def _no_watch() -> None:
    """Look for nothing that nobody was told of."""
    watch._Look.look_when_it_is_time = lambda self: None  # type: ignore[method-assign]


def _no_one_pump() -> None:
    """Let a process run as many pumps as it is woken."""

    class NoTurn:
        def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002
            return True

        def release(self) -> None:
            pass

        def locked(self) -> bool:
            return False

    pump._turn = NoTurn()  # type: ignore[assignment]


def _no_thread_for_nudges() -> None:
    """Publish in the request, and let the request fail when that fails."""

    def publish_at_once() -> None:
        current_app.send_task("outbox.deliver", retry=False)

    def on_commit(function: Any, *, robust: bool = False) -> None:
        transaction.on_commit(publish_at_once)

    class Fragile:
        atomic = staticmethod(transaction.atomic)

    Fragile.on_commit = staticmethod(on_commit)  # type: ignore[attr-defined]
    outbox.transaction = Fragile  # type: ignore[assignment,attr-defined]


OFF: dict[str, Callable[[], None]] = {
    "sdk_retries": _no_sdk_retries,
    "claim_token": _no_claim_token,
    "lease": _no_lease,
    "journal": _no_journal,
    "latest_start": _no_latest_start,
    "conditional_claim": _no_claim_by_condition,
    "keep_results": _no_kept_results,
    "one_pump": _no_one_pump,
    "watch": _no_watch,
    "robust_nudge": _no_thread_for_nudges,
}
