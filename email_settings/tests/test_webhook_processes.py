"""The whole way of the webhook: a web server, a worker and a stand-in for AWS."""

import os
from pathlib import Path

import pytest

from email_settings.standin.account import Account, Identity
from email_settings.standin.server import running
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET
from email_settings.tests.workers import Site
from ticketflow.tests.processes import running_installation, wait_until

pytestmark = [pytest.mark.processes]

_SWITCH_ON = """
from email_settings.readiness.webhook import switch_on
from email_settings.tests.builders import make_settings
from email_settings.tests.event_aws import SET, publish_events
from email_settings.tests.sns_posts import TOPIC
publish_events()
row = make_settings()
row.configuration_set, row.event_topic_arn = SET, TOPIC
row.save()
switch_on(row)
"""
_SEND = """
from accounts.models import User
from email_settings.events.simulator import send_simulator_mails
send_simulator_mails(User.objects.create_user("e@larkfield.example", name="E"))
"""
_LOOK = """
from email_settings.events.status import feed_status
from email_settings.models import EventLetter, SesSettings
status = feed_status(SesSettings.load())
print(status.webhook.is_working, status.is_proven, status.webhook.refused_count,
    EventLetter.objects.exclude(body="").count())
"""


def test_events_come_by_post_and_nobody_reads_a_queue(tmp_path: Path) -> None:
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.verified_everywhere.add("larkfield.example")
    account.region("eu-west-1").identities["larkfield.example"] = Identity(
        "larkfield.example"
    )
    with (
        running(account) as aws,
        running_installation(tmp_path / "var", {"AWS_ENDPOINT_URL": aws.url}) as here,
    ):
        kept = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        site = Site(
            {
                **kept,
                "TICKETFLOW_DATA_DIR": str(here.data_dir),
                "SITE_URL": here.url,
                "AWS_ENDPOINT_URL": aws.url,
            }
        )
        wait_until(lambda: any(" ready" in line for line in here.output), seconds=60)
        site.run(_SWITCH_ON)
        wait_until(lambda: site.run(_LOOK).startswith("True"), seconds=60)
        site.run(_SEND)
        wait_until(lambda: site.run(_LOOK).startswith("True True 0 0"), seconds=60)
    assert not account.calls_of("sqs:ReceiveMessage")
