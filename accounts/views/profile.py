"""What people say about themselves."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts import access, services
from accounts.forms import ProfileForm


@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show and save one's own name, time zone and appearance."""
    person = access.signed_in(request)
    form = ProfileForm(
        request.POST or None,
        initial={
            "name": person.name,
            "time_zone": person.time_zone,
            "theme": person.theme,
        },
    )
    if form.is_valid():
        services.change_profile(actor=person, **form.cleaned_data)
        messages.success(request, "Your profile is saved.")
        return redirect("accounts:profile")
    return render(request, "accounts/profile.html", {"form": form})
