"""What SES tells about a mail that it took: events, as event publishing words them.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

from email_settings.standin.account import (
    ACCOUNT_ID,
    SIMULATOR,
    ConfigurationSet,
    Mail,
    Region,
)
from email_settings.standin.asking import Ask
from email_settings.standin.ses.sets import open_topic

# EICAR's test file, the virus that harms nobody
VIRUS = b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"
OUTGOING_IP = "192.0.2.11"
Event = dict[str, Any]


def follow(ask: Ask, known: ConfigurationSet, mail: Mail, sender: str) -> None:
    """Put what happens to the mail on its way to the topics of its set."""
    told = list(_story(ask, mail, sender))
    feed = ask.account.feed
    if feed.is_reversed:
        told.reverse()
    for destination in known.destinations.values():
        topic = open_topic(ask, known, destination.topic_arn)
        if topic is None or not destination.is_enabled:
            continue
        for number, event in enumerate(told):
            at = mail.taken_at + feed.delay + feed.transport * number
            if _api_name(event["eventType"]) in destination.types:
                event["mail"]["tags"]["ses:configuration-set"] = [known.name]
                ask.account.publish(topic, json.dumps(event) + "\n", at=at)


def _api_name(event_type: str) -> str:
    return {"DeliveryDelay": "DELIVERY_DELAY"}.get(event_type, event_type.upper())


def _story(ask: Ask, mail: Mail, sender: str) -> Iterator[Event]:
    """Yield the events of a mail in the order in which they happen."""
    about = _about(ask, mail, sender)
    yield _event("Send", "send", {}, about)
    if VIRUS in mail.raw:
        yield _event("Reject", "reject", {"reason": "Bad content"}, about)
        return
    for recipient in mail.recipients:
        for name, key, said in _fate(ask, mail, recipient):
            yield _event(name, key, said, about)


def _event(name: str, key: str, said: Event, about: Event) -> Event:
    return {"eventType": name, "mail": json.loads(json.dumps(about)), key: said}


def _fate(ask: Ask, mail: Mail, recipient: str) -> Iterator[tuple[str, str, Event]]:
    """Yield what one recipient's server, or SES in its place, makes of the mail."""
    at = _stamp(ask.account.now())
    name, _, domain = recipient.lower().rpartition("@")
    simulated = name.partition("+")[0] if domain == SIMULATOR else ""
    region = ask.region
    if simulated == "suppressionlist":
        yield "Bounce", "bounce", _bounce(recipient, at, "Permanent", "Suppressed")
    elif not simulated and region.is_suppressed(recipient):
        subtype = "OnAccountSuppressionList"
        yield "Bounce", "bounce", _bounce(recipient, at, "Permanent", subtype)
    elif simulated == "bounce" or _is_among(recipient, ask.account.bouncing):
        if not simulated:
            _suppress(region, recipient, "BOUNCE", ask.account.now())
        yield "Bounce", "bounce", _bounce(recipient, at, "Permanent", "General")
    elif _is_among(recipient, ask.account.full):
        yield "Bounce", "bounce", _bounce(recipient, at, "Transient", "MailboxFull")
    else:
        yield "Delivery", "delivery", _delivery(recipient, at)
        if simulated == "complaint" or _is_among(recipient, ask.account.complaining):
            if not simulated:
                _suppress(region, recipient, "COMPLAINT", ask.account.now())
            yield "Complaint", "complaint", _complaint(recipient, at)
        if simulated == "ooto":
            yield "Bounce", "bounce", _bounce(recipient, at, "Transient", "General")


def _is_among(address: str, unwilling: set[str]) -> bool:
    """Whether it is one of these addresses, or of their domains."""
    name, _, domain = address.lower().rpartition("@")
    return bool(unwilling & {f"{name}@{domain}", f"@{domain}"})


def _suppress(region: Region, address: str, reason: str, at: datetime) -> None:
    if reason in region.suppressed_reasons and not region.is_suppressed(address):
        region.suppressed[address] = (reason, at)


def _bounce(recipient: str, at: str, kind: str, subtype: str) -> Event:
    who: Event = {"emailAddress": recipient}
    said: Event = {
        "bounceType": kind,
        "bounceSubType": subtype,
        "bouncedRecipients": [who],
        "timestamp": at,
        "feedbackId": _feedback_id(),
    }
    if subtype == "General" and kind == "Permanent":
        who["action"], who["status"] = "failed", "5.1.1"
        who["diagnosticCode"] = "smtp; 550 5.1.1 user unknown"
        said["remoteMtaIp"] = "192.0.2.25"
        said["reportingMTA"] = "dsn; a1-11.smtp-out.amazonses.com"
    elif subtype == "MailboxFull":
        who["action"], who["status"] = "failed", "4.2.2"
        who["diagnosticCode"] = "smtp; 452 4.2.2 mailbox full"
        said["reportingMTA"] = "dsn; a1-11.smtp-out.amazonses.com"
    elif kind == "Permanent":
        who["action"], who["status"] = "failed", "5.1.1"
        who["diagnosticCode"] = (
            "Amazon SES did not send the message to this address because it is on the "
            "suppression list."
        )
        said["reportingMTA"] = "dns; amazonses.com"
    return said


def _complaint(recipient: str, at: str) -> Event:
    return {
        "complainedRecipients": [{"emailAddress": recipient}],
        "timestamp": at,
        "feedbackId": _feedback_id(),
        "complaintSubType": None,
        "userAgent": "Amazon SES Mailbox Simulator",
        "complaintFeedbackType": "abuse",
        "arrivalDate": at,
    }


def _delivery(recipient: str, at: str) -> Event:
    return {
        "timestamp": at,
        "processingTimeMillis": 620,
        "recipients": [recipient],
        "smtpResponse": "250 2.6.0 Message received",
        "remoteMtaIp": "192.0.2.25",
        "reportingMTA": "a1-11.smtp-out.amazonses.com",
    }


def _about(ask: Ask, mail: Mail, sender: str) -> Event:
    """Return the part about the mail itself, which all its events carry."""
    parsed = message_from_bytes(mail.raw, policy=policy.default)
    common: Event = {"messageId": str(parsed["Message-ID"] or mail.message_id)}
    for name in ("from", "to"):
        common[name] = [str(value) for value in parsed.get_all(name, [])]
    for name in ("subject", "date"):
        if parsed[name]:
            common[name] = str(parsed[name])
    identity = ask.region.verified_identity(sender)
    return {
        "timestamp": _stamp(mail.taken_at),
        "source": sender,
        "sourceArn": ask.arn(
            "ses", f"identity/{identity.name if identity else sender}"
        ),
        "sendingAccountId": ACCOUNT_ID,
        "messageId": mail.message_id,
        "destination": list(mail.recipients),
        "headersTruncated": False,
        "headers": [{"name": n, "value": str(v)} for n, v in parsed.items()],
        "commonHeaders": common,
        "tags": {
            "ses:source-ip": ["127.0.0.1"],
            "ses:from-domain": [sender.rpartition("@")[2]],
            "ses:caller-identity": [ask.signer.key.user],
            "ses:operation": ["SendEmail"],
            "ses:outgoing-ip": [OUTGOING_IP],
            **{name: [value] for name, value in mail.tags.items()},
        },
    }


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _feedback_id() -> str:
    return f"0102{uuid.uuid4().hex[:12]}-{uuid.uuid4()}-000000"
