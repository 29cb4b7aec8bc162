"""kill -9 of the worker at every step of a mail's way."""

from dataclasses import dataclass

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.conftest import REPEATS, note_kill
from email_settings.tests.faults.plan import Kill, Plan
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite

pytestmark = [pytest.mark.processes, pytest.mark.faults]

DELIVERY = "email_settings.delivery"


@dataclass(frozen=True)
class Step:
    """Where the worker dies, and what may be known afterwards."""

    name: str
    kill: Kill
    taken: int  # by Amazon SES when it died
    in_doubt: int = 0
    # One makes a scene exact: nothing else is on the wire.
    slots: int = 1


STEPS = [
    Step("before the claim", Kill(f"{DELIVERY}.claim.claim_due"), 0, slots=4),
    Step("claimed, not committed", Kill(f"{DELIVERY}.claim.claim_due", "after"), 0),
    Step("claim committed", Kill(f"{DELIVERY}.pump.Pump._start"), 0, slots=4),
    Step("before the wire", Kill(f"{DELIVERY}.journal.Journal.may_start", call=2), 1),
    Step(
        "as good as on the wire",
        Kill(f"{DELIVERY}.journal.Journal.may_start", "after", call=2),
        taken=1,
        in_doubt=1,
    ),
    Step(
        "answered, not noted",
        Kill("email_settings.gateway.ses.SesGateway.send", "after", call=2),
        taken=2,
        in_doubt=1,
    ),
    Step("noted", Kill(f"{DELIVERY}.journal.Journal.accepted", "after", call=2), 2),
    Step("before the settle", Kill(f"{DELIVERY}.settle._judge_account"), 1),
    Step(
        "settled, not committed", Kill(f"{DELIVERY}.settle._judge_account", "after"), 1
    ),
    Step("committed", Kill(f"{DELIVERY}.pump.Pump._forget_what_is_written", call=3), 1),
]
# Every step on one of the two databases at least, and on both when there is time.
SCENES = [
    pytest.param(site, step, id=f"{site}, {step.name}")
    for number, step in enumerate(STEPS)
    for index, site in enumerate(("embedded", "grown"))
    if REPEATS > 1 or number % 2 == index
]


@pytest.mark.parametrize(("site_name", "step"), SCENES)
def test_nothing_is_lost_and_nothing_doubled(
    request: pytest.FixtureRequest,
    site_name: str,
    step: Step,
    ses: SesLog,
    kills: range,
) -> None:
    """Each worker finds what the one before it left, and dies of the same."""
    site: FaultSite = request.getfixturevalue(site_name)
    uids = site.put(6)
    for died in range(1, len(kills) + 1):
        uids += site.put(2)
        with site.worker(Plan(kills=[step.kill], slots=step.slots)) as worker:
            worker.wait_until_dead()
        note_kill()
        assert ses.count == step.taken * died
    # The leases run for minutes: what the next worker knows it has from the journal.
    with site.worker():
        promises.wait_until_over(site, seconds=30)
    promises.check(site, ses, enqueued=uids)
    assert site.count("unknown") == step.in_doubt * len(kills)
    assert site.count("sent") == len(uids) - step.in_doubt * len(kills)


def test_what_was_on_the_wire_waits_for_a_person(
    embedded: FaultSite, ses: SesLog
) -> None:
    uids = embedded.put(8)
    ses.close_gate()
    with embedded.worker(Plan(slots=4)) as worker:
        ses.wait_for(4)
        worker.kill()
    ses.open_gate()
    with embedded.worker():
        promises.wait_until_over(embedded, seconds=30)
    promises.check(embedded, ses, enqueued=uids)
    assert embedded.states() == ["sent"] * 4 + ["unknown"] * 4
    assert ses.count == 8


@pytest.mark.parametrize(
    "kill",
    [
        Kill(f"{DELIVERY}.recovery._call_unknown", "after"),
        Kill(f"{DELIVERY}.recovery._replay", "after"),
        Kill(f"{DELIVERY}.recovery.replay_journals", "after"),
    ],
    ids=["in the middle", "before the commit", "after it"],
)
def test_who_puts_things_in_order_may_die_too(
    embedded: FaultSite, ses: SesLog, kill: Kill
) -> None:
    uids = embedded.put(6)
    with embedded.worker(
        Plan(
            slots=2, kills=[Kill("email_settings.gateway.ses.SesGateway.send", "after")]
        )
    ) as worker:
        worker.wait_until_dead()
    with embedded.worker(Plan(kills=[kill])) as worker:
        worker.wait_until_dead()
    with embedded.worker():
        promises.wait_until_over(embedded, seconds=30)
    promises.check(embedded, ses, enqueued=uids)
    promises.check_nothing_in_doubt(embedded, but=2)
