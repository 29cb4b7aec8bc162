"""Sign-in, by django-allauth, where its answers differ from ours."""

from allauth.account.views import (
    LoginView,
    PasswordChangeView,
    PasswordResetView,
)
from django.http import HttpResponse
from django.urls import reverse

from accounts.forms import ResetPasswordForm, SignInForm
from ticketflow.errors import DomainError

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


class ResetPasswordView(PasswordResetView):
    """Mails a link; the same page for everybody, also when no mail can be written."""

    def form_valid(self, form: ResetPasswordForm) -> HttpResponse:
        try:
            response: HttpResponse = super().form_valid(form)
        except DomainError:
            form.add_error(
                None,
                "No mail can be written just now. Ask an admin: the Admin Panel says "
                "what is wrong.",
            )
            response = self.form_invalid(form)
        return response
