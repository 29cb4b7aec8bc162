"""Eight processes write to one SQLite file while a worker sends: nobody is refused."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from email_settings.tests.faults import promises
from email_settings.tests.faults.account import Account
from email_settings.tests.faults.conftest import REPEATS
from email_settings.tests.faults.ses_log import SesLog
from email_settings.tests.faults.sites import FaultSite
from ticketflow.tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults]

WRITERS = 8
# Transactions of each, on average
EACH = 25 if REPEATS == 1 else 100


def test_eight_processes_are_never_refused(
    embedded: FaultSite, ses: SesLog, tmp_path: Path
) -> None:
    account = tmp_path / "account"
    account.touch()
    with embedded.worker() as worker, ExitStack() as running:
        writers = [
            running.enter_context(embedded.author(account)) for _ in range(WRITERS)
        ]
        wait_until(
            lambda: len(Account.read(account).intended) >= WRITERS * EACH, seconds=120
        )
        # Whoever is told that the database is locked ends with that error.
        assert [writer.process.poll() for writer in writers] == [None] * WRITERS
        for writer in writers:
            writer.kill()
        promises.wait_until_over(embedded, seconds=120)
        assert not worker.says("database is locked")
    committed = [uid for uids in Account.read(account).committed for uid in uids]
    promises.check(embedded, ses, enqueued=committed)
    promises.check_nothing_in_doubt(embedded)
