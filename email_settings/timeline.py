"""What happened to one mail, leg by leg, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from email_settings import alerts
from email_settings.again import Neighbours
from email_settings.delivery.by_hand import HAD_IT_SENT, MARKED_SENT
from email_settings.events import second_try
from email_settings.events.words import said
from email_settings.models import DeliveryAttempt, DeliveryEvent, OutboxMessage
from email_settings.querysets import REHEARSAL
from email_settings.void_links import LINK_VOID

ORDINALS = {1: "First", 2: "Second", 3: "Third", 4: "Fourth", 5: "Fifth"}
Outcome = DeliveryAttempt.Outcome
State = OutboxMessage.State


@dataclass(frozen=True)
class Leg:
    """One thing that happened, is happening, or is still to come."""

    tone: str  # "ok", "run", "warn", "bad", or "idle" for what is still to come
    icon: str
    title: str
    text: str = ""
    at: datetime | None = None
    code: str = ""  # an id
    detail: str = ""  # the provider's own words
    link: str = ""  # what the link to `url` says
    url: str = ""


def legs(
    message: OutboxMessage,
    attempts: Sequence[DeliveryAttempt],
    events: Sequence[DeliveryEvent] = (),
    neighbours: Neighbours | None = None,
    *,
    worker_is_running: bool,
    now: datetime,
) -> list[Leg]:
    """Tell a mail's story, oldest first, up to what it waits for.

    `events` are those of the mail in the order in which they happened.
    """
    neighbours = neighbours or Neighbours()
    story = [_written(message, neighbours)]
    for number, attempt in enumerate(attempts, start=1):
        story += _attempt(number, attempt)
    story += [_event(event) for event in events]
    story += _ending(message, worker_is_running=worker_is_running, now=now)
    if neighbours.after:
        story.append(_sent_again(message, neighbours.after))
    return story


def _written(message: OutboxMessage, neighbours: Neighbours) -> Leg:
    about = f" on {message.about_label}" if message.about_label else ""
    what = f"{kind_label(message.kind)}{about}"
    before = neighbours.before
    if not neighbours.is_second:
        title, text = "Written", f"{what}, kept in the outbox"
    else:
        title = "Put in the outbox again"
        text = f"{what}, word for word as the one before, which did not arrive"
    return Leg(
        "ok",
        "edit",
        title,
        text,
        at=message.created_at,
        link="The one before" if before else "",
        url=_url(before) if before else "",
    )


def _sent_again(message: OutboxMessage, after: OutboxMessage) -> Leg:
    return Leg(
        "ok",
        "send",
        "Sent again",
        message.reason,
        at=after.created_at,
        link="The new message",
        url=_url(after),
    )


def _url(message: OutboxMessage) -> str:
    return reverse("email_settings:message-detail", args=[message.uid])


def _attempt(number: int, attempt: DeliveryAttempt) -> Iterator[Leg]:
    parts = [f"{ORDINALS[number]} try" if number in ORDINALS else f"Try {number}"]
    if attempt.access_key_hint:
        parts.append(f"key ending in {attempt.access_key_hint}")
    if attempt.region:
        parts.append(attempt.region)
    yield Leg(
        "ok",
        "activity",
        "Picked up by the worker",
        ", ".join(parts),
        at=attempt.started_at,
    )
    match attempt.outcome:
        case Outcome.STARTED:
            yield Leg("run", "refresh", "Handing it to Amazon SES")
        case Outcome.ACCEPTED:
            yield Leg(
                "ok",
                "send",
                "Accepted by Amazon SES",
                at=attempt.finished_at,
                code=attempt.ses_message_id,
            )
        case Outcome.CAPTURED:
            yield Leg(
                "ok",
                "box",
                "Captured",
                "Mail is in rehearsal: nothing left this machine",
                at=attempt.finished_at,
            )
        case Outcome.NOT_SENT:
            yield _refusal(attempt, "warn", "It did not leave, and is tried again")
        case Outcome.REFUSED:
            yield _refusal(attempt, "bad", "Refused")
        case Outcome.UNKNOWN:
            words, notes = _apart(attempt.error_detail)
            title = "It went out and no answer came"
            yield _refusal(attempt, "warn", title, words)
            if notes:
                yield Leg("ok", "refresh", "Sent once more", "\n".join(notes))


def _event(event: DeliveryEvent) -> Leg:
    told = said(event)
    return Leg(
        told.tone,
        told.icon,
        told.title,
        told.text,
        at=event.happened_at,
        detail=told.words,
    )


def _apart(detail: str) -> tuple[str, list[str]]:
    """Return the provider's own words, and what was decided after them."""
    lines = detail.split("\n")
    end = len(lines)
    while end and _is_decision(lines[end - 1]):
        end -= 1
    return "\n".join(lines[:end]), lines[end:]


