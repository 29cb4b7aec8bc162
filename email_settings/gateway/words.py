"""Reads AWS's own words: who was denied what, which identities failed, whose clock is off.

AWS gives these facts in sentences only. What can't be read comes out empty, never wrong.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from email_settings.gateway.catalogue import DENIALS

# Denied permissions
#
# "User: arn:… is not authorized to perform: ses:SendRawEmail on resource: arn:… because
# no identity-based policy allows the ses:SendRawEmail action"; older replies put the
# three between ` and '.

_PRINCIPAL = re.compile(r"User:? [`']?(arn:[^\s'`]+)")
_ACTION = re.compile(r"perform:? [`']?([a-z0-9-]+:\w+)")
_RESOURCE = re.compile(r"resource:? [`']?(arn:[^\s'`]+)")
_IDENTITY = re.compile(r":identity/([^\s'`]+)")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_POLICIES = {
    "identity-based policy": "policy",
    "permissions boundary": "boundary",
    "service control policy": "organisation",
    "resource control policy": "organisation",
    "resource-based policy": "identity",
    "session policy": "session",
    "vpc endpoint policy": "endpoint",
}
# Raw MIME through SendEmail is authorised as SendRawEmail; a policy needs both.
_SENDING = ["ses:SendEmail", "ses:SendRawEmail"]


def denial(words: str, *, from_email: str) -> dict[str, object]:
    """Return what the row "access_denied" names: action, denied, cause and remedy.

    `from_email` tells the sender's identity from a recipient's, "" when it is not known.
    """
    principal, resource = _first(_PRINCIPAL, words), _first(_RESOURCE, words)
    action = _first(_ACTION, words) or "ses:SendRawEmail"
    kind = _kind_of_denial(words, action=action, from_email=from_email)
    statement = {
        "Effect": "Allow",
        "Action": _SENDING if action in _SENDING else action,
        # For each recipient another identity is asked for.
        "Resource": "*" if kind == "recipient" or not resource else resource,
    }
    values = {
        "who": name_of(principal),
        "where": _page_of(principal),
        "action": action,
        "statement": json.dumps(statement),
    }
    on = f" on {resource}" if resource else ""
    return {
        "action": action,
        "who": values["who"],
        "where": values["where"],
        "statement": values["statement"],
        "role": f" {resource.rpartition('/')[2]}" if ":role/" in resource else "",
        "denied": f"{principal} may not do {action}{on}. " if principal else "",
        "cause": DENIALS[kind].cause.format_map(values),
        "remedy": DENIALS[kind].fix.format_map(values),
    }


def _kind_of_denial(words: str, *, action: str, from_email: str) -> str:
    """Return the key in DENIALS."""
    said = words.lower()
    is_denied = "explicit deny" in said
    named = next((kind for text, kind in _POLICIES.items() if text in said), "")
    if not named:
        named = "unnamed" if is_denied else "policy"
    if is_denied and f"{named}, denied" in DENIALS:
        return f"{named}, denied"
    is_sending = action in _SENDING
    if named == "policy" and is_sending and _is_about_a_recipient(words, from_email):
        return "recipient"
    return named


def _is_about_a_recipient(words: str, from_email: str) -> bool:
    identity = _first(_IDENTITY, words).lower()
    if not identity or not from_email:
        return False
    sender = _plain(from_email)
    _, _, domain = sender.rpartition("@")
    return sender != identity and not f".{domain}".endswith(f".{identity}")


def name_of(principal: str) -> str:
    """Return "the IAM user ticketflow" for arn:aws:iam::123456789012:user/ticketflow."""
    kind, _, name = principal.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        return f"the role {name.partition('/')[0]}"
    if kind == "root":
        return "the root user"
    return f"the IAM user {name.rpartition('/')[2]}" if name else "the IAM user"


def _page_of(principal: str) -> str:
    """Return the page of AWS's console that has the policies of whom AWS named."""
    kind, _, name = principal.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        return f"IAM → Roles → {name.partition('/')[0]} → Permissions"
    own = name.rpartition("/")[2] or "your user"
    return f"IAM → Users → {own} → Permissions"


