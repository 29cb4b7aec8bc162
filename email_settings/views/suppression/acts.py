"""What an admin does about addresses that get no mail."""

from collections.abc import Iterator

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from email_settings import services
from email_settings.delivery import by_hand
from email_settings.models import AwsSuppression, Suppression
from email_settings.suppression import aws, wishes
from email_settings.suppression.listing import COUNT_LIMIT
from email_settings.views.question import Back, Question, actor_of, ask, count_of
from email_settings.views.suppression.pages import entry_or_404
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required
from ticketflow.lib.counting import shown_count

Reason = Suppression.Reason

SECOND_COMPLAINT = (
    "The recipient called mail from here spam. A second complaint hurts your AWS "
    "account: AWS looks into accounts from one complaint in a thousand mails on, and "
    "may stop them. Release the address only if the person asked for mail."
)
WANTED = "The person wants mail from here"


def _to_entry(entry: Suppression) -> Back:
    url = reverse("email_settings:suppression-detail", args=[entry.pk])
    return Back(url, "Back to the address")


def _to_list() -> Back:
    return Back(reverse("email_settings:suppression-list"), "Back to the list")


def _page_of(entry: Suppression) -> HttpResponse:
    return redirect("email_settings:suppression-detail", entry_id=entry.pk)


# One address


