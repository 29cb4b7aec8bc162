"""Reads what SNS has posted: the webhook stores a letter, and a worker reads it here.

A letter is read in one transaction with what it says, so that a worker that dies in
between leaves it unread. One at a time, because its mail is locked meanwhile: whoever
held two might be waited for by another who holds the second.
"""

import logging
from datetime import timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from email_settings import sns
from email_settings.events import feed, store, webhook
from email_settings.gateway.setup import Setup, StepError
from email_settings.models import EventLetter, SesSettings
from email_settings.provisioning.policy import statement_for

logger = logging.getLogger(__name__)

# In one go of the task; the next one follows within ten seconds.
MOST_AT_ONCE = 2_000
# What was read is remembered, so that it is not taken again.
REMEMBERED = timedelta(days=30)
FORGOTTEN_AT_ONCE = 1_000


def receive(envelope: sns.Envelope, body: bytes) -> None:
    """Keep a verified post until a worker reads it; one that is known already is left."""
    EventLetter.objects.bulk_create(
        [EventLetter(sns_message_id=envelope.message_id, body=body.decode())],
        ignore_conflicts=True,
    )


def are_unread() -> bool:
    """Whether there is something to read."""
    return EventLetter.objects.filter(read_at=None).exists()


def read_all() -> int:
    """Read what is unread, the oldest first, and return how many letters that were."""
    unread = EventLetter.objects.filter(read_at=None).order_by("pk")
    pks = list(unread.values_list("pk", flat=True)[:MOST_AT_ONCE])
    sender = SesSettings.load()
    count = sum(_read_safely(pk, sender) for pk in pks)
    # The reader of the queue does it too, where there is one.
    if webhook.is_on(sender):
        store.match_late()
    return count


def forget_old() -> int:
    """Remove what was read long ago; return how many letters."""
    old = EventLetter.objects.filter(
        received_at__lt=timezone.now() - REMEMBERED, read_at__isnull=False
    ).order_by("received_at")
    removed = 0
    while pks := list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        removed += EventLetter.objects.filter(pk__in=pks).delete()[0]
    return removed


def _read_safely(pk: int, sender: SesSettings) -> bool:
    try:
        return _read(pk, sender)
    except (OperationalError, InterfaceError):
        raise  # the database is away, and so it is for the next
    except Exception:
        # The outermost loop: one letter keeps none of those behind it waiting.
        logger.exception("letters: %s could not be read, it is tried again", pk)
        return False


def _read(pk: int, sender: SesSettings) -> bool:
    with transaction.atomic():
        letter = (
            EventLetter.objects.select_for_update(skip_locked=True)
            .filter(pk=pk, read_at=None)
            .first()
        )
        if letter is None:
            return False
        envelope = sns.read_envelope(letter.body.encode())
        if envelope.type is not sns.Type.CONFIRMATION:
            _take_in(envelope, letter, sender)
            _mark_read(letter)
            return True
    # AWS is asked outside of the transaction.
    return _confirm(envelope, letter, sender)


def _take_in(envelope: sns.Envelope, letter: EventLetter, sender: SesSettings) -> None:
    if envelope.type is sns.Type.UNSUBSCRIBED:
        logger.warning("letters: SNS was told to post no more")
        webhook.note_ended()
        return
    tally = store.store([envelope.message], installation=sender.installation)
    feed.note_letter(tally, letter.received_at)


def _mark_read(letter: EventLetter) -> None:
    EventLetter.objects.filter(pk=letter.pk).update(read_at=timezone.now(), body="")


def _confirm(envelope: sns.Envelope, letter: EventLetter, sender: SesSettings) -> bool:
    """Confirm the subscription by our own credentials; never by the URL in the post."""
    topic_arn = envelope.topic_arn
    if topic_arn != sender.event_topic_arn or not webhook.may_confirm(topic_arn):
        logger.warning("letters: nobody asked for this subscription, left alone")
        _mark_read(letter)
        return True
    if not webhook.take_turn_to_confirm():
        return False
    try:
        with Setup(sender, region=topic_arn.split(":")[3]) as setup:
            arn = setup.confirm_subscription(topic_arn, envelope.token)
    except StepError as error:
        logger.warning("letters: the webhook could not be confirmed: %s", error)
        webhook.note_problem(error, statement_for(error.action, sender))
        if webhook.is_token_no_good(error):
            _mark_read(letter)
        return False
    with transaction.atomic():
        webhook.note_confirmed(arn)
        _mark_read(letter)
    return True
