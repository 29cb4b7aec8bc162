"""Looks at the lines of the checklist in the worker, one after the other.

The rows are the queue. A line is wanted from `wanted_at` on; the worker that looks at it
holds its lease, and only one line has one, so that all workers together ask one question
at a time. The next line is taken in the transaction that writes the one before: a worker
that is killed leaves one line behind, which another takes when its lease has run out.

When a line is wanted:

- all of them after settings were saved, when mail went live, and when an admin presses
  Check now; one of them by its own Re-check;
- with other settings than those it was looked at with: at once;
- done or not needed: once a day;
- else once an hour, and every ten minutes while somebody looks at the page. What asks
  nobody outside is looked at again each time that somebody opens the page;
- when a line that it waited for came to be done, or is done no more.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from email_settings.delivery import pump
from email_settings.delivery.clock import database_now
from email_settings.gateway.reader import Reader
from email_settings.models import ReadinessLine, SesSettings
from email_settings.nudge import nudge_checks
from email_settings.readiness.dns import Dns
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.lines import BY_KEY, LINES, Line
from email_settings.readiness.look import Look

logger = logging.getLogger(__name__)

# Longer than any look takes: questions end after 7 seconds, the search for an identity
# in other regions after 20.
LEASE = timedelta(minutes=1)
AGAIN_DAILY = timedelta(hours=24)
AGAIN_HOURLY = timedelta(hours=1)
AGAIN_WHILE_LOOKED_AT = timedelta(minutes=10)
FREE = timedelta(seconds=5)  # of what asks nobody outside

_SETTLED = {State.DONE, State.UNNEEDED}
_FIELDS = [
    *Finding.__dataclass_fields__,
    "checked_at",
    "since",
    "settings_version",
    "wanted_at",
    "running_until",
]


# Wanting


def want(*keys: str) -> None:
    """Have these lines looked at as soon as a worker can, whatever is known of them.

    With the caller's transaction, if there is one. Raises KeyError for a key that is
    none of lines.LINES.
    """
    _want({BY_KEY[key].key for key in keys})


def want_all() -> None:
    """Have every line looked at as soon as a worker can."""
    _want(BY_KEY)


def want_what_is_due(
    sender: SesSettings | None = None,
    *,
    is_looked_at: bool = False,
    is_opened: bool = False,
) -> None:
    """Have those looked at whose time has come; nothing before anything is saved.

    `sender` are the settings, where they were read already. `is_looked_at` says that
    somebody has the page before him, `is_opened` that he has just come: the page asks
    again by itself, and would never end.
    """
    sender = sender or SesSettings.objects.first()
    if sender is None or not sender.is_configured:
        return
    now = database_now()
    lines = {line.key: line for line in ReadinessLine.objects.all()}
    due = [
        key
        for key, line in BY_KEY.items()
        if key not in lines
        or _is_due(
            lines[key], sender, now, _every(lines[key], is_looked_at=is_looked_at)
        )
        or (is_opened and line.is_free and _is_due(lines[key], sender, now, FREE))
    ]
    if due:
        _want(due, at=now)


def _is_due(
    row: ReadinessLine, sender: SesSettings, now: datetime, every: timedelta
) -> bool:
    if row.wanted_at:
        return False
    if row.checked_at is None or row.settings_version != sender.version:
        return True
    return now >= row.checked_at + every


def _every(row: ReadinessLine, *, is_looked_at: bool) -> timedelta:
    if row.state in _SETTLED:
        return AGAIN_DAILY
    return AGAIN_WHILE_LOOKED_AT if is_looked_at else AGAIN_HOURLY


@transaction.atomic
def _want(keys: Iterable[str], *, at: datetime | None = None) -> None:
    known = {line.key for line in _locked()}
    ReadinessLine.objects.bulk_create(
        [ReadinessLine(key=key) for key in BY_KEY if key not in known],
        ignore_conflicts=True,
    )
    ReadinessLine.objects.filter(key__in=list(keys)).update(
        wanted_at=at or database_now()
    )
    transaction.on_commit(nudge_checks, robust=True)


def _locked() -> list[ReadinessLine]:
    """Return all lines, locked in one order, so that nobody waits in a circle."""
    return list(ReadinessLine.objects.select_for_update().order_by("key"))


# Looking


@dataclass(frozen=True)
class _Turn:
    """One line to look at, the settings to do it with, and the lines as they stand."""

    line: Line
    row: ReadinessLine
    rows: dict[str, ReadinessLine]
    sender: SesSettings
    now: datetime  # of the database, when it was taken


def sweep() -> None:
    """Look at what is wanted or due. For the schedule of a worker."""
    want_what_is_due()
    run()


def is_something_to_do() -> bool:
    """Whether a line is wanted and no worker is at it. One small question."""
    now = database_now()
    rows = ReadinessLine.objects.values_list("wanted_at", "running_until")
    found = list(rows)
    is_wanted = any(wanted_at for wanted_at, _ in found)
    return is_wanted and not any(until and until > now for _, until in found)


def run() -> int:
    """Look at every line that is wanted, and return how many that were.

    None when another worker is at it. Ends between two lines when the worker stops.
    """
    count = 0
    reader: Reader | None = None
    turn = _next(None)
    while turn is not None:
        # What was asked with other settings is worth nothing now.
        if reader is None or reader.version != turn.sender.version:
            reader = Reader(turn.sender, stopping=pump.stopping)
        finding = _look(turn, reader)
        count += 1
        turn = _next(turn, finding)
    return count


def _look(turn: _Turn, reader: Reader) -> Finding:
    if not turn.sender.is_configured:
        return Finding(
            State.UNKNOWN, "Not saved yet", "Fill in the form and save it first."
        )
    look = Look(turn.sender, reader, Dns(), turn.rows)
    if missing := [key for key in turn.line.needs if not look.is_settled(key)]:
        names = " and ".join(f"“{BY_KEY[key].name}”" for key in missing)
        return Finding(State.UNKNOWN, "Waits", f"Waits for {names}.")
    # wanted_at is set: the line was taken for it.
    reader.begin(now=turn.now, not_before=turn.row.wanted_at or turn.now)
    try:
        return turn.line.check(look)
    except Exception:
        # The outermost loop: one line that fails is no reason to leave out the others.
        logger.exception("readiness: the line %s could not be looked at", turn.line.key)
        return Finding(
            State.UNKNOWN,
            "Failed",
            "TicketFlow could not look at this: an error of its own. The log of the "
            "worker has it.",
            "Report it with the log if it stays.",
        )


@transaction.atomic
def _next(before: _Turn | None, finding: Finding | None = None) -> _Turn | None:
    """Write what was found, and take the next line; None when there is none."""
    rows = {row.key: row for row in _locked()}
    sender = SesSettings.load()
    now = database_now()
    if before and finding and not _write(before, finding, rows, sender, now):
        return None
    if pump.stopping.is_set():
        return None
    if any(row.running_until and row.running_until > now for row in rows.values()):
        return None
    line = next((x for x in LINES if x.key in rows and rows[x.key].wanted_at), None)
    if line is None:
        return None
    row = rows[line.key]
    row.running_until = now + LEASE
    row.save(update_fields=["running_until"])
    return _Turn(line, row, rows, sender, now)


def _write(
    turn: _Turn,
    finding: Finding,
    rows: dict[str, ReadinessLine],
    sender: SesSettings,
    now: datetime,
) -> bool:
    """Write what was found; False when the line is another worker's by now."""
    row = rows.get(turn.line.key)
    if row is None or row.running_until != turn.row.running_until:
        return False
    row.running_until = None
    if sender.version != turn.sender.version:
        # It was found with settings of before: thrown away, and wanted again.
        row.wanted_at = now
        row.save(update_fields=["running_until", "wanted_at"])
        return True
    if row.wanted_at == turn.row.wanted_at:
        row.wanted_at = None  # else somebody pressed Re-check meanwhile
    was_settled = row.state in _SETTLED and row.settings_version == sender.version
    if (row.state, row.said) != (finding.state, finding.said):
        row.since = now
    for name, value in asdict(finding).items():
        setattr(row, name, value)
    row.checked_at = now
    row.settings_version = sender.version
    row.save(update_fields=_FIELDS)
    if was_settled != (finding.state in _SETTLED):
        _want_those_that_need(turn.line, rows, now)
    return True


def _want_those_that_need(
    line: Line, rows: dict[str, ReadinessLine], now: datetime
) -> None:
    for other in LINES:
        if line.key in other.needs and other.key in rows:
            row = rows[other.key]
            if row.wanted_at is None:
                row.wanted_at = now
                row.save(update_fields=["wanted_at"])
