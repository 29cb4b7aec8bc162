"""SIGTERM while mail flows, as every new version brings it; and a worker that freezes."""

import time

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.conftest import once
from email_settings.tests.faults.plan import Kill, Plan
from email_settings.tests.faults.ses_log import TOO_FAST, SesLog
from email_settings.tests.faults.sites import REQUESTER, FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

LONGEST_STOP_SECONDS = 30
RESEND = """
from accounts.models import User
from email_settings.delivery import by_hand
from email_settings.models import OutboxMessage
for message in OutboxMessage.objects.filter(state="unknown"):
    by_hand.resend(message.uid, actor=User.objects.first())
"""


@pytest.mark.parametrize("site_name", ["embedded", "grown"])
def test_restarts_under_load_leave_nothing_in_doubt(
    request: pytest.FixtureRequest, site_name: str, ses: SesLog
) -> None:
    site: FaultSite = request.getfixturevalue(site_name)
    ses.latency = 0.05
    uids = site.put(400)
    for taken in (1, 100):
        with site.worker() as worker:
            ses.wait_for(taken)
            began = time.monotonic()
            assert worker.terminate() == 0
            assert time.monotonic() - began < LONGEST_STOP_SECONDS
        # Nobody is left in between: what is not queued was sent.
        assert site.count("sending", "unknown") == 0
        promises.check(site, ses, enqueued=uids, is_over=False)
    ses.latency = 0
    with site.worker() as worker:
        promises.wait_until_over(site, seconds=60)
        assert worker.terminate() == 0
    promises.check(site, ses, enqueued=uids)
    assert site.count("sent") == len(uids)


# A worker that is frozen past its lease: a machine that was suspended, say


def test_late_answer_of_a_frozen_worker_is_taken_as_evidence(
    grown: FaultSite, ses: SesLog
) -> None:
    uids = grown.put(1)
    ses.close_gate()
    with grown.worker(Plan(slots=1, lease_seconds=2)) as frozen:
        ses.wait_for(1)
        frozen.freeze()
        ses.open_gate()
        with grown.worker(Plan(sweep_seconds=0.5)) as other:
            wait_until(lambda: grown.states() == ["unknown"], seconds=30)
            frozen.thaw()
            wait_until(lambda: grown.states() == ["sent"], seconds=30)
            assert (frozen.terminate(), other.terminate()) == (0, 0)
    promises.check(grown, ses, enqueued=uids)
    assert ses.count == 1
    assert [c.became for c in grown.history()] == ["sending", "unknown", "sent"]


def late_refusal(grown: FaultSite, ses: SesLog, *off: str) -> None:
    """A frozen worker hears "too fast" when another has sent the message long ago."""
    uids = grown.put(1)
    ses.answers[REQUESTER].append(TOO_FAST)
    ses.close_gate()
    with grown.worker(Plan(slots=1, lease_seconds=2, off=off)) as frozen:
        ses.wait_for(1)
        frozen.freeze()
        ses.open_gate()
        with grown.worker(Plan(sweep_seconds=0.5)) as other:
            # Frozen in a transaction, it is cut off by PostgreSQL after 20 seconds.
            wait_until(lambda: grown.states() == ["unknown"], seconds=60)
            grown.run(RESEND)
            wait_until(lambda: grown.states() == ["sent"], seconds=30)
            frozen.thaw()
            assert (frozen.terminate(), other.terminate()) == (0, 0)
    promises.check(grown, ses, enqueued=uids, resent=uids)
    assert ses.count == 2


def test_late_refusal_of_a_frozen_worker_overwrites_nothing(
    grown: FaultSite, ses: SesLog
) -> None:
    late_refusal(grown, ses)


@once
def test_without_the_claim_token_it_would(grown: FaultSite, ses: SesLog) -> None:
    with pytest.raises(promises.PromiseBroken, match="from sent to queued"):
        late_refusal(grown, ses, "claim_token")


def late_start(grown: FaultSite, ses: SesLog, *off: str) -> None:
    """A worker freezes just before its call, and another sends the message."""
    uids = grown.put(1)
    stop = Kill("email_settings.delivery.send._note_start", signal="SIGSTOP")
    plan = Plan(slots=1, lease_seconds=2, kills=[stop], off=off)
    with grown.worker(plan) as frozen:
        wait_until(lambda: grown.states() == ["sending"], seconds=30)
        with grown.worker(Plan(sweep_seconds=0.5)) as other:
            wait_until(lambda: grown.states() == ["unknown"], seconds=30)
            grown.run(RESEND)
            wait_until(lambda: grown.states() == ["sent"], seconds=30)
            frozen.thaw()
            assert (frozen.terminate(), other.terminate()) == (0, 0)
    promises.check(grown, ses, enqueued=uids, resent=uids, may_double=())


def test_call_that_comes_too_late_is_not_made(grown: FaultSite, ses: SesLog) -> None:
    late_start(grown, ses)
    assert ses.count == 1


@once
def test_without_a_latest_start_it_would_be(grown: FaultSite, ses: SesLog) -> None:
    with pytest.raises(promises.PromiseBroken, match="was sent 2 times"):
        late_start(grown, ses, "latest_start")
