"""How large a share of mail bounces or is called spam, and when that is too much. Pure.

AWS puts an account under review from a bounce rate of 5 % or a complaint rate of 0.1 %,
and may pause it from 10 % or 0.5 %. It measures them over a "representative volume" of
mail and no fixed time. Source: Amazon SES Developer Guide, "Sending review process
FAQs", https://docs.aws.amazon.com/ses/latest/dg/faqs-enforcement.html
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

# The window: a week, longer until there are enough mails in it, shorter where there are
# so many that counting them all would tell nothing more.
USUAL_SPAN = timedelta(days=7)
LONGEST_SPAN = timedelta(days=30)
ENOUGH_MAILS = 1_000
MOST_MAILS = 50_000
# Of fewer a rate says nothing: one bounce of ten mails is 10 %.
LEAST_MAILS = 100


def window_start(
    now: datetime, *, enough_since: datetime | None, most_since: datetime | None
) -> datetime:
    """Return since when mail is counted.

    `enough_since` is when the last ENOUGH_MAILS began to leave, `most_since` when the
    last MOST_MAILS did; None where there were not so many in LONGEST_SPAN.
    """
    longest = now - LONGEST_SPAN
    start = max(longest, min(now - USUAL_SPAN, enough_since or longest))
    return max(start, most_since) if most_since else start


@dataclass(frozen=True)
class Lines:
    """From which shares on something happens, the least first."""

    calm: float  # below it a warning is over
    warn: float  # admins are told
    release: float  # below it notices go on
    hold: float  # notices wait
    # AWS's own
    review: float
    pause: float
    # So many mails must have come to grief: a few may be chance
    least_to_warn: int
    least_to_hold: int


BOUNCES = Lines(
    calm=0.02,
    warn=0.03,
    release=0.06,
    hold=0.08,
    review=0.05,
    pause=0.10,
    least_to_warn=5,
    least_to_hold=10,
)
COMPLAINTS = Lines(
    calm=0.0005,
    warn=0.0008,
    release=0.003,
    hold=0.004,
    review=0.001,
    pause=0.005,
    least_to_warn=2,
    least_to_hold=3,
)


def percent(share: float) -> str:
    """Return "0.08 %" for 0.0008 and "10.2 %" for 0.1016, with a space that stays."""
    number = f"{share * 100:.{1 if share >= 0.01 else 2}f}".rstrip("0").rstrip(".")
    return f"{number}\N{NO-BREAK SPACE}%"


class Level(IntEnum):
    """How grave a rate is; the words are the page's."""

    UNKNOWN = 0  # too few mails to say
    FINE = 1
    WARNED = 2  # near the first line of AWS
    REVIEW = 3  # AWS puts an account under review for it
    PAUSE = 4  # AWS may stop an account for it


_TONES = {
    Level.UNKNOWN: "neutral",
    Level.FINE: "ok",
    Level.WARNED: "warn",
    Level.REVIEW: "bad",
    Level.PAUSE: "bad",
}


@dataclass(frozen=True)
class Rate:
    """So many of so many mails."""

    count: int
    mails: int
    lines: Lines

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 without mails."""
        return self.count / self.mails if self.mails else 0.0

    @property
    def percent(self) -> str:
        """The share as people read it: "0.8 %"."""
        return percent(self.share)

    @property
    def is_known(self) -> bool:
        """Whether there are enough mails for it to mean something."""
        return self.mails >= LEAST_MAILS

    @property
    def level(self) -> Level:
        """How grave it is, by AWS's lines and the one that warns before them."""
        if not self.is_known:
            return Level.UNKNOWN
        if self.share >= self.lines.pause:
            return Level.PAUSE
        if self.share >= self.lines.review:
            return Level.REVIEW
        return Level.WARNED if self.share >= self.lines.warn else Level.FINE

    @property
    def tone(self) -> str:
        """The tone of badges and bars: "neutral", "ok", "warn" or "bad"."""
        return _TONES[self.level]

    def is_to_warn(self, *, is_warned: bool) -> bool:
        """Whether admins are to know of it; once warned, until it is calm."""
        line = self.lines.calm if is_warned else self.lines.warn
        return self._has_reached(line, self.lines.least_to_warn)

    def is_to_hold(self, *, is_held: bool) -> bool:
        """Whether notices are to wait; once they do, until it is well below."""
        line = self.lines.release if is_held else self.lines.hold
        return self._has_reached(line, self.lines.least_to_hold)

    def _has_reached(self, line: float, least: int) -> bool:
        return self.is_known and self.count >= least and self.share >= line


def graver(rates: Iterable[Rate]) -> Rate:
    """Return the highest of those that are known, else that of the most mails."""
    return max(
        rates,
        key=lambda rate: (rate.is_known, rate.share if rate.is_known else rate.mails),
    )
