"""Email Activity: every mail that was written, and the page of one."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET

from email_settings.access import get_message
from email_settings.activity import FATES, LOOKED_THROUGH, PERIODS, STATES, Activity
from email_settings.again import Again, Neighbours
from email_settings.events.connect import is_told
from email_settings.models import OutboxMessage
from email_settings.possible import Possible
from email_settings.reputation.page import ReputationShown
from email_settings.status import COUNT_LIMIT, STOPPED_BY_HAND, MailStatus
from email_settings.timeline import KIND_LABELS, kind_label, legs, took
from email_settings.traffic import Traffic
from email_settings.verdicts import is_captured, verdict_on
from ticketflow.lib.access import admin_required
from ticketflow.lib.counting import shown_count
from ticketflow.lib.pagination import paginate

PAGE_SIZE = 50
NEWEST_FIRST = ("-created_at", "-id")
State = OutboxMessage.State
# Always there, so that the tabs do not jump about; the others when they occur.
USUAL_STATES = ("", "queued", "sent", "held", "failed")
# It is another site as far as the page around it is concerned: nothing of it may act.
HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; sandbox"
)


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
    count: str  # "" where it is not known
    url: str
    is_current: bool


@dataclass(frozen=True)
class Offer:
    """Something that can be done to all messages of the list, after a question."""

    label: str
    icon: str
    url: str
    is_final: bool = False


@admin_required
@require_GET
def message_list(request: HttpRequest) -> HttpResponse:
    """Show how mail leaves, and every mail, newest first, narrowed by the address."""
    activity = Activity.of(request.GET)
    status = MailStatus()
    page = paginate(
        activity.found().for_list(),
        order=NEWEST_FIRST,
        cursor=request.GET.get("cursor", ""),
        size=PAGE_SIZE,
        among=activity.among(),
    )
    counts = activity.counts(status)
    traffic = Traffic.of(status, timezone.now())
    context = {
        "activity": activity,
        "rows": [Row.of(message) for message in page.rows],
        "tabs": _tabs(activity, counts),
        "shown_count": _shown(counts, activity.state),
        "older_url": _address(activity, page.next_cursor),
        "newer_url": _address(activity, page.previous_cursor),
        "kinds": sorted(KIND_LABELS.items(), key=lambda pair: pair[1]),
        "periods": [(value, label) for value, (label, _) in PERIODS.items()],
        # Nobody tells a fate before events are connected.
        "fates": [(name, fate.label) for name, fate in FATES.items()]
        if activity.fate or is_told(status.settings)
        else [],
        "offers": _offers(activity) if page.rows else [],
        # Where a search stopped looking; None where it looked at all
        "looked_until": page.edge,
        "looked_through": LOOKED_THROUGH,
        "is_doubt_shown": activity.state == State.UNKNOWN,
        "retryable_count": traffic.retryable_count,
        "retryable_shown": shown_count(traffic.retryable_count, COUNT_LIMIT),
        "traffic": traffic,
        "reputation": ReputationShown.of(status, timezone.now()),
        "mail_status": status,
    }
    return render(request, "email_settings/message_list.html", context)


def _tabs(activity: Activity, counts: Mapping[str, int] | None) -> list[Tab]:
    return [
        Tab(
            label,
            _shown(counts, state),
            replace(activity, state=state).address(),
            is_current=activity.state == state,
        )
        for state, label in {"": "All", **STATES}.items()
        if counts is None
        or state in USUAL_STATES
        or counts.get(state)
        or state == activity.state
    ]


def _shown(counts: Mapping[str, int] | None, state: str) -> str:
    if counts is None:
        return ""
    return shown_count(counts.get(state, 0), COUNT_LIMIT)


def _offers(activity: Activity) -> list[Offer]:
    """What can be done to everything that the list shows, its other pages included."""

    def offer(label: str, icon: str, name: str, *, is_final: bool = False) -> Offer:
        path = reverse(f"email_settings:{name}")
        return Offer(label, icon, activity.address(path=path), is_final)

    match activity.state:
        case State.QUEUED | State.HELD | "captured":
            return [offer("Cancel all", "x", "message-cancel-all", is_final=True)]
        case State.FAILED:
            return [offer("Retry failed", "refresh", "message-retry-failed")]
        case State.UNKNOWN:
            return [
                offer("Resend all", "refresh", "message-resend-all"),
                offer("Mark all as sent", "check", "message-mark-all-sent"),
            ]
    return []


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
        shown_part = "html" if message.html or message.is_secret else "text"
    context = {
        "message": message,
        "is_captured": is_captured(message),
        "legs": legs(
            message,
            attempts,
            list(message.event_set.all()) if message.sent_at else [],
            Neighbours.of(message),
            worker_is_running=status.worker_is_running,
            now=timezone.now(),
        ),
        "took": took(message, attempts),
        "verdict": verdict_on(message, status),
        "possible": Possible.of(message, status),
        "again": Again.of(message),
        "is_stopped": message.state == State.HELD and bool(status.stop),
        "is_cause_said_by_banner": _is_held_for_the_same(message, status),
        "shown_part": shown_part,
        "parts": [
            {"name": name, "label": label, "is_current": name == shown_part}
            for name, label in PARTS.items()
        ],
        "headers": _headers(message),
    }
    return render(request, "email_settings/message_detail.html", context)


def _is_held_for_the_same(message: OutboxMessage, status: MailStatus) -> bool:
    """Whether the banner of every page would say once more what this page says."""
    if message.state != State.HELD:
        return False
    if message.reason_code == STOPPED_BY_HAND:
        return bool(status.stop)
    return bool(status.hold) and message.reason_code == status.settings.hold_code


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
    if message.is_secret or not message.html:
        raise Http404
    response = HttpResponse(message.html)
    response["Content-Security-Policy"] = HTML_POLICY
    return response
