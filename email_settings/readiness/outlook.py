"""What the checklist says in short, for the overview and the doctor."""

from dataclasses import dataclass
from typing import Self

from email_settings.models import ReadinessLine, SesSettings
from email_settings.readiness.finding import State
from email_settings.readiness.lines import LINES


@dataclass(frozen=True)
class OpenLine:
    """One line that is not done."""

    key: str
    name: str
    said: str
    evidence: str
    fix: str


@dataclass(frozen=True)
class Outlook:
    """How the set-up stands with the settings of now."""

    done: int
    total: int  # of those that were looked at, without what is not needed
    wrong: tuple[OpenLine, ...]
    todo: tuple[OpenLine, ...]

    @classmethod
    def of(cls, sender: SesSettings) -> Self:
        """Read it in one question. Lines that were found with other settings are left out."""
        rows = {
            row.key: row
            for row in ReadinessLine.objects.filter(settings_version=sender.version)
        }
        found = [
            (OpenLine(line.key, line.name, row.said, row.evidence, row.fix), row.state)
            for line in LINES
            if (row := rows.get(line.key)) and row.state != State.UNNEEDED
        ]
        return cls(
            done=sum(state == State.DONE for _, state in found),
            total=len(found),
            wrong=tuple(line for line, state in found if state == State.WRONG),
            todo=tuple(line for line, state in found if state == State.TODO),
        )
