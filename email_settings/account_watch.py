"""Asks AWS about the account now and then: its rate, its quota, whether it may send.

One worker asks, by a turn in the database, and it is one question: Amazon SES allows
one such call a second to an account.
"""

import logging
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from email_settings import alerts, credentials
from email_settings.delivery import hold
from email_settings.gateway.errors import ErrorClass
from email_settings.gateway.probe import AccountState, ask_account
from email_settings.models import MailWatch, PaceClock, SesSettings
from email_settings.nudge import nudge_worker
from email_settings.quota import Quota
from ticketflow.lib.encryption import EncryptionError

logger = logging.getLogger(__name__)

ASK_EVERY = timedelta(minutes=15)
ASK_EVERY_NEAR_THE_END = timedelta(minutes=1)
NEAR_THE_END = 0.8  # of the daily quota
# No worker asks so soon after another did, whatever came of it.
LEAST_APART = timedelta(seconds=50)

_TURN = "GetAccount"
_NOT_VERIFIED = "from_not_verified"
# Held for these, mail may go on as soon as AWS says that sending is on again.
_SWITCHED_OFF = frozenset({"sending_paused_by_aws", "sending_switched_off"})


def look() -> bool:
    """Ask AWS if it is time, and return whether it was. For the schedule of a worker."""
    sender = SesSettings.load()
    now = timezone.now()
    if not sender.is_configured or not is_due(sender, now) or not _is_our_turn():
        return False
    try:
        known = credentials.read_credentials(sender)
    except EncryptionError as error:
        logger.warning("account: the stored secret can't be read: %s", error)
        return False
    state = ask_account(known)  # no transaction is open here
    with transaction.atomic():
        learn(sender, state)
    return True


def is_due(sender: SesSettings, now: datetime) -> bool:
    """Whether it is time to ask AWS about these settings again."""
    asked_at, saved_at = sender.checked_at, sender.saved_at
    if asked_at is None or (saved_at and saved_at > asked_at):
        return True
    is_often = _is_near_the_end(sender) or sender.hold_code == hold.SILENT
    every = ASK_EVERY_NEAR_THE_END if is_often else ASK_EVERY
    return now >= asked_at + every


def _is_near_the_end(sender: SesSettings) -> bool:
    if sender.hold_code == hold.QUOTA_USED_UP:
        return True
    quota = Quota.of(sender)
    return quota is not None and quota.used >= NEAR_THE_END * quota.limit


def _is_our_turn() -> bool:
    """Whether this worker asks: the conditional update decides between all of them."""
    now = timezone.now()
    PaceClock.objects.get_or_create(account=_TURN, defaults={"next_start_at": now})
    return bool(
        PaceClock.objects.filter(account=_TURN, next_start_at__lte=now).update(
            next_start_at=now + LEAST_APART
        )
    )


def learn(asked: SesSettings, state: AccountState) -> None:
    """Keep what AWS said and act on it, unless the settings have changed since.

    When it could not be reached what it said before stays. In a transaction.
    """
    if _is_silent(state):
        hold.put_off_probe()
        return
    sender = SesSettings.load_to_change()
    if sender.version != asked.version:
        return
    sender.checked_at = timezone.now()
    sender.is_sandbox = state.is_sandbox
    sender.is_sending_enabled = state.is_sending_enabled
    sender.max_send_rate = state.max_send_rate
    sender.max_24_hour_send = state.max_24_hour_send
    sender.sent_last_24_hours = state.sent_last_24_hours
    sender.check_problems = _problems(sender, state)
    sender.save(
        update_fields=[
            "checked_at",
            "is_sandbox",
            "is_sending_enabled",
            "max_send_rate",
            "max_24_hour_send",
            "sent_last_24_hours",
            "check_problems",
        ]
    )
    if state.enforcement is not None:
        MailWatch.objects.update_or_create(
            settings=sender, defaults={"enforcement": state.enforcement[:40]}
        )
    _act(sender)


def learn_caller(asked: SesSettings, *, account_id: str, principal_arn: str) -> None:
    """Keep whose credentials they are, unless the settings have changed since."""
    SesSettings.objects.filter(pk=asked.pk, version=asked.version).exclude(
        account_id=account_id, principal_arn=principal_arn
    ).update(account_id=account_id, principal_arn=principal_arn)


def learn_sender(asked: SesSettings, *, is_verified: bool) -> None:
    """Keep whether From is verified, unless the settings have changed since.

    Mail that was held because it was not is tried at once when it is.
    """
    current = SesSettings.objects.filter(pk=asked.pk, version=asked.version)
    current.update(is_from_verified=is_verified)
    if is_verified and current.filter(hold_code=_NOT_VERIFIED).exists():
        hold.probe_now()
        transaction.on_commit(nudge_worker, robust=True)


def _is_silent(state: AccountState) -> bool:
    """Whether AWS gave no answer of its own."""
    is_told = state.is_sandbox is not None or state.max_send_rate is not None
    return not is_told and all(
        problem.kind in {ErrorClass.NOTSENT, ErrorClass.UNKNOWN, ErrorClass.RATE}
        for problem in state.problems
    )


def _problems(sender: SesSettings, state: AccountState) -> list[dict[str, object]]:
    """Return what AWS named now, and what it was not asked about this time."""
    found: list[dict[str, object]] = [
        {**asdict(problem), "kind": problem.kind.value} for problem in state.problems
    ]
    return found + [
        problem
        for problem in sender.check_problems
        if problem.get("code") == _NOT_VERIFIED and sender.is_from_verified is False
    ]


def _act(sender: SesSettings) -> None:
    """Let go what waited for what AWS has just said."""
    quota = Quota.of(sender)
    if quota and quota.is_reserve_reached and sender.is_live:
        alerts.quota_nearly_used(sender, quota)
    if sender.is_sandbox is False:
        hold.release(hold.SANDBOX)
    if sender.hold_code in _SWITCHED_OFF and sender.is_sending_enabled:
        hold.probe_now()
    if sender.hold_code == hold.QUOTA_USED_UP and _has_room_again(sender, quota):
        hold.probe_now()
    transaction.on_commit(nudge_worker, robust=True)


def _has_room_again(sender: SesSettings, quota: Quota | None) -> bool:
    """Whether AWS says so. What it does not tell, one message now and then finds out."""
    if quota is None:
        return sender.max_24_hour_send is not None  # it is unlimited now
    return quota.has_room_again
