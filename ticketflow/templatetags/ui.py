"""The parts of the design system as tags. Built in: no template has to load them."""

import zlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.humanize.templatetags.humanize import intcomma
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from email_settings import rendering
from ticketflow.lib.request_id import current_request_id

register = template.Library()

NO_BREAK = "\N{NO-BREAK SPACE}"
HUES = 6  # .av-1 to .av-6 in the stylesheet

# Ticket.Status: css class, word
STATUSES = {
    "new": ("new", "New"),
    "open": ("open", "Open"),
    "pending": ("waiting", "Waiting"),
    "on_hold": ("hold", "On hold"),
    "solved": ("solved", "Solved"),
    "closed": ("closed", "Closed"),
}
# Ticket.Priority: css class, word
PRIORITIES = {
    1: ("low", "Low"),
    2: ("normal", "Normal"),
    3: ("high", "High"),
    4: ("urgent", "Urgent"),
}
# OutboxMessage.State, and its fate, which SES tells later: icon, word, tone
DELIVERIES = {
    "queued": ("clock", "Queued", "neutral"),
    "sending": ("refresh", "Sending", "neutral"),
    "sent": ("send", "Sent", "info"),
    "held": ("pause", "Held", "warn"),
    "captured": ("box", "Captured", "neutral"),  # held by rehearsal alone
    "unknown": ("help", "Unknown", "warn"),
    "failed": ("x-circle", "Failed", "bad"),
    "suppressed": ("x-circle", "Suppressed", "bad"),
    "cancelled": ("minus", "Cancelled", "neutral"),
    "delivered": ("check", "Delivered", "ok"),
    "delayed": ("clock", "Delayed", "warn"),
    "soft_bounced": ("alert", "Not delivered", "warn"),
    "rejected": ("x-circle", "Rejected", "bad"),
    "bounced": ("x-circle", "Bounced", "bad"),
    "complained": ("alert", "Complained", "bad"),
}
# What goes as it should has no fill: only exceptions are loud.
QUIET_TONES = {"ok", "info", "neutral"}
# Tags of Django's messages: tone, icon
MESSAGE_LEVELS = {
    "debug": ("info", "info"),
    "info": ("info", "info"),
    "success": ("ok", "check-circle"),
    "warning": ("warn", "alert"),
    "error": ("bad", "x-circle"),
}


@lru_cache(maxsize=512)
def _svg(sprite: str, name: str, css_class: str, label: str) -> SafeString:
    return format_html(
        '<svg class="icon{}" {}><use href="{}#{}"/></svg>',
        f" {css_class}" if css_class else "",
        format_html('role="img" aria-label="{}"', label)
        if label
        else SafeString('aria-hidden="true"'),
        sprite,
        name,
    )


@register.simple_tag
def icon(name: str, css_class: str = "", label: str = "") -> SafeString:
    """Return one symbol of icons.svg; it is silent to screen readers unless labelled."""
    return _svg(static("icons.svg"), name, css_class, label)


@register.simple_tag
def avatar(
    person: AbstractBaseUser | str | None,
    size: str = "",
    label: bool = False,  # noqa: FBT001, FBT002 - {% avatar user label=True %}
) -> SafeString:
    """Return a person's initials in a disc, or a dashed one for nobody.

    `person` may be an e-mail address for somebody without an account. With `label`
    the disc speaks the name, for places where the name is not written beside it.
    """
    css_class = f" avatar-{size}" if size else ""
    if not person:
        return format_html(
            '<span class="avatar avatar-none{}" role="img" aria-label="Nobody"'
            ' title="Nobody"></span>',
            css_class,
        )
    name = str(person)
    # By the id, so that a new name keeps the colour; neighbours in age differ.
    key = zlib.crc32(person.encode()) if isinstance(person, str) else person.pk or 0
    spoken = (
        format_html('role="img" aria-label="{0}" title="{0}"', name)
        if label
        else SafeString('aria-hidden="true"')
    )
    return format_html(
        '<span class="avatar av-{}{}" {}>{}</span>',
        key % HUES + 1,
        css_class,
        spoken,
        initials(name),
    )


def initials(name: str) -> str:
    """Return the first letters of the first and the last word: MO for Maya Okafor."""
    words = name.partition("@")[0].replace(".", " ").split()
    if not words:
        return "?"
    last = words[-1][0] if len(words) > 1 else ""
    return (words[0][0] + last).upper()


@register.simple_tag
def status(
    value: str,
    label: str = "",
    icon_only: bool = False,  # noqa: FBT001, FBT002 - {% status s icon_only=True %}
) -> SafeString:
    """Return a ticket's status: shape and word, with `label` as other words for it."""
    css_class, word = STATUSES[value]
    return _shape_and_word(
        "status",
        css_class,
        f"st-{css_class}",
        label or word,
        is_word_hidden=icon_only,
    )


@register.simple_tag
def prio(
    value: int,
    text: bool = False,  # noqa: FBT001, FBT002 - {% prio p text=True %}
) -> SafeString:
    """Return a ticket's priority: its shape, and with `text` also its word."""
    css_class, word = PRIORITIES[int(value)]
    return _shape_and_word(
        "prio",
        css_class,
        f"pr-{css_class}",
        word if text else f"{word} priority",
        is_word_hidden=not text,
    )


