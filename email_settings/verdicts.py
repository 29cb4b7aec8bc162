"""What became of one mail in a sentence, with the way on."""

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.urls import reverse

from email_settings.again import NOT_ARRIVED, SENT_AGAIN
from email_settings.delivery.by_hand import MARKED_SENT
from email_settings.events.simulator import DOMAIN as SIMULATOR_DOMAIN
from email_settings.gateway.errors import recall
from email_settings.models import Fate, OutboxMessage
from email_settings.querysets import REHEARSAL
from email_settings.status import MailStatus

State = OutboxMessage.State
# Held messages that something else lets go than mended settings
NOT_FOR_SETTINGS = {
    "stopped_by_hand",
    "quota_reserve",
    "daily_quota",
    "reputation_guard",
    "address_held",
}
# What an admin should know about a mail that was sent: tone, icon, title, advice
FATES_THAT_MATTER = {
    Fate.DELAYED: ("warn", "clock", "Not delivered yet", ""),
    Fate.SOFT_BOUNCED: ("warn", "alert", "It was not delivered", ""),
    Fate.REJECTED: ("bad", "x-circle", "Amazon SES did not send it", ""),
    Fate.BOUNCED: (
        "bad",
        "x-circle",
        "It bounced: nobody got it",
        "Ask for another address, or look whether this one is spelt right.",
    ),
    Fate.COMPLAINED: (
        "bad",
        "alert",
        "The recipient complained",
        "Many complaints have AWS stop the account: write to this address only if "
        "the person wants it.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """A banner: what happened, why, and the button that mends it."""

    tone: str  # "ok", "info", "warn" or "bad"
    icon: str
    title: str
    text: str
    button_label: str = ""
    button_url: str = ""
    statement: str = ""  # JSON to be added to a policy, shown apart from the text


def is_captured(message: OutboxMessage) -> bool:
    """Whether rehearsal keeps it."""
    return message.state == State.HELD and message.reason_code == REHEARSAL


def verdict_on(message: OutboxMessage, status: MailStatus) -> Verdict | None:
    """Say what an admin should know about a mail, None while all goes well."""
    settings = {
        "button_label": "Open Email Settings",
        "button_url": status.settings_url,
    }
    title, text, statement = explain(message, status)
    match message.state:
        case State.QUEUED if not status.worker_is_running:
            return Verdict(
                "bad",
                "alert",
                "No worker is running",
                "The mail is kept and leaves as soon as a worker runs. Start it with "
                "manage.py start, or look at its log.",
            )
        case State.QUEUED if message.reason:
            return Verdict(
                "warn",
                "clock",
                "It did not leave yet and is tried again by itself",
                f"{title} {text}",
                statement=statement,
            )
        case State.HELD if is_captured(message):
            return Verdict(
                "info",
                "box",
                "Captured, nothing left this machine",
                "Mail is in rehearsal. Go live to send mail, or send this one "
                "again after that."
                if status.is_rehearsal
                else "It was written while mail was in rehearsal. You can still send it.",
                **settings if status.is_rehearsal else {},
            )
        case State.HELD:
            is_for_settings = message.reason_code not in NOT_FOR_SETTINGS
            is_for_address = message.reason_code == "address_held"
            return Verdict(
                "warn",
                "pause",
                f"Held: {title}",
                # What the text ends with may be followed by the statement.
                f"Nothing is lost. {text}" if statement else f"{text} Nothing is lost.",
                statement=statement,
                **settings if is_for_settings else {},
                **_to_the_address(message) if is_for_address else {},
            )
        case State.UNKNOWN:
            return Verdict(
                "warn",
                "help",
                "Nobody knows whether it arrived",
                f"{title} {text} Sent again, it may arrive twice.",
            )
        case State.FAILED:
            return Verdict("bad", "x-circle", f"Not sent: {title}", text)
        case State.SUPPRESSED:
            return Verdict(
                "bad",
                "x-circle",
                "Not sent: this address gets no mail",
                " ".join(filter(None, [title, message.reason_detail])) or text,
                **_to_the_address(message),
            )
        case State.SENT:
            return _verdict_on_sent(message)
    return None


def _verdict_on_sent(message: OutboxMessage) -> Verdict | None:
    if is_to_simulator(message):
        return _verdict_on_simulator(message)
    if message.fate and message.fate in FATES_THAT_MATTER:
        return _verdict_on_fate(Fate(message.fate), message)
    if message.reason_code == MARKED_SENT:
        return Verdict(
            "info",
            "check",
            "Marked as sent",
            f"{message.reason} Amazon SES itself never said that it took it.",
        )
    return None


def is_to_simulator(message: OutboxMessage) -> bool:
    """Whether it went to a mailbox of Amazon SES that nobody reads."""
    return message.recipient.lower().endswith(f"@{SIMULATOR_DOMAIN}")


def _verdict_on_simulator(message: OutboxMessage) -> Verdict:
    """What comes of such a mail is what its mailbox is for, a complaint included."""
    counts = "It counts in no quota and in no reputation of the account."
    if message.fate is None or message.fate == Fate.SENT:
        return Verdict(
            "info",
            "info",
            "Amazon SES took it for its mailbox simulator",
            f"Nobody reads it; its event shows what the mailbox is for. {counts}",
        )
    return Verdict(
        "info",
        "check-circle",
        f"As intended: the mailbox simulator says “{Fate(message.fate).label.lower()}”",
        f"{message.fate_detail}\nIts mailboxes answer like this on purpose, and the event "
        f"came back here. {counts}".strip(),
    )


def _verdict_on_fate(fate: Fate, message: OutboxMessage) -> Verdict:
    if message.reason_code == SENT_AGAIN and fate in NOT_ARRIVED:
        return _verdict_on_repeated(message)
    tone, icon, title, advice = FATES_THAT_MATTER[fate]
    text = f"{message.fate_detail}\n{advice}".strip()
    is_listed = fate in {Fate.BOUNCED, Fate.COMPLAINED}
    link = _to_the_address(message, "About this address") if is_listed else {}
    return Verdict(tone, icon, title, text, **link)


def _verdict_on_repeated(message: OutboxMessage) -> Verdict:
    return Verdict(
        "info",
        "send",
        "It did not arrive, and was sent again",
        message.fate_detail,
        "See the new message",
        reverse("email_settings:message-detail", args=[message.reason_detail]),
    )


def _to_the_address(
    message: OutboxMessage, label: str = "Why this address gets no mail"
) -> dict[str, str]:
    url = reverse("email_settings:suppression-find")
    return {
        "button_label": label,
        "button_url": f"{url}?{urlencode({'address': message.recipient})}",
    }


def explain(message: OutboxMessage, status: MailStatus) -> tuple[str, str, str]:
    """Return what happened to it, why with the fix, and the statement that one adds.

    Each of the last two is "" where there is none.
    """
    if not message.reason_code:
        return message.reason, "", ""
    problem = recall(
        message.reason_code,
        detail=message.reason_detail,
        from_email=status.settings.from_email,
        region=status.settings.region,
        recipient=message.recipient,
    )
    # The stored title was exact at the time; the settings may have changed since.
    text = f"{problem.why} {problem.advice}"
    return message.reason or problem.title, text, problem.statement


def verdict_on_test(message: OutboxMessage, status: MailStatus) -> Verdict | None:
    """The same for a test e-mail, where success is news too."""
    if message.state == State.SENT and is_to_simulator(message):
        verdict = _verdict_on_simulator(message)
        is_told = message.fate is not None and message.fate != Fate.SENT
        return replace(
            verdict,
            tone="ok" if is_told else verdict.tone,
            button_label="Back to Email Settings",
            button_url=reverse("email_settings:settings"),
        )
    if message.state == State.SENT and message.fate == Fate.DELIVERED:
        return Verdict(
            "ok",
            "check-circle",
            "It works: the test e-mail was delivered",
            f"{message.fate_detail}\nIf it is not in the mailbox, look in the spam "
            "folder.",
            button_label="Back to Email Settings",
            button_url=reverse("email_settings:settings"),
        )
    if message.state == State.SENT and message.fate not in FATES_THAT_MATTER:
        return Verdict(
            "ok",
            "check-circle",
            "It works: Amazon SES took the test e-mail",
            f"It should be in the mailbox of {message.recipient} within a minute. If "
            "not, look in the spam folder.",
            button_label="Back to Email Settings",
            button_url=reverse("email_settings:settings"),
        )
    return verdict_on(message, status)
