"""kill -9 of a worker that has claimed more than it has slots for."""

import pytest

from email_settings.delivery.pump import AHEAD, SLOTS
from email_settings.tests.faults import promises
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite

pytestmark = [pytest.mark.processes, pytest.mark.faults]


def test_only_what_was_on_the_wire_is_in_doubt(
    embedded: FaultSite, ses: SesLog
) -> None:
    uids = embedded.put(SLOTS + AHEAD + 10)
    ses.close_gate()
    with embedded.worker() as worker:
        ses.wait_for(SLOTS)
        assert SLOTS < embedded.count("sending") <= SLOTS + AHEAD
        worker.kill()
    ses.open_gate()
    # The leases run for minutes: what the next worker knows it has from the journal.
    with embedded.worker():
        promises.wait_until_over(embedded, seconds=30)
    promises.check(embedded, ses, enqueued=uids)
    assert embedded.count("unknown") == SLOTS
    assert embedded.count("sent") == len(uids) - SLOTS
