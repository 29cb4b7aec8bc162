"""Redis that is down, emptied or frozen: people notice nothing, and mail is late."""

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.browser import Browser
from email_settings.tests.faults.conftest import once
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.servers import RedisServer
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite

pytestmark = [pytest.mark.processes, pytest.mark.faults]

# Far more than a page takes on a busy machine, far less than a frozen Redis would cost
A_MOMENT = 5.0
LATE_SECONDS = 60


def open_ticket(browser: Browser, subject: str) -> None:
    """Raise PromiseBroken when the person is refused, or waits for the broker."""
    reply = browser.send_ticket(browser.new_ticket(subject))
    if not reply.is_done:
        raise promises.PromiseBroken(f"a ticket was answered by {reply.status}")
    if reply.seconds > A_MOMENT:
        raise promises.PromiseBroken(f"a ticket took {reply.seconds:.1f} s")


def test_people_work_on_while_redis_is_away(
    grown: FaultSite, ses: SesLog, redis_server: RedisServer
) -> None:
    redis_server.stop()
    with grown.web() as web, grown.worker(Plan(sweep_seconds=1)):
        browser = Browser(web.port)
        # At the start
        assert browser.sign_in().is_done
        open_ticket(browser, "Down from the start")
        assert ses.count == 0
        redis_server.start()
        promises.wait_until_over(grown, count=3, seconds=LATE_SECONDS)
        # In the middle of it
        redis_server.stop()
        open_ticket(browser, "Down in the middle")
        assert Browser(web.port).sign_in().is_done
        redis_server.start()
        promises.wait_until_over(grown, count=6, seconds=LATE_SECONDS)
        # It takes connections and says nothing.
        with redis_server.frozen():
            open_ticket(browser, "Frozen")
        promises.wait_until_over(grown, count=9, seconds=LATE_SECONDS)
    promises.check(grown, ses)
    promises.check_nothing_in_doubt(grown)
    assert grown.count("sent") == 9


def flush(
    grown: FaultSite, ses: SesLog, redis_server: RedisServer, plan: Plan, seconds: float
) -> None:
    """Empty Redis while mail waits, and again when nobody was told of more."""
    ses.latency = 0.02
    first = grown.put(200)
    with grown.worker(plan) as worker:
        ses.wait_for(20)
        redis_server.flush()
        worker.wait_until_ready()
        promises.wait_until_over(grown, seconds=LATE_SECONDS)
        second = grown.put(50)
        redis_server.flush()
        promises.wait_until_over(grown, seconds=seconds)
    promises.check(grown, ses, enqueued=[*first, *second])
    promises.check_nothing_in_doubt(grown)


@pytest.mark.parametrize(
    "plan",
    [Plan(sweep_seconds=0), Plan(sweep_seconds=1, off=["watch"])],
    ids=["the watch finds it", "the sweep finds it"],
)
def test_emptied_redis_loses_no_mail(
    grown: FaultSite, ses: SesLog, redis_server: RedisServer, plan: Plan
) -> None:
    flush(grown, ses, redis_server, plan, LATE_SECONDS)


@once
def test_without_watch_and_sweep_it_would(
    grown: FaultSite, ses: SesLog, redis_server: RedisServer
) -> None:
    plan = Plan(sweep_seconds=0, off=["watch"])
    with pytest.raises(promises.PromiseBroken, match="'queued': 50"):
        flush(grown, ses, redis_server, plan, seconds=4)


@once
def test_without_a_thread_for_it_people_would_be_refused(
    grown: FaultSite, redis_server: RedisServer
) -> None:
    with grown.web(Plan(off=["robust_nudge"])) as web:
        browser = Browser(web.port)
        assert browser.sign_in().is_done
        redis_server.stop()
        with pytest.raises(promises.PromiseBroken, match="answered by 500"):
            open_ticket(browser, "Nobody hears it")
