"""What Email Activity shows of the reputation: both rates, AWS's word, what waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.urls import reverse
from django.utils.safestring import SafeString

from email_settings.charts import rate_scale
from email_settings.events.connect import is_connected
from email_settings.reputation.rates import LEAST_MAILS, Level, Rate, percent
from email_settings.status import Guard, MailStatus

# The worker counts every five minutes; older figures may be wrong by now.
STALE = timedelta(minutes=20)

_WORDS = {
    Level.UNKNOWN: "Too few mails to say",
    Level.FINE: "Good",
    Level.WARNED: "Getting worse",
    Level.REVIEW: "AWS reviews accounts for this",
    Level.PAUSE: "AWS stops accounts for this",
}
_ICONS = {
    Level.UNKNOWN: "minus",
    Level.FINE: "check",
    Level.WARNED: "alert",
    Level.REVIEW: "alert",
    Level.PAUSE: "x-circle",
}
_ENFORCEMENT = {
    "HEALTHY": ("ok", "check", "Healthy"),
    "PROBATION": ("warn", "alert", "Under review"),
    "SHUTDOWN": ("bad", "x-circle", "Stopped"),
}


@dataclass(frozen=True)
class RateShown:
    """One rate in numbers, as a bar and in a word."""

    name: str
    rate: Rate
    url: str  # of the mails that it is of
    link: str
    marks: str  # the CSS class by which the labels stand under the lines

    @property
    def word(self) -> str:
        return _WORDS[self.rate.level]

    @property
    def icon(self) -> str:
        return _ICONS[self.rate.level]

    @property
    def number(self) -> str:
        """The rate, a dash where there are too few mails."""
        return self.rate.percent if self.rate.is_known else "–"

    @property
    def review(self) -> str:
        return percent(self.rate.lines.review)

    @property
    def pause(self) -> str:
        return percent(self.rate.lines.pause)

    @property
    def scale(self) -> SafeString:
        label = (
            f"{self.name} {self.rate.percent}: {self.rate.count:,} of "
            f"{self.rate.mails:,} mails. AWS reviews an account at {self.review} and "
            f"may stop it at {self.pause}."
        )
        return rate_scale(self.rate, label=label)


@dataclass(frozen=True)
class ReputationShown:
    """All of the card."""

    rates: Sequence[RateShown]
    since: datetime | None
    counted_at: datetime | None  # None before it was counted
    is_stale: bool
    is_connected: bool  # whether anybody tells what becomes of mail
    guard: Guard | None
    aws: tuple[str, str, str] | None  # tone, icon and word of AWS; None if not told
    least_mails: int = LEAST_MAILS

    @classmethod
    def of(cls, status: MailStatus, now: datetime) -> Self:
        """Read it from what every page knows; no question is asked."""
        found, row = status.reputation, status.settings
        activity = status.activity_url
        is_old = found.counted_at is not None and now - found.counted_at > STALE
        return cls(
            rates=[
                RateShown(
                    "Bounce rate",
                    found.bounces,
                    f"{activity}?fate=bounced",
                    "What bounced",
                    "rate-marks-40",
                ),
                RateShown(
                    "Complaint rate",
                    found.complaints,
                    f"{activity}?fate=complained",
                    "Who complained",
                    "rate-marks-16",
                ),
            ],
            since=found.since,
            counted_at=found.counted_at,
            is_stale=is_old,
            is_connected=is_connected(row),
            guard=status.guard,
            aws=_ENFORCEMENT.get(status.watch.enforcement),
        )

    @property
    def go_url(self) -> str:
        return reverse("email_settings:notices-release")
