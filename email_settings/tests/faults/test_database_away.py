"""PostgreSQL that restarts, cuts connections and takes no writes, in the middle of it all."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.browser import Browser, Reply
from email_settings.tests.faults.conftest import once
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.servers import Postgres
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

BACK_WITHIN_SECONDS = 20
# What a page may say while there is no database, or half of one.
HONEST = {
    HTTPStatus.OK,
    HTTPStatus.FOUND,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
}
MANY = 400


def restart_at_once(postgres: Postgres) -> AbstractContextManager[None]:
    postgres.restart("immediate")
    return nullcontext()


def restart_in_order(postgres: Postgres) -> AbstractContextManager[None]:
    postgres.restart("fast")
    return nullcontext()


def cut_connections(postgres: Postgres) -> AbstractContextManager[None]:
    postgres.cut_connections()
    return nullcontext()


FAULTS: list[Callable[[Postgres], AbstractContextManager[None]]] = [
    restart_at_once,
    restart_in_order,
    cut_connections,
    Postgres.read_only,
]


def break_database(site: FaultSite, ses: SesLog, postgres: Postgres, plan: Plan) -> int:
    """Break it four times while mail flows; return how many mails there were."""
    ses.latency = 0.03
    site.put(MANY)
    with site.worker(plan):
        for number, fault in enumerate(FAULTS, 1):
            ses.wait_for(number * MANY // 5)
            with fault(postgres):
                time.sleep(1)  # how long it is away; nothing is expected meanwhile
        promises.wait_until_over(site, seconds=60)
    promises.check(site, ses)
    promises.check_nothing_in_doubt(site)
    return MANY


def test_mail_is_neither_lost_nor_doubled_nor_in_doubt(
    grown: FaultSite, ses: SesLog, postgres: Postgres
) -> None:
    assert break_database(grown, ses, postgres, Plan()) == grown.count("sent")


@once
def test_without_keeping_results_it_would_be_in_doubt(
    grown: FaultSite, ses: SesLog, postgres: Postgres
) -> None:
    ses.latency = 0.03
    grown.put(MANY)
    plan = Plan(off=["keep_results"], lease_seconds=2, sweep_seconds=0.5)
    with grown.worker(plan):
        ses.wait_for(MANY // 4)
        postgres.restart("fast")
        promises.wait_until_over(grown, seconds=60)
    with pytest.raises(promises.PromiseBroken, match="in doubt"):
        promises.check_nothing_in_doubt(grown)


def wait_for_another(opened: list[str], *, seconds: float) -> None:
    """Wait until one more ticket has been opened."""
    before = len(opened)
    wait_until(lambda: len(opened) > before, seconds=seconds)


def test_web_says_so_and_is_well_again_by_itself(
    grown: FaultSite, ses: SesLog, postgres: Postgres
) -> None:
    opened: list[str] = []
    replies: list[Reply] = []
    is_over = threading.Event()

    def open_tickets(browser: Browser) -> None:
        """Send each form until it is taken, as people do."""
        for number in range(1000):
            form = None
            while not is_over.is_set():
                try:
                    form = form or browser.new_ticket(f"Printer {number}")
                except AssertionError:  # an error page: no form on it
                    continue
                replies.append(browser.send_ticket(form))
                if replies[-1].is_done:
                    opened.append(replies[-1].location)
                    break

    with grown.web() as web, grown.worker():
        browser = Browser(web.port)
        assert browser.sign_in().is_done
        person = threading.Thread(target=open_tickets, args=(browser,))
        person.start()
        try:
            for fault in FAULTS:
                wait_for_another(opened, seconds=60)
                with fault(postgres):
                    time.sleep(1)
                began = time.monotonic()
                wait_until(
                    lambda: Browser(web.port).get("/healthz").status == HTTPStatus.OK,
                    seconds=BACK_WITHIN_SECONDS,
                )
                left = BACK_WITHIN_SECONDS - (time.monotonic() - began)
                wait_for_another(opened, seconds=left)
        finally:
            is_over.set()
            person.join()
        promises.wait_until_over(grown, count=3 * len(opened), seconds=60)
    assert {reply.status for reply in replies} <= HONEST
    # One ticket a form, each with its three mails: nothing by halves.
    tickets = grown.query("SELECT count(*) FROM tickets_ticket")[0][0]
    assert tickets == len(opened) == len(set(opened))
    assert len(grown.messages()) == 3 * len(opened)
    promises.check(grown, ses)
    promises.check_nothing_in_doubt(grown)
