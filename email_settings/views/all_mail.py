"""What an admin does about all mail: hold it, release it, retry what waits."""

from collections.abc import Iterator

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from email_settings import services
from email_settings.services import StoppedMail
from email_settings.status import MailStatus
from email_settings.views.question import Back, Question, actor_of, ask, count_of
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@admin_required
@require_http_methods(["GET", "POST"])
def mail_hold(request: HttpRequest) -> HttpResponse:
    """Ask, then let nothing leave any more."""
    if request.method == "POST":
        try:
            count = services.hold_all_mail(actor=actor_of(request))
        except DomainError as error:
            messages.info(request, str(error))
        else:
            waiting = f"{count_of(count)} {'waits' if count == 1 else 'wait'}"
            messages.success(request, f"All mail is held; {waiting}.")
        return redirect("email_settings:message-list")
    if MailStatus().stop:
        messages.info(request, "All mail is held already.")
        return redirect("email_settings:message-list")
    count = services.would_be_held_count()
    question = Question(
        title="Hold all mail?",
        paragraphs=[
            f"{count_of(count)} {'waits' if count == 1 else 'wait'} to leave just now "
            f"and {'is' if count == 1 else 'are'} held with everything that is written "
            "from now on, until an admin presses Release.",
            "Password resets, invitations and test e-mails are held too: whoever needs "
            "one waits. What is on the wire at this moment still arrives.",
            "Nothing is lost. What becomes too old while it is held is given up, and "
            "Release names it.",
        ],
        button="Hold all mail",
        icon="pause",
        back=Back.to_list(),
    )
    return ask(request, question)


@admin_required
@require_http_methods(["GET", "POST"])
def mail_release(request: HttpRequest) -> HttpResponse:
    """Ask, then let mail leave that an admin held."""
    status = MailStatus()
    if request.method == "POST":
        try:
            count = services.release_all_mail(actor=actor_of(request))
        except DomainError as error:
            messages.info(request, str(error))
        else:
            messages.success(request, _released(count, status))
        return redirect("email_settings:message-list")
    if status.stop is None:
        messages.info(request, "Nobody holds the mail.")
        return redirect("email_settings:message-list")
    stopped = services.stopped_mail(status.stop.since)
    question = Question(
        title="Release all mail?",
        paragraphs=list(_what_release_does(stopped, status)),
        button=f"Release {count_of(stopped.count)}" if stopped.count else "Release",
        icon="play",
        named=stopped.too_old,
        back=Back.to_list(),
    )
    return ask(request, question)


def _released(count: int, status: MailStatus) -> str:
    if status.hold:
        return "Released. The account is still held, so mail waits until it is mended."
    if status.is_rehearsal:
        return (
            f"Released. {count_of(count)} go on to be captured: mail is in rehearsal."
        )
    return f"Mail leaves again, {count_of(count)} on the way."


def _what_release_does(stopped: StoppedMail, status: MailStatus) -> Iterator[str]:
    if stopped.count:
        verb = "leaves" if stopped.count == 1 else "leave"
        yield f"{count_of(stopped.count)} {verb}, the most urgent first."
    else:
        yield "No message waits. Mail that is written from now on leaves at once."
    if status.hold:
        yield (
            f"The account does not take mail just now, so it goes on waiting: "
            f"{status.hold.title}"
        )
    if status.is_rehearsal:
        yield "Mail is in rehearsal, so it is captured instead."
    if old := stopped.too_old_count:
        more = ", the newest of them" if old > len(stopped.too_old) else ""
        yield (
            f"{count_of(old)} became too old while mail was held and "
            f"{'does' if old == 1 else 'do'} not leave{more}:"
        )


@admin_required
@require_http_methods(["GET", "POST"])
def message_retry_all(request: HttpRequest) -> HttpResponse:
    """Ask, then send all again that wait for a person."""
    is_account_held = bool(MailStatus().hold)
    if request.method == "POST":
        _retry_all(request, is_account_held=is_account_held)
        return redirect("email_settings:message-list")
    count = services.retryable_count()
    if not count:
        messages.info(request, "No message waited for you.")
        return redirect("email_settings:message-list")
    how = (
        "The account does not take mail just now. One message is tried at once; when "
        "Amazon SES takes it, the others follow by themselves."
        if is_account_held
        else "They leave in the order of their urgency."
    )
    question = Question(
        title=f"Retry {count_of(count)}?",
        paragraphs=[
            f"{count_of(count)} could not leave and {'waits' if count == 1 else 'wait'} for you.",
            how,
        ],
        button=f"Retry all {intcomma(count)}",
        icon="refresh",
        back=Back.to_list(),
    )
    return ask(request, question)


def _retry_all(request: HttpRequest, *, is_account_held: bool) -> None:
    try:
        count = services.retry_all()
    except DomainError as error:
        messages.error(request, str(error))
        return
    if count and is_account_held:
        messages.info(
            request,
            "One message is tried at once. When Amazon SES takes it, the others follow.",
        )
    elif count:
        messages.success(request, f"{count_of(count)} on the way again.")
    else:
        messages.info(request, "No message waited for you.")
