"""The buttons of the webhook, on the page of delivery events."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from email_settings import services
from email_settings.readiness import webhook
from email_settings.readiness.fixes import FixError
from email_settings.views.events import page_of_events
from ticketflow.lib.access import admin_required


@admin_required
@require_POST
def switch_on(request: HttpRequest) -> HttpResponse:
    """Take posts of SNS, and have it begin to post."""
    stored = services.stored_settings()
    try:
        webhook.switch_on(stored)
    except FixError as refusal:
        return page_of_events(request, stored, refusal=refusal)
    messages.success(
        request, "The webhook is on. Amazon SNS asks to be confirmed within seconds."
    )
    return redirect("email_settings:events")


@admin_required
@require_POST
def switch_off(request: HttpRequest) -> HttpResponse:
    """Take no posts any more. It can be switched on again."""
    stored = services.stored_settings()
    try:
        webhook.switch_off(stored)
    except FixError as refusal:
        return page_of_events(request, stored, refusal=refusal)
    messages.success(request, "The webhook is off. Amazon SNS posts here no more.")
    return redirect("email_settings:events")
