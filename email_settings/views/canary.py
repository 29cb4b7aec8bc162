"""The hourly mail to the simulator, on or off."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from email_settings import canary
from email_settings.readiness import run
from email_settings.views.question import actor_of
from ticketflow.lib.access import admin_required


@admin_required
@require_POST
def events_canary(request: HttpRequest) -> HttpResponse:
    """Switch it as the form says."""
    is_on = request.POST.get("is_on") == "1"
    canary.switch(is_on=is_on, actor=actor_of(request))
    run.want("events")
    if is_on:
        messages.success(request, "The canary is on: one leaves within minutes.")
    else:
        messages.success(
            request,
            "The canary is off. That events have stopped is now noticed by the mail of "
            "people only, and not at all while none is sent.",
        )
    return redirect("email_settings:events")
