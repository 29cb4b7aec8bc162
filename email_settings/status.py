"""How mail stands just now, for every page that says so."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import Count, Max, Min, Value
from django.urls import reverse
from django.utils import timezone

from email_settings.gateway.errors import recall
from email_settings.models import OutboxMessage, SesSettings, WorkerHeartbeat
from email_settings.querysets import REHEARSAL

# A worker writes its heartbeat every ten seconds; three in a row must have been missed.
WORKER_SILENCE = timedelta(seconds=35)
LATE = timedelta(minutes=5)


@dataclass(frozen=True)
class Hold:
    """Why no mail leaves, in words, and what mends it."""

    title: str
    reason: str
    fix: str
    since: datetime | None
    detail: str  # AWS's own words


@dataclass(frozen=True)
class _Figures:
    """What three tables say about this moment."""

    held: int = 0
    captured: int = 0
    unknown: int = 0
    due: int = 0
    oldest_due_at: datetime | None = None
    worker_beat_at: datetime | None = None


class MailStatus:
    """Read when it is asked for, in two queries; a page that does not ask pays nothing."""

    def __init__(self, settings: SesSettings | None = None) -> None:
        if settings is not None:
            self.settings = settings

    @cached_property
    def settings(self) -> SesSettings:
        """The saved settings, or empty ones before anything was saved."""
        return SesSettings.objects.select_related("saved_by").first() or SesSettings()

    @property
    def is_rehearsal(self) -> bool:
        return not self.settings.is_live

    @property
    def is_configured(self) -> bool:
        return self.settings.is_configured

    @cached_property
    def hold(self) -> Hold | None:
        """Why no mail leaves although it should; None while it does, or in rehearsal."""
        settings = self.settings
        if not settings.hold_code or not settings.is_live:
            return None
        problem = recall(
            settings.hold_code,
            detail=settings.hold_detail,
            from_email=settings.from_email,
            region=settings.region,
        )
        return Hold(
            problem.title,
            problem.why,
            problem.fix,
            since=settings.held_since,
            detail=settings.hold_detail,
        )

    @property
    def held_count(self) -> int:
        """Messages that wait for a person, without those captured in rehearsal."""
        return self._figures.held

    @property
    def captured_count(self) -> int:
        return self._figures.captured

    @property
    def unknown_count(self) -> int:
        """Messages that went out without an answer."""
        return self._figures.unknown

    @property
    def due_count(self) -> int:
        """Messages that could leave this moment."""
        return self._figures.due

    @property
    def worker_last_beat(self) -> datetime | None:
        return self._figures.worker_beat_at

    @property
    def worker_is_running(self) -> bool:
        beat = self.worker_last_beat
        return beat is not None and timezone.now() - beat < WORKER_SILENCE

    @property
    def oldest_due_at(self) -> datetime | None:
        return self._figures.oldest_due_at

    @property
    def oldest_due_age(self) -> timedelta | None:
        """How long the oldest message that could leave has waited, None without one."""
        due_at = self._figures.oldest_due_at
        return timezone.now() - due_at if due_at else None

    @property
    def is_late(self) -> bool:
        age = self.oldest_due_age
        return age is not None and age > LATE

    @property
    def settings_url(self) -> str:
        return reverse("email_settings:settings")

    @property
    def activity_url(self) -> str:
        return reverse("email_settings:message-list")

    @cached_property
    def _figures(self) -> _Figures:
        """One UNION instead of three questions: it is asked on every page of the panel."""
        messages = OutboxMessage.objects.order_by()
        held = messages.filter(state=OutboxMessage.State.HELD)
        unknown = messages.filter(state=OutboxMessage.State.UNKNOWN)
        due = messages.filter(
            state=OutboxMessage.State.QUEUED, due_at__lte=timezone.now()
        )
        rows = (
            held.exclude(reason_code=REHEARSAL)
            .values_list(Value("held"))
            .annotate(Count("pk"), Max("created_at"))
            .union(
                held.filter(reason_code=REHEARSAL)
                .values_list(Value("captured"))
                .annotate(Count("pk"), Max("created_at")),
                unknown.values_list(Value("unknown")).annotate(
                    Count("pk"), Max("created_at")
                ),
                due.values_list(Value("due")).annotate(Count("pk"), Min("due_at")),
                WorkerHeartbeat.objects.order_by()
                .values_list(Value("beat"))
                .annotate(Count("pk"), Max("beat_at")),
                all=True,
            )
        )
        found = {name: (count, moment) for name, count, moment in rows}
        nothing = (0, None)
        return _Figures(
            held=found.get("held", nothing)[0],
            captured=found.get("captured", nothing)[0],
            unknown=found.get("unknown", nothing)[0],
            due=found.get("due", nothing)[0],
            oldest_due_at=found.get("due", nothing)[1],
            worker_beat_at=found.get("beat", nothing)[1],
        )
