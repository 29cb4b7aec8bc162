"""The list, and the page of an address."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from email_settings import services
from email_settings.models import AwsRelease, Suppression
from email_settings.suppression import aws
from email_settings.suppression.listing import (
    AT_AWS,
    COUNT_LIMIT,
    TABS,
    Address,
    Listing,
    get_entry,
)
from email_settings.suppression.standing import TITLES
from ticketflow.lib.access import admin_required
from ticketflow.lib.counting import shown_count
from ticketflow.lib.pagination import Page, paginate

PAGE_SIZE = 50


@admin_required
@require_GET
def suppression_list(request: HttpRequest) -> HttpResponse:
    """Show which addresses get no mail, and how AWS's own list differs."""
    if request.headers.get("HX-Request"):
        return render(request, "email_settings/_suppression_aws.html", aws_context())
    listing = Listing.of(request.GET)
    counts = listing.counts()
    cursor = request.GET.get("cursor", "")
    page: Page[Any] = (
        paginate(listing.at_aws(), order=["address"], cursor=cursor, size=PAGE_SIZE)
        if listing.show == AT_AWS
        else paginate(
            listing.entries().select_related("created_by", "closed_by", "message"),
            order=["-created_at", "-id"],
            cursor=cursor,
            size=PAGE_SIZE,
        )
    )
    context = {
        "listing": listing,
        "is_at_aws": listing.show == AT_AWS,
        "rows": page.rows,
        "tabs": [
            {
                "label": label,
                "count": shown_count(counts[show], COUNT_LIMIT),
                "url": listing.address(show=show),
                "is_current": show == listing.show,
            }
            for show, label in TABS.items()
        ],
        "reasons": Suppression.Reason.choices,
        "older_url": _address(listing, page.next_cursor),
        "newer_url": _address(listing, page.previous_cursor),
        "is_empty": not any(counts.values()) and not listing.is_narrowed,
        **aws_context(),
    }
    return render(request, "email_settings/suppression_list.html", context)


def _address(listing: Listing, cursor: str) -> str:
    return listing.address(cursor=cursor) if cursor else ""


def aws_context() -> dict[str, Any]:
    """Return what the card about AWS's own list needs."""
    sync = aws.sync_state()
    return {
        "sync": sync,
        "can_ask": aws.can_ask(services.stored_settings()),
        "is_syncing": bool(sync.wanted_at or sync.running_until),
        "only_at_aws_count": aws.only_at_aws()[:COUNT_LIMIT].count(),
        "only_here_count": aws.only_here()[:COUNT_LIMIT].count(),
        "count_limit": COUNT_LIMIT,
    }


@admin_required
@require_GET
def suppression_detail(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Show why an address gets no mail, and all that happened to it."""
    entry = entry_or_404(entry_id)
    address = Address.of(entry)
    context = {
        "entry": address.current or entry,
        "title": TITLES[Suppression.Reason((address.current or entry).reason)],
        "address": address,
        "is_waiting": address.wish is not None and address.wish.done_at is None,
        "is_refused": address.wish is not None
        and address.wish.outcome == AwsRelease.Outcome.FAILED,
        "sync": aws.sync_state(),
        "can_ask": aws.can_ask(services.stored_settings()),
    }
    if request.headers.get("HX-Request"):
        return render(request, "email_settings/_suppression_at_aws.html", context)
    return render(request, "email_settings/suppression_detail.html", context)


@admin_required
@require_GET
def suppression_find(request: HttpRequest) -> HttpResponse:
    """Go to the page of the address that is asked for."""
    address = request.GET.get("address", "").replace("\0", "").lower()
    newest = Suppression.objects.filter(address_lower=address).order_by("-pk").first()
    if newest is None:
        return redirect(Listing(text=address).address())
    return redirect("email_settings:suppression-detail", entry_id=newest.pk)


def entry_or_404(entry_id: int) -> Suppression:
    """Return the entry. Only admins get this far; Http404 when there is none."""
    entry = get_entry(entry_id)
    if entry is None:
        raise Http404
    return entry
