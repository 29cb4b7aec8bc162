"""What an admin does about all messages that the list shows, its other pages included."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods

from email_settings import services
from email_settings.activity import Activity
from email_settings.delivery.by_hand import MOST_AT_ONCE, Done, sendable
from email_settings.models import OutboxMessage
from email_settings.querysets import CAPTURED
from email_settings.views.question import Back, Question, actor_of, ask, count_of
from ticketflow.lib.access import admin_required

State = OutboxMessage.State


@dataclass(frozen=True)
class ForMany:
    """One thing that can be done to all messages of a filter."""

    states: Sequence[str]  # of Activity, that it can be done in
    concerned: Callable[[QuerySet[OutboxMessage]], QuerySet[OutboxMessage]]
    act: Callable[..., Done]
    title: str
    text: str
    button: str
    icon: str
    done: str  # after "3 messages "
    is_final: bool = False


def _all(found: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    return found


CANCEL_ALL = ForMany(
    states=(State.QUEUED, State.HELD, CAPTURED),
    concerned=_all,
    act=services.cancel_messages,
    title="Cancel {count}?",
    text="A cancelled message never leaves, not even by a retry. This can't be undone.",
    button="Cancel {count}",
    icon="x",
    done="cancelled.",
    is_final=True,
)
RETRY_FAILED = ForMany(
    states=(State.FAILED,),
    concerned=sendable,
    act=services.retry_failed_messages,
    title="Retry {count} that failed?",
    text="Each is tried once more from the beginning, with a new lifetime. Look at the "
    "reasons first: an address that does not exist fails again. Messages whose link "
    "was wiped or has expired are left out.",
    button="Retry {count}",
    icon="refresh",
    done="on the way again.",
)
RESEND_ALL = ForMany(
    states=(State.UNKNOWN,),
    concerned=sendable,
    act=services.resend_messages,
    title="Resend {count}?",
    text="Amazon SES may have taken them already: they went out and no answer came. Sent "
    "again, each may arrive twice.",
    button="Resend {count}",
    icon="refresh",
    done="on the way again.",
)
MARK_ALL_SENT = ForMany(
    states=(State.UNKNOWN,),
    concerned=_all,
    act=services.mark_messages_sent,
    title="Mark {count} as sent?",
    text="Do it when you know that they arrived, or that they need not. They are not "
    "sent again, and the page of each says that you marked it.",
    button="Mark {count} as sent",
    icon="check",
    done="marked as sent.",
)


@admin_required
@require_http_methods(["GET", "POST"])
def message_cancel_all(request: HttpRequest) -> HttpResponse:
    """Ask, then call back all that the filter shows."""
    return _about_many(request, CANCEL_ALL)


@admin_required
@require_http_methods(["GET", "POST"])
def message_retry_failed(request: HttpRequest) -> HttpResponse:
    """Ask, then send again all failed ones that the filter shows."""
    return _about_many(request, RETRY_FAILED)


@admin_required
@require_http_methods(["GET", "POST"])
def message_resend_all(request: HttpRequest) -> HttpResponse:
    """Ask, then send again all that the filter shows and are in doubt."""
    return _about_many(request, RESEND_ALL)


@admin_required
@require_http_methods(["GET", "POST"])
def message_mark_all_sent(request: HttpRequest) -> HttpResponse:
    """Ask, then call all sent that the filter shows and are in doubt."""
    return _about_many(request, MARK_ALL_SENT)


def _about_many(request: HttpRequest, deed: ForMany) -> HttpResponse:
    activity = Activity.of(request.GET)
    if activity.state not in deed.states:
        messages.error(request, "Choose what it is about by its state first.")
        return redirect(activity.address())
    # What is written after the question was asked is not meant by the answer.
    until = _until(request)
    found = deed.concerned(activity.found()).filter(created_at__lte=until)
    if request.method == "POST" and (is_sure := _is_sure(request, deed)):
        done = deed.act(found, actor=actor_of(request))
        _say_done(request, deed, done)
        return redirect(activity.address())
    count = found.count()
    if not count:
        messages.info(request, "There is no message left for that.")
        return redirect(activity.address())
    is_refused = request.method == "POST" and not is_sure
    return ask(request, _question_about_many(activity, deed, count, until, is_refused))


def _question_about_many(
    activity: Activity,
    deed: ForMany,
    count: int,
    until: datetime,
    is_refused: bool,  # noqa: FBT001
) -> Question:
    counted = count_of(count)
    paragraphs = [f"This concerns {counted}{_narrowed(activity)}.", deed.text]
    if count > MOST_AT_ONCE:
        paragraphs.append(
            f"The oldest {intcomma(MOST_AT_ONCE)} come first; do it again for the rest."
        )
    return Question(
        title=deed.title.format(count=counted),
        paragraphs=paragraphs,
        button=deed.button.format(count=counted),
        icon=deed.icon,
        back=Back(activity.address(), "Back to the list"),
        is_final=deed.is_final,
        sure_label=f"Yes, cancel {counted} for good" if deed.is_final else "",
        until=until,
        error="Tick the box to go on. Nothing has been changed." if is_refused else "",
    )


def _narrowed(activity: Activity) -> str:
    words = activity.words()
    return f": {', '.join(words)}" if words else ""


def _until(request: HttpRequest) -> datetime:
    try:
        until = parse_datetime(request.POST.get("until", ""))
    except ValueError:
        until = None
    now = timezone.now()
    return min(until, now) if until and timezone.is_aware(until) else now


def _is_sure(request: HttpRequest, deed: ForMany) -> bool:
    is_asked = bool(request.POST.get("until"))
    return is_asked and (not deed.is_final or request.POST.get("sure") == "on")


def _say_done(request: HttpRequest, deed: ForMany, done: Done) -> None:
    parts = [f"{count_of(done.count)} {deed.done}"]
    if done.missed:
        parts.append(
            f"{count_of(done.missed)} had changed in the meantime and "
            f"{'was' if done.missed == 1 else 'were'} left alone."
        )
    if done.is_more:
        parts.append("Others are left: do it again for them.")
    tell = messages.success if done.count else messages.info
    tell(request, " ".join(parts))
