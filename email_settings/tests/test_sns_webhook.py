"""The webhook: what SNS posts is taken, and nothing that anybody else can make."""

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from email_settings import sns
from email_settings.events import letters, webhook
from email_settings.events.webhook import _Refusals
from email_settings.gateway import certificates as store
from email_settings.gateway.certificates import (
    CertificateAwayError,
    Certificates,
    certificate_origin,
)
from email_settings.models import EventFeed, EventLetter
from email_settings.tests import event_bodies as said
from email_settings.tests.sns_posts import (
    CERTIFICATE_URL,
    HOST,
    TOPIC,
    Shelf,
    certificate,
    confirmation,
    headers_of,
    notification,
    post,
    post_raw,
    signature,
    signed,
    stamp,
    switched_on,
)
from email_settings.views.webhook import ses_webhook

pytestmark = pytest.mark.django_db
Fields = dict[str, Any]


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """AWS's certificates, in the place of the network; and nothing is remembered."""
    made = Shelf()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store, "certificates", Certificates(made.fetch))
    monkeypatch.setattr(webhook, "refusals", _Refusals())
    return made


# What SNS posts


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "make",
    [
        notification,
        confirmation,
        lambda **changes: confirmation("UnsubscribeConfirmation", **changes),
    ],
    ids=["notification", "confirmation", "unsubscribed"],
)
def test_what_sns_signed_is_taken(make: Callable[..., Fields], version: str) -> None:
    switched_on()
    fields = signed(make(SignatureVersion=version))
    answer = post(fields)
    assert (answer.status_code, answer.content) == (200, b"Received.\n")
    letter = EventLetter.objects.get()
    assert letter.sns_message_id == fields["MessageId"]
    assert json.loads(letter.body) == fields
    assert letter.read_at is None


@pytest.mark.parametrize(
    "message",
    [
        said.VALIDATION,
        "no JSON",
        "",
        said.body(said.bounce()) + "\n",
        "ends with newlines\n\n",
        "Ünïcode “…” 日本 \N{GRINNING FACE}",
        "\0 and \x1f",
    ],
    ids=["validation", "text", "empty", "bounce", "newlines", "unicode", "control"],
)
def test_every_message_is_signed_as_it_is(message: str) -> None:
    switched_on()
    assert post(signed(notification(message))).status_code == 200


@pytest.mark.parametrize("subject", [None, "", "Amazon SES"])
def test_subject_counts_when_it_is_there(subject: str | None) -> None:
    """Even an empty one; and what has none is signed without."""
    switched_on()
    fields = notification()
    fields.pop("Subject")
    if subject is not None:
        fields["Subject"] = subject
    assert post(signed(fields)).status_code == 200


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        ("arn:aws:sns:us-east-1:123456789012:t", "sns.us-east-1.amazonaws.com"),
        ("arn:aws:sns:eu-west-1:123456789012:t", "sns.eu-west-1.amazonaws.com"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns.cn-north-1.amazonaws.com.cn"),
        (
            "arn:aws-us-gov:sns:us-gov-west-1:123456789012:t",
            "sns.us-gov-west-1.amazonaws.com",
        ),
        (
            "arn:aws-eusc:sns:eusc-de-east-1:123456789012:t",
            "sns.eusc-de-east-1.amazonaws.eu",
        ),
    ],
)
def test_each_partition_has_a_host_of_its_own(topic: str, host: str) -> None:
    row = switched_on()
    row.event_topic_arn = topic
    row.save()
    webhook.switch_on(row)
    assert certificate_origin(topic) == f"https://{host}"
    url = f"https://{host}/SimpleNotificationService-0a.pem"
    fields = signed(notification(TopicArn=topic, SigningCertURL=url))
    assert post(fields).status_code == 200


def test_unknown_fields_stand_in_no_way() -> None:
    switched_on()
    more = {"SequenceNumber": "1", "MessageAttributes": {"a": {"Type": "String"}}}
    assert post(signed(notification()) | more).status_code == 200


# The forge table


@dataclass(frozen=True)
class Forged:
    """One post that SNS did not make, and how it is answered."""

    fields: Fields
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of the fields
    fetches: int = 0  # how many certificates may be fetched before that shows

    def post(self) -> Any:
        if self.body is not None:
            return post_raw(self.body, headers_of(self.fields) | dict(self.headers))
        return post(self.fields, headers=self.headers)


def without(name: str, fields: Fields | None = None) -> Fields:
    kept = dict(fields or good())
    kept.pop(name)
    return kept


