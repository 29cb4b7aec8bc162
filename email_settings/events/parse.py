"""Reads what came out of the queue: events of Amazon SES, in each wrapping. Pure.

Whatever it is given, it never raises: a queue may hold anything, and what can't be read
is told apart so that it does not stand in the way of the rest. Shapes: Amazon SES
Developer Guide, "Contents of event data that Amazon SES publishes to Amazon SNS".
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from email_settings.models import DeliveryEvent

Kind = DeliveryEvent.Kind

LARGEST_BODY = 256 * 1024  # bytes: what SNS lets through
LONGEST_RAW = 8_000  # characters that are kept of one event
LONGEST_WORDS = 1_000  # characters of what a server said
MOST_RECIPIENTS = 50  # SES takes no more in one mail
# Our own mail has been there since the year in which this was written.
YEARS = range(2020, 2200)

# SES publishes this text, no JSON, once it has been let publish to the topic.
VALIDATION = "Successfully validated SNS topic for Amazon SES"

# Type of the event → kind, and the key of what is particular to it. In the API and in
# EventBridge some have other names than here.
TYPES = {
    "Send": (Kind.SEND, "send"),
    "Delivery": (Kind.DELIVERY, "delivery"),
    "Bounce": (Kind.BOUNCE, "bounce"),
    "Complaint": (Kind.COMPLAINT, "complaint"),
    "Reject": (Kind.REJECT, "reject"),
    "DeliveryDelay": (Kind.DELAY, "deliveryDelay"),
    "Rendering Failure": (Kind.RENDERING_FAILURE, "failure"),
    "RenderingFailure": (Kind.RENDERING_FAILURE, "failure"),
    "Open": (Kind.OPEN, "open"),
    "Click": (Kind.CLICK, "click"),
    "Subscription": (Kind.SUBSCRIPTION, "subscription"),
}
# Where each kind names its recipients; the others mean those of the mail
_RECIPIENTS = {
    Kind.DELIVERY: "recipients",
    Kind.BOUNCE: "bouncedRecipients",
    Kind.COMPLAINT: "complainedRecipients",
    Kind.DELAY: "delayedRecipients",
}
_AUTO_REPLY = re.compile(
    r"out.of.(the.)?office|ooto|auto.?(mated.)?(reply|response)|on vacation",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Told:
    """One event about one recipient, every text of a size and kind that can be stored."""

    kind: DeliveryEvent.Kind
    sub_kind: str
    recipient: str
    ses_message_id: str
    mark: str
    happened_at: datetime | None  # None where it does not say
    diagnostic: str
    raw: str
    installation: str = ""  # the tag tf-inst, "" where there is none
    message_uid: uuid.UUID | None = None
    attempt_uid: uuid.UUID | None = None


@dataclass(frozen=True)
class Reading:
    """What one message of the queue turned out to be."""

    told: tuple[Told, ...] = ()
    is_validation: bool = False  # SES reached the topic, and the topic this queue
    why_unreadable: str = ""


def read(body: str) -> Reading:
    """Return what the body says: events, the validation text, or why it can't be read."""
    if len(body.encode(errors="replace")) > LARGEST_BODY:
        return Reading(why_unreadable="It is larger than anything SNS sends.")
    try:
        return _opened(body)
    except RecursionError:
        return Reading(why_unreadable="It is nested too deeply.")


def storable(text: str, longest: int) -> str:
    """Return what a database takes: without NUL, half characters and what is too long."""
    return text.replace("\0", "").encode(errors="replace").decode()[:longest]


