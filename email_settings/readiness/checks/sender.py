"""Whether mail may be sent in the name of the From address."""

import time
from datetime import datetime

from email_settings import account_watch
from email_settings.gateway.errors import SendError
from email_settings.readiness.checks.identities import (
    Identities,
    Identity,
    domain_of,
    look_for_identities,
)
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look

# So long the other regions are searched; each of them is another computer to reach.
SEARCH_SECONDS = 20.0
# Others publish a DMARC policy for these that no Amazon SES account can satisfy.
FREE_MAIL_DOMAINS = frozenset(
    [
        "aol.com",
        "fastmail.com",
        "gmail.com",
        "gmx.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.co.uk",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mac.com",
        "mail.com",
        "mail.ru",
        "me.com",
        "msn.com",
        "outlook.com",
        "pm.me",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "t-online.de",
        "web.de",
        "wp.pl",
        "yahoo.co.uk",
        "yahoo.com",
        "yandex.ru",
        "ymail.com",
        "zoho.com",
    ]
)
# What VerificationInfo.ErrorType means
# (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_VerificationInfo.html)
ERROR_TYPES = {
    "SERVICE_ERROR": "AWS had an error of its own and looks again.",
    "DNS_SERVER_ERROR": "The name servers of the domain gave AWS an error or no answer.",
    "HOST_NOT_FOUND": "AWS found no such name in DNS: the record is missing, or stands "
    "under another name.",
    "TYPE_NOT_FOUND": "The name is in DNS, but without the kind of record that AWS looks "
    "for.",
    "INVALID_VALUE": "The record is in DNS, but its value is not the one that AWS gave.",
    "REPLICATION_ACCESS_DENIED": "This identity is a copy from another region, and the "
    "copying is not allowed.",
    "REPLICATION_PRIMARY_NOT_FOUND": "This identity is a copy, and the original in "
    "another region is gone.",
    "REPLICATION_PRIMARY_BYO_DKIM_NOT_SUPPORTED": "This identity is a copy of one with "
    "a DKIM key of your own, which can't be copied.",
    "REPLICATION_REPLICA_AS_PRIMARY_NOT_SUPPORTED": "This identity is a copy of another "
    "copy, which AWS does not allow.",
    "REPLICATION_PRIMARY_INVALID_REGION": "This identity is a copy from a region that "
    "can't be copied from.",
}


def sender(look: Look) -> Finding:
    """Look for a verified identity that covers the From address."""
    try:
        known = look_for_identities(look)
    except SendError as error:
        return look.refused(error)
    if known.verified:
        account_watch.learn_sender(look.sender, is_verified=True)
        return _verified(look, known.verified)
    if known.denied:
        return look.refused(known.denied)
    account_watch.learn_sender(look.sender, is_verified=False)
    if known.found:
        return _not_verified(look, known.found[0])
    return _unknown(look, known)


def _verified(look: Look, identity: Identity) -> Finding:
    address, region = look.sender.from_email, look.sender.region
    domain = domain_of(address)
    if domain in FREE_MAIL_DOMAINS:
        return Finding(
            State.TODO,
            "Free mail domain",
            f"{address} is verified in {region}, yet {domain} tells other providers to "
            "distrust mail that it did not send itself: yours lands in the spam folder "
            "or nowhere.",
            "Use an address of your own domain, and verify that domain.",
            actions=("create_identity",),
        )
    if identity.is_address:
        evidence = f"The address {address} is verified in {region}."
    elif identity.name == domain:
        evidence = f"The whole domain {domain} is verified in {region}."
    else:
        evidence = (
            f"{identity.name} is verified in {region}, which covers {domain} below it."
        )
    return Finding(State.DONE, "Verified", evidence)


