"""Sign-in, by django-allauth, where its answers differ from ours."""

from allauth.account.views import LoginView, PasswordChangeView
from django.http import HttpResponse
from django.urls import reverse

from accounts.forms import SignInForm

TOO_MANY = 429


class SignInView(LoginView):
    """E-mail and password; says 429 when somebody has guessed too often."""

    def form_invalid(self, form: SignInForm) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)
        if form.has_error("__all__", "too_many_login_attempts"):
            response.status_code = TOO_MANY
        return response


class ChangePasswordView(PasswordChangeView):
    """A new password; every other session of the person ends."""

    def get_default_success_url(self) -> str:
        return reverse("accounts:profile")
