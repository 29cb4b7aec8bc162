"""The webhook: whether SNS may post here, and how that goes. In the row of EventFeed.

Switched on, it takes posts of the one topic that is connected. A post that asks for
confirmation is answered only for a few days after an admin asked for it.
"""

import ipaddress
import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error
from django.db.models import F, Q
from django.urls import reverse

from email_settings.delivery.clock import database_now
from email_settings.events import feed
from email_settings.gateway.setup import StepError
from email_settings.gateway.stood_in import LOOPBACK, stand_in_for
from email_settings.models import EventFeed, SesSettings

logger = logging.getLogger(__name__)

# So long a token of SNS is good, too.
PENDING_FOR = timedelta(days=3)
CONFIRM_AGAIN = timedelta(seconds=60)
REFUSALS_APART_SECONDS = 1.0
LONGEST_REFUSAL = 300


@dataclass(frozen=True)
class WebhookStatus:
    """How the webhook stands; None for what has not happened."""

    is_on: bool
    topic_arn: str = ""
    wanted_at: datetime | None = None
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None  # SNS was told to post no more
    posted_at: datetime | None = None
    refused_count: int = 0
    refused_at: datetime | None = None
    refusal: str = ""

    @property
    def is_working(self) -> bool:
        """Whether SNS posts, as far as it told."""
        return self.is_on and self.confirmed_at is not None and self.ended_at is None

    @property
    def is_pending(self) -> bool:
        """Whether it waits to be confirmed."""
        return self.is_on and self.confirmed_at is None and self.ended_at is None

    def has_run_out(self, now: datetime) -> bool:
        """Whether it has waited longer than it may be confirmed."""
        if not self.is_pending or self.wanted_at is None:
            return False
        return now - self.wanted_at > PENDING_FOR


NO_WEBHOOK = WebhookStatus(is_on=False)


def endpoint() -> str:
    """Return the address that SNS posts to."""
    return settings.SITE_URL + reverse("email_settings:webhook")


def protocol() -> str:
    """Return how SNS calls the way to it: "https"; "http" for a stand-in."""
    return urlsplit(settings.SITE_URL).scheme


def why_no_webhook(sender: SesSettings) -> tuple[str, str]:
    """Say why SNS can't post here and how to mend it; "" and "" if it can."""
    if not sender.is_configured:
        return "Sending is not set up.", "Save working settings first."
    if not (sender.configuration_set and sender.event_topic_arn):
        return (
            "The configuration set or the topic is not known.",
            "Save the configuration set and the event topic ARN first.",
        )
    return _why_not_reachable()


def _why_not_reachable() -> tuple[str, str]:
    host = urlsplit(settings.SITE_URL).hostname or ""
    if stand_in_for("sns") and host in LOOPBACK:
        return "", ""
    if protocol() != "https":
        return (
            f"TicketFlow is at {settings.SITE_URL}, which is not https.",
            "Put a proxy with a certificate in front of it and set SITE_URL, or stay "
            "with the queue, which needs nothing of the kind.",
        )
    if _is_private(host):
        return (
            f"{host} is no public address.",
            "SNS posts from the Internet. Stay with the queue, which works behind a "
            "firewall, or give TicketFlow a public name.",
        )
    return "", ""


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        name = host.rstrip(".")
        return "." not in name or name.endswith((".local", ".internal", ".localhost"))


# On and off


def is_on(sender: SesSettings) -> bool:
    """Whether posts of the connected topic are taken. Asks the database."""
    arn = sender.event_topic_arn
    return (
        bool(arn)
        and EventFeed.objects.filter(
            pk=EventFeed.ONLY_ID, webhook_topic_arn=arn
        ).exists()
    )


def switch_on(sender: SesSettings) -> None:
    """Take posts of the connected topic, and confirm its subscription when SNS asks."""
    feed.begin(sender.event_queue_url)
    row = EventFeed.objects.filter(pk=EventFeed.ONLY_ID)
    now = database_now()
    row.filter(began_at=None).update(began_at=now)
    row.update(
        webhook_topic_arn=sender.event_topic_arn,
        webhook_wanted_at=now,
        webhook_ended_at=None,
        webhook_problem=None,
        webhook_next_at=None,
    )
    # Another topic begins anew; the same one may be confirmed as it is.
    row.exclude(
        webhook_subscription_arn__startswith=f"{sender.event_topic_arn}:"
    ).update(
        webhook_confirmed_at=None,
        webhook_subscription_arn="",
        webhook_posted_at=None,
        webhook_refused_count=0,
        webhook_refused_at=None,
        webhook_refusal="",
    )