def good(**changes: str) -> Fields:
    return signed(notification(**changes))


def tampered(**changes: Any) -> Fields:
    """Change what was signed already."""
    return good() | changes


def with_url(url: str) -> Forged:
    return Forged(signed(notification(SigningCertURL=url)), 403)


def beginning_with(text: str) -> Forged:
    """Return a good post, with that before its first key."""
    fields = good()
    return Forged(fields, 400, body=("{" + text + json.dumps(fields)[1:]).encode())


OTHER_TOPIC = TOPIC.replace("123456789012", "999999999999")
PEM = "/SimpleNotificationService-0a.pem"
TABLE: dict[str, Callable[[], Forged]] = {
    # a field is missing
    **{
        f"without {name}": lambda name=name: Forged(  # type: ignore[misc]
            without(name),
            400,
            headers={
                "x-amz-sns-message-type": "Notification",
                "x-amz-sns-topic-arn": TOPIC,
            },
        )
        for name in (
            *("Type", "MessageId", "TopicArn", "Message", "Timestamp"),
            *("SignatureVersion", "Signature", "SigningCertURL"),
        )
    },
    "confirmation without Token": lambda: Forged(
        without("Token", signed(confirmation())), 400
    ),
    "confirmation without SubscribeURL": lambda: Forged(
        without("SubscribeURL", signed(confirmation())), 400
    ),
    # a field is no text
    "Message a number": lambda: Forged(tampered(Message=1), 400),
    "Message an object": lambda: Forged(tampered(Message={}), 400),
    "MessageId null": lambda: Forged(tampered(MessageId=None), 400),
    "Type a list": lambda: Forged(
        tampered(Type=["Notification"]),
        400,
        headers={"x-amz-sns-message-type": "Notification"},
    ),
    "half a character": lambda: Forged(tampered(Message="\ud800"), 400),
    # a field was changed after signing
    "other Message": lambda: Forged(tampered(Message="{ }"), 403, fetches=1),
    "other MessageId": lambda: Forged(tampered(MessageId="0-0"), 403, fetches=1),
    "other Subject": lambda: Forged(tampered(Subject="x"), 403, fetches=1),
    "Subject taken away": lambda: Forged(without("Subject"), 403, fetches=1),
    "Subject added": lambda: Forged(
        signed(without("Subject", notification())) | {"Subject": ""}, 403, fetches=1
    ),
    "other Timestamp": lambda: Forged(
        tampered(Timestamp=stamp(timedelta(seconds=9))), 403, fetches=1
    ),
    "other Token": lambda: Forged(
        signed(confirmation()) | {"Token": "x"}, 403, fetches=1
    ),
    "SubscribeURL to another host": lambda: Forged(
        signed(confirmation()) | {"SubscribeURL": "https://evil.tld/"}, 403, fetches=1
    ),
    "newline moved between fields": lambda: Forged(
        signed(notification("a\nb")) | {"Message": "a"}, 403, fetches=1
    ),
    # topics of others
    "another topic": lambda: Forged(signed(notification(TopicArn=OTHER_TOPIC)), 403),
    "another topic behind our header": lambda: Forged(
        signed(notification(TopicArn=OTHER_TOPIC)),
        403,
        headers={"x-amz-sns-topic-arn": TOPIC},
    ),
    "our topic in capitals": lambda: Forged(
        signed(notification(TopicArn=TOPIC.upper())), 403
    ),
    "our topic and more": lambda: Forged(
        signed(notification(TopicArn=f"{TOPIC}-2")), 403
    ),
    # the signature
    "version 1 called 2": lambda: _signed_by(version="1"),
    "version 2 called 1": lambda: Forged(
        good() | {"SignatureVersion": "1"}, 403, fetches=1
    ),
    "version 3": lambda: Forged(good() | {"SignatureVersion": "3"}, 403),
    "version 02": lambda: Forged(good() | {"SignatureVersion": "02"}, 403),
    "version empty": lambda: Forged(good() | {"SignatureVersion": ""}, 403),
    "signature of another message": lambda: Forged(
        good() | {"Signature": good(Message="x")["Signature"]}, 403, fetches=1
    ),
    "signature of another key": lambda: _signed_by(
        key=rsa.generate_private_key(65537, 2048)
    ),
    "signature empty": lambda: Forged(good() | {"Signature": ""}, 403, fetches=1),
    "signature zero": lambda: Forged(
        good() | {"Signature": base64.b64encode(bytes(256)).decode()}, 403, fetches=1
    ),
    "signature cut": lambda: _with_signature(lambda text: text[:-4]),
    "signature with a newline": lambda: _with_signature(lambda text: text + "\n"),
    "signature with a blank": lambda: _with_signature(
        lambda text: f"{text[:8]} {text[8:]}"
    ),
    "signature not padded": lambda: _with_signature(lambda text: text.rstrip("=")),
    "signature padded twice": lambda: _with_signature(lambda text: text + "===="),
    "signature in hex": lambda: _with_signature(
        lambda text: base64.b64decode(text).hex()
    ),
    "signature for URLs": lambda: _with_signature(
        lambda text: "-_" + text.replace("+", "-").replace("/", "_")[2:]
    ),
    "signature with loose bits": lambda: _with_signature(_loose),
    # types
    "confirmation called notification": lambda: Forged(
        signed(confirmation()), 400, headers={"x-amz-sns-message-type": "Notification"}
    ),
    "notification called confirmation": lambda: Forged(
        good(), 400, headers={"x-amz-sns-message-type": "SubscriptionConfirmation"}
    ),
    "notification turned into a confirmation": lambda: Forged(
        good()
        | {
            "Type": "SubscriptionConfirmation",
            "Token": "x",
            "SubscribeURL": f"{HOST}/",
        },
        403,
        fetches=1,
    ),
    "type unknown": lambda: Forged(signed(notification(Type="Anything")), 400),
    "type in small letters": lambda: Forged(
        signed(notification(Type="notification")), 400
    ),
    "other message id in the header": lambda: Forged(
        good(), 400, headers={"x-amz-sns-message-id": "x"}
    ),
    # the certificate's URL
    "URL of http": lambda: with_url(CERTIFICATE_URL.replace("https", "http")),
    "URL in another region": lambda: with_url(
        f"https://sns.us-east-1.amazonaws.com{PEM}"
    ),
    "URL with a longer host": lambda: with_url(f"{HOST}.evil.tld{PEM}"),
    "URL of S3": lambda: with_url(f"https://s3.eu-west-1.amazonaws.com{PEM}"),
    "URL of a bucket": lambda: with_url(f"https://sns.s3.amazonaws.com{PEM}"),
    "URL of a bucket named sns.eu-west-1": lambda: with_url(
        f"https://sns.eu-west-1.s3.amazonaws.com{PEM}"
    ),
    "URL with user": lambda: with_url(
        f"https://sns.eu-west-1.amazonaws.com@evil.tld{PEM}"
    ),
    "URL with user before": lambda: with_url(
        f"https://a@sns.eu-west-1.amazonaws.com{PEM}"
    ),
    "URL with a port": lambda: with_url(f"{HOST}:443{PEM}"),
    "URL with another port": lambda: with_url(f"{HOST}:8443{PEM}"),
    "URL with a query": lambda: with_url(f"{CERTIFICATE_URL}?a=b"),
    "URL with a fragment": lambda: with_url(f"{CERTIFICATE_URL}#a"),
    "URL with another sign for a dot": lambda: with_url(
        f"https://snsxeu-west-1.amazonaws.com{PEM}"
    ),
    "URL with a dot at the host's end": lambda: with_url(f"{HOST}.{PEM}"),
    "URL with capitals": lambda: with_url(CERTIFICATE_URL.replace("sns", "SNS")),
    "URL with a backslash": lambda: with_url(f"{HOST}\\@evil.tld{PEM}"),
    "URL with a newline": lambda: with_url(f"{CERTIFICATE_URL}\n"),
    "URL with a step up": lambda: with_url(f"{HOST}/../a{PEM}"),
    "URL with another path": lambda: with_url(f"{HOST}/a{PEM}"),
    "URL with another name": lambda: with_url(f"{HOST}/Other-0a.pem"),
    "URL with percent signs": lambda: with_url(CERTIFICATE_URL.replace("0123", "%30")),
    "URL of a number": lambda: with_url(f"https://169.254.169.254{PEM}"),
    "URL of this machine": lambda: with_url(f"http://127.0.0.1:5000{PEM}"),
    "URL of a file": lambda: with_url("file:///etc/passwd"),
    "URL empty": lambda: with_url(""),
    # the time
    "25 hours old": lambda: Forged(good(Timestamp=stamp(timedelta(hours=25))), 403),
    "2 hours and a minute old": lambda: Forged(
        good(Timestamp=stamp(timedelta(minutes=121))), 403
    ),
    "20 minutes ahead": lambda: Forged(
        good(Timestamp=stamp(timedelta(minutes=-20))), 403
    ),
    "old confirmation": lambda: Forged(
        signed(confirmation(Timestamp=stamp(timedelta(hours=3)))), 403
    ),
    "no time": lambda: Forged(good(Timestamp="now"), 400),
    "a day that is none": lambda: Forged(
        good(Timestamp="2026-02-30T00:00:00.000Z"), 400
    ),
    "a time of somewhere": lambda: Forged(
        good(Timestamp=stamp().replace("Z", "+00:00")), 400
    ),
    # the wrapping
    "gzip": lambda: Forged(good(), 415, headers={"content-encoding": "gzip"}),
    "raw delivery": lambda: Forged(
        good(), 403, headers={"x-amz-sns-rawdelivery": "true"}
    ),
    "a key twice": lambda: beginning_with('"Message": "x", '),
    "a key twice, spelt otherwise": lambda: beginning_with('"\\u004dessage": "x", '),
    "a key twice inside": lambda: beginning_with('"more": {"a": 1, "a": 2}, '),
    "empty": lambda: Forged(good(), 400, body=b""),
    "no JSON": lambda: Forged(good(), 400, body=b"Type=Notification"),
    "a list": lambda: _written(lambda text: b"[" + text + b"]"),
    "a text": lambda: Forged(good(), 400, body=b'"Notification"'),
    "two objects": lambda: _written(lambda text: text * 2),
    "nested without end": lambda: Forged(good(), 400, body=b"[" * 100_000),
    "no UTF-8": lambda: Forged(good(), 400, body=b'{"Type": "\xff"}'),
    "UTF-16": lambda: _written(lambda text: text.decode().encode("utf-16")),
    "with a byte order mark": lambda: _written(lambda text: b"\xef\xbb\xbf" + text),
    "a long number": lambda: Forged(good(), 400, body=b'{"a": ' + b"9" * 9_000 + b"}"),
    "larger than 256 KB": lambda: _written(
        lambda text: text + b" " * 256 * 1024, status=413
    ),
    "a message id that is too long": lambda: Forged(good(MessageId="0" * 101), 400),
    "a message id with a quote": lambda: Forged(good(MessageId="a'; --"), 400),
}