def mark_of(text: str) -> str:
    """Return what tells one text apart from every other."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _opened(body: str) -> Reading:
    content = _json(body)
    if isinstance(content, dict) and "Message" in content and "TopicArn" in content:
        # SNS wraps a text; some of its stand-ins put the object there as it is.
        inside = content["Message"]
        body = inside if isinstance(inside, str) else body
        content = _json(inside) if isinstance(inside, str) else inside
    if isinstance(content, dict):
        return _event(content)
    if body.strip().startswith(VALIDATION):
        return Reading(is_validation=True)
    return Reading(why_unreadable="It is no event of Amazon SES.")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _event(event: Mapping[str, Any]) -> Reading:
    name = _text(event.get("eventType")) or _text(event.get("notificationType"))
    if not name:
        return Reading(why_unreadable="It does not say what type of event it is.")
    kind, key = TYPES.get(name, (Kind.OTHER, ""))
    return Reading(told=tuple(_told(event, name, kind, key)))


def _told(
    event: Mapping[str, Any], name: str, kind: DeliveryEvent.Kind, key: str
) -> Iterator[Told]:
    mail, about = _object(event.get("mail")), _object(event.get(key))
    tags = _object(mail.get("tags"))
    when = _text(about.get("timestamp")) or _text(mail.get("timestamp"))
    raw = _raw(event, name, key, mail)
    mark = _text(about.get("feedbackId")) or when
    if kind is Kind.OTHER or not mark:
        mark = mark_of(raw)
    for one in _recipients(kind, about, mail):
        kind_of_one = kind
        if kind is Kind.BOUNCE and _is_auto_reply(about, one):
            kind_of_one = Kind.AUTO_REPLY
        yield Told(
            kind=kind_of_one,
            sub_kind=storable(_sub_kind(kind, name, about), 80),
            recipient=storable(_text(one.get("emailAddress")), 320),
            ses_message_id=storable(_text(mail.get("messageId")), 100),
            mark=storable(mark, 100),
            happened_at=_moment(when),
            diagnostic=storable(_diagnostic(kind, about, one), LONGEST_WORDS),
            raw=raw,
            installation=_tag(tags, "tf-inst"),
            message_uid=_uuid(_tag(tags, "tf-msg")) or _named_message(mail),
            attempt_uid=_uuid(_tag(tags, "tf-att")),
        )


def _recipients(
    kind: DeliveryEvent.Kind, about: Mapping[str, Any], mail: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Return those whom it is about, one without an address where it names none."""
    named = about.get(_RECIPIENTS.get(kind, ""))
    for found in (named, mail.get("destination")):
        listed = [_recipient(one) for one in _list(found)[:MOST_RECIPIENTS]]
        if known := [one for one in listed if _text(one.get("emailAddress"))]:
            return known
    return [{}]


def _recipient(value: Any) -> Mapping[str, Any]:
    return {"emailAddress": value} if isinstance(value, str) else _object(value)


def _sub_kind(kind: DeliveryEvent.Kind, name: str, about: Mapping[str, Any]) -> str:
    match kind:
        case Kind.BOUNCE:
            return "/".join(
                [_text(about.get("bounceType")), _text(about.get("bounceSubType"))]
            )
        case Kind.COMPLAINT:
            return _text(about.get("complaintSubType")) or _text(
                about.get("complaintFeedbackType")
            )
        case Kind.REJECT:
            return _text(about.get("reason"))
        case Kind.DELAY:
            return _text(about.get("delayType"))
        case Kind.OTHER:
            return name
    return ""


def _diagnostic(
    kind: DeliveryEvent.Kind, about: Mapping[str, Any], one: Mapping[str, Any]
) -> str:
    """Return the remote's own words, as far as this kind has any."""
    match kind:
        case Kind.DELIVERY:
            return _text(about.get("smtpResponse"))
        case Kind.BOUNCE | Kind.DELAY:
            return _text(one.get("diagnosticCode")) or _text(one.get("status"))
        case Kind.COMPLAINT:
            return _text(about.get("userAgent"))
        case Kind.RENDERING_FAILURE:
            return _text(about.get("errorMessage"))
    return ""


def _is_auto_reply(about: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    """Whether SES calls a bounce what is an answer such as "out of office".

    It has no sub type for it: it comes as Transient/General, without the report that a
    server makes of a mail that it could not deliver.
    """
    if _text(about.get("bounceType")) != "Transient":
        return False
    if _text(about.get("bounceSubType")) != "General":
        return False
    words = _text(one.get("diagnosticCode"))
    is_reported = words or any(_text(one.get(key)) for key in ("status", "action"))
    is_named = _AUTO_REPLY.search(words) or _text(one.get("emailAddress")).startswith(
        ("ooto@simulator.", "ooto+")
    )
    return bool(is_named) or not is_reported


def _raw(event: Mapping[str, Any], name: str, key: str, mail: Mapping[str, Any]) -> str:
    """Return the event as JSON without what the mail itself says.

    Of an unknown type everything is kept, because nobody knows what matters.
    """
    kept = {k: v for k, v in mail.items() if k not in {"headers", "commonHeaders"}}
    rest = {key: event.get(key)} if key else dict(event)
    text = json.dumps({"eventType": name, **rest, "mail": kept}, ensure_ascii=False)
    return storable(text, LONGEST_RAW)


def _named_message(mail: Mapping[str, Any]) -> uuid.UUID | None:
    """Return the mail that its own headers name, for events without our tags."""
    for header in _list(mail.get("headers")):
        if _text(_object(header).get("name")).lower() == "x-ticketflow-message":
            return _uuid(_text(_object(header).get("value")))
    ours = _text(_object(mail.get("commonHeaders")).get("messageId"))
    return _uuid(ours.strip("<> ").partition("@")[0])


def _tag(tags: Mapping[str, Any], name: str) -> str:
    values = _list(tags.get(name))
    return storable(_text(values[0]), 64) if values else ""


def _uuid(text: str) -> uuid.UUID | None:
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        return None
    return uuid.UUID(text)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in YEARS else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
