"""What the stand-in knows: one AWS account, its keys, and what SES has in each region."""

import bisect
import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from email_settings.standin.faults import Trouble

ACCOUNT_ID = "123456789012"
EVERYTHING = frozenset({"*"})
SANDBOX_QUOTA, SANDBOX_RATE = 200.0, 1.0  # recipients a day, recipients a second
# Mail to these goes through even in the sandbox
# (https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html).
SIMULATOR = "simulator.amazonses.com"


@dataclass
class Key:
    """One access key and what its policy allows: names of actions, or "*"."""

    access_key_id: str
    secret: str
    user: str = "ticketflow-ses"
    actions: Collection[str] = EVERYTHING
    is_active: bool = True

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT_ID}:user/{self.user}"

    def may(self, action: str) -> bool:
        return "*" in self.actions or action in self.actions


@dataclass(frozen=True)
class Mail:
    """One mail that SES took."""

    message_id: str
    region: str
    recipients: tuple[str, ...]
    raw: bytes
    tags: Mapping[str, str]
    taken_at: datetime


@dataclass
class Identity:
    """A sender's address or domain in one region."""

    name: str
    is_verified: bool = True


@dataclass
class Region:
    """What SES keeps for each region apart."""

    name: str
    is_enabled: bool = True  # newer regions are switched on in the account first
    is_production: bool = True
    is_sending_enabled: bool = True
    enforcement: str = "HEALTHY"  # PROBATION, SHUTDOWN
    max_24_hour_send: float = 50_000.0
    max_send_rate: float = 14.0
    identities: dict[str, Identity] = field(default_factory=dict)
    # When each recipient was taken, oldest first
    taken: list[datetime] = field(default_factory=list)

    @property
    def quota(self) -> float:
        return self.max_24_hour_send if self.is_production else SANDBOX_QUOTA

    @property
    def rate(self) -> float:
        return self.max_send_rate if self.is_production else SANDBOX_RATE

    def sent_since(self, moment: datetime) -> int:
        return len(self.taken) - bisect.bisect_right(self.taken, moment)

    def is_verified(self, address: str) -> bool:
        """Whether the address, its domain or a parent domain is verified here."""
        local, _, domain = address.rpartition("@")
        # AWS compares the local part of a verified address as it was typed.
        names = [f"{local}@{domain.lower()}"]
        labels = domain.lower().split(".")
        names += [".".join(labels[start:]) for start in range(len(labels) - 1)]
        return any(
            name in self.identities and self.identities[name].is_verified
            for name in names
        )


class Account:
    """One AWS account. Every change and every question holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clock_offset = timedelta(0)  # AWS's clock against that of this machine
        self.keys: dict[str, Key] = {}
        self.takes_any_key = False  # for the demo: whatever is pasted is right
        self.regions: dict[str, Region] = {}
        self.verified_everywhere: set[str] = set()
        self.mails: list[Mail] = []
        self.trouble: Trouble | None = None  # what the next sends meet

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset

    def add_key(self, access_key_id: str, secret: str, **changes: object) -> Key:
        key = Key(access_key_id, secret, **changes)  # type: ignore[arg-type]
        self.keys[access_key_id] = key
        return key

    def region(self, name: str) -> Region:
        """Return what SES has there, made when it is first asked for."""
        if name not in self.regions:
            self.regions[name] = Region(
                name,
                identities={n: Identity(n) for n in self.verified_everywhere},
            )
        return self.regions[name]

    def take(
        self,
        region: Region,
        recipients: tuple[str, ...],
        raw: bytes,
        tags: Mapping[str, str],
    ) -> Mail:
        """Keep a mail as sent."""
        mail = Mail(
            message_id=f"0102{uuid.uuid4().hex[:12]}-{uuid.uuid4()}-000000",
            region=region.name,
            recipients=recipients,
            raw=raw,
            tags=tags,
            taken_at=self.now(),
        )
        region.taken.extend([mail.taken_at] * len(recipients))
        self.mails.append(mail)
        return mail
