"""Each guard taken away in turn: the promise must break, or its test proves nothing.

Those of the claim token, the kept results, watch and sweep and the thread for nudges are next
to the tests of what they guard.
"""

from pathlib import Path

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.conftest import once
from email_settings.tests.faults.plan import Kill, Plan
from email_settings.tests.faults.promises import PromiseBroken
from email_settings.tests.faults.ses_log import BROKEN, SesLog
from email_settings.tests.faults.sites import REQUESTER, FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]


# The journal: what was never on the wire is not in doubt


def die_before_the_wire(site: FaultSite, ses: SesLog, *off: str) -> None:
    site.put(4)
    kill = Kill("email_settings.delivery.pump.Pump._start")
    with site.worker(Plan(kills=[kill], slots=4, lease_seconds=1)) as worker:
        worker.wait_until_dead()
    with site.worker(Plan(sweep_seconds=0.5, off=off)):
        promises.wait_until_over(site, seconds=30)
    promises.check(site, ses)
    promises.check_nothing_in_doubt(site)


def test_journal_tells_what_was_never_sent(embedded: FaultSite, ses: SesLog) -> None:
    die_before_the_wire(embedded, ses)


@once
def test_without_the_journal_it_is_in_doubt(embedded: FaultSite, ses: SesLog) -> None:
    with pytest.raises(PromiseBroken, match="4 messages are in doubt"):
        die_before_the_wire(embedded, ses, "journal")


# One request a try


def get_no_clear_answer(site: FaultSite, ses: SesLog, *off: str) -> None:
    site.put(1)
    ses.answers[REQUESTER].append(BROKEN)
    with site.worker(Plan(off=off)):
        promises.wait_until_over(site, seconds=30)
    promises.check(site, ses)


def test_a_try_is_one_request(embedded: FaultSite, ses: SesLog) -> None:
    get_no_clear_answer(embedded, ses)
    assert embedded.states() == ["unknown"]
    assert ses.count == 1


@once
def test_with_retries_of_the_sdk_it_is_two(embedded: FaultSite, ses: SesLog) -> None:
    with pytest.raises(PromiseBroken, match="was posted 2 times"):
        get_no_clear_answer(embedded, ses, "sdk_retries")


# The lease: the evidence for what a dead worker of another machine held


def die_on_another_machine(
    site: FaultSite, ses: SesLog, elsewhere: Path, *off: str, seconds: float
) -> None:
    uids = site.put(6)
    ses.close_gate()
    with site.worker(Plan(slots=2, lease_seconds=2, off=off)) as worker:
        ses.wait_for(2)
        worker.kill()
    ses.open_gate()
    (site.data_dir / "wire").rename(elsewhere / "wire")
    with site.worker(Plan(sweep_seconds=0.5)):
        promises.wait_until_over(site, seconds=seconds)
    promises.check(site, ses, enqueued=uids)


def test_lease_ends_for_a_worker_of_another_machine(
    grown: FaultSite, ses: SesLog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    die_on_another_machine(grown, ses, elsewhere, seconds=30)
    assert grown.states() == ["sent"] * 4 + ["unknown"] * 2


@once
def test_without_a_lease_nobody_learns_of_it(
    grown: FaultSite, ses: SesLog, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.raises(PromiseBroken, match=r"still waits.*sending"):
        die_on_another_machine(grown, ses, elsewhere, "lease", seconds=6)


# The claim: one statement decides who sends a message


def race(site: FaultSite, ses: SesLog, *off: str) -> None:
    plan = Plan(slots=8, sweep_seconds=0.2, off=off)
    with site.worker(plan) as one, site.worker(plan) as two:
        one.wait_until_ready()
        two.wait_until_ready()
        uids = site.put(8)
        promises.wait_until_over(site, seconds=30)
        if off:  # the slower one has read them too, and sends them after the other
            wait_until(lambda: ses.count > len(uids), seconds=30)
    promises.check(site, ses, enqueued=uids)


def test_two_workers_share_the_mail(grown: FaultSite, ses: SesLog) -> None:
    race(grown, ses)


@once
def test_without_the_condition_both_send_it(grown: FaultSite, ses: SesLog) -> None:
    with pytest.raises(PromiseBroken, match="was sent 2 times"):
        race(grown, ses, "conditional_claim")


# One pump a process: a crash leaves no more in doubt than there are slots


def wake_again_and_again(site: FaultSite, ses: SesLog, *off: str) -> None:
    site.put(12)
    ses.close_gate()
    with site.worker(Plan(slots=2, sweep_seconds=0.2, off=off)):
        ses.wait_for(2)
        try:
            wait_until(lambda: site.count("sending") > 2, seconds=3)
        except AssertionError:
            return
    raise PromiseBroken("more is leased than there are slots")


def test_one_pump_leases_what_it_has_slots_for(
    embedded: FaultSite, ses: SesLog
) -> None:
    wake_again_and_again(embedded, ses)


@once
def test_two_pumps_lease_more(embedded: FaultSite, ses: SesLog) -> None:
    with pytest.raises(PromiseBroken, match="more is leased"):
        wake_again_and_again(embedded, ses, "one_pump")
