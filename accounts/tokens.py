"""What makes a password-reset link valid."""

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.utils import timezone

from accounts.models import EmailChange, User
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
    """Have no mail sent any more whose link has become invalid, and cancel what it is for.

    For whatever changes a value that the links cover: password, address, sessions, access.
    """
    recent = OutboxMessage.objects.filter(
        kind=RESET, created_at__gt=timezone.now() - 2 * RESET_LINK
    )
    void_links(recent.filter(recipient=person.email))
    cancel_email_change(person)


def cancel_email_change(person: User) -> bool:
    """Void the link to a new address that the person waits for; False when there is none."""
    pending = EmailChange.objects.pending().filter(person=person)
    # The row before its mail, as whoever confirms it does
    change = pending.select_for_update().first()
    if change is None:
        return False
    change.cancelled_at = timezone.now()
    change.save(update_fields=["cancelled_at"])
    void_links(OutboxMessage.objects.filter(pk__in=[change.outbox_message_id]))
    return True
