"""How the stand-in's SNS posts to a subscriber: signed, by a certificate of its own.

Written anew after the SNS Developer Guide and not by the code that verifies, so that the
one proves something about the other. It posts to this very machine only.
"""

import base64
import json
import logging
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

logger = logging.getLogger(__name__)

CERTIFICATE_PATH = "/SimpleNotificationService-5ca1ab1e0ddba115ca1ab1e0ddba11.pem"
SUBJECT = "Amazon SES Email Event Notification"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# SNS tries for up to an hour; the stand-in for some seconds.
TRIES, APART_SECONDS, POST_SECONDS = 5, 0.5, 15


@dataclass(frozen=True)
class Seal:
    """A key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: bytes  # PEM

    def sign(self, text: str, version: str) -> str:
        algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return base64.b64encode(signature).decode()


@cache
def seal() -> Seal:
    """Return that of this process, made when it is first needed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return Seal(key, certificate.public_bytes(serialization.Encoding.PEM))


@dataclass(frozen=True)
class Post:
    """What is posted to one subscriber."""

    endpoint: str
    subscription_arn: str
    fields: Mapping[str, str]


def notification(
    topic_arn: str, text: str, *, version: str, url: str, at: datetime
) -> dict[str, str]:
    """Return the fields of a notification, signed."""
    return _sealed(
        {
            "Message": text,
            "MessageId": str(uuid.uuid4()),
            "Subject": SUBJECT,
            "Timestamp": _stamp(at),
            "TopicArn": topic_arn,
            "Type": "Notification",
        },
        version,
        url,
    )


def question(
    topic_arn: str, token: str, *, kind: str, version: str, url: str, at: datetime
) -> dict[str, str]:
    """Return the fields of a confirmation, of that type, signed."""
    query = {
        "Action": "ConfirmSubscription",
        "TopicArn": topic_arn,
        "Token": token,
    }
    return _sealed(
        {
            "Message": "You have chosen to subscribe to the topic, or no more.",
            "MessageId": str(uuid.uuid4()),
            "SubscribeURL": f"{url}/?{urlencode(query)}",
            "Timestamp": _stamp(at),
            "Token": token,
            "TopicArn": topic_arn,
            "Type": kind,
        },
        version,
        url,
    )


def post(one: Post) -> None:
    """Post it, in a thread, until it is taken or the tries are over."""
    if urlsplit(one.endpoint).hostname not in LOOPBACK:
        logger.warning("stand-in: %s is not on this machine", one.endpoint)
        return
    threading.Thread(target=_post, args=(one,), daemon=True, name="sns-post").start()


def _sealed(fields: dict[str, str], version: str, url: str) -> dict[str, str]:
    text = "".join(f"{name}\n{fields[name]}\n" for name in sorted(fields))
    return {
        **fields,
        "SignatureVersion": version,
        "Signature": seal().sign(text, version),
        "SigningCertURL": f"{url}{CERTIFICATE_PATH}",
    }


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _post(one: Post) -> None:
    request = urllib.request.Request(  # noqa: S310  # of this machine, see post()
        one.endpoint,
        data=json.dumps(one.fields, indent=2).encode(),
        headers={
            "Content-Type": "text/plain; charset=UTF-8",
            "User-Agent": "Amazon Simple Notification Service Agent",
            "x-amz-sns-message-type": one.fields["Type"],
            "x-amz-sns-message-id": one.fields["MessageId"],
            "x-amz-sns-topic-arn": one.fields["TopicArn"],
            "x-amz-sns-subscription-arn": one.subscription_arn,
        },
    )
    for _ in range(TRIES):
        try:
            urllib.request.urlopen(request, timeout=POST_SECONDS).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            # As SNS does: what the other side calls wrong is not tried again.
            if error.code < 500 and error.code != 429:
                return
        except OSError:
            pass
        else:
            return
        time.sleep(APART_SECONDS)