# Identities that are not verified
#
# "The following identities failed the check in region EU-WEST-1: Help <help@a.example>,
# b@b.example, ..."

_IN_BRACKETS = re.compile(r"[^,<>]*<([^<>]*)>")
_ADDRESS = re.compile(r"[^\s,<>\"()]+@[^\s,<>\"()]+")
_END_OF_LIST = re.compile(r"[\s.…]*$")


@dataclass(frozen=True)
class FailedIdentities:
    """The addresses that AWS lists as not verified."""

    addresses: frozenset[str]
    cut: str  # the beginning of the last one, when AWS cut it short, else ""

    @classmethod
    def read(cls, words: str) -> Self:
        """Read the list, which may have names, and may end with an ellipsis."""
        _, _, listed = words.partition("failed the check")
        _, _, listed = listed.partition(":")
        without_end = _END_OF_LIST.sub("", listed)
        is_cut = listed.rstrip().endswith(("...", "…"))
        last = without_end.rpartition(",")[2].rpartition("<")[2].strip()
        unquoted = re.sub(r'"[^"]*"', "", without_end)
        addresses = [
            *_IN_BRACKETS.findall(unquoted),
            *_ADDRESS.findall(_IN_BRACKETS.sub("", unquoted)),
        ]
        return cls(
            frozenset(map(_plain, addresses)),
            # Less than the part before the @ would fit strangers.
            cut=_plain(last) if is_cut and "@" in last else "",
        )

    def names(self, address: str) -> bool:
        """Whether the address is in the list, in small or capital letters."""
        plain = _plain(address)
        if not plain:
            return False
        return plain in self.addresses or (
            bool(self.cut) and plain.startswith(self.cut)
        )


def _plain(address: str) -> str:
    """Return the address as it can be compared: small letters, domain as in DNS."""
    local, at, domain = address.strip().lower().rpartition("@")
    # What is cut short, or no domain at all, is compared as it is.
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return f"{local}{at}{domain}"


# Clocks

# "Signature expired: T1 is now earlier than T2 (T3 - 5 min.)": T1 is this server's
# clock, T3 that of AWS.
_CLOCKS_OF_AWS = re.compile(r"(?P<ours>\d{8}T\d{6}Z) is .*\((?P<aws>\d{8}T\d{6}Z) [-+]")
_CLOCKS_OF_OURS = re.compile(
    r"AWS's clock: (?P<aws>\d{8}T\d{6}Z), this server's: (?P<ours>\d{8}T\d{6}Z)"
)
_STAMP = "%Y%m%dT%H%M%SZ"


def clocks(*, aws: datetime, ours: datetime) -> str:
    """Say both times in words that minutes_off can read later."""
    return (
        f"AWS's clock: {aws.astimezone(UTC).strftime(_STAMP)}, "
        f"this server's: {ours.astimezone(UTC).strftime(_STAMP)}"
    )


def minutes_off(words: str) -> int | None:
    """Return by how many minutes this server's clock is fast; negative when it is slow.

    None when the words do not name both clocks.
    """
    found = _CLOCKS_OF_AWS.search(words) or _CLOCKS_OF_OURS.search(words)
    if not found:
        return None
    apart = _moment(found["ours"]) - _moment(found["aws"])
    return round(apart.total_seconds() / 60)


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


# Names

_CONFIGURATION_SET = re.compile(r"[Cc]onfiguration set <?([\w-]+)>? does not exist")


def configuration_set(words: str) -> str:
    """Return the name of the configuration set that AWS misses, "" when it names none."""
    return _first(_CONFIGURATION_SET, words)


def _first(pattern: re.Pattern[str], words: str) -> str:
    found = pattern.search(words)
    return found[1].rstrip(".,;") if found else ""
