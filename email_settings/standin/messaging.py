"""What Amazon SNS and SQS keep in a region, and how a text gets from one to the other."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from email_settings.standin.policies import Question, is_allowed, read_policy

SECOND = timedelta(seconds=1)
DEFAULT_VISIBILITY = 30  # seconds
SUBJECT = "Amazon SES Email Event Notification"


@dataclass
class Subscription:
    """One who is told what is published to a topic."""

    arn: str
    topic_arn: str
    protocol: str
    endpoint: str
    is_raw: bool = False
    token: str = ""  # "" once it is confirmed

    @property
    def is_confirmed(self) -> bool:
        return not self.token

    @property
    def is_posted(self) -> bool:
        """Whether it is told by HTTP."""
        return self.protocol in {"http", "https"}


@dataclass
class Topic:
    """A topic of SNS with its policy and those who subscribed."""

    arn: str
    attributes: dict[str, str] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)

    @property
    def signature_version(self) -> str:
        return self.attributes.get("SignatureVersion", "1")

    def lets(self, service: str, context: Mapping[str, str]) -> bool:
        """Whether that service may publish here."""
        return _lets(self.attributes, "sns:Publish", self.arn, service, context)


@dataclass
class Letter:
    """One message in a queue."""

    body: str
    sent_at: datetime
    visible_at: datetime
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    receipt: str = ""
    received: int = 0

    @property
    def md5(self) -> str:
        return hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Queue:
    """A queue of SQS."""

    name: str
    arn: str
    url: str
    attributes: dict[str, str] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)

    def lets(self, service: str, context: Mapping[str, str]) -> bool:
        return _lets(self.attributes, "sqs:SendMessage", self.arn, service, context)

    def put(self, body: str, now: datetime) -> None:
        self.letters.append(Letter(body, sent_at=now, visible_at=now))

    def take(
        self, now: datetime, *, most: int, visibility: timedelta | None = None
    ) -> list[Letter]:
        """Return what is visible, hidden from others for a while."""
        if visibility is None:
            seconds = self.attributes.get("VisibilityTimeout", DEFAULT_VISIBILITY)
            visibility = SECOND * int(seconds)
        taken = [letter for letter in self.letters if letter.visible_at <= now][:most]
        for letter in taken:
            letter.visible_at = now + visibility
            letter.receipt = uuid.uuid4().hex
            letter.received += 1
        return taken

    def delete(self, receipt: str) -> None:
        """Delete the message; a receipt that is too old deletes nothing."""
        self.letters = [letter for letter in self.letters if letter.receipt != receipt]

    @property
    def redrive(self) -> Mapping[str, Any]:
        found = json.loads(self.attributes.get("RedrivePolicy") or "{}")
        return found if isinstance(found, dict) else {}


def _lets(
    attributes: Mapping[str, str],
    action: str,
    arn: str,
    service: str,
    context: Mapping[str, str],
) -> bool:
    policy = attributes.get("Policy")
    if not policy:
        return False
    question = Question(action, arn, service, context)
    return is_allowed([read_policy(policy)], question)


def envelope(topic: Topic, subscription: Subscription, text: str, at: datetime) -> str:
    """Return what SNS puts around a text unless raw delivery is on."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": str(uuid.uuid4()),
            "TopicArn": topic.arn,
            "Subject": SUBJECT,
            "Message": text,
            "Timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
            "SignatureVersion": topic.signature_version,
            "Signature": "RVhBTVBMRQ==",
            "SigningCertURL": "https://sns.example/SimpleNotificationService-0.pem",
            "UnsubscribeURL": f"https://sns.example/?SubscriptionArn={subscription.arn}",
        }
    )
