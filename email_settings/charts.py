"""Small charts as inline SVG: plain functions, no script, looks by CSS classes alone.

Numbers and labels stand beside them as text, because an SVG that stretches with the
page would stretch its letters too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from email_settings.reputation.rates import Rate

BAR = 10  # units from one minute to the next
HEIGHT = 80  # units of the bars
MARK_HEIGHT = 10  # units of the marks of failures, below the line


@dataclass(frozen=True)
class Minute:
    """What happened in one minute."""

    starts_at: datetime
    sent: int = 0
    failed: int = 0  # given up

    @property
    def is_any(self) -> bool:
        return bool(self.sent or self.failed)


def minutes_chart(minutes: Sequence[Minute], *, label: str) -> SafeString:
    """Return a bar a minute for mail that was sent, and a mark below for failures.

    `label` is the sentence that says what it shows to who can't see it.
    """
    highest = max([*(minute.sent for minute in minutes), 1])
    bars = format_html_join("", "{}", ((bar,) for bar in _bars(minutes, highest)))
    width = BAR * max(len(minutes), 1)
    return format_html(
        '<svg class="chart" viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
        ' role="img" aria-label="{label}">{bars}'
        '<line class="chart-base" x1="0" y1="{base}" x2="{width}" y2="{base}"/></svg>',
        width=width,
        height=HEIGHT + MARK_HEIGHT + 4,
        label=label,
        bars=bars,
        base=HEIGHT + 1,
    )


def _bars(minutes: Sequence[Minute], highest: int) -> Iterator[SafeString]:
    for place, minute in enumerate(minutes):
        if not minute.is_any:
            continue
        height = max(2.0, minute.sent / highest * HEIGHT) if minute.sent else 0.0
        x = place * BAR + 1
        yield format_html(
            "<g><title>{at}: {sent} sent, {failed} failed</title>{bar}{mark}</g>",
            at=f"{timezone.localtime(minute.starts_at):%H:%M}",
            sent=f"{minute.sent:,}",
            failed=f"{minute.failed:,}",
            bar=_rect("chart-sent", x, HEIGHT - height, height) if minute.sent else "",
            mark=_rect("chart-failed", x, HEIGHT + 3, MARK_HEIGHT)
            if minute.failed
            else "",
        )


def _rect(css_class: str, x: float, y: float, height: float) -> SafeString:
    return format_html(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
        css_class,
        x,
        f"{y:.1f}",
        BAR - 2,
        f"{height:.1f}",
    )


def quota_bar(*, used: float, limit: float, reserve: float, label: str) -> SafeString:
    """Return how much of the daily quota is used, with the reserve marked at its end."""
    used_share = min(used / limit, 1.0) * 100
    reserve_share = min(reserve / limit, 1.0) * 100
    is_in_reserve = used >= limit - reserve
    return format_html(
        '<svg class="quota" viewBox="0 0 100 8" preserveAspectRatio="none" role="img"'
        ' aria-label="{label}"><rect class="quota-all" width="100" height="8"/>'
        '<rect class="quota-reserve" x="{edge}" width="{reserve}" height="8"/>'
        '<rect class="quota-used{tone}" width="{used}" height="8"/>'
        '<line class="quota-edge" x1="{edge}" y1="0" x2="{edge}" y2="8"/></svg>',
        label=label,
        edge=f"{100 - reserve_share:.2f}",
        reserve=f"{reserve_share:.2f}",
        used=f"{used_share:.2f}",
        tone=SafeString(" quota-used-up") if is_in_reserve else "",
    )


def rate_scale(rate: Rate, *, label: str) -> SafeString:
    """Return how large a rate is on a scale that has AWS's two lines drawn in.

    The second line is at four fifths; the word for how grave it is stands beside it.
    """
    whole = rate.lines.pause / 0.8
    return format_html(
        '<svg class="rate" viewBox="0 0 100 10" preserveAspectRatio="none" role="img"'
        ' aria-label="{label}"><rect class="rate-all" y="2" width="100" height="6"/>'
        '<rect class="rate-is {tone}" y="2" width="{share}" height="6"/>'
        '<line class="rate-line" x1="{review}" y1="0" x2="{review}" y2="10"/>'
        '<line class="rate-line" x1="80" y1="0" x2="80" y2="10"/></svg>',
        label=label,
        tone=f"rate-{rate.tone}",
        share=f"{min(rate.share / whole, 1.0) * 100:.2f}",
        review=f"{rate.lines.review / whole * 100:.2f}",
    )
