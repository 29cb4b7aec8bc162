"""A real worker rotates the key while mail flows: none is lost, none leaves twice."""

import json
from collections import Counter
from pathlib import Path

import pytest

from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.workers import Site, make_site, running_worker
from ticketflow.tests.processes import wait_until

pytestmark = pytest.mark.processes

GO_LIVE = """
from email_settings.tests.builders import make_settings
make_settings(max_send_rate=10)
"""
BEGIN = """
from accounts.models import Role, User
from email_settings.rotation import machine
admin = User.objects.create_user("ewa@larkfield.example", "x" * 12, name="Ewa", role=Role.ADMIN)
machine.start(actor=admin)
"""
PUT_TEN = """
from django.db import transaction
from email_settings.tests.builders import make_message
with transaction.atomic():
    for _ in range(10):
        make_message()
"""
LOOK = """
import json
from email_settings.models import KeyRotation, OutboxMessage, SesSettings
found = KeyRotation.objects.get()
print(json.dumps({
    "step": found.step,
    "problem": found.problem,
    "new": found.new_key_id,
    "in_use": SesSettings.load().access_key_id,
    "states": list(OutboxMessage.objects.values_list("uid", "state")),
}, default=lambda uid: uid.hex))
"""
LET_TEN_MINUTES_PASS = """
from datetime import timedelta
from django.db.models import F
from email_settings.models import DeliveryAttempt, KeyRotation
ago = timedelta(minutes=11)
DeliveryAttempt.objects.update(started_at=F("started_at") - ago)
KeyRotation.objects.update(switched_at=F("switched_at") - ago, next_at=F("next_at") - ago)
"""


def look(site: Site) -> dict[str, object]:
    found: dict[str, object] = json.loads(site.run(LOOK).splitlines()[-1])
    return found


def test_mail_flows_through_the_switch_and_each_leaves_once(tmp_path: Path) -> None:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    with running(account) as aws:
        site = make_site(tmp_path, endpoint_url=aws.url)
        site.run(GO_LIVE)
        site.run(PUT_TEN)
        with running_worker(site) as worker:
            site.run(BEGIN)
            while not is_switched(site):
                site.run(PUT_TEN)
            site.run(PUT_TEN)
            done = wait_until(lambda: all_sent(site), seconds=60)
            # Seen by nobody for ten minutes, it is switched off.
            site.run(LET_TEN_MINUTES_PASS)
            for key in account.keys.values():
                key.last_used = None
            wait_until(lambda: not account.keys[ACCESS_KEY_ID].is_active, seconds=30)
            assert worker.stop() == 0
    left = Counter(mail.tags["tf-msg"] for mail in account.mails)
    assert left == Counter({uid: 1 for uid, _ in done["states"]})  # type: ignore[attr-defined]
    signers = [
        call.access_key_id
        for call in account.calls
        if call.action in {"ses:SendEmail", "ses:SendRawEmail"}
    ]
    assert set(signers) == {ACCESS_KEY_ID, done["in_use"]}
    assert done["in_use"] == done["new"]
    output = "".join(worker.output)
    assert SECRET not in output
    assert account.keys[str(done["new"])].secret not in output


def is_switched(site: Site) -> bool:
    found = look(site)
    assert not found["problem"]
    assert len(found["states"]) < 500, "It takes too long."  # type: ignore[arg-type]
    return found["step"] == "watch"


def all_sent(site: Site) -> dict[str, object] | None:
    found = look(site)
    states = {state for _, state in found["states"]}  # type: ignore[attr-defined]
    return found if states == {"sent"} else None
