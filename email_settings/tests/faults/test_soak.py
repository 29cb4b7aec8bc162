"""Processes are killed at random while mail flows; then everything is added up."""

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.account import Account
from email_settings.tests.faults.conftest import REPEATS
from email_settings.tests.faults.plan import Plan
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite, Process

pytestmark = [pytest.mark.processes, pytest.mark.faults]

SECONDS = 6 if REPEATS == 1 else 40
SLOTS = 8
PLAN = Plan(slots=SLOTS, lease_seconds=10, sweep_seconds=0.5)


def test_random_kills_lose_and_double_nothing(
    grown: FaultSite, ses: SesLog, tmp_path: Path
) -> None:
    ses.latency = 0.02
    account = tmp_path / "account"
    seed = random.randrange(10**6)  # noqa: S311
    print(f"seed {seed}")  # noqa: T201  # shown with a failure
    chance = random.Random(seed)  # noqa: S311
    kills = 0
    with ExitStack() as running:

        def start(what: str) -> Process:
            if what == "author":
                return running.enter_context(grown.author(account))
            return running.enter_context(grown.worker(PLAN))

        processes = {what: start(what) for what in ("author", "one", "two")}
        ends_at = time.monotonic() + SECONDS
        while time.monotonic() < ends_at:
            time.sleep(chance.uniform(1, 3))  # the moment is the point
            what = chance.choice(sorted(processes))
            processes[what].kill()
            processes[what] = start(what)
            kills += 1
        processes["author"].kill()
        for what in ("one", "two"):
            processes[what].wait_until_ready()
        promises.wait_until_over(grown, seconds=120)
        assert processes["one"].terminate() == processes["two"].terminate() == 0
    said = Account.read(account)
    rows = {message.uid.hex for message in grown.messages()}
    for uids in said.intended:
        # A transaction is whole or nothing, whoever died in it.
        assert len(rows.intersection(uids)) in {0, len(uids)}
    assert not rows.intersection(uid for uids in said.undone for uid in uids)
    assert rows <= {uid for uids in said.intended for uid in uids}
    committed = [uid for uids in said.committed for uid in uids]
    assert len(committed) > 100 or SECONDS < 30
    promises.check(grown, ses, enqueued=committed)
    # Never more than what a dead worker had on the wire
    promises.check_nothing_in_doubt(grown, but=kills * SLOTS)