def _written(change: Callable[[bytes], bytes], *, status: int = 400) -> Forged:
    fields = good()
    return Forged(fields, status, body=change(json.dumps(fields).encode()))


def _signed_by(**how: Any) -> Forged:
    fields = notification()
    return Forged({**fields, "Signature": signature(fields, **how)}, 403, fetches=1)


def _with_signature(change: Callable[[str], str]) -> Forged:
    fields = good()
    return Forged(fields | {"Signature": change(fields["Signature"])}, 403, fetches=1)


def _loose(text: str) -> str:
    """Change bits of the last sign that base64 leaves out: the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    core = text.rstrip("=")
    last = alphabet[alphabet.index(core[-1]) ^ 1]
    changed = core[:-1] + last + text[len(core) :]
    assert base64.b64decode(changed) == base64.b64decode(text)
    return changed


@pytest.mark.parametrize("name", TABLE)
def test_forged(name: str, shelf: Shelf) -> None:
    switched_on()
    assert post(good()).status_code == 200  # what is tried is one change to this
    EventLetter.objects.all().delete()
    store.certificates._kept.clear()
    shelf.fetched.clear()
    forged = TABLE[name]()
    answer = forged.post()
    assert answer.status_code == forged.status, answer.content
    assert not EventLetter.objects.exists()
    assert len(shelf.fetched) <= forged.fetches
    assert set(shelf.fetched) <= {CERTIFICATE_URL}
    assert answer["Content-Type"].startswith("text/plain")
    assert answer.content.count(b"\n") == 1
    assert EventFeed.objects.get().webhook_refused_count == 1


@pytest.mark.parametrize(
    "pem",
    [
        certificate(ends=timedelta(hours=-1), begins=timedelta(days=-2)),
        certificate(begins=timedelta(hours=1)),
        certificate(ec.generate_private_key(ec.SECP256R1())),
        certificate() + certificate(),
        certificate(rsa.generate_private_key(65537, 2048)),
        b"",
        b"<html>not found</html>",
        certificate()[:-40],
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
    ids=[
        *("expired", "not valid yet", "no RSA", "two", "of another key"),
        *("empty", "a page", "cut", "rubbish"),
    ],
)
def test_certificate_that_is_none_is_refused_and_not_kept(
    pem: bytes, shelf: Shelf
) -> None:
    switched_on()
    shelf.pem = pem
    assert post(good()).status_code == 403
    assert not EventLetter.objects.exists()
    assert store.certificates._kept == {} or pem.startswith(b"-----BEGIN")
    shelf.pem = certificate()
    store.certificates._kept.pop(CERTIFICATE_URL, None)
    assert post(good()).status_code == 200


def test_certificate_that_ran_out_while_it_was_kept_is_refused(shelf: Shelf) -> None:
    pem = certificate(ends=timedelta(minutes=1))
    kept = Certificates(lambda url: pem)
    now = datetime.now(UTC)
    kept.get(CERTIFICATE_URL, now=now)
    with pytest.raises(sns.PostRefusedError, match="not valid at this time"):
        kept.get(CERTIFICATE_URL, now=now + timedelta(minutes=2))


# Certificates


def test_good_certificate_is_fetched_once_for_many_posts(shelf: Shelf) -> None:
    switched_on()
    for _ in range(5):
        assert post(good()).status_code == 200
    assert shelf.fetched == [CERTIFICATE_URL]


def test_kept_certificate_is_fetched_again_after_a_day(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Certificates(shelf.fetch)
    clock = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    now = datetime.now(UTC)
    kept.get(CERTIFICATE_URL, now=now)
    clock[0] += 86_000
    kept.get(CERTIFICATE_URL, now=now)
    assert len(shelf.fetched) == 1
    clock[0] += 1_000
    kept.get(CERTIFICATE_URL, now=now)
    assert len(shelf.fetched) == 2


def test_certificate_that_is_away_lets_sns_try_again(shelf: Shelf) -> None:
    switched_on()
    shelf.error = CertificateAwayError("down")
    assert post(good()).status_code == 503
    shelf.error = None
    assert post(good()).status_code == 200


def test_flood_of_urls_makes_us_fetch_few(shelf: Shelf) -> None:
    switched_on()
    urls = [f"{HOST}/SimpleNotificationService-{number}.pem" for number in range(50)]
    shelf.pem = b"no certificate"
    answers = [post(signed(notification(SigningCertURL=url))) for url in urls]
    assert {answer.status_code for answer in answers} == {403, 503}
    assert len(shelf.fetched) == store.MOST_A_MINUTE


def test_flood_of_good_urls_fills_no_memory(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Certificates(shelf.fetch)
    monkeypatch.setattr(store, "MOST_A_MINUTE", 1_000)
    kept._fetched_at = deque(maxlen=1_000)
    for number in range(50):
        kept.get(f"{HOST}/{number}", now=datetime.now(UTC))
    assert len(kept._kept) == store.MOST_KEPT


# Off, and other doors


def test_off_until_an_admin_switches_it_on(shelf: Shelf) -> None:
    assert post(good()).status_code == 404
    row = switched_on()
    assert post(good()).status_code == 200
    webhook.switch_off()
    answer = post(good())
    assert (answer.status_code, answer.content) == (
        404,
        b"The webhook is switched off.\n",
    )
    webhook.switch_on(row)
    row.event_topic_arn = OTHER_TOPIC
    row.save()
    assert post(signed(notification(TopicArn=OTHER_TOPIC))).status_code == 404
    assert EventLetter.objects.count() == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post(method: str, client: Client) -> None:
    answer = client.generic(method, reverse("email_settings:webhook"))
    assert answer.status_code == 405
    assert answer["Allow"] == "POST"
    assert answer["Content-Type"].startswith("text/plain")


def test_needs_no_csrf_token_and_no_session() -> None:
    switched_on()
    strict = Client(enforce_csrf_checks=True)
    fields = good()
    answer = strict.post(
        reverse("email_settings:webhook"),
        data=json.dumps(fields),
        content_type="text/plain",
        headers=headers_of(fields),
    )
    assert answer.status_code == 200
    assert not answer.cookies


def test_database_away_lets_sns_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    switched_on()

    def away(*arguments: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(letters, "receive", away)
    assert post(good()).status_code == 503


class _Endless:
    """A body that never ends, and says that it is short."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "read without an end"
        self.given += size
        return b" " * size


