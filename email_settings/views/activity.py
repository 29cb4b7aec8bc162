"""Email Activity: every mail that was written, and the page of one."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST

from email_settings import services
from email_settings.access import get_message
from email_settings.models import OutboxMessage
from email_settings.querysets import CAPTURED, OutboxMessageQuerySet
from email_settings.querysets import messages as mails
from email_settings.status import MailStatus
from email_settings.timeline import KIND_LABELS, kind_label, legs, took
from email_settings.verdicts import is_captured, retry_label, verdict_on
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required
from ticketflow.lib.pagination import paginate

PAGE_SIZE = 50
NEWEST_FIRST = ("-created_at", "-id")
PERIODS = {
    "": ("Any time", None),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
STATES = {**dict(OutboxMessage.State.choices), CAPTURED: "Captured"}
# Always there, so that the tabs do not jump about; the others when they occur.
USUAL_STATES = ("queued", "sent", "held", "failed")
# It is another site as far as the page around it is concerned: nothing of it may act.
HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; sandbox"
)


@dataclass(frozen=True)
class Activity:
    """What the address asks for."""

    state: str = ""
    text: str = ""
    kind: str = ""
    period: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> "Activity":
        state, period = query.get("state", ""), query.get("period", "")
        kind = query.get("kind", "")
        return cls(
            state=state if state in STATES else "",
            # PostgreSQL takes no NUL in a text.
            text=query.get("q", "").replace("\0", "").strip()[:254],
            kind=kind if kind in KIND_LABELS else "",
            period=period if period in PERIODS else "",
        )

    @property
    def is_narrowed(self) -> bool:
        return self != Activity()

    @property
    def is_held_shown(self) -> bool:
        return self.state == OutboxMessage.State.HELD

    def address(self, *, cursor: str = "") -> str:
        """Return the address of this list, or of another page of it."""
        query = QueryDict(mutable=True)
        query.update(
            {
                name: value
                for name, value in {
                    "state": self.state,
                    "q": self.text,
                    "kind": self.kind,
                    "period": self.period,
                    "cursor": cursor,
                }.items()
                if value
            }
        )
        path = reverse("email_settings:message-list")
        return f"{path}?{query.urlencode()}" if query else path

    def in_any_state(self) -> OutboxMessageQuerySet:
        found = mails()
        if self.text:
            found = found.matching(self.text)
        if self.kind:
            found = found.of_kind(self.kind)
        if age := PERIODS[self.period][1]:
            found = found.written_since(timezone.now() - age)
        return found


@dataclass(frozen=True)
class Row:
    """One mail as the list shows it."""

    message: OutboxMessage
    kind: str
    is_captured: bool

    @classmethod
    def of(cls, message: OutboxMessage) -> "Row":
        return cls(message, kind_label(message.kind), is_captured(message))


@dataclass(frozen=True)
class Tab:
    """One state to look at, with how many are in it."""

    label: str
    count: int
    url: str
    is_current: bool


@admin_required
@require_GET
def message_list(request: HttpRequest) -> HttpResponse:
    """Show every mail, newest first, narrowed by the address."""
    activity = Activity.of(request.GET)
    found = activity.in_any_state()
    counts = found.counts_by_state()
    if activity.state:
        found = found.in_state(activity.state)
    status = MailStatus()
    page = paginate(
        found.for_list(),
        order=NEWEST_FIRST,
        cursor=request.GET.get("cursor", ""),
        size=PAGE_SIZE,
    )
    context = {
        "activity": activity,
        "rows": [Row.of(message) for message in page.rows],
        "tabs": _tabs(activity, counts),
        "tab_count": counts.get(activity.state, 0)
        if activity.state
        else sum(counts.values()),
        "older_url": _address(activity, page.next_cursor),
        "newer_url": _address(activity, page.previous_cursor),
        "kinds": sorted(KIND_LABELS.items(), key=lambda pair: pair[1]),
        "periods": [(value, label) for value, (label, _) in PERIODS.items()],
        "retryable_count": status.held_count,
        "mail_status": status,
    }
    return render(request, "email_settings/message_list.html", context)


def _tabs(activity: Activity, counts: Mapping[str, int]) -> list[Tab]:
    everything = Tab(
        "All",
        sum(counts.values()),
        replace(activity, state="").address(),
        is_current=not activity.state,
    )
    return [everything] + [
        Tab(
            label,
            counts.get(state, 0),
            replace(activity, state=state).address(),
            is_current=activity.state == state,
        )
        for state, label in STATES.items()
        if state in USUAL_STATES or state in counts or state == activity.state
    ]


def _address(activity: Activity, cursor: str) -> str:
    return activity.address(cursor=cursor) if cursor else ""


PARTS = {"html": "HTML", "text": "Plain text", "headers": "Headers"}


@admin_required
@require_GET
def message_detail(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Show what happened to one mail, why, and what it says."""
    message = get_message(uid)
    status = MailStatus()
    attempts = list(message.attempt_set.all())
    shown_part = request.GET.get("part", "")
    if shown_part not in PARTS:
        shown_part = "html" if message.html_body or message.is_secret else "text"
    context = {
        "message": message,
        "is_captured": is_captured(message),
        "legs": legs(
            message,
            attempts,
            worker_is_running=status.worker_is_running,
            now=timezone.now(),
        ),
        "took": took(message, attempts),
        "verdict": verdict_on(message, status),
        "retry_label": retry_label(message, status),
        "shown_part": shown_part,
        "parts": [
            {"name": name, "label": label, "is_current": name == shown_part}
            for name, label in PARTS.items()
        ],
        "headers": _headers(message),
    }
    return render(request, "email_settings/message_detail.html", context)


def _headers(message: OutboxMessage) -> list[tuple[str, str]]:
    """The headers that the caller gave it; the sender adds the others on the way."""
    about = [("To", message.recipient), ("Subject", message.subject)]
    if message.ses_message_id:
        about.append(("SES message id", message.ses_message_id))
    return [*about, *message.headers.items()]


@admin_required
@require_GET
@xframe_options_sameorigin
def message_html(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Answer with a mail's HTML alone, for the sandboxed frame on its page.

    A mail that carries a link as good as a password is shown to nobody: 404.
    """
    message = get_message(uid)
    if message.is_secret or not message.html_body:
        raise Http404
    response = HttpResponse(message.html_body)
    response["Content-Security-Policy"] = HTML_POLICY
    return response


@admin_required
@require_POST
def message_retry(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Send one mail again that is held, failed or in doubt."""
    get_message(uid)
    try:
        services.retry_message(uid=uid)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The message is on its way again.")
    return redirect("email_settings:message-detail", uid=uid)


@admin_required
@require_POST
def message_retry_all(request: HttpRequest) -> HttpResponse:
    """Send all again that wait for a person."""
    count = services.retry_all()
    if count and MailStatus().hold:
        messages.info(
            request,
            "One message is tried at once. When Amazon SES takes it, the others follow.",
        )
    elif count:
        messages.success(
            request, f"{count} message{pluralize(count)} on the way again."
        )
    else:
        messages.info(request, "No message waited for you.")
    return redirect("email_settings:message-list")
