"""Posts as Amazon SNS makes them, signed by a certificate that tests made."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from django.test import Client
from django.urls import reverse

from email_settings.events import webhook
from email_settings.models import SesSettings
from email_settings.tests.builders import make_settings

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ticketflow-ses-events"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"{HOST}/SimpleNotificationService-0123456789abcdef.pem"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def our_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(
    key: Key | None = None,
    *,
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=30),
) -> bytes:
    """Return a certificate as PEM; `begins` and `ends` count from now."""
    key = key or our_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def stamp(ago: timedelta = timedelta(0)) -> str:
    at = datetime.now(UTC) - ago
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def notification(message: str = "{}", **changes: str) -> dict[str, str]:
    """Return a notification that is not signed yet."""
    return {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": message,
        "Timestamp": stamp(),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": f"{HOST}/?Action=Unsubscribe",
        **changes,
    }


def confirmation(
    kind: str = "SubscriptionConfirmation", **changes: str
) -> dict[str, str]:
    """Return a question of SNS that is not signed yet."""
    return {
        "Type": kind,
        "MessageId": str(uuid.uuid4()),
        "Token": "2336412f37fb687f5d51e6e2425e7e",
        "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": f"{HOST}/?Action=ConfirmSubscription",
        "Timestamp": stamp(),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE_URL,
        **changes,
    }


def text_to_sign(fields: Mapping[str, str]) -> str:
    names = {
        "Notification": "Message MessageId Subject Timestamp TopicArn Type",
    }.get(
        fields["Type"], "Message MessageId SubscribeURL Timestamp Token TopicArn Type"
    )
    return "".join(
        f"{name}\n{fields[name]}\n" for name in names.split() if name in fields
    )


def signature(
    fields: Mapping[str, str],
    *,
    version: str = "",
    key: rsa.RSAPrivateKey | None = None,
) -> str:
    """Return the signature of these fields, by their own version if none is given."""
    version = version or fields["SignatureVersion"]
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303
    signed = (key or our_key()).sign(
        text_to_sign(fields).encode(), padding.PKCS1v15(), algorithm
    )
    return base64.b64encode(signed).decode()


def signed(fields: Mapping[str, str]) -> dict[str, str]:
    return {**fields, "Signature": signature(fields)}


def headers_of(fields: Mapping[str, Any]) -> dict[str, str]:
    return {
        "x-amz-sns-message-type": str(fields.get("Type")),
        "x-amz-sns-message-id": str(fields.get("MessageId")),
        "x-amz-sns-topic-arn": str(fields.get("TopicArn")),
        "x-amz-sns-subscription-arn": f"{TOPIC}:1",
    }


def post(fields: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Any:
    """Post it as SNS does and return the answer."""
    return post_raw(
        json.dumps(fields).encode(), headers_of(fields) | dict(headers or {})
    )


def post_raw(body: bytes, headers: Mapping[str, str]) -> Any:
    return Client().generic(
        "POST",
        reverse("email_settings:webhook"),
        body,
        content_type="text/plain; charset=UTF-8",
        headers=dict(headers),
    )


@dataclass
class Shelf:
    """Where certificates lie, and what was fetched from there."""

    pem: bytes = field(default_factory=certificate)
    error: Exception | None = None
    fetched: list[str] = field(default_factory=list)

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if self.error:
            raise self.error
        return self.pem


def switched_on() -> SesSettings:
    """Save settings with a webhook that is switched on and without a queue."""
    row = make_settings()
    row.configuration_set, row.event_topic_arn = "ticketflow-ses", TOPIC
    row.save()
    webhook.switch_on(row)
    return row
