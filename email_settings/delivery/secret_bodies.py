"""Forgets the bodies of secret messages when they are of no more use."""

from collections.abc import Sequence

from email_settings.models import OutboxMessage


def wipe_secrets(message_ids: Sequence[int]) -> None:
    """Forget the bodies of secret messages among these whose state is final."""
    if not message_ids:
        return
    OutboxMessage.objects.filter(
        pk__in=message_ids, is_secret=True, state__in=OutboxMessage.FINAL_STATES
    ).update(text_body="", html_body="")
