"""A long backlog: a password reset does not wait for thousands of notices."""

import pytest

from email_settings.models import Lane
from email_settings.tests.faults import promises
from email_settings.tests.faults.conftest import REPEATS
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

BACKLOG = 1_500 if REPEATS == 1 else 20_000
URGENT = "ines@larkfield.example"
SLOTS = 4
# Whatever was claimed when it was written, and what was claimed until it was found
MAY_GO_FIRST = 100
LONGEST_SECONDS = 10


@pytest.mark.parametrize("site_name", ["embedded", "grown"])
def test_urgent_mail_overtakes_the_backlog(
    request: pytest.FixtureRequest, site_name: str, ses: SesLog
) -> None:
    site: FaultSite = request.getfixturevalue(site_name)
    ses.latency = 0.02
    uids = site.put(BACKLOG)
    with site.worker(Plan(slots=SLOTS)):
        ses.wait_for(50)
        uids += site.put(1, recipient=URGENT, lane=Lane.SECURITY)
        before = ses.count
        wait_until(
            lambda: URGENT in {taken.recipient for taken in ses.read()},
            seconds=LONGEST_SECONDS,
        )
    places = [taken.recipient for taken in ses.read()]
    assert places.index(URGENT) - before < MAY_GO_FIRST
    promises.check(site, ses, enqueued=uids, is_over=False)
