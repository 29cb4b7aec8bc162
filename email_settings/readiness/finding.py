"""What a look at one line of the set-up brings to light."""

from dataclasses import dataclass

from django.db import models


class State(models.TextChoices):
    """How one line of the checklist stands."""

    DONE = "done", "Done"
    TODO = "todo", "To do"  # mail may leave, and something is still to be done
    WRONG = "wrong", "Wrong"  # mail does not leave, or not as it should
    UNKNOWN = "unknown", "Not known"  # it could not be looked at
    UNNEEDED = "unneeded", "Not needed"  # it works without


@dataclass(frozen=True)
class DnsRecord:
    """One record that the domain should have, and what was found of it."""

    kind: str  # "CNAME", "MX" or "TXT"
    name: str
    value: str
    found: str = ""  # what stands there instead, "" for nothing
    state: State = State.TODO
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """How a line stands, on what evidence, and what mends it."""

    state: State
    said: str  # one to three words: "Verified"
    evidence: str  # a sentence with the account's own values
    fix: str = ""
    records: tuple[DnsRecord, ...] = ()
    statement: str = ""  # JSON to add to the IAM policy
    words: str = ""  # AWS's own, and the number of its reply
    actions: tuple[str, ...] = ()  # names in fixes.FIXES
    used: float | None = None
    limit: float | None = None
