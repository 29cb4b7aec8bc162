"""What Email Settings shows of the checklist: every line as it was last found."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse

from email_settings.models import OutboxMessage, ReadinessLine, SesSettings
from email_settings.readiness.console import console_url
from email_settings.readiness.finding import DnsRecord, State
from email_settings.readiness.fixes import FIXES, Fix
from email_settings.readiness.lines import BY_KEY, LINES, Line
from email_settings.status import MailStatus

# state: how it looks, and its mark; a line without one shows its number
_LOOKS = {
    State.DONE: ("ok", "check"),
    State.TODO: ("warn", "alert"),
    State.WRONG: ("bad", "x"),
    State.UNKNOWN: ("idle", "help"),
    State.UNNEEDED: ("idle", "minus"),
}
POLL_SECONDS = 2  # while something is looked at
POLL_SECONDS_IDLE = 60  # while something is still to be done
POLL_SECONDS_WITHOUT_WORKER = 10
OLD = timedelta(hours=1)


@dataclass(frozen=True)
class Share:
    """How much of a limit is used."""

    used: float
    limit: float
    label: str


@dataclass(frozen=True)
class PanelLine:
    """One line as the page shows it."""

    key: str
    number: int
    name: str
    tone: str  # "ok", "warn", "bad", "run", "idle"
    icon: str  # "" shows the number
    said: str
    evidence: str
    fix: str = ""
    records: tuple[DnsRecord, ...] = ()
    statement: str = ""
    words: str = ""
    share: Share | None = None
    fixes: tuple[Fix, ...] = ()
    page_url: str = ""
    guide_url: str = ""
    console_url: str = ""
    checked_at: datetime | None = None
    since: datetime | None = None  # of what is not done
    is_stale: bool = False  # found with settings of before
    is_wanted: bool = False
    is_running: bool = False


@dataclass(frozen=True)
class Closing:
    """A line below the checklist: what became of a test, and whether mail leaves."""

    name: str
    tone: str
    icon: str
    said: str
    evidence: str
    label: str = ""
    url: str = ""


@dataclass(frozen=True)
class Panel:
    """The whole checklist."""

    lines: tuple[PanelLine, ...]
    closing: tuple[Closing, ...]
    is_configured: bool
    done: int
    total: int  # without what is not needed
    is_checking: bool  # a line is wanted or looked at just now
    waits_for_worker: bool
    is_wrong: bool  # a line is: the checklist comes first on small screens
    poll_seconds: int  # 0: not at all
    mark: str  # changes with what is shown

    @property
    def says(self) -> str:
        """The outcome in a sentence, "" while something is looked at."""
        if self.is_checking or not self.is_configured:
            return ""
        wrong = sum(line.tone == "bad" for line in self.lines)
        also = f" {wrong} must be mended." if wrong else ""
        return f"Checked: {self.done} of {self.total} done.{also}"


def panel(sender: SesSettings, status: MailStatus, now: datetime) -> Panel:
    """Read the checklist. Two questions to the database, and none to AWS."""
    rows = {row.key: row for row in ReadinessLine.objects.all()}
    lines = tuple(
        _line(number, line, rows.get(line.key), sender, now)
        for number, line in enumerate(LINES, 1)
    )
    closing = (_test_mail(), _sending(sender, status))
    unneeded = [
        key
        for key, row in rows.items()
        if key in BY_KEY and row.state == State.UNNEEDED
    ]
    is_checking = any(line.is_wanted or line.is_running for line in lines)
    waits = is_checking and not status.worker_is_running
    return Panel(
        lines=lines,
        closing=closing,
        is_configured=sender.is_configured,
        done=sum(line.tone == "ok" for line in lines),
        total=len(LINES) - len(unneeded),
        is_checking=is_checking,
        waits_for_worker=waits,
        is_wrong=any(line.tone == "bad" for line in lines),
        poll_seconds=_poll_seconds(lines, is_checking=is_checking, waits=waits),
        mark=_mark(lines, closing, waits),
    )


def _poll_seconds(
    lines: tuple[PanelLine, ...], *, is_checking: bool, waits: bool
) -> int:
    if waits:
        return POLL_SECONDS_WITHOUT_WORKER
    if is_checking:
        return POLL_SECONDS
    is_open = any(line.tone in {"warn", "bad"} for line in lines)
    return POLL_SECONDS_IDLE if is_open else 0


def _mark(*shown: object) -> str:
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def _line(
    number: int,
    line: Line,
    row: ReadinessLine | None,
    sender: SesSettings,
    now: datetime,
) -> PanelLine:
    if not sender.is_configured:
        return PanelLine(line.key, number, line.name, "idle", "", "", line.about)
    if row is None or not row.state:
        return _unlooked(number, line, row, now)
    state = State(row.state)
    tone, icon = _LOOKS[state]
    is_running = _is_running(row, now)
    if is_running:
        tone, icon = "run", "refresh"
    return PanelLine(
        key=line.key,
        number=number,
        name=line.name,
        tone=tone,
        icon=icon,
        said="Checking…" if is_running else row.said,
        evidence=row.evidence,
        fix=row.fix,
        records=tuple(_record(record) for record in row.records),
        statement=row.statement,
        words=row.words,
        share=_share(row),
        fixes=tuple(FIXES[name] for name in row.actions if name in FIXES),
        page_url=_url(line.page) if line.page else "",
        guide_url=_guide_url(line) if _is_open(state) else "",
        console_url=_console_url(line, sender) if _is_open(state) else "",
        checked_at=row.checked_at,
        since=_since(row, now) if _is_open(state) else None,
        is_stale=row.settings_version != sender.version,
        is_wanted=row.wanted_at is not None,
        is_running=is_running,
    )


def _since(row: ReadinessLine, now: datetime) -> datetime | None:
    """Return since when it stands so, None for what is new: its age says as much."""
    is_old = row.since is not None and now - row.since > OLD
    return row.since if is_old else None


def _is_open(state: State) -> bool:
    return state in {State.TODO, State.WRONG}


def _unlooked(
    number: int, line: Line, row: ReadinessLine | None, now: datetime
) -> PanelLine:
    """A line that was never looked at."""
    is_running = row is not None and _is_running(row, now)
    return PanelLine(
        key=line.key,
        number=number,
        name=line.name,
        tone="run" if is_running else "idle",
        icon="refresh" if is_running else "",
        said="Checking…" if is_running else "Not checked yet",
        evidence=line.about,
        is_wanted=row is not None and row.wanted_at is not None,
        is_running=is_running,
    )


def _is_running(row: ReadinessLine, now: datetime) -> bool:
    return row.running_until is not None and row.running_until > now


def _record(stored: dict[str, Any]) -> DnsRecord:
    return DnsRecord(**{**stored, "state": State(stored["state"])})


def _share(row: ReadinessLine) -> Share | None:
    if row.used is None or row.limit is None:
        return None
    label = f"Quota used: {row.used:,.0f} of {row.limit:,.0f}"
    return Share(row.used, row.limit, label)


def _guide_url(line: Line) -> str:
    return f"{reverse('email_settings:guide')}#{line.anchor}"


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _console_url(line: Line, sender: SesSettings) -> str:
    return console_url(sender.region, line.console) if line.console else ""


# What is no line of the set-up, and still must be seen


def _test_mail() -> Closing:
    test = (
        OutboxMessage.objects.filter(kind=OutboxMessage.TEST)
        .order_by("-created_at", "-id")
        .only("uid", "state", "recipient", "reason")
        .first()
    )
    if test is None:
        return Closing(
            "Test e-mail",
            "idle",
            "send",
            "Not sent yet",
            "Press Send Test Email when the lines above are green.",
        )
    tone, icon, said = {
        OutboxMessage.State.SENT: ("ok", "check", "Accepted by SES"),
        OutboxMessage.State.QUEUED: ("run", "refresh", "On its way"),
        OutboxMessage.State.SENDING: ("run", "refresh", "On its way"),
        OutboxMessage.State.HELD: ("warn", "pause", "Held"),
        OutboxMessage.State.UNKNOWN: ("warn", "help", "Unknown"),
    }.get(OutboxMessage.State(test.state), ("bad", "x", "Not sent"))
    return Closing(
        "Test e-mail",
        tone,
        icon,
        said,
        " ".join(filter(None, [f"To {test.recipient}.", test.reason])),
        label="See what happened",
        url=reverse("email_settings:test-detail", args=[test.uid]),
    )


def _sending(sender: SesSettings, status: MailStatus) -> Closing:
    name, activity = "Sending", reverse("email_settings:message-list")
    if stop := status.stop:
        return Closing(
            name,
            "warn",
            "pause",
            "Held by an admin",
            f"{stop.by or 'An admin'} holds all mail. Messages wait and nothing is lost.",
            label="Open Email Activity",
            url=activity,
        )
    if hold := status.hold:
        return Closing(
            name,
            "bad",
            "x",
            "Held",
            f"{hold.title} {hold.fix} Messages wait and nothing is lost.",
            label="Show the messages",
            url=activity,
        )
    if not sender.is_live:
        return Closing(
            name,
            "idle",
            "box",
            "Rehearsal",
            "Messages are captured here until you go live.",
        )
    if not status.worker_is_running:
        return Closing(
            name,
            "bad",
            "x",
            "No worker",
            "No worker is running. Start it; messages wait and leave by themselves then.",
        )
    return Closing(name, "ok", "check", "Live", "Messages leave within seconds.")
