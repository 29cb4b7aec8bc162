"""The bar under the list: one change to the selected tickets."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from ticketflow.lib.access import agent_required
from tickets import bulk
from tickets.bulk import Outcome
from tickets.forms import BulkForm
from tickets.views.http import AuthenticatedRequest

# A page of refusals would hide the list.
TOLD_ONE_BY_ONE = 3


@require_POST
@agent_required
def ticket_bulk(request: AuthenticatedRequest) -> HttpResponse:
    """Change the selected tickets; ask first when it is for good or mails more than a few."""
    form = BulkForm(request.POST)
    if not form.is_valid():
        for refusals in form.errors.values():
            messages.error(request, " ".join(map(str, refusals)))
        return _back_to_list(form)
    numbers, change = form.cleaned_data["ticket"], form.cleaned_data["do"]
    mails = bulk.count_mails(actor=request.user, numbers=numbers, change=change)
    is_final = bulk.is_final(change)
    is_big = is_final or mails > bulk.HANDFUL
    if is_big and not form.cleaned_data["is_confirmed"]:
        words = dict(BulkForm.CHANGES)[change]
        context = {
            "form": form,
            "numbers": numbers,
            "mails": mails,
            "words": words,
            "is_final": is_final,
        }
        return render(request, "tickets/ticket_bulk_confirm.html", context)
    _tell(request, bulk.change_many(actor=request.user, numbers=numbers, change=change))
    return _back_to_list(form)


def _back_to_list(form: BulkForm) -> HttpResponse:
    """The query string comes from the page, the path does not: no open redirect."""
    query = form.cleaned_data.get("back", "")
    path = reverse("tickets:ticket-list")
    return redirect(f"{path}?{query}" if query else path)


def _tell(request: AuthenticatedRequest, outcome: Outcome) -> None:
    if outcome.changed:
        count = len(outcome.changed)
        messages.success(request, f"{count} ticket{'' if count == 1 else 's'} changed.")
    refused = list(outcome.refused.items())
    for number, reason in refused[:TOLD_ONE_BY_ONE]:
        messages.error(request, f"#{number} stays as it is. {reason}")
    if rest := [f"#{number}" for number, _ in refused[TOLD_ONE_BY_ONE:]]:
        messages.error(request, f"Refused, too: {', '.join(rest)}.")
