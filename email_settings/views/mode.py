"""Rehearsal and live, and the pages that say what the change means."""

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.views.decorators.http import require_http_methods

from email_settings import services
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@admin_required
@require_http_methods(["GET", "POST"])
def go_live(request: HttpRequest) -> HttpResponse:
    """Say what waits from rehearsal and ask what to do with it, or go live."""
    if request.method == "POST":
        return _go_live(request)
    stored = services.stored_settings()
    captured = services.captured_mail()
    context = {
        "stored": stored,
        "is_confirmed": bool(stored.account_id) or stored.is_sandbox is not None,
        "live_refusal": services.why_not_live(stored),
        "captured_count": captured.count,
        "fresh_count": captured.fresh_count,
        "stale_count": captured.count - captured.fresh_count,
    }
    return render(request, "email_settings/go_live.html", context)


def _go_live(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, AbstractBaseUser)
    try:
        released = services.go_live(
            actor=request.user, send_captured=request.POST.get("captured") == "send"
        )
    except DomainError as error:
        messages.error(request, str(error))
    else:
        also = (
            f" {released} captured message{pluralize(released)} on the way."
            if released
            else ""
        )
        messages.success(request, f"Mail is live.{also}")
    return redirect("email_settings:settings")


@admin_required
@require_http_methods(["GET", "POST"])
def rehearse(request: HttpRequest) -> HttpResponse:
    """Say what waits to leave, or go back to rehearsal."""
    if request.method == "POST":
        assert isinstance(request.user, AbstractBaseUser)
        services.go_back_to_rehearsal(actor=request.user)
        messages.success(
            request, "Mail is in rehearsal. Messages are captured and nothing leaves."
        )
        return redirect("email_settings:settings")
    context = {"waiting_count": services.waiting_count()}
    return render(request, "email_settings/rehearse.html", context)
