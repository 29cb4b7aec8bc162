"""The lines of the checklist, in the order in which they are mended."""

from collections.abc import Callable
from dataclasses import dataclass

from email_settings.readiness.checks import (
    account,
    dkim,
    dmarc,
    events,
    key,
    mail_from,
    permission,
    sender,
)
from email_settings.readiness.finding import Finding
from email_settings.readiness.look import Look


@dataclass(frozen=True)
class Line:
    """One line: what it is called, what must be done before it, and who looks."""

    key: str
    name: str
    anchor: str  # in docs/ses-setup.md
    check: Callable[[Look], Finding]
    needs: tuple[str, ...] = ()
    console: str = ""  # the page of the SES console where it is mended
    page: str = ""  # the name of the page of the panel about it
    # It asks nobody outside, so that it can be looked at as often as one likes.
    is_free: bool = False


LINES = (
    Line("clock", "Server clock", "clock", key.clock),
    Line("key_format", "Access key", "access-key", key.key_format, is_free=True),
    Line(
        "credentials",
        "Credentials",
        "access-key",
        key.credentials,
        needs=("key_format",),
    ),
    Line("region", "Region", "region", account.region, needs=("credentials",)),
    Line(
        "account",
        "Account mode",
        "production-access",
        account.account,
        needs=("region",),
        console="account",
    ),
    Line(
        "quota",
        "Quota and send rate",
        "quota",
        account.quota,
        needs=("region",),
        console="account",
    ),
    Line(
        "sender",
        "From address",
        "from-address",
        sender.sender,
        needs=("region",),
        console="identities",
    ),
    Line("dkim", "DKIM", "dkim", dkim.dkim, needs=("region",), console="identities"),
    Line(
        "mail_from",
        "MAIL FROM domain",
        "mail-from",
        mail_from.mail_from,
        needs=("region",),
        console="identities",
    ),
    Line("dmarc", "DMARC", "dmarc", dmarc.dmarc),
    Line(
        "permission",
        "Permission to send",
        "permissions",
        permission.permission,
        needs=("credentials",),
        is_free=True,
    ),
    Line(
        "events",
        "Delivery events",
        "events",
        events.events,
        needs=("region",),
        page="email_settings:events",
    ),
    Line(
        "simulator",
        "Bounce and complaint seen",
        "simulator",
        events.simulator,
        needs=("events",),
        page="email_settings:events",
        is_free=True,
    ),
)
BY_KEY = {line.key: line for line in LINES}
