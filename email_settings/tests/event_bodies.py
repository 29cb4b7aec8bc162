"""Events as Amazon SES words them, in what comes out of a queue."""

import json
import uuid
from typing import Any

from email_settings.models import DeliveryAttempt, OutboxMessage, SesSettings

SES_ID = "0102018f8e3a6c11-3d0a3c6e-0000-4000-8000-1d0f4b2c9a10-000000"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ticketflow-ses-events"
VALIDATION = "Successfully validated SNS topic for Amazon SES event publishing."
AT = "2026-11-24T10:00:00.000Z"


def mail(**changes: Any) -> dict[str, Any]:
    """Return the part that every event has about the mail."""
    return {
        "timestamp": AT,
        "source": "Larkfield Help <help@larkfield.example>",
        "sourceArn": "arn:aws:ses:eu-west-1:123456789012:identity/larkfield.example",
        "sendingAccountId": "123456789012",
        "messageId": SES_ID,
        "destination": ["hannah@larkfield.example"],
        "headersTruncated": False,
        "headers": [{"name": "Subject", "value": "We received your ticket"}],
        "commonHeaders": {"subject": "We received your ticket"},
        "tags": {"ses:configuration-set": ["ticketflow-ses"]},
        **changes,
    }


def mail_of(
    message: OutboxMessage, attempt: DeliveryAttempt | None = None, **changes: Any
) -> dict[str, Any]:
    """Return the same about one of our own mails, with its tags."""
    tags = {
        "tf-inst": [SesSettings.load().installation.hex],
        "tf-msg": [message.uid.hex],
    }
    if attempt:
        tags["tf-att"] = [attempt.uid.hex]
    return mail(
        **{"destination": [message.recipient], "tags": tags, "messageId": SES_ID}
        | changes
    )


def send(of: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"eventType": "Send", "mail": of or mail(), "send": {}}


def delivery(
    of: dict[str, Any] | None = None, at: str = "2026-11-24T10:00:02.000Z"
) -> dict[str, Any]:
    of = of or mail()
    return {
        "eventType": "Delivery",
        "mail": of,
        "delivery": {
            "timestamp": at,
            "processingTimeMillis": 546,
            "recipients": of["destination"],
            "smtpResponse": "250 2.6.0 Message received",
            "remoteMtaIp": "203.0.113.25",
            "reportingMTA": "a8-70.smtp-out.amazonses.com",
        },
    }


def bounce(
    of: dict[str, Any] | None = None,
    kind: str = "Permanent",
    sub: str = "NoEmail",
    *,
    at: str = "2026-11-24T10:00:03.000Z",
    words: str = "smtp; 550 5.1.1 user unknown",
    feedback_id: str = "0102018f-feed",
) -> dict[str, Any]:
    of = of or mail()
    return {
        "eventType": "Bounce",
        "mail": of,
        "bounce": {
            "bounceType": kind,
            "bounceSubType": sub,
            "bouncedRecipients": [
                {
                    "emailAddress": address,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": words,
                }
                for address in of["destination"]
            ],
            "timestamp": at,
            "feedbackId": feedback_id,
            "reportingMTA": "dns; a8-70.smtp-out.amazonses.com",
        },
    }


def auto_reply(of: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an "out of office", as which SES knows a bounce without a report."""
    said = bounce(of, "Transient", "General", feedback_id="0102018f-ooto")
    said["bounce"]["bouncedRecipients"] = [
        {"emailAddress": one["emailAddress"]}
        for one in said["bounce"]["bouncedRecipients"]
    ]
    return said


def complaint(
    of: dict[str, Any] | None = None, kind: str | None = "abuse", sub: str | None = None
) -> dict[str, Any]:
    of = of or mail()
    return {
        "eventType": "Complaint",
        "mail": of,
        "complaint": {
            "complainedRecipients": [{"emailAddress": a} for a in of["destination"]],
            "timestamp": "2026-11-24T11:00:00.000Z",
            "feedbackId": "0102018f-complaint",
            "complaintSubType": sub,
            "complaintFeedbackType": kind,
            "userAgent": "AnyCompany Feedback Loop (V0.01)",
        },
    }


def reject(of: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "eventType": "Reject",
        "mail": of or mail(),
        "reject": {"reason": "Bad content"},
    }


def delay(
    of: dict[str, Any] | None = None,
    why: str = "MailboxFull",
    at: str = "2026-11-24T10:10:00.000Z",
) -> dict[str, Any]:
    of = of or mail()
    return {
        "eventType": "DeliveryDelay",
        # It names no headers.
        "mail": {k: v for k, v in of.items() if "eaders" not in k},
        "deliveryDelay": {
            "timestamp": at,
            "delayType": why,
            "expirationTime": "2026-11-25T10:00:00.000Z",
            "delayedRecipients": [
                {
                    "emailAddress": address,
                    "status": "4.2.2",
                    "diagnosticCode": "smtp; 452 4.2.2 mailbox full",
                }
                for address in of["destination"]
            ],
        },
    }


def rendering_failure(of: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "eventType": "Rendering Failure",
        "mail": of or mail(),
        "failure": {
            "templateName": "MyTemplate",
            "errorMessage": "Attribute 'name' is not present",
        },
    }


def opened(of: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "eventType": "Open",
        "mail": of or mail(),
        "open": {
            "ipAddress": "203.0.113.9",
            "timestamp": "2026-11-24T12:00:00.000Z",
            "userAgent": "Mozilla/5.0",
        },
    }


def click(of: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "eventType": "Click",
        "mail": of or mail(),
        "click": {
            "ipAddress": "203.0.113.9",
            "timestamp": "2026-11-24T12:01:00.000Z",
            "userAgent": "Mozilla/5.0",
            "link": "https://help.example.com/",
            "linkTags": {"a": ["b"]},
        },
    }


def subscription(of: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "eventType": "Subscription",
        "mail": of or mail(),
        "subscription": {
            "contactList": "All",
            "timestamp": "2026-11-24T12:02:00.000Z",
            "source": "UnsubscribeHeader",
            "newTopicPreferences": {},
            "oldTopicPreferences": {},
        },
    }


def body(said: Any) -> str:
    return json.dumps(said)


def wrapped(said: Any) -> str:
    """Return it as SNS passes it on without raw delivery."""
    message = said if isinstance(said, str) else json.dumps(said) + "\n"
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": str(uuid.uuid4()),
            "TopicArn": TOPIC,
            "Subject": "Amazon SES Email Event Notification",
            "Message": message,
            "Timestamp": AT,
            "SignatureVersion": "1",
            "Signature": "x",
            "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem",
            "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
        }
    )