def _shape_and_word(
    family: str, css_class: str, symbol: str, word: str, *, is_word_hidden: bool
) -> SafeString:
    shape = icon(symbol)
    if not is_word_hidden:
        return format_html(
            '<span class="{0} {0}-{1}">{2}{3}</span>', family, css_class, shape, word
        )
    return format_html(
        '<span class="{0} {0}-{1}" title="{3}">{2}<span class="vh">{3}</span></span>',
        family,
        css_class,
        shape,
        word,
    )


@register.simple_tag
def delivery(state: str, label: str = "") -> SafeString:
    """Return what became of a mail: a quiet word if all is well, a badge if not."""
    symbol, word, tone = DELIVERIES[state]
    return format_html(
        '<span class="badge badge-{}{}">{}{}</span>',
        tone,
        " badge-quiet" if tone in QUIET_TONES else "",
        icon(symbol),
        label or word,
    )


@register.simple_tag
def when(moment: datetime | None) -> SafeString:
    """Return a moment as people say it, with the exact time on hover.

    Relative up to a day, "12 November" after; what is to come is "in 6 days" for a month.
    """
    if moment is None:
        return SafeString("")
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        f"{date_format(local, 'j F Y, H:i')} {local.tzname()}",
        _as_people_say(local, timezone.localtime()),
    )


def _as_people_say(moment: datetime, now: datetime) -> str:
    distance = abs(now - moment)
    is_future = moment > now
    if distance < timedelta(minutes=1):
        return "in a moment" if is_future else "just now"
    if distance >= timedelta(days=31 if is_future else 1):
        return _day(moment.date(), now.date())
    amount = duration(distance)
    return f"in{NO_BREAK}{amount}" if is_future else f"{amount} ago"


@register.simple_tag
def duration(length: timedelta | None) -> str:
    """Return a length of time in its biggest unit: "7 min", "3 h", "2 days"."""
    if length is None:
        return ""
    if length >= timedelta(days=1):
        return plural(length // timedelta(days=1), "day")
    if length >= timedelta(hours=1):
        return f"{length // timedelta(hours=1)}{NO_BREAK}h"
    if length >= timedelta(minutes=1):
        return f"{length // timedelta(minutes=1)}{NO_BREAK}min"
    return f"{length // timedelta(seconds=1)}{NO_BREAK}s"


def _day(day: date, today: date) -> str:
    text = date_format(day, "j F" if day.year == today.year else "j F Y")
    return text.replace(" ", NO_BREAK)


@register.simple_tag
def plural(number: int, word: str, many: str = "") -> str:
    """Return a number and its noun, joined so that they stay on one line: "1,204 messages"."""
    noun = word if number == 1 else many or f"{word}s"
    return f"{intcomma(number)}{NO_BREAK}{noun}"


@register.simple_tag
def spark(
    values: Sequence[float],
    label: str,
    held: Sequence[int] = (),
    width: int = 240,
    height: int = 40,
) -> SafeString:
    """Return a small bar chart; `label` is the sentence that says what it shows.

    `held` are the places of bars that stand for trouble.
    """
    highest = max([*values, 1])
    step = width / max(len(values), 1)
    bars = format_html_join(
        "",
        '<rect{} x="{}" y="{}" width="{}" height="{}" rx="1"/>',
        (
            (
                SafeString(' class="spark-held"') if place in held else "",
                f"{place * step + 1:.1f}",
                f"{height - bar:.1f}",
                f"{max(step - 2, 1):.1f}",
                f"{bar:.1f}",
            )
            for place, bar in enumerate(
                max(1.5, value / highest * height) for value in values
            )
        ),
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        width,
        height,
        label,
        bars,
    )


@register.filter
def message_tone(message: Message) -> str:
    """Return the banner class of one of Django's messages: ok, info, warn or bad."""
    return MESSAGE_LEVELS.get(message.level_tag, MESSAGE_LEVELS["info"])[0]


@register.filter
def message_icon(message: Message) -> str:
    return MESSAGE_LEVELS.get(message.level_tag, MESSAGE_LEVELS["info"])[1]


@register.inclusion_tag("components/_nav_link.html", takes_context=True)
def nav_link(
    context: template.Context,
    url_name: str,
    symbol: str,
    label: str,
    key: str = "",
    count: str = "",
    is_page_only: bool = False,  # noqa: FBT001, FBT002 - {% nav_link … is_page_only=True %}
) -> dict[str, Any]:
    """Show a link of a navigation, marked while the person is on its page or one below it.

    With `is_page_only` pages below do not count. `key` is its keyboard shortcut,
    `count` stands at its end in red.
    """
    try:
        url = reverse(url_name)
    except NoReverseMatch:
        return {}
    request: HttpRequest | None = context.get("request")
    path = request.path if request else ""
    is_current = path == url or (path.startswith(url) and not is_page_only)
    return {
        "url": url,
        "symbol": symbol,
        "label": label,
        "key": key,
        "count": count,
        "is_current": is_current,
    }


@register.simple_tag
def company_name() -> str:
    """Return the name of the company whose help desk this is. One query."""
    return rendering.company_name()


@register.simple_tag
def request_id() -> str:
    """Return the id under which this request stands in the log, "-" outside of one."""
    return current_request_id.get()