def test_body_is_not_read_beyond_its_bound() -> None:
    switched_on()
    fields = good()
    request = RequestFactory().post(
        "/webhooks/ses/", headers=headers_of(fields), content_type="text/plain"
    )
    endless = _Endless()
    request._stream = endless  # type: ignore[assignment]
    assert ses_webhook(request).status_code == 413
    assert endless.given <= sns.LARGEST_BODY + 1


def test_length_that_is_told_is_enough_to_refuse() -> None:
    switched_on()
    fields = good()
    request = RequestFactory().post(
        "/webhooks/ses/",
        headers=headers_of(fields) | {"content-length": "9" * 30},
        content_type="text/plain",
    )
    endless = _Endless()
    request._stream = endless  # type: ignore[assignment]
    assert ses_webhook(request).status_code == 413
    assert endless.given == 0


def test_flood_writes_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    switched_on()
    clock = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    post(good(), headers={"x-amz-sns-topic-arn": OTHER_TOPIC})
    with CaptureQueriesContext(connection) as queries:
        for _ in range(20):
            post(good(), headers={"x-amz-sns-topic-arn": OTHER_TOPIC})
    assert not [q for q in queries if not q["sql"].startswith("SELECT")]
    clock[0] += 1
    post(good(), headers={"x-amz-sns-rawdelivery": "true"})
    feed = EventFeed.objects.get()
    assert feed.webhook_refused_count == 22
    assert feed.webhook_refusal.startswith("Raw message delivery is on")
    assert feed.webhook_refused_at is not None


