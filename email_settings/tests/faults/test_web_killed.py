"""kill -9 of the web process before, inside and after the transaction of a ticket."""

from collections import Counter
from pathlib import Path

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.browser import Browser, Reply
from email_settings.tests.faults.plan import Kill, Plan
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import AGENTS, REQUESTER, FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

STEPS = {
    "before the transaction": (Kill("tickets.services.open_ticket"), 0),
    "inside, the ticket written": (Kill("tickets.services.tell"), 0),
    "inside, the mail written": (Kill("tickets.services.tell", "after"), 0),
    "committed, nobody woken": (Kill("email_settings.nudge.nudge_worker"), 1),
    "committed, before the answer": (Kill("tickets.services.open_ticket", "after"), 1),
}
ALL_MAIL = Counter(
    {(REQUESTER, "ticket_received"): 1, **{(a, "ticket_new"): 1 for a in AGENTS}}
)


def tickets_in(site: FaultSite) -> int:
    return len(site.query("SELECT id FROM tickets_ticket"))


def mail_in(site: FaultSite) -> Counter[tuple[str, str]]:
    return Counter((m.recipient, m.kind) for m in site.messages())


def test_a_form_that_died_is_sent_again_and_opens_one_ticket(
    embedded: FaultSite, ses: SesLog, tmp_path: Path
) -> None:
    armed = tmp_path / "armed"
    with embedded.worker():
        for number, (step, (kill, survivors)) in enumerate(STEPS.items(), 1):
            kill = Kill(kill.where, kill.when, armed_by=str(armed))
            with embedded.web(Plan(kills=[kill])) as web:
                browser = Browser(web.port)
                assert browser.sign_in().is_done
                form = browser.new_ticket(f"Printer {number}")
                armed.touch()
                assert browser.send_ticket(form).status == 0, step
                assert not armed.exists(), step
                # All of it or nothing of it
                assert tickets_in(embedded) == number - 1 + survivors, step
                assert len(embedded.messages()) == 3 * (number - 1 + survivors), step
                # gunicorn brings a new process; the person presses the button again.
                assert press_until_taken(browser, form).startswith("/tickets/"), step
        assert tickets_in(embedded) == len(STEPS)
        everything = Counter({key: len(STEPS) for key in ALL_MAIL})
        assert mail_in(embedded) == everything
        promises.wait_until_over(embedded, count=3 * len(STEPS), seconds=30)
    promises.check(embedded, ses)
    promises.check_nothing_in_doubt(embedded)
    assert ses.count == 3 * len(STEPS)


def press_until_taken(browser: Browser, form: dict[str, str]) -> str:
    """Send the form until it is taken, and return where it leads."""

    def taken() -> Reply | None:
        reply = browser.send_ticket(form)
        return reply if reply.is_done else None

    return wait_until(taken, seconds=30).location
