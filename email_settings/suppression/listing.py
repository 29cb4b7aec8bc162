"""The suppression list as an admin looks at it, and all there is to know of an address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from email_settings.events.words import Said, said
from email_settings.models import (
    AwsRelease,
    AwsSuppression,
    DeliveryEvent,
    OutboxMessage,
    Suppression,
)
from email_settings.suppression.aws import only_at_aws
from email_settings.suppression.standing import in_force
from email_settings.suppression.wishes import suppressed_mails
from email_settings.verdicts import is_captured
from ticketflow.lib.counting import capped_counts

Reason = Suppression.Reason

COUNT_LIMIT = 10_000
SHOWN = 10  # mails and events on the page of an address
AT_AWS = "aws"
TABS = {
    "": "No mail",
    "held": "For a while",
    "past": "Released",
    AT_AWS: "Only on AWS’s list",
}


@dataclass(frozen=True)
class Listing:
    """Which entries are looked at."""

    show: str = ""  # of TABS
    text: str = ""
    reason: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read what the address of the page says; nonsense says nothing."""
        show, reason = query.get("show", ""), query.get("reason", "")
        return cls(
            show=show if show in TABS else "",
            text=query.get("q", "").replace("\0", "").strip()[:320],
            reason=reason if reason in Reason.values else "",
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.text or self.reason)

    def address(self, show: str | None = None, cursor: str = "") -> str:
        """Return the address of the page, with another tab or another page of it."""
        values = {
            "show": self.show if show is None else show,
            "q": self.text,
            "reason": self.reason,
            "cursor": cursor,
        }
        query = urlencode({name: value for name, value in values.items() if value})
        path = reverse("email_settings:suppression-list")
        return f"{path}?{query}" if query else path

    def entries(self, show: str | None = None) -> QuerySet[Suppression]:
        found = _in_tab(self.show if show is None else show)
        if self.text:
            found = found.filter(address_lower__contains=self.text.lower())
        return found.filter(reason=self.reason) if self.reason else found

    def at_aws(self) -> QuerySet[AwsSuppression]:
        found = only_at_aws()
        if self.text:
            found = found.filter(address_lower__contains=self.text.lower())
        return found

    def counts(self) -> dict[str, int]:
        """Return how many each tab has, COUNT_LIMIT at most; one query."""
        mine = {show: self.entries(show) for show in TABS if show != AT_AWS}
        return capped_counts({**mine, AT_AWS: self.at_aws()}, COUNT_LIMIT)


def _in_tab(show: str) -> QuerySet[Suppression]:
    match show:
        case "held":
            return in_force().filter(held_until__isnull=False)
        case "past":
            return Suppression.objects.filter(
                Q(closed_at__isnull=False) | Q(held_until__lte=timezone.now())
            )
    return in_force().filter(held_until=None)


def get_entry(entry_id: int) -> Suppression | None:
    """Return an entry with who did what to it; None when there is none."""
    people = ("created_by", "closed_by", "security_allowed_by", "message")
    return Suppression.objects.select_related(*people).filter(pk=entry_id).first()


@dataclass(frozen=True)
class Address:
    """All there is to know of an address."""

    address: str
    current: Suppression | None  # what keeps mail back just now
    entries: list[Suppression]
    mails: list[tuple[OutboxMessage, bool]]  # with whether rehearsal keeps it
    events: list[tuple[DeliveryEvent, Said]]
    listed: list[AwsSuppression]
    wish: AwsRelease | None  # the last one
    suppressed_count: int  # mails that can be sent after a release

    @classmethod
    def of(cls, entry: Suppression) -> Self:
        """Read it; the same number of queries however much there is."""
        lower = entry.address_lower
        mine = Suppression.objects.filter(address_lower=lower)
        mails = OutboxMessage.objects.filter(recipient_lower=lower).order_by(
            "-created_at", "-pk"
        )
        shown = list(mails.defer("text_body", "html_body")[:SHOWN])
        events = DeliveryEvent.objects.filter(message__in=[m.pk for m in shown])
        newest = events.order_by("-happened_at", "-pk").select_related("message")
        return cls(
            address=entry.address,
            current=in_force().filter(address_lower=lower).first(),
            entries=list(
                mine.select_related("created_by", "closed_by").order_by("-pk")[:SHOWN]
            ),
            mails=[(message, is_captured(message)) for message in shown],
            events=[(event, said(event)) for event in newest[:SHOWN]],
            listed=list(AwsSuppression.objects.filter(address_lower=lower)),
            wish=AwsRelease.objects.filter(address_lower=lower).order_by("-pk").first(),
            suppressed_count=suppressed_mails(lower).count(),
        )