@admin_required
@require_http_methods(["GET", "POST"])
def suppression_release(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Ask, then let an address get mail again, here and at AWS."""
    entry = entry_or_404(entry_id)
    question = _release_question(entry)
    if request.method == "GET":
        if entry.closed_at:
            messages.info(request, f"{entry.address} was released already.")
            return _page_of(entry)
        return ask(request, question)
    if question.sure_label and "sure" not in request.POST:
        return ask(request, _unsure(question))
    if wishes.release(entry.address, actor=actor_of(request)):
        messages.success(request, f"{entry.address} gets mail again.")
    else:
        messages.info(request, f"{entry.address} gets mail already.")
    if aws.can_ask(services.stored_settings()):
        aws.want_release(entry.address, actor=actor_of(request))
    return _page_of(entry)


def _release_question(entry: Suppression) -> Question:
    is_complaint = entry.reason == Reason.COMPLAINED
    return Question(
        title=f"Release {entry.address}?",
        paragraphs=list(_what_release_does(entry)),
        button="Release 1 address",
        icon="undo",
        is_final=is_complaint,
        sure_label=WANTED if is_complaint else "",
        back=_to_entry(entry),
    )


def _unsure(question: Question) -> Question:
    return Question(
        **{**question.__dict__, "error": "Tick the box if the person asked for mail."}
    )


def _what_release_does(entry: Suppression) -> Iterator[str]:
    if entry.reason == Reason.COMPLAINED:
        yield SECOND_COMPLAINT
    yield "Mail to this address leaves again from now on."
    if entry.reason in {Reason.BOUNCED, Reason.AWS_EVERYWHERE}:
        yield (
            "If it still takes no mail, the next one bounces, and the address comes "
            "back to this list."
        )
    if aws.can_ask(services.stored_settings()):
        yield (
            "The worker also asks AWS to take it off the suppression list of your "
            "account. The page of the address shows what AWS said."
        )
    if count := wishes.suppressed_mails(entry.address).count():
        verb = "was" if count == 1 else "were"
        yield (
            f"{count_of(count)} {verb} not sent because of this. You can send "
            f"{'it' if count == 1 else 'them'} on the next page."
        )


@admin_required
@require_POST
def suppression_security(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Let invitations and password resets go to an address all the same, or no more."""
    entry = entry_or_404(entry_id)
    try:
        if request.POST.get("allow") == "yes":
            wishes.allow_security(entry.pk, actor=actor_of(request))
            said = "Invitations and password resets go to this address now."
        else:
            wishes.forbid_security(entry.pk)
            said = "This address gets no mail at all any more."
    except DomainError as error:
        messages.info(request, str(error))
    else:
        messages.success(request, said)
    return _page_of(entry)


@admin_required
@require_http_methods(["GET", "POST"])
def suppression_send_again(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Ask, then send what was suppressed to an address that is released."""
    entry = entry_or_404(entry_id)
    mails = by_hand.sendable(wishes.suppressed_mails(entry.address))
    if request.method == "POST":
        done = by_hand.retry_suppressed(mails, actor=actor_of(request))
        messages.success(request, f"{count_of(done.count)} on the way again.")
        return _page_of(entry)
    count = mails.count()
    if not count:
        messages.info(request, "Nothing is left to be sent to this address.")
        return _page_of(entry)
    question = Question(
        title=f"Send {count_of(count)} again?",
        paragraphs=[
            f"{count_of(count)} to {entry.address} {'was' if count == 1 else 'were'} "
            "not sent while the address got no mail. Look whether they still make "
            "sense.",
            "Messages whose link was wiped are left out: do again what they were about.",
        ],
        button=f"Send {count_of(count)}",
        icon="send",
        named=list(mails.order_by("-created_at")[:10]),
        back=_to_entry(entry),
    )
    return ask(request, question)


# AWS's own list


@admin_required
@require_POST
def suppression_sync(request: HttpRequest) -> HttpResponse:
    """Have AWS's list read."""
    if aws.can_ask(services.stored_settings()):
        aws.want_sync()
        messages.success(request, "The worker reads AWS’s list within seconds.")
    else:
        messages.error(request, "Save working settings under Email Settings first.")
    return redirect("email_settings:suppression-list")


@admin_required
@require_http_methods(["GET", "POST"])
def suppression_take_over(request: HttpRequest) -> HttpResponse:
    """Ask, then put on our list what only AWS's has."""
    if request.method == "POST":
        count = aws.take_over(actor=actor_of(request))
        messages.success(request, f"{_addresses(count)} taken over from AWS.")
        return redirect("email_settings:suppression-list")
    count = aws.only_at_aws()[:COUNT_LIMIT].count()
    if not count:
        messages.info(request, "All that is on AWS’s list is on this one, too.")
        return redirect("email_settings:suppression-list")
    question = Question(
        title=f"Take over {_addresses(count)}?",
        paragraphs=[
            f"{_addresses(count)} on AWS’s list {'is' if count == 1 else 'are'} not on "
            "this one. Amazon SES takes mail to them, counts it and delivers none. "
            "Taken over, such mail is not sent in the first place, and says why.",
            "Nothing is changed at AWS.",
        ],
        button=f"Take over {_addresses(count)}",
        icon="download",
        back=_to_list(),
    )
    return ask(request, question)


def _addresses(count: int) -> str:
    shown = shown_count(count, COUNT_LIMIT)
    return f"{shown} address{'' if count == 1 else 'es'}"


@admin_required
@require_http_methods(["GET", "POST"])
def suppression_aws_release(request: HttpRequest, listed_id: int) -> HttpResponse:
    """Ask, then have an address taken off AWS's list that is not on ours."""
    listed = AwsSuppression.objects.filter(pk=listed_id).first()
    if listed is None:
        raise Http404
    is_complaint = listed.reason == "COMPLAINT"
    question = Question(
        title=f"Take {listed.address} off AWS’s list?",
        paragraphs=[
            *([SECOND_COMPLAINT] if is_complaint else []),
            "The worker asks AWS to delete the entry. Amazon SES then delivers mail to "
            "this address again, for every program that uses the account.",
        ],
        button="Take 1 address off",
        icon="undo",
        is_final=is_complaint,
        sure_label=WANTED if is_complaint else "",
        back=_to_list(),
    )
    if request.method == "GET":
        return ask(request, question)
    if question.sure_label and "sure" not in request.POST:
        return ask(request, _unsure(question))
    aws.want_release(listed.address, actor=actor_of(request))
    messages.success(request, f"The worker asks AWS to release {listed.address}.")
    return redirect(f"{reverse('email_settings:suppression-list')}?show=aws")
