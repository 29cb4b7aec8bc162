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
    about: str  # why it is looked at, for who has saved nothing yet
    anchor: str  # in docs/ses-setup.md
    check: Callable[[Look], Finding]
    needs: tuple[str, ...] = ()
    console: str = ""  # the page of the SES console where it is mended
    page: str = ""  # the name of the page of the panel about it
    # It asks nobody outside, so that it can be looked at as often as one likes.
    is_free: bool = False


LINES = (
    Line(
        "clock",
        "Server clock",
        "AWS refuses requests from a clock that is five minutes off.",
        "clock",
        key.clock,
    ),
    Line(
        "key_format",
        "Access key",
        "Whether the two parts of the key have the right shape.",
        "access-key",
        key.key_format,
        is_free=True,
    ),
    Line(
        "credentials",
        "Credentials",
        "Whose key it is, as AWS says.",
        "access-key",
        key.credentials,
        needs=("key_format",),
    ),
    Line(
        "region",
        "Region",
        "Newer regions are switched on in the AWS account first.",
        "region",
        account.region,
        needs=("credentials",),
    ),
    Line(
        "account",
        "Account mode",
        "New accounts are in the sandbox and reach verified addresses alone.",
        "production-access",
        account.account,
        needs=("region",),
        console="account",
    ),
    Line(
        "quota",
        "Quota and send rate",
        "How many mails a day and a second AWS allows.",
        "quota",
        account.quota,
        needs=("region",),
        console="account",
    ),
    Line(
        "sender",
        "From address",
        "It must be verified in the very region that you choose.",
        "from-address",
        sender.sender,
        needs=("region",),
        console="identities",
    ),
    Line(
        "dkim",
        "DKIM",
        "The signature of your domain: three DNS records that AWS gives you.",
        "dkim",
        dkim.dkim,
        needs=("region",),
        console="identities",
    ),
    Line(
        "mail_from",
        "MAIL FROM domain",
        "A name of your own for bounces. Mail works without.",
        "mail-from",
        mail_from.mail_from,
        needs=("region",),
        console="identities",
    ),
    Line(
        "dmarc",
        "DMARC",
        "What your domain tells others about mail that is not signed.",
        "dmarc",
        dmarc.dmarc,
    ),
    Line(
        "permission",
        "Permission to send",
        "Known when the first mail has left with this key.",
        "permissions",
        permission.permission,
        needs=("credentials",),
        is_free=True,
    ),
    Line(
        "events",
        "Delivery events",
        "Delivered, bounced or called spam: what Amazon SES tells.",
        "events",
        events.events,
        needs=("region",),
        page="email_settings:events",
    ),
    Line(
        "simulator",
        "Bounce and complaint seen",
        "A trial with mailboxes of AWS that bounce on purpose.",
        "simulator",
        events.simulator,
        needs=("events",),
        page="email_settings:events",
        is_free=True,
    ),
)
BY_KEY = {line.key: line for line in LINES}