def test_taking_a_post_asks_the_database_little_and_nobody_else(shelf: Shelf) -> None:
    switched_on()
    post(good())
    shelf.fetched.clear()
    with CaptureQueriesContext(connection) as queries:
        assert post(good()).status_code == 200
    assert len([q for q in queries if "SAVEPOINT" not in q["sql"]]) <= 4
    assert shelf.fetched == []


@pytest.mark.parametrize(
    ("name", "url", "origin"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("AWS_ENDPOINT_URL_SNS", "http://localhost:5000/", "http://localhost:5000"),
        ("AWS_ENDPOINT_URL", "http://10.0.0.1:5000", HOST),
        ("AWS_ENDPOINT_URL", "https://vpce-1.sns.eu-west-1.vpce.amazonaws.com", HOST),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1.evil.tld", HOST),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1@evil.tld", HOST),
        ("AWS_ENDPOINT_URL", "http://a@127.0.0.1", HOST),
        ("AWS_ENDPOINT_URL", "ftp://127.0.0.1", HOST),
        ("AWS_ENDPOINT_URL", "http://[::1", HOST),
        ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:5000", HOST),
    ],
)
def test_stand_in_has_certificates_only_where_the_environment_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, origin: str
) -> None:
    assert certificate_origin(TOPIC) == HOST
    monkeypatch.setenv(name, url)
    assert certificate_origin(TOPIC) == origin


