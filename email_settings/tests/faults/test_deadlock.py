"""A real deadlock: PostgreSQL ends one of two transactions that wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.conftest import once
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

# Of the two the one that waited first finds out, after a second, and is ended.
_WAITS_FOR_A_LOCK = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


@contextmanager
def somebody_else(site: FaultSite) -> Iterator["psycopg.Connection[tuple[int]]"]:
    with psycopg.connect(site.environment["DATABASE_URL"]) as other:
        # It has all the patience in the world, so that the worker's is what ends.
        other.execute("SET deadlock_timeout = '1min'")
        other.commit()
        yield other


def deadlock(grown: FaultSite, ses: SesLog, *off: str) -> None:
    """A result is to be written, and somebody locks its two rows the other way round."""
    uids = grown.put(1)
    ses.close_gate()
    plan = Plan(slots=1, lease_seconds=5, sweep_seconds=0.5, off=off)
    with grown.worker(plan) as worker, somebody_else(grown) as other:
        ses.wait_for(1)
        other.execute("SELECT id FROM email_settings_deliveryattempt FOR UPDATE")
        ses.open_gate()
        # The worker has written the message and waits to write its try.
        wait_until(lambda: grown.query(_WAITS_FOR_A_LOCK)[0][0] == 1, seconds=20)
        other.execute("SELECT id FROM email_settings_outboxmessage FOR UPDATE")
        other.rollback()
        promises.wait_until_over(grown, seconds=30)
        wait_until(lambda: worker.says("deadlock detected"), seconds=10)
    promises.check(grown, ses, enqueued=uids)
    promises.check_nothing_in_doubt(grown)


def test_deadlock_is_tried_again(grown: FaultSite, ses: SesLog) -> None:
    deadlock(grown, ses)
    assert grown.states() == ["sent"]
    assert ses.count == 1


@once
def test_without_keeping_results_a_deadlock_would_leave_doubt(
    grown: FaultSite, ses: SesLog
) -> None:
    with pytest.raises(promises.PromiseBroken, match="in doubt"):
        deadlock(grown, ses, "keep_results")
