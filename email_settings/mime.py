"""The bytes of a mail: 7 bit, CRLF, text and HTML, headers that are never folded wrong.

Written by hand for speed: EmailMessage of the standard library parses every header that
it is given, which costs more than all the rest of sending a mail. What is hard comes
from the library all the same: encoded words, quoted-printable, quoted names, IDNA.
"""

import binascii
import functools
import re
import textwrap
from email.header import Header
from email.utils import formataddr
from urllib.parse import urlsplit

from django.conf import settings

from email_settings.models import OutboxMessage, SesSettings

# What the sender decides itself.
_OURS = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "x-ticketflow-message",
    }
)

_NAME = re.compile(r"[!-9;-~]+")  # of a header: RFC 5322, section 2.2
# All that str.splitlines() knows, for readers that take more than CR and LF as an end
_LINE_BREAK = re.compile(r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
# Goes out as it is: words of ASCII, none too long for a line of 998
_PLAIN = re.compile(r"[!-~]{1,800}( [!-~]{1,800})*")
_LONGEST_PLAIN = 900
# RFC 2047 wants encoded words of 75 at most; the library makes some two longer than told.
_ENCODED_LINE = 73
# RFC 5322, section 3.4.1, without comments and other folklore
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(
    rf'({_ATOM}(\.{_ATOM})*|"([ !#-\[\]-~]|\\[ -~])*")'
    rf"@({_ATOM}(\.{_ATOM})*|\[[!-Z^-~]*\])"
)


def build_mime(
    message: OutboxMessage, *, sender: SesSettings, text: str, html: str
) -> bytes:
    """Return the mail as it goes to Amazon SES.

    `text` and `html` are the bodies, opened when they were sealed; html may be "".
    Raises ValueError for a line break in a header or an address that is none.
    """
    # A rehearsal needs no settings; the gateway to SES refuses to go without them.
    from_email = sender.from_email or settings.DEFAULT_FROM_EMAIL
    head = [
        f"From: {_mailbox(sender.from_name, from_email)}",
        f"To: {_mailbox(message.recipient_name, message.recipient)}",
    ]
    if sender.reply_to:
        head.append(f"Reply-To: {_mailbox('', sender.reply_to)}")
    head += [
        _header("Subject", message.subject),
        # SES puts its own in its place; events give ours back, so that it finds the row.
        _header("Message-ID", message_id_of(message)),
        f"X-TicketFlow-Message: {message.uid.hex}",
        *(_extra_header(name, value) for name, value in message.headers.items()),
        "MIME-Version: 1.0",
    ]
    body = _alternatives(message, text, html) if html else _part("plain", text)
    return "\r\n".join(head).encode("ascii") + b"\r\n" + body


def message_id_of(message: OutboxMessage) -> str:
    """Return our own Message-ID for it."""
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    return f"<{message.uid.hex}@{_ascii_domain(host)}>"


def ascii_address(email: str) -> str:
    """Return the address with its domain as DNS knows it: "a@xn--bcher-kva.example".

    Raises ValueError when the domain has no such form.
    """
    local, _, domain = email.rpartition("@")
    return f"{local}@{_ascii_domain(domain)}"


@functools.lru_cache(maxsize=256)
def _ascii_domain(domain: str) -> str:
    return domain.encode("idna").decode()


# Headers


def _extra_header(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"No name of a header: {name!r}")
    if name.lower() in _OURS:
        raise ValueError(f"The header {name} is set by the sender.")
    return _header(name, value)


def _header(name: str, value: str) -> str:
    return f"{name}: {_encoded(value, name)}"


def _encoded(value: str, name: str) -> str:
    """Return the value as ASCII, on several lines where it needs them.

    What is ASCII stays as it is and is not folded: long ids in References must come
    out whole, or threading breaks. Raises ValueError for a line break.
    """
    _refuse_line_breaks(value, name)
    if not value or _is_plain(value):
        return value if len(value) <= _LONGEST_PLAIN else _folded(value)
    return _words(value, name)


def _words(value: str, name: str) -> str:
    """Return the value as encoded words (RFC 2047), none too long for its line."""
    header = Header(value, "utf-8", header_name=name, maxlinelen=_ENCODED_LINE)
    return header.encode(linesep="\r\n")


def _refuse_line_breaks(value: str, name: str) -> None:
    if _LINE_BREAK.search(value):
        raise ValueError(f"The header {name} has a line break in it.")


def _is_plain(value: str) -> bool:
    # What looks like an encoded word would be decoded by whoever reads it.
    return "=?" not in value and _PLAIN.fullmatch(value) is not None


def _folded(value: str) -> str:
    lines = textwrap.wrap(
        value, _LONGEST_PLAIN, break_long_words=False, break_on_hyphens=False
    )
    return "\r\n ".join(lines)


def _mailbox(name: str, email: str) -> str:
    """Return "Hannah Brooks <hannah@larkfield.example>", encoded where it must be.

    Raises ValueError for an address that SES could not take: it knows ASCII only, apart
    from domains.
    """
    address = ascii_address(email)
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"No address that mail can be sent to: {email!r}")
    _refuse_line_breaks(name, "with a name")
    if not name or _is_plain(name):
        return formataddr((name, address))
    return f"{_words(name, 'Reply-To')} <{address}>"


# Bodies


def _alternatives(message: OutboxMessage, text: str, html: str) -> bytes:
    # "=_" never occurs in quoted-printable, so no body can hold the boundary.
    boundary = f"=_{message.uid.hex}"
    # The line break before a boundary belongs to it, not to the part.
    between = f"\r\n--{boundary}\r\n".encode()
    # What many messages share is encoded once. No secret is ever in that memory.
    part = _part if message.shared_body_id is None else _part_of_many
    return (
        f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n'.encode()
        + b"".join([between, part("plain", text), between, part("html", html)])
        + f"\r\n--{boundary}--\r\n".encode()
    )


def _part(subtype: str, content: str) -> bytes:
    """Return the content with its headers; it always ends with a line break."""
    lines = b"\r\n".join(content.encode().splitlines()) + b"\r\n"
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    ).encode() + binascii.b2a_qp(lines, istext=True)


_part_of_many = functools.lru_cache(maxsize=8)(_part)
