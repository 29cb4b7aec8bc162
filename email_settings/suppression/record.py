"""Writes which addresses get no mail, by what Amazon SES told about mail to them.

Whatever the order of the events, and however many of them are read at once: an address
is judged anew by all that is known of it, while nobody else judges it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Max
from django.utils import timezone

from email_settings.events.words import said
from email_settings.models import DeliveryEvent, OutboxMessage, Suppression
from email_settings.suppression.judgement import (
    WITHIN,
    Judgement,
    Past,
    forgiven,
    judge,
)
from email_settings.suppression.rules import Rule, is_graver, is_simulator, rule_for

Reason = Suppression.Reason
Kind = DeliveryEvent.Kind

# Mail that is older says nothing about its address any more, unless news of it comes.
LOOK_BACK = timedelta(days=30)

ARRIVED = "A mail to the address was delivered."
FORGIVEN = "The recipient said that it is no spam."
OVER = "Its time was over."


def take_note(
    messages: Iterable[OutboxMessage], events: Mapping[int, Sequence[DeliveryEvent]]
) -> None:
    """Suppress or free the addresses of these mails by what was told about them.

    `events` are all that are known of each mail. Needs a transaction. Mail to an address
    is what counts, not whom an event names: every mail has one recipient.
    """
    told: dict[str, list[DeliveryEvent]] = defaultdict(list)
    typed: dict[str, str] = {}
    for message in messages:
        is_of_nobody = message.kind in OutboxMessage.PROBES
        if not is_of_nobody and not is_simulator(message.recipient):
            told[message.recipient.lower()] += events.get(message.pk, [])
            typed[message.recipient.lower()] = message.recipient
    concerned = _concerned(told)
    if not concerned:
        return
    lock(concerned)
    entries = _entries_of(concerned)
    arrivals = _arrivals_at(concerned)
    for event in _bad_news_of(concerned):
        assert event.message is not None
        told[event.message.recipient.lower()].append(event)
    for address in sorted(concerned):
        distinct = {event.pk: event for event in told[address]}
        _judge_anew(
            typed[address],
            list(distinct.values()),
            entries[address],
            arrivals.get(address),
        )


def lock(addresses: Collection[str]) -> None:
    """Let nobody else change these addresses until the transaction ends.

    On SQLite there is one writer anyway. All take their locks in one order.
    """
    if connection.vendor != "postgresql":
        return
    keys = sorted(
        int.from_bytes(hashlib.sha256(a.encode()).digest()[:8], signed=True)
        for a in addresses
    )
    with connection.cursor() as cursor:
        for key in keys:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def close(entry: Suppression, why: str, **changes: object) -> None:
    """End an entry; it stays as history."""
    values = {"closed_at": timezone.now(), "closed_why": why[:200], **changes}
    Suppression.objects.filter(pk=entry.pk, closed_at=None).update(**values)


def _concerned(told: Mapping[str, Sequence[DeliveryEvent]]) -> set[str]:
    """Return the addresses that may have to stand otherwise than they do."""
    rules = {address: {rule_for(e) for e in events} for address, events in told.items()}
    bad = {a for a, found in rules.items() if found - {Rule.NOTHING, Rule.ARRIVED}}
    arrived = {a for a, found in rules.items() if Rule.ARRIVED in found} - bad
    if arrived:
        # Nearly all mail arrives, and nearly no address is held.
        held = Suppression.objects.filter(
            address_lower__in=arrived, reason=Reason.FAILING, closed_at=None
        )
        bad |= set(held.values_list("address_lower", flat=True))
    return bad


def _entries_of(addresses: Collection[str]) -> dict[str, list[Suppression]]:
    found: dict[str, list[Suppression]] = defaultdict(list)
    for entry in Suppression.objects.filter(address_lower__in=addresses):
        found[entry.address_lower].append(entry)
    return found


def _recent(addresses: Collection[str]) -> dict[str, object]:
    return {
        "message__recipient_lower__in": addresses,
        "message__created_at__gte": timezone.now() - LOOK_BACK,
    }


def _arrivals_at(addresses: Collection[str]) -> dict[str, datetime]:
    delivered = DeliveryEvent.objects.filter(kind=Kind.DELIVERY, **_recent(addresses))
    last = delivered.order_by().values("message__recipient_lower")
    return dict(
        last.annotate(at=Max("happened_at")).values_list(
            "message__recipient_lower", "at"
        )
    )


def _bad_news_of(addresses: Collection[str]) -> Iterable[DeliveryEvent]:
    return (
        DeliveryEvent.objects.filter(
            kind__in=[Kind.BOUNCE, Kind.COMPLAINT], **_recent(addresses)
        )
        .exclude(message__kind__in=OutboxMessage.PROBES)
        .select_related("message")
        .only(
            *(
                "message",
                "kind",
                "sub_kind",
                "recipient",
                "mark",
                "happened_at",
                "diagnostic",
            ),
            *("message__recipient", "message__kind"),
        )
    )


def _judge_anew(
    address: str,
    events: Sequence[DeliveryEvent],
    entries: Sequence[Suppression],
    arrived_at: datetime | None,
) -> None:
    past = _past(events, entries, arrived_at)
    current = next((entry for entry in entries if entry.closed_at is None), None)
    wanted = judge(events, past)
    if current and (why := _why_over(current, wanted, events, past)):
        close(current, why)
        current = None
    if wanted and not any(entry.event_id == wanted.event.pk for entry in entries):
        _put_in_force(address, wanted, current)


def _past(
    events: Sequence[DeliveryEvent],
    entries: Sequence[Suppression],
    arrived_at: datetime | None,
) -> Past:
    # Not before what it was about, should the clocks differ
    releases = [
        max(entry.closed_at, entry.happened_at)
        for entry in entries
        if entry.closed_at and entry.closed_by_id
    ]
    arrivals = [e.happened_at for e in events if rule_for(e) is Rule.ARRIVED]
    holds = [
        entry.held_until
        for entry in entries
        if entry.held_until
        and not entry.closed_by_id
        and (entry.closed_at is None or entry.closed_at >= entry.held_until)
    ]
    return Past(
        released_at=max(releases, default=None),
        arrived_at=max([*arrivals, *filter(None, [arrived_at])], default=None),
        holds=tuple(holds),
    )


def _why_over(
    entry: Suppression,
    wanted: Judgement | None,
    events: Sequence[DeliveryEvent],
    past: Past,
) -> str | None:
    if entry.reason == Reason.FAILING:
        # Later than what failed, or in between, so that too few failed in a row
        began_at = entry.happened_at - WITHIN
        is_over = past.arrived_at and past.arrived_at > began_at and wanted is None
        return ARRIVED if is_over else None
    if entry.reason == Reason.COMPLAINED:
        forgiven_at = forgiven(events)
        is_over = forgiven_at and forgiven_at >= entry.happened_at
        return FORGIVEN if is_over else None
    return None


def _put_in_force(address: str, wanted: Judgement, current: Suppression | None) -> None:
    now = timezone.now()
    if wanted.held_until and wanted.held_until <= now:
        return  # it was told too late to matter
    if current and current.reason == wanted.reason and not _has_run_out(current, now):
        if wanted.event.happened_at >= current.happened_at:
            _tell_anew(current, wanted)
        return
    if current and _has_run_out(current, now):
        close(current, OVER)
    elif current and is_graver(wanted.reason, than=current.reason):
        close(current, f"A graver reason came: {wanted.reason.label.lower()}.")
    elif current:
        return
    entry = Suppression(
        address=address, address_lower=address.lower(), **_values(wanted)
    )
    # An import may have been faster: then it is suppressed all the same.
    Suppression.objects.bulk_create([entry], ignore_conflicts=True)


def _has_run_out(entry: Suppression, now: datetime) -> bool:
    return entry.held_until is not None and entry.held_until <= now


def _tell_anew(entry: Suppression, wanted: Judgement) -> None:
    """Let the entry tell of the latest event of its reason."""
    Suppression.objects.filter(pk=entry.pk).update(**_values(wanted))


def _values(wanted: Judgement) -> dict[str, object]:
    return {
        "reason": wanted.reason,
        "detail": said(wanted.event).in_one,
        "message_id": wanted.event.message_id,
        "event_id": wanted.event.pk,
        "happened_at": wanted.event.happened_at,
        "held_until": wanted.held_until,
    }
