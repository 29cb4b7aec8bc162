"""What an admin does about notices that wait because too much mail bounces."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_http_methods, require_POST

from email_settings.reputation import guard
from email_settings.status import MailStatus
from email_settings.views.question import Back, Question, actor_of, ask, count_of
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@admin_required
@require_http_methods(["GET", "POST"])
def notices_release(request: HttpRequest) -> HttpResponse:
    """Ask, then let notices go for a day though too much mail bounces."""
    if request.method == "POST":
        try:
            count, until = guard.let_notices_go(actor_of(request))
        except DomainError as error:
            messages.info(request, str(error))
        else:
            ends = date_format(timezone.localtime(until), "j F, H:i")
            messages.success(
                request, f"Notices leave until {ends}; {count_of(count)} on the way."
            )
        return redirect("email_settings:message-list")
    status = MailStatus()
    if status.guard is None or status.guard.open_until:
        messages.info(request, "Notices are not held for the reputation just now.")
        return redirect("email_settings:message-list")
    return ask(request, _question(status))


def _question(status: MailStatus) -> Question:
    assert status.guard
    bounces, complaints = status.reputation.both
    waiting = status.guard.waiting
    return Question(
        title="Let notices go for 24 hours?",
        paragraphs=[
            f"{count_of(waiting)} {'waits' if waiting == 1 else 'wait'} and "
            f"{'leaves' if waiting == 1 else 'leave'} now, with every notice that is "
            "written until then. After that they wait again if the rates are still high.",
            f"Bounces are at {bounces.percent}, and AWS may stop the account from "
            f"10\N{NO-BREAK SPACE}%; complaints at {complaints.percent}, and AWS may stop "
            "it from 0.5\N{NO-BREAK SPACE}%. A stopped account sends nothing at all, no "
            "replies and no password resets either.",
            "Do this when you have corrected or removed the addresses that bounced.",
        ],
        button="Let notices go",
        icon="play",
        back=Back.to_list(),
        is_final=True,
    )


@admin_required
@require_POST
def notices_hold(request: HttpRequest) -> HttpResponse:
    """End what an admin allowed for a day; notices wait again."""
    try:
        guard.hold_notices_again()
    except DomainError as error:
        messages.info(request, str(error))
    else:
        messages.success(request, "Notices wait again until the rates have fallen.")
    return redirect("email_settings:message-list")
