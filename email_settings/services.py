"""What an admin does about mail: save the settings, test them, go live, operate it."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from email_settings import again, credentials, outbox, rendering
from email_settings.credentials import Credentials, Secret
from email_settings.delivery import by_hand, hold
from email_settings.gateway.errors import ErrorClass, Problem
from email_settings.gateway.probe import AccountState, check_account
from email_settings.models import Lane, OutboxMessage, SesSettings
from email_settings.nudge import nudge_worker
from email_settings.querysets import REHEARSAL
from email_settings.readiness import run as readiness
from ticketflow.errors import DomainError

logger = logging.getLogger(__name__)

# A test that leaves hours later would only confuse.
# Messages that a page names; of the others it tells the number.
NAMED = 10
REGION_PROBLEMS = frozenset({"region_not_enabled", "account_not_signed_up"})


class SettingsRefusedError(DomainError):
    """AWS did not agree to the settings, or did not answer; nothing was changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem

    @property
    def is_unreachable(self) -> bool:
        """Whether AWS gave no answer, which says nothing about the keys."""
        return self.problem.kind in {ErrorClass.NOTSENT, ErrorClass.UNKNOWN}


class SettingsChangedError(DomainError):
    """The secret to be kept is not the one that AWS was asked about; nothing is saved."""


@dataclass(frozen=True)
class SettingsInput:
    """Settings whose shape is right. An empty `secret` keeps the stored one."""

    access_key_id: str
    secret: Secret
    region: str
    from_email: str
    from_name: str
    reply_to: str
    manual_send_rate: float | None = None  # recipients per second
    retention_days: int | None = None  # None keeps mail for ever
    source: SesSettings.Source = SesSettings.Source.KEYS
    role_arn: str = ""


def stored_settings() -> SesSettings:
    """Return the saved settings, or empty ones before anything was saved."""
    saved = SesSettings.objects.select_related("saved_by", "watch").first()
    return saved or SesSettings()


def check_and_save_settings(
    *, actor: AbstractBaseUser, values: SettingsInput, save_anyway: bool = False
) -> SesSettings:
    """Ask AWS about the settings, at most 5 seconds, and save them if it agrees.

    With `save_anyway` they are saved whatever it says. Raises SettingsRefusedError,
    SettingsChangedError, and EncryptionError when the stored secret can't be read or a
    new one not be kept. Not in a transaction, which would be open while AWS is asked.
    """
    stored = stored_settings()
    secret = values.secret
    if values.access_key_id and not secret:
        secret = credentials.read_secret(stored)
    state = check_account(_to_be_checked(stored, values, secret), values.from_email)
    problem = _what_stands_against(state)
    if problem and not save_anyway:
        raise SettingsRefusedError(problem)
    return _save_settings(
        actor=actor,
        values=values,
        state=state,
        checked_secret=secret,
    )


def _to_be_checked(
    stored: SesSettings, values: SettingsInput, secret: Secret
) -> Credentials:
    return Credentials(
        values.access_key_id,
        secret,
        values.region,
        source=values.source,
        role_arn=values.role_arn,
        external_id=credentials.external_id_of(stored),
    )


@transaction.atomic
def _save_settings(
    *,
    actor: AbstractBaseUser,
    values: SettingsInput,
    state: AccountState,
    checked_secret: Secret,
) -> SesSettings:
    row = SesSettings.load_to_change()
    row.source = values.source
    row.role_arn = values.role_arn
    row.external_id = credentials.external_id_of(row)
    credentials.note_key(row, values.access_key_id)
    if not values.access_key_id:
        row.secret_access_key_encrypted = ""
    elif values.secret:
        credentials.store_secret(row, values.secret.reveal())
    elif credentials.read_secret(row).reveal() != checked_secret.reveal():
        raise SettingsChangedError(
            "Somebody else saved another secret in this very moment. Nothing of yours "
            "was saved. Reload the page and look at the settings first."
        )
    row.region = values.region
    row.from_email = values.from_email
    row.from_name = values.from_name or rendering.company_name()
    row.reply_to = values.reply_to
    row.manual_send_rate = values.manual_send_rate
    row.retention_days = values.retention_days
    row.version += 1
    row.saved_at = timezone.now()
    row.saved_by_id = actor.pk
    _remember(row, state)
    row.save()
    _try_what_is_held(row, state)
    readiness.want_all()
    return row


def _try_what_is_held(row: SesSettings, state: AccountState) -> None:
    """Let go what waited for these settings: all of it, or one message to see."""
    is_mended = not any(problem.holds_all_mail for problem in state.problems)
    if is_mended or not row.is_live:
        hold.lift()
    else:
        hold.probe_now()
    row.refresh_from_db()
    transaction.on_commit(nudge_worker, robust=True)


