"""Adding addresses by hand, and lists as CSV files."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods

from email_settings.models import Suppression
from email_settings.suppression import wishes
from email_settings.suppression.exchange import (
    LARGEST_FILE,
    MOST_ROWS,
    NewEntry,
    Reading,
    UnreadableFileError,
    Wrong,
    read_file,
    read_lines,
    write_file,
)
from email_settings.suppression.standing import in_force
from email_settings.views.question import actor_of
from ticketflow.lib.access import admin_required

Reason = Suppression.Reason
NAMED = 20  # wrong lines that a page names; of the others it tells the number


class AddForm(forms.Form):
    """Addresses that somebody types or pastes."""

    use_required_attribute = False

    addresses = forms.CharField(
        label="Addresses",
        max_length=200_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="One a line, or parted by commas.",
        error_messages={"required": "Paste one address at least."},
    )
    detail = forms.CharField(
        label="Why",
        max_length=200,
        required=False,
        help_text="For the other admins. It is shown on the page of each address.",
    )

    def clean_addresses(self) -> Reading:
        reading = read_lines(self.cleaned_data["addresses"], reason=Reason.BY_HAND)
        if reading.wrong:
            raise ValidationError(told(reading.wrong))
        if not reading.entries:
            raise ValidationError("Paste one address at least.")
        if len(reading.entries) > MOST_ROWS:
            raise ValidationError(
                f"These are more than {MOST_ROWS:,} addresses. Import them in parts."
            )
        return reading

    def entries(self) -> list[NewEntry]:
        """What was typed, in shape. Only for a valid form."""
        reading: Reading = self.cleaned_data["addresses"]
        detail = self.cleaned_data["detail"]
        return [
            NewEntry(entry.address, entry.reason, detail)
            for entry in reading.entries.values()
        ]


def told(wrong: list[Wrong]) -> SafeString:
    """Say which lines can't be used, and why."""
    lines = format_html_join(
        "",
        "<br>Line {}, “{}”: {}",
        ((one.line, one.text, one.why) for one in wrong[:NAMED]),
    )
    more = len(wrong) - NAMED
    rest = format_html("<br>… and {} more", more) if more > 0 else ""
    return format_html("<b>Nothing was added yet.</b>{}{}", lines, rest)


@admin_required
@require_http_methods(["GET", "POST"])
def suppression_add(request: HttpRequest) -> HttpResponse:
    """Put addresses on the list by hand."""
    form = AddForm(request.POST or None)
    if not form.is_valid():
        context = {"form": form}
        status = 422 if form.is_bound else 200
        return render(
            request, "email_settings/suppression_add.html", context, status=status
        )
    entries = form.entries()
    count = wishes.suppress(entries, actor=actor_of(request))
    messages.success(request, _added(count, len(entries) - count))
    return redirect("email_settings:suppression-list")


def _added(count: int, known: int) -> str:
    said = f"{count:,} address{'' if count == 1 else 'es'} added."
    if known:
        said += f" {known:,} {'was' if known == 1 else 'were'} on the list already."
    return said


@admin_required
@require_http_methods(["GET", "POST"])
def suppression_import(request: HttpRequest) -> HttpResponse:
    """Read a CSV file, show what it would add, and add it when that is confirmed."""
    if request.method == "GET":
        return _import_page(request)
    try:
        reading = read_file(_uploaded(request))
    except UnreadableFileError as error:
        return _import_page(request, error=str(error))
    entries = list(reading.entries.values())
    if request.POST.get("is_confirmed") and entries:
        count = wishes.suppress(entries, actor=actor_of(request))
        messages.success(request, _added(count, len(entries) - count))
        return redirect("email_settings:suppression-list")
    known = len(wishes.known_among(entry.address for entry in entries))
    return _import_page(
        request,
        reading=reading,
        wrong=reading.wrong[:NAMED],
        more_wrong=max(len(reading.wrong) - NAMED, 0),
        first=entries[:5],
        new=len(entries) - known,
        known=known,
        content="".join(write_file(entries)),
    )


def _uploaded(request: HttpRequest) -> bytes:
    """Return the file, or what the page before it showed. Raises UnreadableFileError."""
    if request.POST.get("is_confirmed"):
        return request.POST.get("content", "").encode()
    uploaded = request.FILES.get("file")
    if uploaded is None:
        raise UnreadableFileError("Choose a file first.")
    if uploaded.size is None or uploaded.size > LARGEST_FILE:
        raise UnreadableFileError("The file is larger than 1 MB. Split it.")
    content: bytes = uploaded.read()
    return content


def _import_page(request: HttpRequest, **context: Any) -> HttpResponse:
    status = 422 if context.get("error") else 200
    return render(
        request, "email_settings/suppression_import.html", context, status=status
    )


@admin_required
@require_GET
def suppression_export(request: HttpRequest) -> StreamingHttpResponse:
    """Answer with all addresses that get no mail for good, as a CSV file."""
    name = f"suppression-list-{timezone.localdate():%Y-%m-%d}.csv"
    response = StreamingHttpResponse(
        write_file(_for_good()), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _for_good() -> Iterator[NewEntry]:
    entries = in_force().filter(held_until=None).order_by("address_lower")
    for entry in entries.iterator(chunk_size=500):
        reason = Reason(entry.reason)
        yield NewEntry(entry.address, reason, entry.detail, entry.happened_at)
