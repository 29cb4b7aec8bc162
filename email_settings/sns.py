"""Reads and verifies what Amazon SNS posts. Pure: it fetches nothing and stores nothing.

An SNS signature alone proves little, because every AWS customer has topics whose posts
are signed by Amazon. So the topic comes first, and the signature last. Rules: SNS
Developer Guide, "Verifying the signatures of Amazon SNS messages".
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

LARGEST_BODY = 256 * 1024  # bytes
LARGEST_CERTIFICATE = 16 * 1024  # bytes; they have two
# SNS tries for an hour at most; what is older was kept by somebody.
OLDEST = timedelta(hours=2)
# How far AWS's clock may be ahead of ours
NEWEST = timedelta(minutes=15)

TYPE_HEADER = "x-amz-sns-message-type"
ID_HEADER = "x-amz-sns-message-id"
TOPIC_HEADER = "x-amz-sns-topic-arn"
RAW_HEADER = "x-amz-sns-rawdelivery"

_CERTIFICATE_PATH = r"/SimpleNotificationService-[0-9A-Za-z]{1,100}\.pem"
_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{1,100}")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


class Type(StrEnum):
    """What a post is about."""

    NOTIFICATION = "Notification"
    CONFIRMATION = "SubscriptionConfirmation"  # may we post to you?
    UNSUBSCRIBED = "UnsubscribeConfirmation"  # we shall post no more


# What is signed, in this order
_OF_A_NOTIFICATION: tuple[str, ...] = (
    *("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
)
_OF_A_CONFIRMATION: tuple[str, ...] = (
    *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
)
_SIGNED = {
    Type.NOTIFICATION: _OF_A_NOTIFICATION,
    Type.CONFIRMATION: _OF_A_CONFIRMATION,
    Type.UNSUBSCRIBED: _OF_A_CONFIRMATION,
}
_OPTIONAL = frozenset({"Subject"})
_UNSIGNED = ("SignatureVersion", "Signature", "SigningCertURL")
# The topic chooses: 1 is what it begins with, 2 is what we set.
_HASHES: dict[str, type[hashes.SHA1 | hashes.SHA256]] = {
    "1": hashes.SHA1,
    "2": hashes.SHA256,
}


class PostRefusedError(Exception):
    """It is no post of our topic; `status` is the answer, the text its one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Envelope:
    """One post, every field that matters present and a text."""

    type: Type
    fields: Mapping[str, str]

    @property
    def message_id(self) -> str:
        return self.fields["MessageId"]

    @property
    def topic_arn(self) -> str:
        return self.fields["TopicArn"]

    @property
    def message(self) -> str:
        return self.fields["Message"]

    @property
    def token(self) -> str:
        """The one of a confirmation, "" of a notification."""
        return self.fields.get("Token", "")

    @property
    def certificate_url(self) -> str:
        return self.fields["SigningCertURL"]

    @property
    def signed_text(self) -> str:
        """Exactly what SNS has signed; the newline at the end counts."""
        return "".join(
            f"{name}\n{self.fields[name]}\n"
            for name in _SIGNED[self.type]
            if name in self.fields
        )