def _remember(row: SesSettings, state: AccountState) -> None:
    """Put what AWS said into the row, which the caller saves."""
    row.checked_at = timezone.now()
    row.account_id = state.account_id
    row.principal_arn = state.principal_arn
    row.is_sandbox = state.is_sandbox
    row.is_sending_enabled = state.is_sending_enabled
    row.is_from_verified = state.is_from_verified
    row.max_send_rate = state.max_send_rate
    row.max_24_hour_send = state.max_24_hour_send
    row.sent_last_24_hours = state.sent_last_24_hours
    row.check_problems = [
        {**asdict(problem), "kind": problem.kind.value} for problem in state.problems
    ]


def _what_stands_against(state: AccountState) -> Problem | None:
    """Why these settings can't work; None when AWS knows the key in this region.

    A missing right, a sandbox or a sender that is not verified yet stand against
    nothing: they are mended in AWS, with the settings saved.
    """
    if state.account_id or state.is_sandbox is not None:
        return next((p for p in state.problems if p.code in REGION_PROBLEMS), None)
    return state.problems[0] if state.problems else None


def why_no_test(row: SesSettings) -> str:
    """Say why no test e-mail can go yet, "" when it can."""
    return "" if row.is_configured else "Save working settings first"


@transaction.atomic
def send_test_email(*, actor: AbstractBaseUser, recipient: str) -> OutboxMessage:
    """Write a test e-mail, which goes the road of every mail, even in rehearsal.

    While all mail is held it also has the account tried at once. Raises DomainError
    while nothing is saved to send with.
    """
    if reason := why_no_test(stored_settings()):
        raise DomainError(f"{reason}, then send a test e-mail.")
    hold.probe_now()
    settings_path = reverse("email_settings:settings")
    return outbox.enqueue(
        kind=OutboxMessage.TEST,
        template="email_settings/mail/test",
        context={
            "sent_by": str(actor),
            "recipient": recipient,
            "settings_url": f"{django_settings.SITE_URL}{settings_path}",
        },
        recipient=recipient,
        recipient_name=str(actor) if recipient == actor.get_username() else "",
        lane=Lane.SECURITY,
        headers={
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
        },
    )


@dataclass(frozen=True)
class CapturedMail:
    """What rehearsal has kept: how many messages, and how many are not out of date."""

    count: int
    fresh_count: int


def captured_mail() -> CapturedMail:
    """Count what rehearsal has kept."""
    captured = OutboxMessage.objects.filter(
        state=OutboxMessage.State.HELD, reason_code=REHEARSAL
    )
    return CapturedMail(captured.count(), hold.count(REHEARSAL))


def waiting_count() -> int:
    """Count what would leave if mail stayed live."""
    return OutboxMessage.objects.filter(state=OutboxMessage.State.QUEUED).count()


def why_not_live(row: SesSettings) -> str:
    """Say why mail can't go live yet, "" when it can."""
    return "" if row.is_configured else "Save working settings first"


@transaction.atomic
def go_live(*, actor: AbstractBaseUser, send_captured: bool = False) -> int:
    """Let mail leave from now on, and return how many captured messages go too.

    With `send_captured` those that are younger than their lifetime are sent, else all
    stay captured. Raises DomainError while the settings can't send.
    """
    row = SesSettings.load_to_change()
    if reason := why_not_live(row):
        raise DomainError(f"Not live: {reason}.")
    _change_mode(row, SesSettings.Mode.LIVE, actor)
    released = hold.release(REHEARSAL) if send_captured else 0
    transaction.on_commit(nudge_worker, robust=True)
    return released


@transaction.atomic
def go_back_to_rehearsal(*, actor: AbstractBaseUser) -> None:
    """Capture all mail from now on, what waits included; nothing leaves any more."""
    _change_mode(SesSettings.load_to_change(), SesSettings.Mode.REHEARSAL, actor)


def _change_mode(
    row: SesSettings, mode: SesSettings.Mode, actor: AbstractBaseUser
) -> None:
    row.mode = mode
    row.version += 1
    row.saved_at = timezone.now()
    row.saved_by_id = actor.pk
    row.save(update_fields=["mode", "version", "saved_at", "saved_by"])
    readiness.want_all()


# One message


def retry_message(*, uid: UUID) -> OutboxMessage:
    """Queue one message again that waits or failed.

    Raises DomainError when there is nothing to retry, OutboxMessage.DoesNotExist.
    """
    return by_hand.retry_message(uid)


def resend_message(*, uid: UUID, actor: AbstractBaseUser) -> OutboxMessage:
    """Queue one message again that is in doubt, though it may arrive twice.

    Raises DomainError when nobody doubts it, OutboxMessage.DoesNotExist.
    """
    return by_hand.resend(uid, actor=actor)


