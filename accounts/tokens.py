"""What makes a password-reset link valid."""

from django.contrib.auth.tokens import PasswordResetTokenGenerator

from accounts.models import User


class ResetTokenGenerator(PasswordResetTokenGenerator):
    """Django's own, and the link dies too when the person's sessions are ended."""

    key_salt = "accounts.password_reset"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        value = super()._make_hash_value(user, timestamp)
        return f"{value}{user.session_epoch}{user.is_active}"
