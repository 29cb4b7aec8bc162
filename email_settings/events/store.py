"""Keeps what Amazon SES told, once, and draws from it what became of each mail.

Every step may be repeated and interleaved: an event is one row however often it comes,
and the fate of a mail is always drawn anew from all of its rows while it is locked.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from email_settings import alerts
from email_settings.delivery import doubt
from email_settings.events.fate import AUTH_FAILURE, fate_of
from email_settings.events.feed import Tally
from email_settings.events.parse import LONGEST_RAW, Told, mark_of, read, storable
from email_settings.models import DeliveryAttempt, DeliveryEvent, OutboxMessage
from email_settings.suppression import record as suppression
from ticketflow.lib.many_rows import update_rows

logger = logging.getLogger(__name__)

# So long an event may come before its mail is known; after that nobody looks any more.
MATCHED_WITHIN = timedelta(hours=24)
# What belongs to no mail of ours says something to an admin for a while only.
KEPT_WITHOUT_A_MAIL = timedelta(days=30)
MATCHED_AT_ONCE = 500
FATE = ("fate", "fate_at", "fate_detail")

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
    tally.unreadable += _keep_or_set_aside(_by_message(told))
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
    for message_pk, pks in by_message.items():
        with transaction.atomic():
            for message in _locked([message_pk], waits=True).values():
                DeliveryEvent.objects.filter(pk__in=pks).update(message=message)
                _draw_conclusions([message])
    unmatched.filter(received_at__lt=now - KEPT_WITHOUT_A_MAIL).delete()
    return sum(map(len, by_message.values()))


def _is_foreign(told: Sequence[Told], installation: uuid.UUID) -> bool:
    return bool(told) and told[0].installation not in {"", installation.hex}


@dataclass
class About:
    """What was told about one mail."""

    told: list[Told] = field(default_factory=list)
    attempts: dict[uuid.UUID, DeliveryAttempt] = field(default_factory=dict)


# By the mail, None for one that we do not know
ByMessage = Mapping[int | None, About]


def _by_message(told: Sequence[Told]) -> ByMessage:
    attempts = _attempts({one.attempt_uid for one in told if one.attempt_uid})
    rest = [one for one in told if one.attempt_uid not in attempts]
    by_uid: dict[uuid.UUID, int] = {}
    by_ses_id: dict[str, int] = {}
    if rest:
        uids = {one.message_uid for one in rest if one.message_uid}
        by_uid = dict(
            OutboxMessage.objects.filter(uid__in=uids).values_list("uid", "pk")
        )
        by_ses_id = _messages_by_ses_id({one.ses_message_id for one in rest})
    found: dict[int | None, About] = defaultdict(About)
    for one in told:
        attempt = attempts.get(one.attempt_uid) if one.attempt_uid else None
        if attempt:
            about = found[attempt.message_id]
            about.attempts[attempt.uid] = attempt
        else:
            by_tag = by_uid.get(one.message_uid) if one.message_uid else None
            about = found[by_tag or by_ses_id.get(one.ses_message_id)]
        about.told.append(one)
    return found


def _attempts(uids: set[uuid.UUID]) -> dict[uuid.UUID, DeliveryAttempt]:
    attempts = DeliveryAttempt.objects.filter(uid__in=uids).only(
        "uid", "message_id", "started_at", "outcome"
    )
    return {attempt.uid: attempt for attempt in attempts}


def _messages_by_ses_id(ses_ids: set[str]) -> dict[str, int]:
    return dict(
        OutboxMessage.objects.filter(ses_message_id__in=ses_ids - {""}).values_list(
            "ses_message_id", "pk"
        )
    )


def _keep_or_set_aside(found: ByMessage) -> int:
    """Keep all, and set aside what can't be kept; return how many that are."""
    try:
        left = _keep(found)
    except _OUTAGES:
        raise
    except Exception:
        logger.exception("events: a batch could not be kept, trying mail by mail")
        left = found
    return sum(_keep_alone(message_pk, about) for message_pk, about in left.items())