def test_stand_ins_certificate_is_refused_without_the_environment(
    monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    switched_on()
    url = f"http://127.0.0.1:5000{PEM}"
    assert post(good(SigningCertURL=url)).status_code == 403
    assert shelf.fetched == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    assert post(good(SigningCertURL=url)).status_code == 200
    # And then AWS's own proves nothing.
    assert post(good()).status_code == 403


# Anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(list(good()))


@given(body=st.binary(max_size=400))
def test_any_bytes_are_refused_and_never_break_it(body: bytes) -> None:
    switched_on()
    answer = post_raw(body, headers_of(notification()))
    assert answer.status_code in {400, 403}
    assert not EventLetter.objects.exists()


@given(changes=st.dictionaries(NAMES, JSON, min_size=1))
def test_any_change_is_refused_and_never_breaks_it(changes: Fields) -> None:
    switched_on()
    original = good()
    fields = original | changes
    answer = post(fields, headers=headers_of(original))
    is_same = all(original[name] == value for name, value in changes.items())
    unsigned = set(changes) <= {"UnsubscribeURL"}
    expected = {200} if is_same or unsigned else {400, 403, 503}
    assert answer.status_code in expected
    EventLetter.objects.all().delete()


@given(headers=st.dictionaries(st.sampled_from(list(headers_of({}))), st.text()))
def test_any_header_is_refused_and_never_breaks_it(headers: dict[str, str]) -> None:
    switched_on()
    fields = good()
    shown = {
        n: v.encode("latin-1", "replace").decode("latin-1") for n, v in headers.items()
    }
    answer = post(fields, headers=shown)
    assert answer.status_code in {200, 400, 403}
    EventLetter.objects.all().delete()
