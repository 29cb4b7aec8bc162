"""What an admin can do about one mail as it is now."""

from dataclasses import dataclass
from typing import Self

from django.utils import timezone

from email_settings.delivery.by_hand import CANCELLABLE, why_not_sendable
from email_settings.delivery.hold import is_guarded
from email_settings.models import OutboxMessage
from email_settings.status import GUARDED, STOPPED_BY_HAND, MailStatus
from email_settings.verdicts import is_captured

State = OutboxMessage.State


@dataclass(frozen=True)
class Possible:
    """The actions that its page and its line in the list offer."""

    retry_label: str = ""  # what the button says, "" when there is nothing to retry
    can_resend: bool = False
    can_mark_sent: bool = False
    can_cancel: bool = False

    @property
    def is_any(self) -> bool:
        return self != Possible()

    @classmethod
    def of(cls, message: OutboxMessage, status: MailStatus) -> Self:
        is_sendable = not why_not_sendable(message)
        is_doubted = message.state == State.UNKNOWN
        return cls(
            retry_label=_retry_label(message, status) if is_sendable else "",
            can_resend=is_doubted and is_sendable,
            can_mark_sent=is_doubted,
            can_cancel=message.state in CANCELLABLE,
        )


def _retry_label(message: OutboxMessage, status: MailStatus) -> str:
    match message.state:
        case State.QUEUED if message.due_at > timezone.now():
            return "Try now"
        case State.HELD if is_captured(message):
            return "" if status.is_rehearsal else "Send it now"
        case State.HELD if message.reason_code == STOPPED_BY_HAND or status.stop:
            return ""  # Release is what it waits for
        case State.HELD if message.reason_code == GUARDED and is_guarded(
            status.settings
        ):
            return ""  # it would only be held again
        case State.HELD | State.FAILED | State.SUPPRESSED:
            return "Retry"
    return ""