def _keep_alone(message_pk: int | None, about: About) -> int:
    try:
        _keep({message_pk: about}, waits=True)
    except _OUTAGES:
        raise
    except Exception as error:
        # Whatever it was, it must not keep the events behind it waiting for ever.
        logger.exception("events: %s could not be kept, set aside", len(about.told))
        for one in about.told:
            _set_aside(one.raw, f"It could not be kept: {type(error).__name__}.")
        return len(about.told)
    return 0


@transaction.atomic
def _keep(found: ByMessage, *, waits: bool = False) -> ByMessage:
    """Keep the events and draw the fates of their mails, all or nothing.

    Returns those of mails that somebody else holds just now. With `waits` it waits for
    them, which is for one mail at a time: whoever waits for one while it holds others
    may be waited for.
    """
    messages = _locked([pk for pk in found if pk], waits=waits)
    left: dict[int | None, About] = {}
    if not waits:
        left = {pk: found[pk] for pk in found if pk and pk not in messages}
    kept = {pk: about for pk, about in found.items() if pk not in left}
    now = timezone.now()
    rows = [
        _row(one, messages.get(pk or 0), now)
        for pk, about in kept.items()
        for one in about.told
    ]
    # In one order, so that two who keep the same do not wait for each other.
    rows.sort(key=lambda row: (row.ses_message_id, row.kind, row.recipient, row.mark))
    DeliveryEvent.objects.bulk_create(rows, ignore_conflicts=True)
    for pk, message in messages.items():
        _resolve_doubt(message, found[pk], now)
    _draw_conclusions(messages.values())
    return left


def _locked(pks: Sequence[int], *, waits: bool) -> dict[int, OutboxMessage]:
    """Return the mails that nobody else draws a fate for until the transaction ends."""
    return (
        OutboxMessage.objects.select_for_update(no_key=True, skip_locked=not waits)
        .only("pk", "state", "kind", "recipient", *FATE)
        .in_bulk(pks)
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


def _resolve_doubt(message: OutboxMessage, about: About, now: datetime) -> None:
    """Take note that Amazon SES accepted the attempts that the events name."""
    for uid, attempt in about.attempts.items():
        is_known = attempt.outcome == DeliveryAttempt.Outcome.ACCEPTED
        if is_known and message.state != OutboxMessage.State.UNKNOWN:
            continue
        told = [one for one in about.told if one.attempt_uid == uid]
        ses_id = next((one.ses_message_id for one in told if one.ses_message_id), "")
        if not ses_id:
            continue
        at = min([one.happened_at for one in told if one.happened_at] or [now])
        doubt.resolve_as_sent(
            attempt_uid=uid,
            ses_message_id=ses_id,
            # Neither before it was tried nor yet to come, whatever the clock over there.
            at=max(attempt.started_at, min(at, now)),
        )


def _draw_conclusions(messages: Collection[OutboxMessage]) -> None:
    """Write what all that was ever told about these mails means for them and others."""
    events = defaultdict(list)
    for event in DeliveryEvent.objects.filter(message__in=list(messages)):
        assert event.message_id is not None
        events[event.message_id].append(event)
    _draw_fates(messages, events)
    suppression.take_note(messages, events)
    for message in messages:
        _warn_of_forgeries(message, events.get(message.pk, []))


def _warn_of_forgeries(message: OutboxMessage, events: list[DeliveryEvent]) -> None:
    reports = [event.happened_at for event in events if event.sub_kind == AUTH_FAILURE]
    if reports and message.kind not in alerts.WITHOUT_ALERT:
        alerts.mail_is_taken_for_forged(message, max(reports))


def _draw_fates(
    messages: Iterable[OutboxMessage], events: Mapping[int, list[DeliveryEvent]]
) -> None:
    changed = []
    for message in messages:
        verdict = fate_of(events.get(message.pk, []))
        if verdict is None:
            continue
        drawn = (verdict.fate, verdict.at, verdict.detail)
        if drawn != (message.fate, message.fate_at, message.fate_detail):
            changed.append(dict(zip(("id", *FATE), (message.pk, *drawn), strict=True)))
    update_rows(OutboxMessage, changed, match=["id"])


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
