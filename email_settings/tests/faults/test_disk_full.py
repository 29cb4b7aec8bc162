"""A full disk: the database, the journal of the wire and the log can't be written."""

import time
from http import HTTPStatus
from pathlib import Path

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.browser import Browser
from email_settings.tests.faults.conftest import once
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite

pytestmark = [pytest.mark.processes, pytest.mark.faults]

SLOTS = 4
REFUSED = {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE}


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """While this file is there the disk of whoever is told of it is full."""
    return tmp_path / "full"


def fill_disk(site: FaultSite, ses: SesLog, full: Path, *off: str) -> None:
    """Fill it twice while mail flows; people go on waiting, and so does mail."""
    ses.latency = 0.02
    uids = site.put(60)
    plan = Plan(
        slots=SLOTS,
        lease_seconds=4,
        sweep_seconds=0.5,
        full_disk_while=str(full),
        off=off,
    )
    with site.worker(plan) as worker:
        for taken in (10, 30):
            ses.wait_for(taken)
            full.touch()
            time.sleep(0.3)  # what was claimed before comes home meanwhile
            taken_by_then = ses.count
            time.sleep(1)
            # What can't be written down is not sent.
            assert ses.count == taken_by_then
            full.unlink()
        promises.wait_until_over(site, seconds=60)
        assert worker.process.poll() is None
    promises.check(site, ses, enqueued=uids)
    promises.check_nothing_in_doubt(site)


def test_mail_waits_until_there_is_room_again(
    embedded: FaultSite, ses: SesLog, full: Path
) -> None:
    fill_disk(embedded, ses, full)
    assert embedded.count("sent") == ses.count == 60


@once
def test_without_keeping_results_it_would_be_in_doubt(
    embedded: FaultSite, ses: SesLog, full: Path
) -> None:
    with pytest.raises(promises.PromiseBroken, match="in doubt"):
        fill_disk(embedded, ses, full, "keep_results")


def test_ticket_is_refused_as_a_whole_and_taken_when_there_is_room_again(
    embedded: FaultSite, ses: SesLog, full: Path
) -> None:
    with embedded.web(Plan(full_disk_while=str(full))) as web, embedded.worker():
        browser = Browser(web.port)
        assert browser.sign_in().is_done
        form = browser.new_ticket("Printer")
        full.touch()
        time.sleep(0.3)
        assert browser.send_ticket(form).status in REFUSED
        assert embedded.query("SELECT count(*) FROM tickets_ticket") == [(0,)]
        assert embedded.messages() == []
        # What only reads goes on.
        assert browser.get("/tickets/").status == HTTPStatus.OK
        full.unlink()
        time.sleep(0.3)
        assert browser.send_ticket(form).is_done
        promises.wait_until_over(embedded, count=3, seconds=30)
    assert embedded.query("SELECT count(*) FROM tickets_ticket") == [(1,)]
    promises.check(embedded, ses)
    promises.check_nothing_in_doubt(embedded)