def _not_verified(look: Look, identity: Identity) -> Finding:
    """SES knows the identity, and it is not verified (yet)."""
    region = look.sender.region
    status = identity.answer.get("VerificationStatus", "")
    has_failed = status == "FAILED"
    info = identity.answer.get("VerificationInfo", {})
    about = " ".join(
        filter(None, [ERROR_TYPES.get(info.get("ErrorType", "")), _looked_at(info)])
    )
    waits = (
        "AWS has given up looking for its records"
        if has_failed
        else "it waits for AWS to find its records in DNS"
    )
    if identity.is_address:
        waits = (
            "the link in AWS's mail was not used in time"
            if has_failed
            else "somebody must press the link in the mail that AWS has sent to it"
        )
    return Finding(
        State.WRONG,
        "Failed" if has_failed else "Not verified yet",
        f"{identity.name} is entered in {region} and not verified: {waits}. {about}".strip(),
        _way_on(identity, has_failed=has_failed),
        actions=("create_identity",) if has_failed else (),
    )


def _way_on(identity: Identity, *, has_failed: bool) -> str:
    if identity.is_address:
        if has_failed:
            return "Remove it in Amazon SES → Identities and create it again."
        return (
            f"Open the mail of AWS in the mailbox of {identity.name} and press its link, "
            "which works for 24 hours; Amazon SES → Identities sends it again. Better: "
            "verify the whole domain, which needs no mailbox."
        )
    if has_failed:
        return (
            "Enter the records below “DKIM”, then start the verification again in "
            "Amazon SES → Identities."
        )
    return (
        "Enter the records below “DKIM” with your DNS provider. AWS looks for them for "
        "72 hours, and most often finds them within minutes."
    )


def _looked_at(info: object) -> str:
    looked_at = info.get("LastCheckedTimestamp") if isinstance(info, dict) else None
    if not isinstance(looked_at, datetime):
        return ""
    return f"AWS last looked on {looked_at:%-d %B at %H:%M} UTC."


def _unknown(look: Look, known: Identities) -> Finding:
    address, region = look.sender.from_email, look.sender.region
    domain = domain_of(address)
    if other := _other_case(look):
        return Finding(
            State.WRONG,
            "Other capitals",
            f"{other} is verified in {region}, and {address} is not: for a single address "
            "Amazon SES tells capital letters from small ones.",
            f"Write {other} as From Email, or verify the whole domain {domain}.",
            actions=("create_identity",),
        )
    name, elsewhere, searched = _search(look)
    if elsewhere:
        return Finding(
            State.WRONG,
            f"In {elsewhere}",
            f"{name} is verified in {elsewhere}, not here in {region}. Identities, quota "
            "and production access belong to one region each.",
            f"Choose {elsewhere} as AWS Region, or verify {domain} in {region}, too.",
            actions=("create_identity",),
        )
    return Finding(
        State.WRONG,
        "Not verified",
        f"Amazon SES knows neither {address} nor {domain} in {region}, and refuses mail "
        f"from there. {searched}",
        f"Verify the domain {domain} in Amazon SES → Identities: a few DNS records, and "
        "every address of it may send. For one address alone, AWS sends a mail with a "
        "link to it.",
        actions=("create_identity",),
    )


def _other_case(look: Look) -> str:
    """Return the address in small letters when that one is verified, else ""."""
    small = look.sender.from_email.lower()
    if small == look.sender.from_email:
        return ""
    try:
        answer = look.aws.identity(small)
    except SendError:
        return ""
    return small if answer and answer.get("VerifiedForSendingStatus") else ""


def _search(look: Look) -> tuple[str, str, str]:
    """Look for the domain, then the address, in the other regions, 20 seconds at most.

    Returns what was found verified and its region, both "" for nothing, and a sentence
    about how far the search came.
    """
    address = look.sender.from_email
    give_up_at = time.monotonic() + SEARCH_SECONDS
    for name in (domain_of(address), address):
        for count, (region, answer) in enumerate(look.aws.elsewhere(name), 1):
            if answer and answer.get("VerifiedForSendingStatus"):
                return name, region, ""
            if time.monotonic() > give_up_at:
                return "", "", f"We found it in none of {count} other regions either."
    return "", "", "We found it in none of the other regions of the account either."
