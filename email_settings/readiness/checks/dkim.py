"""Whether mail is signed by the domain, and whether DNS has what that needs."""

from collections import Counter

from django.template.defaultfilters import pluralize

from email_settings.gateway.errors import SendError
from email_settings.gateway.reader import Answer
from email_settings.readiness.checks.identities import (
    Identity,
    domain_of,
    look_for_identities,
)
from email_settings.readiness.dns import Dns, DnsError
from email_settings.readiness.finding import DnsRecord, Finding, State
from email_settings.readiness.look import Look

# Newer regions have a zone of their own, and tell it.
USUAL_ZONE = "dkim.amazonses.com"
BYODKIM = "EXTERNAL"


def dkim(look: Look) -> Finding:
    """Compare what SES says of the domain's signature with what stands in DNS."""
    try:
        known = look_for_identities(look)
    except SendError as error:
        return look.refused(error)
    if known.domain is not None:
        return _of_a_domain(look.dns, known.domain)
    if known.verified:
        return _address_alone(look)
    if known.denied:
        return look.refused(known.denied)
    return Finding(
        State.UNKNOWN,
        "Waits",
        "Amazon SES gives the records when the domain is entered there: see “From "
        "address”.",
    )


def _address_alone(look: Look) -> Finding:
    address = look.sender.from_email
    domain = domain_of(address)
    return Finding(
        State.TODO,
        "Not signed",
        f"{address} is verified by itself, so mail carries no signature of {domain}. "
        "DMARC can't be satisfied that way, and big providers may refuse it or file it "
        "under spam.",
        f"Verify the whole domain {domain} in Amazon SES → Identities. It gives you "
        "three DNS records, which this line then looks for.",
        actions=("create_identity",),
    )


def _of_a_domain(dns: Dns, identity: Identity) -> Finding:
    told = identity.answer.get("DkimAttributes", {})
    status = told.get("Status", "NOT_STARTED")
    if told.get("SigningAttributesOrigin") == BYODKIM:
        return _own_key(identity, status)
    tokens = told.get("Tokens", [])
    if not tokens:
        return Finding(
            State.TODO,
            "Not set up",
            f"Amazon SES has no DKIM records for {identity.name}, so mail is not signed.",
            "Open the domain in Amazon SES → Identities → Authentication, and turn on "
            "Easy DKIM.",
        )
    zone = told.get("SigningHostedZone") or USUAL_ZONE
    records = _look_up(dns, identity.name, tokens, zone)
    return _judge(identity, told, records)


def _own_key(identity: Identity, status: str) -> Finding:
    if status == "SUCCESS":
        return Finding(
            State.DONE,
            "Signed",
            f"Mail is signed for {identity.name} with a key of your own.",
        )
    return Finding(
        State.TODO,
        "Not found yet",
        f"{identity.name} is to be signed with a key of your own, and AWS has not found "
        "its public half in DNS.",
        "Compare the TXT record with the one that belongs to the key that you gave to "
        "Amazon SES.",
    )


def _look_up(
    dns: Dns, domain: str, tokens: list[str], zone: str
) -> tuple[DnsRecord, ...]:
    records: list[DnsRecord] = []
    why_not = ""
    for token in tokens:
        name, value = f"{token}._domainkey.{domain}", f"{token}.{zone}"
        if not why_not:
            try:
                records.append(_record(dns, domain, name, value))
            except DnsError as error:
                why_not = str(error)  # each further name would take its time, too
        if why_not:
            records.append(
                DnsRecord("CNAME", name, value, state=State.UNKNOWN, note=why_not)
            )
    return tuple(records)


