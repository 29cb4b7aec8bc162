"""What one event means, in plain words."""

import json
from dataclasses import dataclass, replace
from typing import Any

from email_settings.models import DeliveryEvent

Kind = DeliveryEvent.Kind


@dataclass(frozen=True)
class Said:
    """One event as people read it."""

    tone: str  # "ok", "warn", "bad" or "idle"
    icon: str
    title: str
    text: str = ""
    words: str = ""  # the remote's own

    @property
    def in_one(self) -> str:
        """All of it in one piece, the remote's own words in a line of their own."""
        return "\n".join(filter(None, [self.text or f"{self.title}.", self.words]))


# Why a mail bounced, by type and sub type; an unknown sub type goes by its type.
BOUNCES = {
    "Permanent/NoEmail": "The address does not exist.",
    "Permanent/General": "The recipient’s server refused it for good.",
    "Permanent/Suppressed": (
        "Amazon SES did not try: mail to this address bounced for many of its customers."
    ),
    "Permanent/OnAccountSuppressionList": (
        "Amazon SES did not try: the address is on your account’s suppression list."
    ),
    "Permanent/OnTenantSuppressionList": (
        "Amazon SES did not try: the address is on your tenant’s suppression list."
    ),
    "Permanent/EmailValidationSuppressed": (
        "Amazon SES did not try: its address validation thinks that the address takes "
        "no mail."
    ),
    "Permanent/UnsubscribedRecipient": (
        "Amazon SES did not try: the recipient has unsubscribed there."
    ),
    "Transient/MailboxFull": "The mailbox is full.",
    "Transient/MessageTooLarge": "The mail is too large for the recipient’s server.",
    "Transient/ContentRejected": "The recipient’s server did not like what it says.",
    "Transient/AttachmentRejected": (
        "The recipient’s server takes no attachment of this kind."
    ),
    "Transient/CustomTimeoutExceeded": (
        "It could not be delivered within the time that the configuration set allows."
    ),
}
BOUNCE_TYPES = {
    "Permanent": "The recipient’s server refused it for good.",
    "Transient": "The recipient’s server did not take it this time.",
}
COMPLAINTS = {
    "abuse": "The recipient marked it as spam.",
    "fraud": "The recipient reported it as fraud.",
    "virus": "The recipient’s provider reported a virus in it.",
    "OnAccountSuppressionList": (
        "Amazon SES did not deliver it: the address complained before and is on your "
        "account’s suppression list."
    ),
}
DELAYS = {
    "MailboxFull": "The mailbox is full.",
    "SpamDetected": "The recipient’s server takes much mail from Amazon SES for spam.",
    "RecipientServerError": "The recipient’s server has a problem.",
    "IPFailure": "The recipient’s server blocks or slows the address that SES sends from.",
    "TransientCommunicationFailure": "The connection to the recipient’s server broke.",
    "SendingDeferral": "Amazon SES holds it back for a while.",
    "InternalFailure": "Amazon SES has a problem of its own.",
}

# What needs no look at the particulars
SIMPLE = {
    Kind.SEND: Said("ok", "send", "On its way", "Amazon SES has begun to deliver it."),
    Kind.AUTO_REPLY: Said(
        "ok",
        "reply",
        "Answered automatically",
        "An “out of office” or the like came back: the mail arrived.",
    ),
    Kind.RENDERING_FAILURE: Said(
        "bad", "x", "Rejected", "Amazon SES could not make the mail from its template."
    ),
    Kind.OPEN: Said("idle", "eye", "Opened"),
    Kind.CLICK: Said("idle", "external", "A link was followed"),
    Kind.SUBSCRIPTION: Said("idle", "user", "Subscription changed"),
    Kind.UNREADABLE: Said("idle", "help", "Unreadable"),
}


def said(event: DeliveryEvent) -> Said:
    """Return what the event means."""
    match event.kind:
        case Kind.DELIVERY:
            return Said(
                "ok", "check", "Delivered", _delivered_to(event), event.diagnostic
            )
        case Kind.BOUNCE:
            return _bounce(event)
        case Kind.COMPLAINT:
            return _complaint(event)
        case Kind.REJECT:
            reason = event.sub_kind or "no reason was given"
            return Said(
                "bad",
                "x",
                "Rejected",
                f"Amazon SES took it and did not send it: {reason}. It says so of mail "
                "that has a virus in it.",
            )
        case Kind.DELAY:
            why = DELAYS.get(event.sub_kind, "The recipient’s server did not take it.")
            text = f"{why} Amazon SES goes on trying."
            return Said("warn", "clock", "Delayed", text, event.diagnostic)
        case Kind.OTHER:
            return Said("idle", "help", f"Amazon SES says “{event.sub_kind}”")
    return replace(SIMPLE[Kind(event.kind)], words=event.diagnostic)


def _delivered_to(event: DeliveryEvent) -> str:
    about = about_of(event).get("delivery")
    address = about.get("remoteMtaIp") if isinstance(about, dict) else None
    domain = event.recipient.rpartition("@")[2]
    server = f"The mail server of {domain}" if domain else "The recipient’s mail server"
    where = f", {address}," if isinstance(address, str) and address else ""
    return f"{server}{where} took it."


def _bounce(event: DeliveryEvent) -> Said:
    kind = event.sub_kind.partition("/")[0]
    why = BOUNCES.get(event.sub_kind) or BOUNCE_TYPES.get(
        kind, "It came back, and Amazon SES can’t tell why."
    )
    if kind == "Permanent":
        return Said("bad", "x", "Bounced", why, event.diagnostic)
    return Said(
        "warn",
        "alert",
        "Not delivered",
        f"{why} Amazon SES has given up; another mail may get through.",
        event.diagnostic,
    )


def _complaint(event: DeliveryEvent) -> Said:
    if event.sub_kind == "not-spam":
        return Said("ok", "check", "Not spam", "The recipient said that it is no spam.")
    if event.sub_kind == "auth-failure":
        return Said(
            "warn",
            "alert",
            "Not authenticated",
            "The recipient’s provider reported that the mail did not pass its check of "
            "who sent it. Look at DKIM and DMARC on Email Settings.",
        )
    why = COMPLAINTS.get(event.sub_kind, "The recipient complained about it.")
    return Said("bad", "alert", "Complained", why, event.diagnostic)


def about_of(event: DeliveryEvent) -> dict[str, Any]:
    """Return the event as it was kept, {} where it was cut."""
    try:
        content = json.loads(event.raw)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
