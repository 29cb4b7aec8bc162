"""Putting mail in the outbox, sending it for real, and looking what became of it."""

import collections
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from email_settings.delivery import hold
from email_settings.delivery.pump import Pump
from email_settings.models import Lane, OutboxMessage

State = OutboxMessage.State


def put_many(
    count: int,
    *,
    lane: Lane = Lane.NOTICE,
    state: str = State.QUEUED,
    prefix: str = "p",
) -> list[OutboxMessage]:
    """Put so many plain mails in the outbox, in a few statements."""
    now = timezone.now()
    return OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                kind="ticket_received",
                lane=lane,
                recipient=f"{prefix}{number}@larkfield.example",
                subject=f"Mail {number}",
                text_body="Hello\n",
                state=state,
                due_at=now,
                expires_at=now + timedelta(days=3),
                sent_at=now if state == State.SENT else None,
            )
            for number in range(count)
        ],
        batch_size=1_000,
    )


def send_due() -> None:
    """Let the real pump send what is due, until nothing is."""
    while Pump().run(budget_seconds=30):
        pass


def make_waiting_due() -> int:
    """Let the time come that queued mail waits for, and return how many there are."""
    return OutboxMessage.objects.filter(state=State.QUEUED).update(
        due_at=timezone.now()
    )


def send_until_nothing_waits(*, most_rounds: int = 50) -> None:
    """Send, let time pass, send again; AssertionError when it does not come to an end."""
    for _ in range(most_rounds):
        hold.probe_now()
        send_due()
        if not make_waiting_due():
            return
    raise AssertionError(f"mail still waits: {states()}")


def states() -> dict[str, int]:
    """How many messages are in each state."""
    return dict(
        collections.Counter(OutboxMessage.objects.values_list("state", flat=True))
    )


def reasons(state: str) -> dict[str, int]:
    """How many messages are in that state for each reason."""
    found = OutboxMessage.objects.filter(state=state)
    return dict(collections.Counter(found.values_list("reason_code", flat=True)))


def attempts(messages: Sequence[OutboxMessage]) -> set[int]:
    """The different numbers of tries that count against these messages."""
    ids = [message.pk for message in messages]
    found = OutboxMessage.objects.filter(pk__in=ids)
    return set(found.values_list("attempts", flat=True))
