"""Tells the admins by mail that mail was in trouble: once an episode, never once a mail.

Each alert goes the road of every mail. Whether one is due is decided by a row, so that
of many workers one tells, and an alert that can't be written costs nobody else's mail.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timesince

from email_settings import outbox
from email_settings.gateway.errors import recall
from email_settings.key_age import DUE_DAYS, KeyAge
from email_settings.models import Lane, OutboxMessage, SesSettings

logger = logging.getLogger(__name__)

# Shorter ones mend themselves before anybody could have done something.
WORTH_TELLING = timedelta(minutes=5)
QUOTA_TOLD_EVERY = timedelta(days=1)
DOUBT_TOLD_EVERY = timedelta(hours=1)
UNSIGNED_TOLD_EVERY = timedelta(days=1)

WAS_HELD = "alert_held"
QUOTA = "alert_quota"
IN_DOUBT = "alert_doubt"
KEY_OLD = "alert_key_old"
REPUTATION = "alert_reputation"
GUARDED = "alert_guarded"
SILENCE = "alert_silence"
UNSIGNED = "alert_unsigned"
# The kinds of mail that are alerts themselves: what becomes of them raises no alert.
KINDS = (
    *(WAS_HELD, QUOTA, IN_DOUBT, KEY_OLD),
    *(REPUTATION, GUARDED, SILENCE, UNSIGNED),
)
# Nor does what becomes of these, which no person waits for
WITHOUT_ALERT = (*KINDS, *OutboxMessage.PROBES)

_HEADERS = {
    "Auto-Submitted": "auto-generated",
    "X-Auto-Response-Suppress": "OOF, AutoReply",
}


class UsedQuota(Protocol):
    """How much of the daily quota is used, in recipients."""

    @property
    def used(self) -> float: ...
    @property
    def limit(self) -> float: ...


class SpoiltMail(Protocol):
    """How many of so many mails came to grief."""

    @property
    def count(self) -> int: ...
    @property
    def mails(self) -> int: ...
    @property
    def percent(self) -> str: ...


class Reputation(Protocol):
    """Both rates by which AWS judges an account."""

    @property
    def bounces(self) -> SpoiltMail: ...
    @property
    def complaints(self) -> SpoiltMail: ...


def mail_was_held(settings_before: SesSettings, released: int) -> None:
    """Tell the admins that mail leaves again after its account was in trouble.

    `settings_before` is the row as it was while all mail was held, `released` how many
    messages leave late. Says nothing of a short trouble, nor in rehearsal. Needs a
    transaction; for the one caller that lifted the hold.
    """
    since = settings_before.held_since
    now = timezone.now()
    if not since or not settings_before.hold_code or not settings_before.is_live:
        return
    if now - since < WORTH_TELLING:
        return
    problem = recall(
        settings_before.hold_code,
        detail=settings_before.hold_detail,
        from_email=settings_before.from_email,
        region=settings_before.region,
    )
    _tell(
        WAS_HELD,
        {
            "problem": problem,
            "since": moment(since),
            "until": moment(now),
            "length": timesince(since, now, depth=2),
            "released": released,
            "given_up": _given_up(since, now),
        },
    )


def quota_nearly_used(settings: SesSettings, quota: UsedQuota) -> None:
    """Tell the admins, at most once a day, that only security mail leaves for now.

    Needs a transaction.
    """
    now = timezone.now()
    is_due = Q(quota_told_at=None) | Q(quota_told_at__lte=now - QUOTA_TOLD_EVERY)
    # The conditional update decides between the workers that noticed.
    if not SesSettings.objects.filter(is_due, pk=SesSettings.ONLY_ID).update(
        quota_told_at=now
    ):
        return
    settings.quota_told_at = now
    # Any other lane would wait for the very room that is missing.
    _tell(
        QUOTA, {"used": round(quota.used), "limit": round(quota.limit)}, Lane.SECURITY
    )


def mails_in_doubt(count: int) -> None:
    """Tell the admins, at most once an hour, that nobody knows whether mails arrived.

    `count` is how many have just become unknown, without those whose kind is one of
    WITHOUT_ALERT. Needs a transaction.
    """
    if count < 1 or _was_told(IN_DOUBT, DOUBT_TOLD_EVERY):
        return
    _tell(IN_DOUBT, {"count": count})


def mail_is_taken_for_forged(message: OutboxMessage, happened_at: datetime) -> None:
    """Tell the admins, at most once a day, that a provider could not tell our mail.

    For a complaint of the kind "auth-failure": nobody called the mail spam, but it did
    not pass the check of who sent it. One that is older than a day is no news. Needs a
    transaction.
    """
    if timezone.now() - happened_at > UNSIGNED_TOLD_EVERY:
        return
    if _was_told(UNSIGNED, UNSIGNED_TOLD_EVERY):
        return
    path = reverse("email_settings:message-detail", args=[message.uid])
    _tell(
        UNSIGNED,
        {
            "domain": message.recipient.rpartition("@")[2],
            "since": moment(happened_at),
            "message_url": f"{django_settings.SITE_URL}{path}",
        },
    )


def _was_told(kind: str, within: timedelta) -> bool:
    """Whether they were told lately. Workers that ask at once wait for each other."""
    SesSettings.load_to_change()
    told_since = timezone.now() - within
    return OutboxMessage.objects.filter(kind=kind, created_at__gt=told_since).exists()


def key_is_old(settings: SesSettings, age: KeyAge) -> None:
    """Tell the admins that it is time for a new access key. Needs a transaction.

    For the one caller that noted that they were told of this key.
    """
    _tell(
        KEY_OLD,
        {
            "days": age.days,
            "due_days": DUE_DAYS,
            "hint": settings.key_hint,
            "since": moment(age.since),
            "is_aws_word": age.is_aws_word,
            "rotation_url": _url("email_settings:rotation"),
        },
    )


def reputation_is_bad(reputation: Reputation, *, is_on_probation: bool) -> None:
    """Warn the admins before AWS does, or because it has. Needs a transaction.

    For the one caller that noted that they were told.
    """
    _tell(
        REPUTATION,
        {"reputation": reputation, "is_on_probation": is_on_probation},
        # Notices may be what waits next.
        Lane.SECURITY,
    )


def notices_are_held(reputation: Reputation) -> None:
    """Tell the admins that notices wait from now on. Needs a transaction.

    For the one caller that began to hold them.
    """
    _tell(GUARDED, {"reputation": reputation}, Lane.SECURITY)


def news_is_missing(*, what: str, causes: Sequence[str], since: datetime) -> None:
    """Tell the admins that nobody learns any more what becomes of mail.

    Needs a transaction; for the one caller that noted that it began.
    """
    _tell(
        SILENCE,
        {
            "what": what,
            "causes": causes,
            "since": moment(since),
            "events_url": _url("email_settings:events"),
        },
        Lane.SECURITY,
    )


def moment(at: datetime) -> str:
    """A moment for people in any place: "24 November 2026, 08:12 UTC"."""
    local = timezone.localtime(at, timezone.get_default_timezone())
    return f"{date_format(local, 'j F Y, H:i')} {local.tzname()}"


def _given_up(since: datetime, until: datetime) -> int:
    """How many messages got too old in that time."""
    return OutboxMessage.objects.filter(
        state=OutboxMessage.State.FAILED,
        reason_code="expired",
        expires_at__range=(since, until),
    ).count()


def _tell(kind: str, context: Mapping[str, Any], lane: Lane = Lane.NOTICE) -> None:
    try:
        # Of its own, so that what was written beside it stays when it fails.
        with transaction.atomic():
            _write(kind, context, lane)
    except Exception:
        # Whatever is wrong with an alert, it must not stop the mail it is about.
        logger.exception("outbox: the admins could not be told: %s", kind)


def _write(kind: str, context: Mapping[str, Any], lane: Lane) -> None:
    # Who is an admin is known to the model of users alone.
    admins = get_user_model().objects.active().admins()
    outbox.enqueue_many(
        kind=kind,
        template=f"email_settings/mail/{kind}",
        context={
            "activity_url": _url("email_settings:message-list"),
            "settings_url": _url("email_settings:settings"),
            **context,
        },
        recipients=[(admin.email, str(admin)) for admin in admins],
        lane=lane,
        headers=_HEADERS,
    )


def _url(name: str) -> str:
    return f"{django_settings.SITE_URL}{reverse(name)}"
