"""The bytes of a mail: 7 bit, CRLF, text and HTML, headers that are never folded wrong."""

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import urlsplit

from django.conf import settings

from email_settings.models import OutboxMessage, SesSettings

# At the usual 78 columns a long id in References becomes an encoded word, which breaks
# threading; 998 is the limit of RFC 5322.
_POLICY = SMTP.clone(max_line_length=998)

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


def build_mime(
    message: OutboxMessage, *, sender: SesSettings, text: str, html: str
) -> bytes:
    """Return the mail as it goes to Amazon SES.

    `text` and `html` are the bodies, opened when they were sealed; html may be "".
    Raises ValueError for a line break in a header or an address that is none.
    """
    mail = EmailMessage(policy=_POLICY)
    # A rehearsal needs no settings; the gateway to SES refuses to go without them.
    from_email = sender.from_email or settings.DEFAULT_FROM_EMAIL
    mail["From"] = _address(sender.from_name, from_email)
    mail["To"] = _address(message.recipient_name, message.recipient)
    if sender.reply_to:
        mail["Reply-To"] = _address("", sender.reply_to)
    mail["Subject"] = message.subject
    # SES puts its own in its place; events give ours back, so that it finds the row.
    mail["Message-ID"] = message_id_of(message)
    mail["X-TicketFlow-Message"] = message.uid.hex
    for name, value in message.headers.items():
        if name.lower() in _OURS:
            raise ValueError(f"The header {name} is set by the sender.")
        mail[name] = value
    mail.set_content(text, cte="quoted-printable")
    if html:
        mail.add_alternative(html, subtype="html", cte="quoted-printable")
    return mail.as_bytes()


def message_id_of(message: OutboxMessage) -> str:
    """Return our own Message-ID for it."""
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    return f"<{message.uid.hex}@{host}>"


def ascii_address(email: str) -> str:
    """Return the address with its domain as DNS knows it: "a@xn--bcher-kva.example".

    Raises ValueError when the domain has no such form.
    """
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def _address(name: str, email: str) -> Address:
    try:
        return Address(display_name=name, addr_spec=ascii_address(email))
    except (MessageError, IndexError) as error:  # the parser knows both
        raise ValueError(f"No address that mail can be sent to: {error}") from error
