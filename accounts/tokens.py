"""What makes a password-reset link valid."""

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.utils import timezone

from accounts.models import User
from email_settings.lifetimes import RESET_LINK
from email_settings.models import OutboxMessage
from email_settings.void_links import void_links

RESET = "password_reset"  # the kind of mail that carries such a link


class ResetTokenGenerator(PasswordResetTokenGenerator):
    """Django's own, and the link dies too when the person's sessions are ended."""

    key_salt = "accounts.password_reset"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        value = super()._make_hash_value(user, timestamp)
        return f"{value}{user.session_epoch}{user.is_active}"


def void_mailed_links(person: User) -> None:
    """Have no mail sent any more whose reset link has become invalid.

    For whatever changes a value that the links cover: password, sessions, access.
    """
    recent = OutboxMessage.objects.filter(
        kind=RESET, created_at__gt=timezone.now() - 2 * RESET_LINK
    )
    void_links(recent.filter(recipient=person.email))
