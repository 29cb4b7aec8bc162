"""How a view gets one mail."""

import uuid

from django.http import Http404

from email_settings.models import OutboxMessage


def get_message(uid: uuid.UUID) -> OutboxMessage:
    """Return the mail. Only admins get this far; Http404 when there is none."""
    try:
        return OutboxMessage.objects.select_related("shared_body").get(uid=uid)
    except OutboxMessage.DoesNotExist:
        raise Http404 from None


def get_test_message(uid: uuid.UUID) -> OutboxMessage:
    """Return a test e-mail; Http404 for every other kind."""
    message = get_message(uid)
    if message.kind != OutboxMessage.TEST:
        raise Http404
    return message