def mark_message_sent(*, uid: UUID, actor: AbstractBaseUser) -> OutboxMessage:
    """Call one message sent that is in doubt.

    Raises DomainError when nobody doubts it, OutboxMessage.DoesNotExist.
    """
    return by_hand.resolve_by_hand_sent(uid, actor=actor)


def cancel_message(*, uid: UUID, actor: AbstractBaseUser) -> OutboxMessage:
    """Call one message back that waits, for good.

    Raises DomainError when it does not wait, OutboxMessage.DoesNotExist.
    """
    return by_hand.cancel(uid, actor=actor)


def send_message_again(*, uid: UUID, actor: AbstractBaseUser) -> again.Repeated:
    """Send one message once more, as a new one, that was sent and did not arrive.

    Raises DomainError when that makes no sense or was done already,
    OutboxMessage.DoesNotExist.
    """
    return again.send_again(uid, actor=actor)


# Many messages. Not in a transaction: a step of some hundred has one of its own.


def cancel_messages(
    found: QuerySet[OutboxMessage], *, actor: AbstractBaseUser
) -> by_hand.Done:
    """Call those back that wait, for good."""
    return by_hand.cancel_many(found, actor=actor)


def retry_failed_messages(
    found: QuerySet[OutboxMessage], *, actor: AbstractBaseUser
) -> by_hand.Done:
    """Queue those again that failed and can still be sent."""
    return by_hand.retry_failed(found, actor=actor)


def resend_messages(
    found: QuerySet[OutboxMessage], *, actor: AbstractBaseUser
) -> by_hand.Done:
    """Queue those again that are in doubt, though they may arrive twice."""
    return by_hand.resend_many(found, actor=actor)


def mark_messages_sent(
    found: QuerySet[OutboxMessage], *, actor: AbstractBaseUser
) -> by_hand.Done:
    """Call those sent that are in doubt."""
    return by_hand.mark_sent_many(found, actor=actor)


# All mail


@transaction.atomic
def hold_all_mail(*, actor: AbstractBaseUser) -> int:
    """Let nothing leave until it is released, and return how many messages wait now.

    Raises DomainError when somebody was faster.
    """
    row = SesSettings.load_to_change()
    if row.stopped_at:
        raise DomainError(f"{row.stopped_by or 'An admin'} holds all mail already.")
    logger.info("outbox: all mail is held by user %s", actor.pk)
    return hold.stop_all(actor)


@transaction.atomic
def release_all_mail(*, actor: AbstractBaseUser) -> int:
    """Let mail leave that an admin held, and return how many messages that are.

    What is held for another reason stays. Raises DomainError when nobody holds mail.
    """
    if not SesSettings.load_to_change().stopped_at:
        raise DomainError("Nobody holds the mail any more: it was released already.")
    logger.info("outbox: all mail is released by user %s", actor.pk)
    transaction.on_commit(nudge_worker, robust=True)
    return hold.start_all()


@dataclass(frozen=True)
class StoppedMail:
    """What an admin's hold keeps back, and what became too old meanwhile."""

    count: int  # messages that Release lets leave
    too_old_count: int
    too_old: Sequence[OutboxMessage]  # the newest few of those


def stopped_mail(since: datetime) -> StoppedMail:
    """Count what Release lets leave, and what the hold since then made too old."""
    now = timezone.now()
    held = Q(state=OutboxMessage.State.HELD, reason_code=hold.STOPPED)
    given_up = Q(state=OutboxMessage.State.FAILED, reason_code="expired")
    too_old = OutboxMessage.objects.filter(
        held | given_up, expires_at__gte=since, expires_at__lte=now
    ).order_by("-created_at", "-id")
    named = list(too_old.defer("text_body", "html_body")[:NAMED])
    return StoppedMail(hold.count(hold.STOPPED), too_old.count(), named)


def would_be_held_count() -> int:
    """Count what holding all mail would keep back of what waits now."""
    return hold.how_many_would_be_held()


@transaction.atomic
def retry_all() -> int:
    """Try again what waits for a person, and return how many messages that concerns.

    While the account is broken one message is tried first, and the others follow it.
    Raises DomainError while an admin holds all mail.
    """
    row = SesSettings.load()
    if row.stopped_at:
        raise DomainError("An admin holds all mail. Release it first.")
    if row.is_live and row.hold_code:
        return by_hand.retry_all_held()
    transaction.on_commit(nudge_worker, robust=True)
    return hold.lift() + hold.release(hold.SANDBOX)


def retryable_count() -> int:
    """Count what retry_all() concerns."""
    return hold.held_for_the_account().count() + hold.count(hold.SANDBOX)