def _is_decision(line: str) -> bool:
    return line == second_try.NOTE or line.endswith(HAD_IT_SENT)


def _refusal(
    attempt: DeliveryAttempt, tone: str, title: str, words: str | None = None
) -> Leg:
    if words is None:
        words = attempt.error_detail
    return Leg(
        tone,
        "x" if tone == "bad" else "alert",
        title,
        at=attempt.finished_at,
        detail="\n".join(filter(None, [attempt.error_code, words])),
    )


def _ending(
    message: OutboxMessage, *, worker_is_running: bool, now: datetime
) -> Iterator[Leg]:
    """What the mail waits for, or why it ended."""
    match message.state:
        case State.QUEUED if not worker_is_running:
            yield Leg(
                "bad",
                "alert",
                "No worker is running",
                "Nothing leaves until it runs again. It is part of make run; on a server, "
                "start its service. The mail is kept and leaves by itself then.",
            )
        case State.QUEUED if message.due_at > now:
            yield Leg(
                "run",
                "clock",
                "Waits for its next try",
                "It leaves by itself at this time",
                at=message.due_at,
            )
        case State.QUEUED:
            yield Leg("run", "refresh", "Waits for the worker", "It looks every moment")
        # Why is said by the verdict above the story, which only goes on here.
        case State.HELD if message.reason_code != REHEARSAL:
            yield Leg("warn", "pause", "Held", _what_ends_a_hold(message.reason_code))
        case State.UNKNOWN:
            yield Leg("warn", "help", "Waits for you", "Resend it, or mark it as sent.")
        case State.FAILED:
            yield Leg("bad", "x", "Given up", "It is not tried again by itself.")
        case State.SUPPRESSED:
            yield Leg("bad", "x", "Not sent", "This address takes no mail.")
        case State.SENT if message.reason_code == MARKED_SENT:
            yield Leg("ok", "check", "Marked as sent", message.reason)
        case State.CANCELLED:
            yield _called_back(message)


def _called_back(message: OutboxMessage) -> Leg:
    # Of one with a void link it may not be known whether it left.
    is_void = message.reason_code == LINK_VOID
    title = "Called off" if is_void else "Called back before it left"
    return Leg("idle", "x", title, message.reason)


def _what_ends_a_hold(reason_code: str) -> str:
    """Say what a held message waits for, by the reason it is held for."""
    match reason_code:
        case "stopped_by_hand":
            return "It leaves when an admin releases all mail."
        case "quota_reserve" | "daily_quota":
            return "It leaves by itself as the last 24 hours have room again."
        case "reputation_guard":
            return (
                "It leaves by itself when less mail bounces, or when an admin says so."
            )
        case "recipient_not_verified":
            return "It leaves when the account is out of the sandbox, or by Retry."
        case "address_held":
            return "It leaves by itself when the address is held no longer."
        case "body_key_missing":
            return "It leaves by itself when the key file is back."
    return "It leaves by itself when mail works again."


KIND_LABELS = {
    "password_reset": "Password reset",
    "password_changed": "Password changed",
    "email_change": "Change of address",
    "email_changed": "Address changed",
    "account": "Account",
    "invitation": "Invitation",
    OutboxMessage.TEST: "Test e-mail",
    "key_test": "Test of a new key",
    OutboxMessage.SIMULATOR: "Simulator",
    OutboxMessage.CANARY: "Canary",
    "ticket_received": "Confirmation",
    "ticket_new": "New ticket",
    "public_reply": "Ticket reply",
    "ticket_assigned": "Assignment",
    "ticket_solved": "Ticket solved",
    "reply_undelivered": "Reply not delivered",
    alerts.WAS_HELD: "Alert: mail was held",
    alerts.QUOTA: "Alert: quota",
    alerts.IN_DOUBT: "Alert: mail in doubt",
    alerts.KEY_OLD: "Alert: access key",
    alerts.REPUTATION: "Alert: reputation",
    alerts.GUARDED: "Alert: notices are held",
    alerts.SILENCE: "Alert: no delivery events",
    alerts.UNSIGNED: "Alert: taken for forged",
}


def kind_label(kind: str) -> str:
    """A kind as people call it."""
    return KIND_LABELS.get(kind, kind.replace("_", " ").capitalize())


def took(message: OutboxMessage, attempts: Sequence[DeliveryAttempt]) -> str:
    """How long it took from written to its last news, "" before there are any."""
    last = max(
        (attempt.finished_at for attempt in attempts if attempt.finished_at),
        default=None,
    )
    if last is None:
        return ""
    # Web and worker may have clocks that differ.
    seconds = max(0.0, (last - message.created_at).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s in total"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min in total"
    return f"{seconds // 3600:.0f} h in total"
