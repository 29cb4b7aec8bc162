"""What the sending path needs from whatever takes mail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Outgoing:
    """One finished mail to one recipient."""

    mime: bytes  # 7 bit, CRLF
    recipient: str
    from_email: str
    # Whose rules it goes by, so that SES tells what becomes of it; "" for none
    configuration_set: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Gateway(Protocol):
    """Takes one mail at a time, from any number of threads."""

    def send(self, outgoing: Outgoing) -> str:
        """Return the id that Amazon SES gave the mail. Raises SendError."""
        ...
