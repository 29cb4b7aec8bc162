"""How sign-in behaves here."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import passwords
from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    """People join by invitation only; limits and links are the product's own."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "That e-mail and password do not match.",
        "too_many_login_attempts": "Too many wrong passwords for this address.",
        "enter_current_password": (
            "This is not your current password. Check it for typos."
        ),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """Follow `next` within this site only, whatever host the request named."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def respond_user_inactive(
        self, request: HttpRequest, user: AbstractBaseUser
    ) -> HttpResponse:
        return render(request, "account/account_inactive.html", status=403)

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Save the password alone, so that no older copy of the person comes back with it."""
        assert isinstance(user, User)  # the only kind there is
        user.set_password(password)
        user.save(update_fields=["password"])
        # Whoever proved to own the mailbox need not wait out their wrong guesses.
        self._delete_login_attempts_cached_email(self.request, email=user.email)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: AbstractBaseUser,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tell of a changed or reset password, through the outbox like every mail."""
        assert isinstance(user, User)
        passwords.tell_changed(person=user)

    def _get_login_attempts_cache_key(
        self, request: HttpRequest, **credentials: Any
    ) -> str:
        # With the caller's address in the key a stranger can't lock anybody out.
        email = str(credentials.get("email", "")).lower()
        return f"{email}:{self.get_client_ip(request)}"
