"""Counts what became of mail, cheaply however much there is, and keeps the figures."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from email_settings.events.simulator import DOMAIN as SIMULATOR
from email_settings.models import DeliveryEvent, Fate, MailWatch, OutboxMessage
from email_settings.reputation import rates
from email_settings.reputation.rates import BOUNCES, COMPLAINTS, Rate, graver

# Amazon SES did not try, and does not count it, for which it has two sources: the
# Developer Guide on the account-level suppression list, and "Do bounces from the Amazon
# SES suppression list affect my daily sending quota?" in AWS's knowledge center. What is
# on its global list ("Permanent/Suppressed") it does count.
NOT_TRIED = (
    "Permanent/OnAccountSuppressionList",
    "Permanent/OnTenantSuppressionList",
    "Permanent/EmailValidationSuppressed",
    "Permanent/UnsubscribedRecipient",
    "OnAccountSuppressionList",  # of a complaint
)
GRIEF = (Fate.BOUNCED, Fate.COMPLAINED)


@dataclass(frozen=True)
class Figures:
    """How many mails of which something is known, and what came to grief of them."""

    since: datetime
    mails: int = 0
    bounced: int = 0
    complained: int = 0
    mails_outside: int = 0
    bounced_outside: int = 0


@dataclass(frozen=True)
class Reputation:
    """Both rates as they were last counted."""

    bounces: Rate
    complaints: Rate
    since: datetime | None = None
    counted_at: datetime | None = None

    @classmethod
    def of(cls, watch: MailWatch) -> "Reputation":
        """Read it from the row; no question is asked.

        AWS counts bounces of mail to domains that are not verified only. Whether that of
        From is, or just its address, is not known here, so the graver rate stands.
        """
        everywhere = Rate(watch.bounced, watch.mails, BOUNCES)
        outside = Rate(watch.bounced_outside, watch.mails_outside, BOUNCES)
        return cls(
            bounces=graver([everywhere, outside]),
            complaints=Rate(watch.complained, watch.mails, COMPLAINTS),
            since=watch.counted_since,
            counted_at=watch.counted_at,
        )

    @property
    def both(self) -> tuple[Rate, Rate]:
        return self.bounces, self.complaints

    @property
    def is_known(self) -> bool:
        """Whether there was enough mail to say something."""
        return any(rate.is_known for rate in self.both)


def count(from_email: str, now: datetime | None = None) -> Figures:
    """Count the mails of the window; four questions, at most MOST_MAILS rows.

    Mail to the simulator is left out, as AWS does, and mail that nothing is known of.
    """
    start = _window_start(now or timezone.now())
    sent = OutboxMessage.objects.filter(sent_at__gt=start)
    # Beside the times nothing narrows it: SQLite would take another index for that, and
    # read what bounced in all the years.
    is_known = Q(fate__isnull=False) & ~_is_probe()
    figures = _counts(sent, is_known, from_email)
    not_tried = _counts(_not_tried(sent), is_known, from_email)
    return Figures(start, **{name: figures[name] - not_tried[name] for name in figures})


def keep(figures: Figures) -> MailWatch:
    """Store the figures, and return the row as it is now."""
    watch = MailWatch.load()
    for name in ("mails", "bounced", "complained", "mails_outside", "bounced_outside"):
        setattr(watch, name, getattr(figures, name))
    watch.counted_since, watch.counted_at = figures.since, timezone.now()
    watch.save(
        update_fields=[
            "mails",
            "bounced",
            "complained",
            "mails_outside",
            "bounced_outside",
            "counted_since",
            "counted_at",
        ]
    )
    return watch


def _window_start(now: datetime) -> datetime:
    sent = OutboxMessage.objects.filter(sent_at__gt=now - rates.LONGEST_SPAN)
    moments = sent.order_by("-sent_at").values_list("sent_at", flat=True)

    def nth(number: int) -> datetime | None:
        return next(iter(moments[number : number + 1]), None)

    return rates.window_start(
        now,
        enough_since=nth(rates.ENOUGH_MAILS),
        most_since=nth(rates.MOST_MAILS),
    )


def _is_probe() -> Q:
    return Q(kind__in=OutboxMessage.PROBES) | Q(
        recipient_lower__endswith=f"@{SIMULATOR}"
    )


def _not_tried(sent: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    told = DeliveryEvent.objects.filter(
        message=OuterRef("pk"),
        kind__in=[DeliveryEvent.Kind.BOUNCE, DeliveryEvent.Kind.COMPLAINT],
        sub_kind__in=NOT_TRIED,
    )
    # "+ 0": by the times, as above, and not by an index of fates.
    return sent.alias(kept_fate=F("fate") + 0).filter(
        Exists(told), kept_fate__in=[fate.value for fate in GRIEF]
    )


def _counts(
    sent: QuerySet[OutboxMessage], is_known: Q, from_email: str
) -> dict[str, int]:
    domain = from_email.rpartition("@")[2].lower()
    is_inside = Q(recipient_lower__endswith=f"@{domain}") | Q(
        recipient_lower__endswith=f".{domain}"
    )
    is_outside = is_known & ~is_inside
    return sent.aggregate(
        mails=Count("pk", filter=is_known),
        bounced=Count("pk", filter=is_known & Q(fate=Fate.BOUNCED)),
        complained=Count("pk", filter=is_known & Q(fate=Fate.COMPLAINED)),
        mails_outside=Count("pk", filter=is_outside),
        bounced_outside=Count("pk", filter=is_outside & Q(fate=Fate.BOUNCED)),
    )
