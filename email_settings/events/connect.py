"""Where the events come from: the set, the queue and the topic that an admin saves."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from email_settings.delivery import hold
from email_settings.events import feed, webhook
from email_settings.gateway.queue import host_of_queues
from email_settings.gateway.regions import partition_of
from email_settings.gateway.stood_in import LOOPBACK, stand_in_for
from email_settings.models import SesSettings
from email_settings.nudge import nudge_worker

# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateConfigurationSet.html
SET_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_QUEUE_PATH = re.compile(r"/(\d{12})/([A-Za-z0-9_-]{1,80})")
_QUEUE_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.[a-z.]+")
_TOPIC = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True)
class Connection:
    """What is saved; all "" to have no events."""

    configuration_set: str = ""
    event_queue_url: str = ""
    event_topic_arn: str = ""


def why_no_queue(url: str, region: str) -> tuple[str, str]:
    """Say what is wrong with the URL of a queue and how to mend it; "" and "" if nothing.

    Only the region's own host is taken, because the SDK asks no other. On this very
    machine a stand-in for AWS may be asked, where AWS_ENDPOINT_URL says so.
    """
    host = host_of_queues(region)
    example = f"It looks like https://{host}/123456789012/ticketflow-ses-events."
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "This is no URL of a queue.", example
    if parts.path.endswith(".fifo"):
        return "This is a FIFO queue.", "Amazon SES needs a standard one."
    if not _QUEUE_PATH.fullmatch(parts.path) or parts.query or parts.fragment:
        return "This is no URL of a queue.", example
    if parts.scheme == "http" and name in LOOPBACK and stand_in_for("sqs"):
        return "", ""
    is_plain = parts.scheme == "https" and port is None and "@" not in parts.netloc
    elsewhere = _QUEUE_HOST.fullmatch(name)
    if is_plain and elsewhere and elsewhere[1] != region:
        return (
            f"This queue is in {elsewhere[1]}.",
            f"Mail leaves from {region}, and its events stay there: make the queue in "
            f"{region}.",
        )
    if not is_plain or name != host:
        return "This is no URL of a queue.", example
    return "", ""


def why_no_topic(arn: str, region: str) -> tuple[str, str]:
    """Say what is wrong with the ARN of a topic and how to mend it; "" and "" if nothing."""
    partition = partition_of(region)
    found = _TOPIC.fullmatch(arn)
    if found is None or found[1] != partition:
        return (
            "This is no ARN of a topic.",
            f"It looks like arn:{partition}:sns:{region}:123456789012:"
            "ticketflow-ses-events.",
        )
    if found[2] != region:
        return (
            f"This topic is in {found[2]}.",
            f"Mail leaves from {region}, and Amazon SES tells only topics there.",
        )
    return "", ""


def is_connected(sender: SesSettings) -> bool:
    """Whether mail makes events, and they have a way to come here."""
    return bool(sender.configuration_set) and is_told(sender)


def is_told(sender: SesSettings) -> bool:
    """Whether events have a way to come here: a queue, the webhook, or both."""
    return bool(sender.event_queue_url) or webhook.is_on(sender)


@transaction.atomic
def save_connection(*, actor: AbstractBaseUser, values: Connection) -> SesSettings:
    """Save where the events come from; the next message goes by the set.

    Mail that is held because a set was missing is tried again.
    """
    row = SesSettings.load_to_change()
    row.configuration_set = values.configuration_set
    row.event_queue_url = values.event_queue_url
    row.event_topic_arn = values.event_topic_arn
    row.version += 1
    row.saved_at = timezone.now()
    row.saved_by_id = actor.pk
    row.save(
        update_fields=[
            *("configuration_set", "event_queue_url", "event_topic_arn"),
            *("version", "saved_at", "saved_by"),
        ]
    )
    feed.begin(row.event_queue_url)
    if row.is_live:
        hold.probe_now()
    transaction.on_commit(nudge_worker, robust=True)
    return row