def check_headers(headers: Mapping[str, str], *, topic_arn: str) -> None:
    """Look at the headers alone, before the body is read. Raises PostRefusedError."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise PostRefusedError(415, "SNS sends no compressed body.")
    if headers.get(RAW_HEADER, "").strip().lower() == "true":
        raise PostRefusedError(
            403,
            "Raw message delivery is on for this subscription, so nothing is signed. "
            "Switch it off in Amazon SNS.",
        )
    if headers.get(TYPE_HEADER, "") not in set(Type):
        raise PostRefusedError(400, f"The header {TYPE_HEADER} is none of SNS’s.")
    if headers.get(TOPIC_HEADER, "") != topic_arn:
        raise PostRefusedError(403, "This is not the topic that is connected here.")


def read_envelope(body: bytes) -> Envelope:
    """Return what was posted. Raises PostRefusedError for what SNS would not post."""
    if len(body) > LARGEST_BODY:
        raise PostRefusedError(413, "The body is larger than 256 KB.")
    try:
        content = json.loads(body.decode(), object_pairs_hook=_object_without_doubles)
    except PostRefusedError:
        raise
    except (ValueError, RecursionError):
        raise PostRefusedError(400, "The body is no JSON.") from None
    if not isinstance(content, dict):
        raise PostRefusedError(400, "The body is no JSON object.")
    kind = content.get("Type")
    if not isinstance(kind, str) or kind not in set(Type):
        raise PostRefusedError(400, "The Type is none of SNS’s.")
    fields = dict(_fields(content, Type(kind)))
    if not _MESSAGE_ID.fullmatch(fields["MessageId"]):
        raise PostRefusedError(400, "The MessageId is none of SNS’s.")
    return Envelope(Type(kind), fields)


def check_envelope(
    envelope: Envelope,
    headers: Mapping[str, str],
    *,
    topic_arn: str,
    certificate_origin: str,
    now: datetime,
) -> None:
    """Look at all but the signature. Raises PostRefusedError.

    `certificate_origin` is where the topic's region keeps its certificates, like
    "https://sns.eu-west-1.amazonaws.com".
    """
    if envelope.topic_arn != topic_arn:
        raise PostRefusedError(403, "This is not the topic that is connected here.")
    told = (headers.get(TYPE_HEADER), headers.get(ID_HEADER))
    if told != (envelope.type.value, envelope.message_id):
        raise PostRefusedError(400, "Header and body differ in type or message id.")
    if envelope.fields["SignatureVersion"] not in _HASHES:
        raise PostRefusedError(403, "The SignatureVersion is neither 1 nor 2.")
    # The whole URL by one pattern: no parser that could understand it otherwise.
    pattern = re.escape(certificate_origin) + _CERTIFICATE_PATH
    if not re.fullmatch(pattern, envelope.certificate_url):
        raise PostRefusedError(403, "The certificate is not at Amazon SNS.")
    _check_age(envelope.fields["Timestamp"], now)


def read_certificate(pem: bytes, *, now: datetime) -> x509.Certificate:
    """Return the one certificate in it. Raises PostRefusedError."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        found = []
    if len(found) != 1 or not _is_rsa(found[0]):
        raise PostRefusedError(403, "There is not one RSA certificate at that URL.")
    check_validity(found[0], now=now)
    return found[0]


def _is_rsa(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.public_key(), rsa.RSAPublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False


def check_validity(certificate: x509.Certificate, *, now: datetime) -> None:
    """Raise PostRefusedError when the certificate is not valid now."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        raise PostRefusedError(403, "The certificate is not valid at this time.")


def check_signature(envelope: Envelope, certificate: x509.Certificate) -> None:
    """Raise PostRefusedError unless SNS has signed exactly this."""
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    algorithm = _HASHES[envelope.fields["SignatureVersion"]]()
    try:
        signature = _decoded(envelope.fields["Signature"])
        key.verify(
            signature, envelope.signed_text.encode(), padding.PKCS1v15(), algorithm
        )
    except (InvalidSignature, ValueError):
        raise PostRefusedError(403, "The signature does not fit.") from None


def _object_without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that comes twice: two readers may not take two meanings from it."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise PostRefusedError(400, "A key of the JSON comes twice.")
        found[name] = value
    return found


def _fields(content: Mapping[str, Any], kind: Type) -> Iterable[tuple[str, str]]:
    for name in (*_SIGNED[kind], *_UNSIGNED):
        if name in _OPTIONAL and name not in content:
            continue
        value = content.get(name)
        if not isinstance(value, str) or not _is_text(value):
            raise PostRefusedError(400, f"{name} is missing or no text.")
        yield name, value


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8, which half characters can't."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_age(stamp: str, now: datetime) -> None:
    said = _moment(stamp)
    if said is None:
        raise PostRefusedError(400, "The Timestamp is none of SNS’s.")
    if said < now - OLDEST:
        raise PostRefusedError(
            403, "It is older than two hours, or the clock of this server is fast."
        )
    if said > now + NEWEST:
        raise PostRefusedError(
            403, "It is from the future, or the clock of this server is slow."
        )


def _moment(stamp: str) -> datetime | None:
    try:
        found = _TIMESTAMP.fullmatch(stamp)
        return datetime.fromisoformat(stamp).astimezone(UTC) if found else None
    except (ValueError, OverflowError):
        return None


def _decoded(text: str) -> bytes:
    """Return what the base64 text says; one spelling only. Raises ValueError."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if base64.b64encode(decoded).decode() != text:
        raise ValueError
    return decoded
