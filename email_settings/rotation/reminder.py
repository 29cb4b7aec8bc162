"""Finds out how old the access key is, and tells the admins once when it is old."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from email_settings import alerts, credentials
from email_settings.gateway import iam
from email_settings.gateway.errors import SendError
from email_settings.key_age import KeyAge
from email_settings.models import KeyRotation, SesSettings
from ticketflow.lib.encryption import EncryptionError

logger = logging.getLogger(__name__)

ASK_EVERY = timedelta(days=1)


def look() -> None:
    """Ask AWS once a day when the key was made, and remind. For a worker's schedule."""
    row = SesSettings.load()
    if not row.has_key or row.source == row.Source.SERVER:
        return
    if _is_our_turn():
        _ask(row)
    remind()


def _is_our_turn() -> bool:
    """Whether this worker asks: the conditional update decides between all of them."""
    now = timezone.now()
    is_due = Q(key_asked_at=None) | Q(key_asked_at__lte=now - ASK_EVERY)
    return bool(
        SesSettings.objects.filter(is_due, pk=SesSettings.ONLY_ID).update(
            key_asked_at=now
        )
    )


def _ask(row: SesSettings) -> None:
    """Keep since when the key exists, where its policy allows to ask."""
    try:
        signer = credentials.read_credentials(row).of_the_key
        listed = iam.list_keys(signer)
    except (SendError, EncryptionError, credentials.CredentialsMissingError) as error:
        # Most keys may not ask, and need not.
        logger.info("rotation: the age of the key is not told: %s", error)
        return
    for key in listed:
        if key.access_key_id == row.access_key_id:
            SesSettings.objects.filter(
                pk=row.pk, access_key_id=row.access_key_id
            ).update(key_created_at=key.created_at)


@transaction.atomic
def remind() -> None:
    """Tell the admins by mail, once for each key, that it is time for a new one."""
    row = SesSettings.load()
    age = KeyAge.of(row)
    if age is None or not age.is_due or row.key_told == row.access_key_id:
        return
    if KeyRotation.objects.filter(is_open=True).exists():
        return
    # The conditional update decides between the workers.
    untold = SesSettings.objects.filter(pk=row.pk, access_key_id=row.access_key_id)
    if untold.exclude(key_told=row.access_key_id).update(key_told=row.access_key_id):
        alerts.key_is_old(row, age)
