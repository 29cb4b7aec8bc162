"""What the checklist can mend by itself, once an admin says so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fix:
    """A button of a line of the checklist, and where it leads."""

    label: str
    url_name: str


FIXES: dict[str, Fix] = {}
