"""What is done about messages of which nobody knows whether they left.

A message is unknown when its one POST went out and no answer came, or when its worker
died at that moment. Sent again by itself it could reach somebody twice; only what is
worth that is, once, where events would have told (events/second_try.py). All else stays
unknown, and is shown, until a person says "Resend" or "Mark as sent"
(by_hand.py) or until evidence comes that Amazon SES took it: from a worker that was
believed dead, or from Amazon SES, whose events carry the number of the attempt as the
tag tf-att.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from email_settings.delivery.secret_bodies import wipe_secrets
from email_settings.models import DeliveryAttempt, OutboxMessage

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


@transaction.atomic
def resolve_as_sent(
    *, attempt_uid: uuid.UUID, ses_message_id: str, at: datetime
) -> bool:
    """Take note that Amazon SES accepted this attempt; True when its message is sent now.

    The attempt is recorded as accepted whatever became of its message since. The message
    moves only while nothing newer has been decided about it: when it is in doubt, on its
    way by this very attempt, or waiting to be tried again because this attempt seemed to
    have failed. What a person has queued again, a newer attempt and every final state
    stay as they are. May be called any number of times, from any number of places.
    """
    message_id = _message_of(attempt_uid)
    if message_id is None:
        return False
    # First the message, then the attempt: the order in which settle locks them.
    message = OutboxMessage.objects.select_for_update().get(pk=message_id)
    attempt = DeliveryAttempt.objects.get(message=message, uid=attempt_uid)
    DeliveryAttempt.objects.filter(pk=attempt.pk).exclude(
        outcome=Result.ACCEPTED
    ).update(
        outcome=Result.ACCEPTED,
        ses_message_id=ses_message_id,
        finished_at=at,
        error_code="",
        error_detail="",
    )
    if not _is_open(message, attempt):
        return False
    message.state = State.SENT
    message.sent_at = at
    message.ses_message_id = ses_message_id
    message.claim_token = ""
    message.lease_until = None
    message.reason_code = message.reason = message.reason_detail = ""
    message.save(
        update_fields=[
            *("state", "sent_at", "ses_message_id", "claim_token", "lease_until"),
            *("reason_code", "reason", "reason_detail"),
        ]
    )
    wipe_secrets([message.pk])
    return True


def resolve_late(accepted: Iterable[tuple[uuid.UUID, str, datetime]]) -> int:
    """Take note of what a worker heard after its claims had been taken from it.

    Each is an attempt, the id that Amazon SES gave and the time. Returns how many
    messages are sent now.
    """
    return sum(
        resolve_as_sent(attempt_uid=attempt_uid, ses_message_id=ses_message_id, at=at)
        for attempt_uid, ses_message_id, at in accepted
    )


def _message_of(attempt_uid: uuid.UUID) -> int | None:
    return (
        DeliveryAttempt.objects.filter(uid=attempt_uid)
        .values_list("message_id", flat=True)
        .first()
    )


def _is_open(message: OutboxMessage, attempt: DeliveryAttempt) -> bool:
    """Return whether this attempt may still decide about its message."""
    if message.state == State.UNKNOWN:
        return True
    if message.claims != attempt.number:
        return False  # a newer attempt decides
    if message.state in {State.QUEUED, State.HELD}:
        # With a reason it waits because of what the attempt seemed to end with, without
        # one because a person asked for another.
        return bool(message.reason_code)
    return bool(message.state == State.SENDING)
