"""Sends a test e-mail with the new key: the road of every mail, but for whose key signs.

It is leased to this process from the start, so that no pump sends it with the key in
use, and what comes of it holds no other mail: only the new key is on trial.
"""

import copy
import uuid

from botocore.exceptions import BotoCoreError
from django.conf import settings as django_settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from email_settings import outbox
from email_settings.credentials import Credentials
from email_settings.delivery import pump
from email_settings.delivery.claim import LEASE, Claim, process_name
from email_settings.delivery.journal import Journal
from email_settings.delivery.send import send
from email_settings.delivery.settle import Outcome
from email_settings.gateway.base import Gateway
from email_settings.gateway.errors import ErrorClass, SendError, explain
from email_settings.gateway.ses import SesGateway, make_client
from email_settings.models import (
    DeliveryAttempt,
    KeyRotation,
    Lane,
    OutboxMessage,
    SesSettings,
)
from email_settings.pacing import pace_for

KIND = "key_test"
# Takes mail from accounts in the sandbox, too, and costs no reputation.
SIMULATOR = "success@simulator.amazonses.com"

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


def send_trial(
    rotation: KeyRotation, candidate: Credentials
) -> tuple[OutboxMessage, SendError | None]:
    """Send it now and return it with what went wrong, None when Amazon SES took it.

    Takes as long as one call may. Not in a transaction.
    """
    sender = _sender(candidate)
    _drop_what_was_interrupted(rotation)
    journal = Journal()
    try:
        message, attempt = _lease(rotation, sender, journal.next_token())
        outcome = send(
            Claim(message, attempt, sender),
            journal=journal,
            choose_gateway=lambda _: _gateway(candidate),
            pace=pace_for(sender),
            stopping=pump.stopping,
            started=lambda: None,
        )
        _write(outcome)
    finally:
        journal.close()
    return message, outcome.error


def _sender(candidate: Credentials) -> SesSettings:
    """Return the settings as they would be with the new key; never to be saved."""
    sender = copy.copy(SesSettings.load())
    sender.access_key_id = candidate.access_key_id
    sender.mode = SesSettings.Mode.LIVE
    return sender


def _gateway(candidate: Credentials) -> Gateway:
    try:
        return SesGateway(make_client(candidate, slots=1), region=candidate.region)
    except BotoCoreError as error:
        raise explain(error, region=candidate.region) from error


def _drop_what_was_interrupted(rotation: KeyRotation) -> None:
    """Call back a test whose worker died before the call: a pump would send it."""
    OutboxMessage.objects.filter(
        pk__in=[rotation.test_message.pk] if rotation.test_message else [],
        state__in=[State.QUEUED, State.HELD],
    ).update(state=State.CANCELLED, reason_code="", reason="", reason_detail="")


@transaction.atomic
def _lease(
    rotation: KeyRotation, sender: SesSettings, token: str
) -> tuple[OutboxMessage, DeliveryAttempt]:
    admin = rotation.started_by
    recipient = SIMULATOR if sender.is_sandbox or not admin else admin.get_username()
    message = outbox.enqueue(
        kind=KIND,
        template="email_settings/mail/key_test",
        context={
            "new_key": rotation.new_key_id[-4:],
            "rotation_url": f"{django_settings.SITE_URL}"
            f"{reverse('email_settings:rotation')}",
        },
        recipient=recipient,
        recipient_name=str(admin) if admin and recipient != SIMULATOR else "",
        lane=Lane.SECURITY,
        headers={
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
        },
    )
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=State.SENDING,
        claim_token=token,
        lease_until=timezone.now() + LEASE,
        attempts=1,
        claims=1,
    )
    message.refresh_from_db()
    attempt = DeliveryAttempt.objects.create(
        message=message,
        number=1,
        uid=uuid.uuid4(),
        worker=process_name(),
        access_key_hint=rotation.new_key_id[-4:],
        region=sender.region,
    )
    KeyRotation.objects.filter(pk=rotation.pk).update(test_message=message)
    rotation.test_message = message
    return message, attempt


@transaction.atomic
def _write(outcome: Outcome) -> None:
    """Write what came of it. It is over: what failed is tried with another message."""
    error, message = outcome.error, outcome.claim.message
    is_doubtful = error is not None and error.problem.kind is ErrorClass.UNKNOWN
    message.state = (
        State.SENT if not error else State.UNKNOWN if is_doubtful else State.FAILED
    )
    message.reason_code = error.problem.code if error else ""
    message.reason = error.problem.title if error else ""
    message.reason_detail = error.detail if error else ""
    message.ses_message_id = outcome.ses_message_id
    message.sent_at = None if error else outcome.finished_at
    OutboxMessage.objects.filter(pk=message.pk, claim_token=message.claim_token).update(
        state=message.state,
        claim_token="",
        lease_until=None,
        reason_code=message.reason_code,
        reason=message.reason,
        reason_detail=message.reason_detail,
        ses_message_id=message.ses_message_id,
        sent_at=message.sent_at,
    )
    DeliveryAttempt.objects.filter(pk=outcome.claim.attempt.pk).update(
        outcome=_result(error),
        finished_at=outcome.finished_at,
        error_code=error.problem.code if error else "",
        error_detail=error.record if error else "",
        ses_message_id=outcome.ses_message_id,
    )


def _result(error: SendError | None) -> DeliveryAttempt.Outcome:
    if error is None:
        return Result.ACCEPTED
    match error.problem.kind:
        case ErrorClass.UNKNOWN:
            return Result.UNKNOWN
        case ErrorClass.NOTSENT | ErrorClass.RATE:
            return Result.NOT_SENT
    return Result.REFUSED
