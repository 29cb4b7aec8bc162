"""How old the access key is, and whether it is time for a new one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.utils import timezone

from email_settings.models import SesSettings

# AWS advises so: https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html
DUE_DAYS = 90
SOON_DAYS = 14  # before that


@dataclass(frozen=True)
class KeyAge:
    """The age of one key."""

    since: datetime
    days: int
    is_aws_word: bool  # AWS said when it was made; else since when it is stored here

    @classmethod
    def of(cls, settings: SesSettings, now: datetime | None = None) -> Self | None:
        """Return it; None where no key is stored, or nobody knows since when."""
        since = settings.key_created_at or settings.key_since
        if not settings.has_key or since is None:
            return None
        age = (now or timezone.now()) - since
        return cls(
            since, max(0, age // timedelta(days=1)), bool(settings.key_created_at)
        )

    @property
    def is_due(self) -> bool:
        """Whether it is time for a new one."""
        return self.days >= DUE_DAYS

    @property
    def is_soon(self) -> bool:
        return self.days >= DUE_DAYS - SOON_DAYS

    @property
    def days_left(self) -> int:
        return max(0, DUE_DAYS - self.days)

    @property
    def shown_days(self) -> int:
        """The days as far as a bar of DUE_DAYS goes."""
        return min(self.days, DUE_DAYS)