def _record(dns: Dns, domain: str, name: str, value: str) -> DnsRecord:
    found = dns.cname(name)
    if found == value:
        return DnsRecord("CNAME", name, value, found, State.DONE)
    if found:
        return DnsRecord(
            "CNAME", name, value, found, State.WRONG, "It points to another place."
        )
    doubled = f"{name}.{domain}"
    if dns.cname(doubled):
        return DnsRecord(
            "CNAME",
            name,
            value,
            doubled,
            State.WRONG,
            "The domain stands in it twice: your DNS provider adds it by itself. Enter "
            f"only {name.removesuffix(f'.{domain}')} as its name.",
        )
    if addresses := dns.addresses(name):
        return DnsRecord(
            "CNAME",
            name,
            value,
            ", ".join(addresses),
            State.WRONG,
            "A proxy answers with its own addresses (at Cloudflare the orange cloud). "
            "Set the record to “DNS only”.",
        )
    return DnsRecord("CNAME", name, value, state=State.TODO)


def _judge(identity: Identity, told: Answer, records: tuple[DnsRecord, ...]) -> Finding:
    status = told.get("Status", "NOT_STARTED")
    count = Counter(record.state for record in records)
    if count[State.WRONG] or count[State.TODO]:
        return _not_right(identity, status, records, count)
    if count[State.UNKNOWN]:
        return _not_looked_up(identity, status, records)
    if status != "SUCCESS":
        return _not_seen_yet(identity, status, records)
    if told.get("SigningEnabled") is False:
        return Finding(
            State.TODO,
            "Switched off",
            f"All {len(records)} records of {identity.name} are right, and signing is "
            "switched off in Amazon SES.",
            "Turn on DKIM signatures in Amazon SES → Identities → the domain → "
            "Authentication.",
            records,
        )
    return Finding(
        State.DONE,
        "Signed",
        f"All {len(records)} records of {identity.name} are right, and AWS signs with "
        "them.",
        records=records,
    )


def _not_right(
    identity: Identity,
    status: str,
    records: tuple[DnsRecord, ...],
    count: Counter[State],
) -> Finding:
    number, missing, wrong = len(records), count[State.TODO], count[State.WRONG]
    parts = []
    if wrong:
        parts.append(f"{wrong} of {number} records {pluralize(wrong, 'is,are')} wrong")
    if missing:
        parts.append(
            f"{missing} of {number} records {pluralize(missing, 'is,are')} missing"
        )
    evidence = f"For {identity.name}, {' and '.join(parts)}."
    if status == "SUCCESS":
        evidence += (
            " AWS still counts on what it found earlier; it looks again now and then, and "
            "stops signing when they stay away."
        )
    return Finding(
        State.WRONG if wrong or status == "SUCCESS" else State.TODO,
        f"{count[State.DONE]} of {number} found",
        evidence,
        "Enter them with your DNS provider exactly as they stand here. What you enter "
        "may take an hour to be seen everywhere.",
        records,
    )


def _not_looked_up(
    identity: Identity, status: str, records: tuple[DnsRecord, ...]
) -> Finding:
    why = next(record.note for record in records if record.state is State.UNKNOWN)
    if status == "SUCCESS":
        return Finding(
            State.DONE,
            "Signed",
            f"AWS signs mail for {identity.name}. This server could not look at the "
            f"records itself: {why}",
            records=records,
        )
    return Finding(
        State.UNKNOWN,
        "Could not look",
        f"Whether the records of {identity.name} are there could not be found out: {why}",
        "Let this server ask a DNS server (port 53), or name others in DNS_SERVERS.",
        records,
    )


def _not_seen_yet(
    identity: Identity, status: str, records: tuple[DnsRecord, ...]
) -> Finding:
    if status == "FAILED":
        return Finding(
            State.TODO,
            "AWS gave up",
            f"The records of {identity.name} are right now, and AWS stopped looking for "
            "them after 72 hours.",
            "Open the domain in Amazon SES → Identities → Authentication and start the "
            "verification again.",
            records,
        )
    return Finding(
        State.TODO,
        "AWS will look",
        f"DNS is right for {identity.name}, AWS has not looked yet (it looks for up to 72 "
        "hours).",
        "Nothing to do but to wait: mostly it takes minutes. We look again by ourselves.",
        records,
    )