def switch_off() -> None:
    """Take no posts any more, and forget how that went."""
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        webhook_topic_arn="",
        webhook_wanted_at=None,
        webhook_confirmed_at=None,
        webhook_subscription_arn="",
        webhook_ended_at=None,
        webhook_posted_at=None,
        webhook_refused_count=0,
        webhook_refused_at=None,
        webhook_refusal="",
        webhook_problem=None,
        webhook_next_at=None,
    )


# The subscription


def may_confirm(topic_arn: str) -> bool:
    """Whether an admin asked for this subscription, not long ago."""
    return EventFeed.objects.filter(
        pk=EventFeed.ONLY_ID,
        webhook_topic_arn=topic_arn,
        webhook_wanted_at__gt=database_now() - PENDING_FOR,
    ).exists()


def take_turn_to_confirm() -> bool:
    """Return whether this worker may ask AWS now; the next may in a minute."""
    now = database_now()
    is_due = Q(webhook_next_at=None) | Q(webhook_next_at__lte=now)
    taken = EventFeed.objects.filter(is_due, pk=EventFeed.ONLY_ID).update(
        webhook_next_at=now + CONFIRM_AGAIN
    )
    return bool(taken)


def note_confirmed(subscription_arn: str) -> None:
    """Note that SNS posts from now on."""
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        webhook_confirmed_at=database_now(),
        webhook_subscription_arn=subscription_arn,
        webhook_ended_at=None,
        webhook_problem=None,
        webhook_next_at=None,
    )


def note_ended() -> None:
    """Note that somebody had SNS post no more. It stays so until an admin acts."""
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        webhook_ended_at=database_now(), webhook_wanted_at=None
    )


def note_problem(error: StepError, statement: str) -> None:
    """Note why the subscription can't be confirmed; `statement` is the right for it."""
    why, fix = _why_not_confirmed(error)
    told = {
        "code": error.code or error.error.problem.code,
        "title": "The webhook could not be confirmed.",
        "why": why,
        "fix": fix,
        "words": error.error.record,
        "statement": statement if error.is_denied else "",
    }
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(webhook_problem=told)


def _why_not_confirmed(error: StepError) -> tuple[str, str]:
    problem = error.error.problem
    if error.is_denied:
        return (
            f"The access key may not do this ({error.action}).",
            "Add the statement below to the policy of the IAM user or role. It is tried "
            "again every minute.",
        )
    if is_token_no_good(error):
        return (
            f"AWS did not take it: {error.error.detail}",
            "Press “Try again” to have Amazon SNS ask anew.",
        )
    return (
        f"{problem.title} {problem.why}",
        f"{problem.fix} It is tried again every minute.",
    )


def is_token_no_good(error: StepError) -> bool:
    """Whether trying once more with the same token can't help."""
    return error.code in {"InvalidParameter", "NotFound"}


# Refusals


class _Refusals:
    """Counts what is refused, and writes it down once a second at most.

    Whoever likes can post here. What is not written yet goes with the next refusal.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unwritten = 0
        self._next_at = 0.0

    def note(self, reason: str) -> None:
        with self._lock:
            self._unwritten += 1
            if time.monotonic() < self._next_at:
                return
            self._next_at = time.monotonic() + REFUSALS_APART_SECONDS
            count, self._unwritten = self._unwritten, 0
        try:
            EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
                webhook_refused_count=F("webhook_refused_count") + count,
                webhook_refused_at=database_now(),
                webhook_refusal=reason[:LONGEST_REFUSAL],
            )
        except Error as error:
            logger.warning("webhook: a refusal could not be written down: %s", error)


refusals = _Refusals()


def status_of(sender: SesSettings, row: EventFeed | None) -> WebhookStatus:
    """Return how the webhook stands by this row. Pure."""
    arn = sender.event_topic_arn
    if row is None or not arn or row.webhook_topic_arn != arn:
        return NO_WEBHOOK
    return WebhookStatus(
        is_on=True,
        topic_arn=row.webhook_topic_arn,
        wanted_at=row.webhook_wanted_at,
        confirmed_at=row.webhook_confirmed_at,
        ended_at=row.webhook_ended_at,
        posted_at=row.webhook_posted_at,
        refused_count=row.webhook_refused_count,
        refused_at=row.webhook_refused_at,
        refusal=row.webhook_refusal,
    )
