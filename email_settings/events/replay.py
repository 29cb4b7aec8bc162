"""Reads once more what could not be read when it came: an update may know more."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest, Length

from email_settings.events import parse, store
from email_settings.models import DeliveryEvent, EventFeed, SesSettings

# In one press of the button, so that nobody waits long: so many are looked at, which is
# quick, and so many kept.
MOST_LOOKED_AT = 1_000
MOST_AT_ONCE = 100


@dataclass(frozen=True)
class Outcome:
    """How many of how many could be read."""

    read: int
    tried: int


def unreadable() -> QuerySet[DeliveryEvent]:
    """Return what is set aside, by the index of what has no mail."""
    return DeliveryEvent.objects.filter(
        message__isnull=True, kind=DeliveryEvent.Kind.UNREADABLE
    )


def readable() -> QuerySet[DeliveryEvent]:
    """Return what may be read again, because all of it was kept."""
    return unreadable().annotate(size=Length("raw")).filter(size__lt=parse.LONGEST_RAW)


def is_cut(event: DeliveryEvent) -> bool:
    """Whether only the beginning was kept, which can't be read ever."""
    return len(event.raw) >= parse.LONGEST_RAW


def read_again(event_id: int) -> Outcome:
    """Read one once more, if it is still there."""
    return _read_all([event_id])


def read_all_again() -> Outcome:
    """Read them once more, the newest first, until MOST_AT_ONCE could be read."""
    newest = readable().order_by("-received_at", "-pk").values_list("pk", "raw")
    found = list(newest[:MOST_LOOKED_AT])
    known = [pk for pk, raw in found if not parse.read(raw).why_unreadable]
    return Outcome(_read_all(known[:MOST_AT_ONCE]).read, len(found))


def _read_all(pks: list[int]) -> Outcome:
    installation = SesSettings.load().installation
    read = sum(_read(pk, installation) for pk in pks)
    EventFeed.objects.filter(pk=EventFeed.ONLY_ID).update(
        event_count=F("event_count") + read,
        unreadable_count=Greatest(F("unreadable_count") - read, 0),
    )
    return Outcome(read, len(pks))


@transaction.atomic
def _read(pk: int, installation: UUID) -> bool:
    """Read one, on the same road as when it came; what became of it is one row."""
    event = unreadable().select_for_update(skip_locked=True).filter(pk=pk).first()
    if event is None or is_cut(event) or parse.read(event.raw).why_unreadable:
        return False
    if store.store([event.raw], installation=installation).unreadable:
        # It could not be kept, and was set aside anew: what is there already is enough.
        transaction.set_rollback(True)
        return False
    event.delete()
    return True
