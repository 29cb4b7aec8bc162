"""The MAIL FROM domain: where bounces go to, and what SPF is asked about."""

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

# https://docs.aws.amazon.com/ses/latest/dg/mail-from.html
PREFERENCE = 10
INCLUDE = "include:amazonses.com"
SPF = f"v=spf1 {INCLUDE} ~all"


def mail_from(look: Look) -> Finding:
    """Look whether a MAIL FROM domain is set, and whether DNS has what it needs."""
    try:
        known = look_for_identities(look)
    except SendError as error:
        return look.refused(error)
    identity = known.verified or known.domain
    if identity is None:
        if known.denied:
            return look.refused(known.denied)
        return Finding(
            State.UNKNOWN,
            "Waits",
            "It belongs to the identity in Amazon SES: see “From address”.",
        )
    told = identity.answer.get("MailFromAttributes", {})
    domain = told.get("MailFromDomain", "")
    if not domain:
        return _not_set(look, identity)
    records = _look_up(look.dns, domain, look.sender.region)
    return _judge(domain, told, records)


def _not_set(look: Look, identity: Identity) -> Finding:
    domain = domain_of(look.sender.from_email)
    return Finding(
        State.UNNEEDED,
        "Not set",
        "Mail works without: bounces go to a name of Amazon SES. With a name of your own, "
        f"such as mail.{domain}, DMARC can be satisfied by SPF as well as by DKIM, and "
        "recipients see no “via amazonses.com”.",
        actions=() if identity.is_address else ("set_mail_from",),
    )


def _look_up(dns: Dns, domain: str, region: str) -> tuple[DnsRecord, ...]:
    mx_value = f"{PREFERENCE} feedback-smtp.{region}.amazonses.com"
    try:
        mx = _mx(dns, domain, mx_value)
    except DnsError as error:
        mx = DnsRecord("MX", domain, mx_value, state=State.UNKNOWN, note=str(error))
    try:
        spf = _spf(dns, domain)
    except DnsError as error:
        spf = DnsRecord("TXT", domain, SPF, state=State.UNKNOWN, note=str(error))
    return mx, spf


def _mx(dns: Dns, domain: str, value: str) -> DnsRecord:
    found = [str(entry) for entry in dns.mx(domain)]
    listed = ", ".join(found)
    if found == [value]:
        return DnsRecord("MX", domain, value, listed, State.DONE)
    if not found:
        return DnsRecord("MX", domain, value)
    note = "It must be this one."
    if len(found) > 1:
        note = "There must be exactly one: with several, AWS refuses the name."
    return DnsRecord("MX", domain, value, listed, State.WRONG, note)


def _spf(dns: Dns, domain: str) -> DnsRecord:
    records = [text for text in dns.txt(domain) if _is_spf(text)]
    listed = " | ".join(records)
    if not records:
        return DnsRecord("TXT", domain, SPF)
    if len(records) > 1:
        return DnsRecord(
            "TXT",
            domain,
            SPF,
            listed,
            State.WRONG,
            "There are several SPF records, and then none of them counts: put them "
            "together into one.",
        )
    if INCLUDE not in records[0].lower().split():
        return DnsRecord(
            "TXT", domain, SPF, listed, State.WRONG, f"It lacks {INCLUDE}."
        )
    return DnsRecord("TXT", domain, SPF, listed, State.DONE)


def _is_spf(text: str) -> bool:
    return text.lower().split(" ")[0] == "v=spf1"


def _judge(domain: str, told: Answer, records: tuple[DnsRecord, ...]) -> Finding:
    status = told.get("MailFromDomainStatus", "PENDING")
    states = [record.state for record in records]
    is_mx_right = records[0].state is State.DONE
    if State.WRONG in states or State.TODO in states:
        return Finding(
            State.TODO if is_mx_right else _without_mx(told),
            "Records missing" if State.TODO in states else "Records wrong",
            f"{domain} is set as MAIL FROM domain. {_meanwhile(told, is_mx_right=is_mx_right)}",
            "Enter the records with your DNS provider as they stand here.",
            records,
        )
    if State.UNKNOWN in states and status != "SUCCESS":
        why = next(record.note for record in records if record.note)
        return Finding(
            State.UNKNOWN,
            "Could not look",
            f"Whether the records of {domain} are there could not be found out: {why}",
            "Let this server ask a DNS server (port 53), or name others in DNS_SERVERS.",
            records,
        )
    if status == "SUCCESS":
        return Finding(
            State.DONE,
            "Set",
            f"Bounces go to {domain}, and SPF covers it.",
            "",
            records,
        )
    if status == "FAILED":
        return Finding(
            _without_mx(told),
            "AWS gave up",
            f"The records of {domain} are right now, and AWS stopped looking for them "
            f"after 72 hours. {_meanwhile(told, is_mx_right=False)}",
            "Open the identity in Amazon SES → Identities → Authentication, and save the "
            "MAIL FROM domain once more.",
            records,
        )
    return Finding(
        State.TODO,
        "AWS will look",
        f"DNS is right for {domain}, AWS has not looked yet (it looks for up to 72 "
        "hours).",
        "Nothing to do but to wait: mostly it takes minutes. We look again by ourselves.",
        records,
    )


def _without_mx(told: Answer) -> State:
    refuses = told.get("BehaviorOnMxFailure") == "REJECT_MESSAGE"
    return State.WRONG if refuses else State.TODO


def _meanwhile(told: Answer, *, is_mx_right: bool) -> str:
    if is_mx_right:
        return (
            "Its MX record is right, and SPF is not: mail leaves, DMARC rests on DKIM."
        )
    if told.get("BehaviorOnMxFailure") == "REJECT_MESSAGE":
        return (
            "Without its MX record Amazon SES refuses all mail: so it is set "
            "(REJECT_MESSAGE)."
        )
    return "Without its MX record Amazon SES uses a name of its own meanwhile."
