"""Every event of Amazon SES in every wrapping, and everything that is none."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_settings.events.parse import LARGEST_BODY, LONGEST_RAW, Kind, Told, read
from email_settings.tests import event_bodies as said
from email_settings.tests.event_bodies import SES_ID, body, mail, wrapped

HANNAH = "hannah@larkfield.example"
FEEDBACK = "0102018f-feed"


def only(text: str) -> Told:
    (told,) = read(text).told
    return told


# event, kind, sub kind, recipient, what tells it apart, the remote's own words
EVENTS = [
    (said.send(), Kind.SEND, "", HANNAH, said.AT, ""),
    (
        said.delivery(),
        Kind.DELIVERY,
        "",
        HANNAH,
        "2026-11-24T10:00:02.000Z",
        "250 2.6.0 Message received",
    ),
    (
        said.bounce(),
        Kind.BOUNCE,
        "Permanent/NoEmail",
        HANNAH,
        FEEDBACK,
        "smtp; 550 5.1.1 user unknown",
    ),
    (
        said.bounce(kind="Transient", sub="MailboxFull", words="smtp; 452 4.2.2 full"),
        Kind.BOUNCE,
        "Transient/MailboxFull",
        HANNAH,
        FEEDBACK,
        "smtp; 452 4.2.2 full",
    ),
    (
        said.bounce(kind="Transient", sub="General", words="smtp; 450 try later"),
        Kind.BOUNCE,
        "Transient/General",
        HANNAH,
        FEEDBACK,
        "smtp; 450 try later",
    ),
    (
        said.bounce(kind="Undetermined", sub="Undetermined", words=""),
        Kind.BOUNCE,
        "Undetermined/Undetermined",
        HANNAH,
        FEEDBACK,
        "5.1.1",
    ),
    (
        said.bounce(kind="Permanent", sub="BrandNewSubType"),
        Kind.BOUNCE,
        "Permanent/BrandNewSubType",
        HANNAH,
        FEEDBACK,
        "smtp; 550 5.1.1 user unknown",
    ),
    (
        said.auto_reply(),
        Kind.AUTO_REPLY,
        "Transient/General",
        HANNAH,
        "0102018f-ooto",
        "",
    ),
    (
        said.bounce(
            kind="Transient", sub="General", words="smtp; I am out of the office"
        ),
        Kind.AUTO_REPLY,
        "Transient/General",
        HANNAH,
        FEEDBACK,
        "smtp; I am out of the office",
    ),
    (
        said.bounce(
            mail(destination=["ooto+x@simulator.amazonses.com"]), "Transient", "General"
        ),
        Kind.AUTO_REPLY,
        "Transient/General",
        "ooto+x@simulator.amazonses.com",
        FEEDBACK,
        "smtp; 550 5.1.1 user unknown",
    ),
    (
        said.complaint(),
        Kind.COMPLAINT,
        "abuse",
        HANNAH,
        "0102018f-complaint",
        "AnyCompany Feedback Loop (V0.01)",
    ),
    (
        said.complaint(kind=None, sub="OnAccountSuppressionList"),
        Kind.COMPLAINT,
        "OnAccountSuppressionList",
        HANNAH,
        "0102018f-complaint",
        "AnyCompany Feedback Loop (V0.01)",
    ),
    (said.reject(), Kind.REJECT, "Bad content", HANNAH, said.AT, ""),
    (
        said.delay(),
        Kind.DELAY,
        "MailboxFull",
        HANNAH,
        "2026-11-24T10:10:00.000Z",
        "smtp; 452 4.2.2 mailbox full",
    ),
    (
        said.rendering_failure(),
        Kind.RENDERING_FAILURE,
        "",
        HANNAH,
        said.AT,
        "Attribute 'name' is not present",
    ),
    (said.opened(), Kind.OPEN, "", HANNAH, "2026-11-24T12:00:00.000Z", ""),
    (said.click(), Kind.CLICK, "", HANNAH, "2026-11-24T12:01:00.000Z", ""),
    (
        said.subscription(),
        Kind.SUBSCRIPTION,
        "",
        HANNAH,
        "2026-11-24T12:02:00.000Z",
        "",
    ),
]


@pytest.mark.parametrize("wrap", [body, wrapped], ids=["raw", "wrapped"])
@pytest.mark.parametrize("type_key", ["eventType", "notificationType"])
@pytest.mark.parametrize(
    ("event", "kind", "sub_kind", "recipient", "mark", "words"),
    EVENTS,
    ids=[f"{row[0]['eventType']}-{row[2]}" for row in EVENTS],
)
def test_each_event_is_read_in_each_wrapping(
    event: dict[str, Any],
    kind: Kind,
    sub_kind: str,
    recipient: str,
    mark: str,
    words: str,
    type_key: str,
    wrap: Any,
) -> None:
    event = {type_key: event["eventType"]} | {
        key: value for key, value in event.items() if key != "eventType"
    }
    told = only(wrap(event))
    assert (told.kind, told.sub_kind, told.recipient) == (kind, sub_kind, recipient)
    assert (told.ses_message_id, told.mark) == (SES_ID, mark)
    assert told.diagnostic == words
    assert told.happened_at is not None


@pytest.mark.parametrize(
    "text",
    [
        said.VALIDATION,
        f"{said.VALIDATION}\n",
        wrapped(said.VALIDATION),
    ],
)
def test_text_of_the_validation_is_a_proof_and_no_error(text: str) -> None:
    reading = read(text)
    assert reading.is_validation
    assert not reading.told
    assert not reading.why_unreadable


def test_object_in_the_place_of_the_text_is_read_too() -> None:
    """A stand-in for SNS puts it so."""
    envelope = {"Type": "Notification", "TopicArn": "x", "Message": said.delivery()}
    assert only(json.dumps(envelope)).kind is Kind.DELIVERY


def test_type_that_nobody_knows_is_kept_whole() -> None:
    told = only(
        body({"eventType": "Teleported", "mail": mail(), "beam": {"to": "Mars"}})
    )
    assert (told.kind, told.sub_kind) == (Kind.OTHER, "Teleported")
    assert '"Mars"' in told.raw
    assert told.ses_message_id == SES_ID


def test_two_unknown_types_of_one_moment_are_two() -> None:
    marks = {
        only(body({"eventType": name, "mail": mail()})).mark for name in ("One", "Two")
    }
    assert len(marks) == 2


def test_tags_name_installation_mail_and_attempt() -> None:
    one, two, three = (uuid.uuid4() for _ in range(3))
    tags = {"tf-inst": [one.hex], "tf-msg": [two.hex], "tf-att": [three.hex]}
    told = only(body(said.send(mail(tags=tags))))
    assert (told.installation, told.message_uid, told.attempt_uid) == (
        one.hex,
        two,
        three,
    )


@pytest.mark.parametrize("where", ["header", "message id"])
def test_mail_is_named_without_tags_too(where: str) -> None:
    """Identity notifications have none."""
    uid = uuid.uuid4()
    of = mail(tags={})
    if where == "header":
        of["headers"] = [{"name": "X-TicketFlow-Message", "value": uid.hex}]
    else:
        of["commonHeaders"] = {"messageId": f"<{uid.hex}@help.example.com>"}
    assert only(body(said.delivery(of))).message_uid == uid


def test_event_of_several_recipients_is_one_for_each() -> None:
    told = read(
        body(said.bounce(mail(destination=["a@x.example", "b@x.example"])))
    ).told
    assert [one.recipient for one in told] == ["a@x.example", "b@x.example"]
    assert {one.mark for one in told} == {FEEDBACK}


def test_what_is_kept_has_no_headers_and_an_end() -> None:
    event = said.bounce(words="x" * 50_000)
    event["bounce"]["more"] = "y" * 50_000
    told = only(body(event))
    assert "We received your ticket" not in told.raw
    assert len(told.raw) <= LONGEST_RAW
    assert len(told.diagnostic) <= 1_000


def test_times_are_read_with_and_without_a_zone() -> None:
    for text in (
        "2026-11-24T10:00:02.000Z",
        "2026-11-24T10:00:02",
        "2026-11-24T12:00:02+02:00",
    ):
        told = only(body(said.delivery(at=text)))
        assert told.happened_at == datetime(2026, 11, 24, 10, 0, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1970-01-01",
    ],
)
def test_time_that_can_be_none_is_none(text: str) -> None:
    assert only(body(said.delivery(at=text))).happened_at is None


HOSTILE = {
    "nothing": "",
    "text": "Hello",
    "html": "<html>Please sign in</html>",
    "number": "17",
    "huge number": "9" * 10_000,
    "null": "null",
    "list": "[]",
    "empty object": "{}",
    "half": '{"eventType": "Bounce", ',
    "deep list": "[" * 100_000,
    "deep event": '{"eventType":"Bounce","mail":' * 20_000,
    "type is a list": '{"eventType": ["Bounce"]}',
    "envelope in an envelope": wrapped(wrapped(said.VALIDATION)),
    "message is a number": '{"TopicArn": "x", "Message": 5}',
    "too large": body(said.delivery() | {"more": "x" * LARGEST_BODY}),
    "too large in bytes": "“" * (LARGEST_BODY // 2),
    "confirmation": '{"Type":"SubscriptionConfirmation","TopicArn":"x","Message":"You"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_event_says_why(text: str) -> None:
    reading = read(text)
    assert reading.why_unreadable
    assert not reading.told


def test_what_no_database_takes_is_cleaned() -> None:
    told = only(
        '{"eventType": "Bounce", "mail": {"messageId": "a\\u0000b\\ud800"}, "bounce": '
        '{"bouncedRecipients": [{"emailAddress": "\\udfff@x.example", '
        '"diagnosticCode": "\\u0000"}], "feedbackId": "\\ud800"}}'
    )
    for text in (told.ses_message_id, told.recipient, told.mark, told.raw):
        text.encode()  # a half character would raise
        assert "\0" not in text
    assert told.ses_message_id == "ab?"


KEYS = [
    "timestamp",
    "feedbackId",
    "destination",
    "messageId",
    "tags",
    "headers",
    "bouncedRecipients",
    "complainedRecipients",
    "delayedRecipients",
    "recipients",
    "emailAddress",
    "bounceType",
    "bounceSubType",
    "tf-att",
    "tf-inst",
    "name",
    "commonHeaders",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(
    name=st.sampled_from(
        ["Send", "Bounce", "Complaint", "DeliveryDelay", "Delivery", "?"]
    ),
    of_mail=JSON,
    about=JSON,
)
def test_wrong_types_never_raise(name: str, of_mail: Any, about: Any) -> None:
    key = {"DeliveryDelay": "deliveryDelay"}.get(name, name.lower())
    reading = read(json.dumps({"eventType": name, "mail": of_mail, key: about}))
    for told in reading.told:
        assert len(told.mark) <= 100
        assert told.mark
        assert len(told.recipient) <= 320
        assert len(told.sub_kind) <= 80
        json.dumps(told.raw.encode().decode())


@given(st.text())
def test_no_text_raises(text: str) -> None:
    read(text)
