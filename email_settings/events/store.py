"""Keeps what Amazon SES told, once, and draws from it what became of each mail.

Every step may be repeated and interleaved: an event is one row however often it comes,
and the fate of a mail is always drawn anew from all of its rows while it is locked.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from email_settings.delivery import doubt
from email_settings.events.fate import fate_of
from email_settings.events.feed import Tally
from email_settings.events.parse import LONGEST_RAW, Told, mark_of, read, storable
from email_settings.models import DeliveryAttempt, DeliveryEvent, OutboxMessage

logger = logging.getLogger(__name__)

# So long an event may come before its mail is known; after that nobody looks any more.
MATCHED_WITHIN = timedelta(hours=24)
# What belongs to no mail of ours says something to an admin for a while only.
KEPT_WITHOUT_A_MAIL = timedelta(days=30)
MATCHED_AT_ONCE = 500

_OUTAGES = (OperationalError, InterfaceError)


def store(bodies: Sequence[str], *, installation: uuid.UUID) -> Tally:
    """Keep what these messages of the queue say and return what they were.

    When it returns everything is committed, so that they can be deleted; what can't be
    read or kept is set aside as text. What belongs to another installation is counted
    only. Raises OperationalError or InterfaceError while the database is away.
    """
    tally = Tally()
    told: list[Told] = []
    for body in bodies:
        reading = read(body)
        tally.validations += reading.is_validation
        if reading.why_unreadable:
            tally.unreadable += 1
            _set_aside(body, reading.why_unreadable)
        elif _is_foreign(reading.told, installation):
            tally.foreign += 1
        elif reading.told:
            tally.events += 1
            told += reading.told
    for message_pk, about in _by_message(told).items():
        tally.unreadable += _keep_or_set_aside(message_pk, about)
    return tally


def match_late() -> int:
    """Give events to mails that were not known when they came; return how many.

    Also forgets what has been without a mail for long.
    """
    now = timezone.now()
    unmatched = DeliveryEvent.objects.filter(message__isnull=True)
    waiting = unmatched.filter(received_at__gte=now - MATCHED_WITHIN).exclude(
        ses_message_id=""
    )
    events = list(waiting.order_by("received_at")[:MATCHED_AT_ONCE])
    by_message = defaultdict(list)
    owners = _messages_by_ses_id({event.ses_message_id for event in events})
    for event in events:
        if owner := owners.get(event.ses_message_id):
            by_message[owner].append(event.pk)
    for message_pk, pks in sorted(by_message.items()):
        with transaction.atomic():
            if message := _locked(message_pk):
                DeliveryEvent.objects.filter(pk__in=pks).update(message=message)
                _draw_fate(message)
    unmatched.filter(received_at__lt=now - KEPT_WITHOUT_A_MAIL).delete()
    return sum(map(len, by_message.values()))


def _is_foreign(told: Sequence[Told], installation: uuid.UUID) -> bool:
    return bool(told) and told[0].installation not in {"", installation.hex}


def _by_message(told: Iterable[Told]) -> dict[int | None, list[Told]]:
    """Return the events by the mail that they are about, None for none that we know."""
    told = list(told)
    by_attempt = dict(
        DeliveryAttempt.objects.filter(
            uid__in={one.attempt_uid for one in told if one.attempt_uid}
        ).values_list("uid", "message_id")
    )
    rest = [one for one in told if one.attempt_uid not in by_attempt]
    by_uid: dict[uuid.UUID, int] = {}
    by_ses_id: dict[str, int] = {}
    if rest:
        uids = {one.message_uid for one in rest if one.message_uid}
        by_uid = dict(
            OutboxMessage.objects.filter(uid__in=uids).values_list("uid", "pk")
        )
        by_ses_id = _messages_by_ses_id({one.ses_message_id for one in rest})
    found: dict[int | None, list[Told]] = defaultdict(list)
    for one in told:
        message_pk = (
            (by_attempt.get(one.attempt_uid) if one.attempt_uid else None)
            or (by_uid.get(one.message_uid) if one.message_uid else None)
            or by_ses_id.get(one.ses_message_id)
        )
        found[message_pk].append(one)
    return found


def _messages_by_ses_id(ses_ids: set[str]) -> dict[str, int]:
    return dict(
        OutboxMessage.objects.filter(ses_message_id__in=ses_ids - {""}).values_list(
            "ses_message_id", "pk"
        )
    )


def _keep_or_set_aside(message_pk: int | None, told: Sequence[Told]) -> int:
    """Keep them and return 0, or set them aside and return how many."""
    try:
        _keep(message_pk, told)
    except _OUTAGES:
        raise
    except Exception as error:
        # Whatever it was, it must not keep the events behind it waiting for ever.
        logger.exception("events: %s events could not be kept, set aside", len(told))
        for one in told:
            _set_aside(one.raw, f"It could not be kept: {type(error).__name__}.")
        return len(told)
    return 0


@transaction.atomic
def _keep(message_pk: int | None, told: Sequence[Told]) -> None:
    message = _locked(message_pk) if message_pk else None
    now = timezone.now()
    DeliveryEvent.objects.bulk_create(
        [_row(one, message, now) for one in told], ignore_conflicts=True
    )
    if message is None:
        return
    _resolve_doubt(message, told, now)
    _draw_fate(message)


def _locked(message_pk: int) -> OutboxMessage | None:
    """Return the mail, which nobody else draws a fate for until the transaction ends."""
    return (
        OutboxMessage.objects.select_for_update(no_key=True)
        .only("pk", "state", "fate", "fate_at", "fate_detail")
        .filter(pk=message_pk)
        .first()
    )


def _row(one: Told, message: OutboxMessage | None, now: datetime) -> DeliveryEvent:
    return DeliveryEvent(
        message=message,
        attempt_uid=one.attempt_uid,
        kind=one.kind,
        sub_kind=one.sub_kind,
        recipient=one.recipient,
        ses_message_id=one.ses_message_id,
        mark=one.mark,
        happened_at=one.happened_at or now,
        received_at=now,
        diagnostic=one.diagnostic,
        raw=one.raw,
    )


def _resolve_doubt(message: OutboxMessage, told: Sequence[Told], now: datetime) -> None:
    """Take note that Amazon SES accepted the attempts that the events name."""
    times: dict[uuid.UUID, datetime] = {}
    ses_ids: dict[uuid.UUID, str] = {}
    for one in told:
        if one.attempt_uid and one.ses_message_id:
            ses_ids[one.attempt_uid] = one.ses_message_id
            at = one.happened_at or now
            times[one.attempt_uid] = min(at, times.get(one.attempt_uid, now))
    if not times:
        return
    attempts = DeliveryAttempt.objects.filter(message=message, uid__in=times)
    for uid, started_at, outcome in attempts.values_list(
        "uid", "started_at", "outcome"
    ):
        is_known = outcome == DeliveryAttempt.Outcome.ACCEPTED
        if is_known and message.state != OutboxMessage.State.UNKNOWN:
            continue
        doubt.resolve_as_sent(
            attempt_uid=uid,
            ses_message_id=ses_ids[uid],
            # Not before it was tried, whatever the clock over there says.
            at=max(started_at, times[uid]),
        )


def _draw_fate(message: OutboxMessage) -> None:
    verdict = fate_of(DeliveryEvent.objects.filter(message=message))
    if verdict is None:
        return
    drawn = (verdict.fate, verdict.at, verdict.detail)
    if drawn == (message.fate, message.fate_at, message.fate_detail):
        return
    OutboxMessage.objects.filter(pk=message.pk).update(
        fate=verdict.fate, fate_at=verdict.at, fate_detail=verdict.detail
    )


def _set_aside(text: str, why: str) -> None:
    """Keep what can't be read as the text that it is, the same text once."""
    now = timezone.now()
    DeliveryEvent.objects.bulk_create(
        [
            DeliveryEvent(
                kind=DeliveryEvent.Kind.UNREADABLE,
                mark=mark_of(text),
                happened_at=now,
                received_at=now,
                diagnostic=why,
                raw=storable(text, LONGEST_RAW),
            )
        ],
        ignore_conflicts=True,
    )
