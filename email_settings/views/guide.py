"""The set-up guide and what it refers to, readable inside the product."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from email_settings.guide import GUIDE, OTHERS, read_document
from ticketflow.lib.access import admin_required


@admin_required
@require_safe
def guide(request: HttpRequest) -> HttpResponse:
    """Show how to set up Amazon SES."""
    return _page(request, GUIDE)


@admin_required
@require_safe
def guide_document(request: HttpRequest, name: str) -> HttpResponse:
    """Show another document; 404 for what is none of ours."""
    return _page(request, name)


def _page(request: HttpRequest, name: str) -> HttpResponse:
    document = read_document(name) if name in {GUIDE, *OTHERS} else None
    if document is None:
        raise Http404
    context = {"document": document, "is_guide": name == GUIDE}
    return render(request, "email_settings/guide.html", context)
