"""Clocks that are an hour off: mail leaves all the same, when it is due, and once.

On PostgreSQL the database's clock decides, whatever web machines and workers believe.
"""

import time

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.browser import Browser
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.ses_log import TOO_FAST, SesLog
from email_settings.tests.faults.sites import REQUESTER, FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

HOUR = 3600.0
A_MOMENT = 20.0  # far less than an hour, even on a busy machine
AHEAD_AND_BEHIND = pytest.mark.parametrize(
    "off", [HOUR, -HOUR], ids=["ahead", "behind"]
)
# One was released, one was retried, one was sent again.
_LET_GO = """
from datetime import timedelta
from django.utils import timezone
real = timezone.now
timezone.now = lambda: real() + timedelta(seconds=off)
from accounts.models import User
from email_settings.delivery import by_hand, hold
from email_settings.models import OutboxMessage
admin = User.objects.first()
released, retried, resent = OutboxMessage.objects.all()
OutboxMessage.objects.filter(pk=retried.pk).update(state="failed", reason_code="expired")
OutboxMessage.objects.filter(pk=resent.pk).update(state="unknown", reason_code="no_answer")
hold.stop_all(admin)
hold.start_all()
by_hand.retry_message(retried.uid)
by_hand.resend(resent.uid, actor=admin)
"""
_LEASES = """
SELECT extract(epoch FROM min(lease_until - now())),
    extract(epoch FROM max(lease_until - now()))
FROM email_settings_outboxmessage WHERE state = 'sending'
"""
_MOMENTS = """
SELECT extract(epoch FROM clock_timestamp() - min(moment)),
    extract(epoch FROM clock_timestamp() - max(moment))
FROM (
    SELECT sent_at AS moment FROM email_settings_outboxmessage
    UNION ALL SELECT started_at FROM email_settings_deliveryattempt
    UNION ALL SELECT finished_at FROM email_settings_deliveryattempt
) AS moments
"""


@AHEAD_AND_BEHIND
def test_mail_of_a_web_machine_whose_clock_is_off_leaves_at_once(
    grown: FaultSite, ses: SesLog, off: float
) -> None:
    plan = Plan(clock_ahead_seconds=off)
    with grown.web(plan) as web, grown.worker() as worker:
        worker.wait_until_ready()
        browser = Browser(web.port)
        assert browser.sign_in().is_done
        assert browser.send_ticket(browser.new_ticket("Printer")).is_done
        promises.wait_until_over(grown, count=3, seconds=A_MOMENT)
    promises.check(grown, ses)
    assert grown.states() == ["sent"] * 3
    # It lives as long as any other mail.
    lives = "SELECT extract(epoch FROM min(expires_at - now())) / 86400 FROM {}"
    ((days,),) = grown.query(lives.format("email_settings_outboxmessage"))
    assert 2.9 < days < 3


@AHEAD_AND_BEHIND
def test_mail_that_an_admin_of_such_a_machine_lets_go_leaves_at_once(
    grown: FaultSite, ses: SesLog, off: float
) -> None:
    uids = grown.put(3)
    grown.run(f"off = {off}{_LET_GO}")
    with grown.worker():
        promises.wait_until_over(grown, seconds=A_MOMENT)
    assert grown.states() == ["sent"] * 3
    assert ses.per_message() == dict.fromkeys(uids, 1)


@AHEAD_AND_BEHIND
def test_worker_whose_clock_is_off_neither_takes_nor_loses_what_is_leased(
    grown: FaultSite, ses: SesLog, off: float
) -> None:
    uids = grown.put(4)
    ses.close_gate()
    own = Plan(slots=2, sweep_seconds=0.5)
    wrong = Plan(slots=2, sweep_seconds=0.5, clock_ahead_seconds=off)
    with grown.worker(own) as one, grown.worker(wrong) as two:
        ses.wait_for(4)
        ((shortest, longest),) = grown.query(_LEASES)
        # Two minutes by the one clock there is, whoever leased it
        assert 60 < shortest <= longest <= 120
        one.wait_until_ready()
        two.wait_until_ready()
        time.sleep(2)  # some sweeps of both, which must find nothing to do
        assert grown.states() == ["sending"] * 4
        ses.open_gate()
        promises.wait_until_over(grown, seconds=A_MOMENT)
        assert (one.terminate(), two.terminate()) == (0, 0)
    promises.check(grown, ses, enqueued=uids)
    assert grown.states() == ["sent"] * 4
    assert ses.count == 4


@AHEAD_AND_BEHIND
def test_worker_whose_clock_is_off_finds_what_a_dead_one_left(
    grown: FaultSite, ses: SesLog, off: float
) -> None:
    uids = grown.put(2)
    ses.close_gate()
    with grown.worker(Plan(slots=1, lease_seconds=5, off=["journal"])) as worker:
        ses.wait_for(1)
        worker.kill()
    ses.open_gate()
    plan = Plan(sweep_seconds=0.5, clock_ahead_seconds=off, off=["journal"])
    with grown.worker(plan):
        wait_until(lambda: grown.states() == ["sent", "unknown"], seconds=A_MOMENT)
    promises.check(grown, ses, enqueued=uids)


@AHEAD_AND_BEHIND
def test_mail_that_such_a_worker_has_to_try_again_is_tried_when_it_said(
    grown: FaultSite, ses: SesLog, off: float
) -> None:
    uids = grown.put(1)
    ses.answers[REQUESTER] = [TOO_FAST]
    with grown.worker(Plan(sweep_seconds=0.5, clock_ahead_seconds=off)):
        promises.wait_until_over(grown, seconds=A_MOMENT)
    promises.check(grown, ses, enqueued=uids)
    assert grown.states() == ["sent"]
    first, second = ses.read()
    assert second.at - first.at > 0.9  # it waits for a second or two
    # What it writes down about it fits together with what others write.
    ((oldest, newest),) = grown.query(_MOMENTS)
    assert 0 <= newest <= oldest < A_MOMENT
