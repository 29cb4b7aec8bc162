"""The bytes that go to Amazon SES."""

import email
from email.message import EmailMessage
from email.policy import SMTP

import pytest

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
        {"recipient": "no address"},
    ],
)
def test_header_that_could_mislead_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the words are Python's own
        build(message(**values))


def test_name_with_a_line_break_in_the_sender_is_refused() -> None:
    sender = SesSettings(from_name="A\nBcc: x@y.z", from_email="help@larkfield.example")
    with pytest.raises(ValueError):  # noqa: PT011
        build(message(), sender=sender)
