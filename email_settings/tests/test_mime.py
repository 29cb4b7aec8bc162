"""The bytes that go to Amazon SES."""

import contextlib
import email
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_settings import mime
from email_settings.mime import build_mime
from email_settings.models import OutboxMessage, SesSettings

SENDER = SesSettings(
    from_name="Larkfield Hilfe für alle",
    from_email="help@larkfield.example",
    reply_to="desk@larkfield.example",
)


def message(**values: object) -> OutboxMessage:
    defaults: dict[str, object] = {
        "recipient": "hannah@larkfield.example",
        "recipient_name": "Hannah Brooks",
        "subject": "[#42] Drucker läuft wieder – danke",
    }
    return OutboxMessage(**{**defaults, **values})


def build(
    row: OutboxMessage,
    *,
    text: str = "Grüße\n",
    html: str = "<p>Grüße</p>",
    sender: SesSettings = SENDER,
) -> bytes:
    return build_mime(row, sender=sender, text=text, html=html)


def parse(raw: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(raw, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def body(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def mailbox_in(raw: bytes) -> tuple[str, str]:
    """Return name and address of To, as RFC 2047 has them read."""
    # Not by the parser of EmailMessage, which puts spaces between encoded words.
    name, address = parseaddr(email.message_from_bytes(raw)["To"])
    return str(make_header(decode_header(name))), address


def test_all_bytes_are_seven_bit_with_crlf_and_short_lines() -> None:
    raw = build(message(), text="Grüße 🎫 " * 500, html="<p>" + "ü" * 5000 + "</p>")
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"8bit" not in raw


def test_text_and_html_come_back_as_they_were() -> None:
    parsed = parse(build(message()))
    assert parsed.get_content_type() == "multipart/alternative"
    assert body(parsed, "plain") == "Grüße\r\n"
    assert body(parsed, "html").strip() == "<p>Grüße</p>"


def test_mail_with_a_shared_body_is_the_same_to_the_byte() -> None:
    own, shared = message(), message(shared_body_id=1)
    shared.uid = own.uid
    assert build(own) == build(shared) == build(shared)
    assert build(own, text="Anders\n") == build(shared, text="Anders\n")


def test_nothing_of_a_body_of_its_own_stays_in_memory() -> None:
    """It may be a link that is as good as a password."""
    before = mime._part_of_many.cache_info().currsize
    build(message(is_secret=True), text="The link: 12345\n", html="<p>12345</p>")
    assert mime._part_of_many.cache_info().currsize == before


def test_mail_without_html_is_plain_text() -> None:
    assert parse(build(message(), html="")).get_content_type() == "text/plain"


def test_headers_say_who_writes_to_whom() -> None:
    row = message()
    parsed = parse(build(row))
    assert parsed["From"] == "Larkfield Hilfe für alle <help@larkfield.example>"
    assert parsed["To"] == "Hannah Brooks <hannah@larkfield.example>"
    assert parsed["Reply-To"] == "desk@larkfield.example"
    assert parsed["Subject"] == "[#42] Drucker läuft wieder – danke"
    assert parsed["Message-ID"] == f"<{row.uid.hex}@help.example.com>"
    assert parsed["X-TicketFlow-Message"] == row.uid.hex


def test_reply_to_is_left_out_when_there_is_none() -> None:
    sender = SesSettings(from_email="help@larkfield.example")
    parsed = parse(build(message(recipient_name=""), sender=sender))
    assert parsed["Reply-To"] is None
    assert parsed["From"] == "help@larkfield.example"
    assert parsed["To"] == "hannah@larkfield.example"


def test_long_references_are_neither_folded_nor_encoded() -> None:
    ids = [f"<{'0' * 60}-{n:04}@ap-southeast-1.amazonses.com>" for n in range(9)]
    headers = {"References": " ".join(ids), "In-Reply-To": ids[-1]}
    raw = build(message(headers=headers))
    assert f"References: {' '.join(ids)}\r\n".encode() in raw
    assert f"In-Reply-To: {ids[-1]}\r\n".encode() in raw


def test_domain_goes_out_as_dns_knows_it() -> None:
    raw = build(message(recipient="hannah@bücher.example"))
    assert b"hannah@xn--bcher-kva.example" in raw


@pytest.mark.parametrize(
    "values",
    [
        {"subject": "Hello\r\nBcc: all@larkfield.example"},
        {"recipient_name": "Hannah\r\nBcc: all@larkfield.example"},
        {"recipient": "hannah@larkfield.example\r\nBcc: all@larkfield.example"},
        {"headers": {"X-Reason": "a\r\nBcc: all@larkfield.example"}},
        {"headers": {"From": "ceo@larkfield.example"}},
        {"headers": {"message-id": "<a@b>"}},
        {"headers": {"X-A: 1\r\nBcc": "all@larkfield.example"}},
        {"headers": {"X A": "1"}},
        {"headers": {"": "1"}},
        {"recipient": "no address"},
        {"recipient": "hannah@larkfield.example, all@larkfield.example"},
        {"recipient": "hännah@larkfield.example"},  # SES knows ASCII only here
        {"recipient": "@larkfield.example"},
        {"recipient": "hannah@"},
    ],
)
def test_header_that_could_mislead_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the words are Python's own
        build(message(**values))


def test_name_with_a_line_break_in_the_sender_is_refused() -> None:
    sender = SesSettings(from_name="A\nBcc: x@y.z", from_email="help@larkfield.example")
    with pytest.raises(ValueError):  # noqa: PT011
        build(message(), sender=sender)


def test_references_too_long_for_a_line_are_folded_between_two_ids() -> None:
    ids = [f"<{'0' * 60}-{n:04}@ap-southeast-1.amazonses.com>" for n in range(40)]
    raw = build(message(headers={"References": " ".join(ids)}))
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert parse(raw)["References"].split() == ids
    assert all(f"{one}".encode() in raw for one in ids)


@pytest.mark.parametrize(
    "name",
    [
        "Brooks, Hannah",
        'Hannah "Han" Brooks',
        "Hannah (IT) Brooks",
        "Hannah Müller, IT",
        "=?utf-8?q?Ewa?=",
        "汉娜" * 60,
    ],
)
def test_name_comes_back_whatever_it_means_in_a_header(name: str) -> None:
    raw = build(message(recipient_name=name))
    assert mailbox_in(raw) == (name, "hannah@larkfield.example")


def test_encoded_words_are_as_short_as_they_must_be() -> None:
    raw = build(message(subject="Drucker läuft " * 18, recipient_name="ü" * 120))
    words = [word for word in raw.split() if word.startswith(b"=?")]
    assert len(words) > 5
    assert max(map(len, words)) <= 75  # RFC 2047, section 2


# What people write, in any script; a lone surrogate can't come out of the database.
any_text = st.text(st.characters(exclude_categories=["Cs"]))
LINE_BREAKS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
one_line = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=LINE_BREAKS)
)


@given(subject=one_line)
def test_any_subject_comes_back(subject: str) -> None:
    assert parse(build(message(subject=subject)))["Subject"] == subject


@given(text=any_text, html=any_text.filter(bool))
def test_any_body_comes_back(text: str, html: str) -> None:
    parsed = parse(build(message(), text=text, html=html))
    for kind, content in (("plain", text), ("html", html)):
        # Line ends become those of mail, and the last line has one.
        lines = b"\r\n".join(content.encode().splitlines()) + b"\r\n"
        part = parsed.get_body((kind,))
        assert part is not None
        assert part.get_payload(decode=True) == lines


@given(name=one_line)
def test_any_name_comes_back_with_its_address(name: str) -> None:
    raw = build(message(recipient_name=name))
    assert mailbox_in(raw) == (name, "hannah@larkfield.example")


@given(
    subject=any_text,
    name=any_text,
    recipient=any_text | any_text.map("{}@larkfield.example".format),
    headers=st.dictionaries(any_text, any_text, max_size=2),
    text=any_text,
    html=any_text,
)
def test_no_text_makes_a_header_of_its_own(
    subject: str,
    name: str,
    recipient: str,
    headers: dict[str, str],
    text: str,
    html: str,
) -> None:
    row = message(
        subject=subject, recipient_name=name, recipient=recipient, headers=headers
    )
    with contextlib.suppress(ValueError):
        raw = build(row, text=text, html=html)
        assert raw.isascii()
        head = raw.partition(b"\r\n\r\n")[0]
        # Not by a parser, which may be kinder than the one that reads it
        names = [
            line.partition(b":")[0].decode()
            for line in head.splitlines()
            if not line.startswith(b" ")
        ]
        body = (
            ["Content-Type"] if html else ["Content-Type", "Content-Transfer-Encoding"]
        )
        assert names == [
            *("From", "To", "Reply-To", "Subject", "Message-ID"),
            *("X-TicketFlow-Message", *headers, "MIME-Version", *body),
        ]
        assert len(parse(raw)["To"].addresses) == 1
