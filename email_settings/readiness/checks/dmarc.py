"""What the domain tells recipients about mail that is not signed: DMARC (RFC 7489)."""

from dataclasses import dataclass
from typing import Self

from email_settings.gateway.errors import SendError
from email_settings.readiness.checks.identities import (
    domain_of,
    look_for_identities,
    with_parents,
)
from email_settings.readiness.dns import DnsError
from email_settings.readiness.finding import DnsRecord, Finding, State
from email_settings.readiness.look import Look

POLICIES = {"none", "quarantine", "reject"}
HARSH = {"quarantine", "reject"}
_MEANING = {
    "none": "only reports are asked for",
    "quarantine": "mail that fails goes to the spam folder",
    "reject": "mail that fails is refused",
}


@dataclass(frozen=True)
class Policy:
    """One DMARC record, read."""

    domain: str  # where it stands
    text: str
    tags: dict[str, str]

    @classmethod
    def read(cls, domain: str, text: str) -> Self:
        tags: dict[str, str] = {}
        for part in text.split(";"):
            name, equals, value = part.partition("=")
            if equals:
                tags.setdefault(name.strip().lower(), value.strip())
        return cls(domain, text, tags)

    def of(self, domain: str) -> str:
        """Return the policy for mail from the domain: sp is for those below."""
        own = self.tags.get("p", "").lower()
        return own if domain == self.domain else self.tags.get("sp", own).lower()

    def is_strict(self, tag: str) -> bool:
        """Whether "adkim" or "aspf" wants the very domain, not one that is related."""
        return self.tags.get(tag, "r").lower() == "s"


def dmarc(look: Look) -> Finding:
    """Find the record that counts for the From address, and read it.

    It stands at the domain itself or at a domain above it; the walk goes up label by
    label, for want of a list of which domains can be owned.
    """
    domain = domain_of(look.sender.from_email)
    try:
        found = _find(look, domain)
    except DnsError as error:
        return Finding(
            State.UNKNOWN,
            "Could not look",
            f"Whether {domain} has a DMARC record could not be found out. {error}",
            "Let this server ask a DNS server (port 53), or name others in DNS_SERVERS.",
        )
    if not found:
        return _missing(domain)
    if len(found) > 1:
        return _several(found)
    return _judge(look, domain, found[0])


def _find(look: Look, domain: str) -> list[Policy]:
    for owner in with_parents(domain):
        texts = [text for text in look.dns.txt(f"_dmarc.{owner}") if _is_dmarc(text)]
        if texts:
            return [Policy.read(owner, text) for text in texts]
    return []


def _is_dmarc(text: str) -> bool:
    return text.partition(";")[0].replace(" ", "").lower() == "v=dmarc1"


def _missing(domain: str) -> Finding:
    value = f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}"
    return Finding(
        State.TODO,
        "Missing",
        f"{domain} has no DMARC record. Gmail, Yahoo and Outlook may refuse mail from "
        "there or file it under spam.",
        "Enter this record with your DNS provider. It changes nothing for your mail yet: "
        f"providers send reports to dmarc@{domain}, or to whichever mailbox you write.",
        (DnsRecord("TXT", f"_dmarc.{domain}", value),),
    )


def _several(found: list[Policy]) -> Finding:
    name = f"_dmarc.{found[0].domain}"
    return Finding(
        State.WRONG,
        f"{len(found)} records",
        f"{name} has {len(found)} DMARC records, and then none of them counts.",
        "Keep one of them and remove the others.",
        tuple(
            DnsRecord("TXT", name, policy.text, policy.text, State.WRONG)
            for policy in found
        ),
    )


def _judge(look: Look, domain: str, policy: Policy) -> Finding:
    applied = policy.of(domain)
    if applied not in POLICIES:
        return _shown(
            policy,
            State.WRONG,
            "Not valid",
            f"It says p={policy.tags.get('p', '')!r}, which is no policy."
            if "p" in policy.tags
            else "It lacks p=, the policy itself.",
            "Write p=none, p=quarantine or p=reject as its second part.",
        )
    said = f"p={applied}"
    trouble = _trouble(look, domain, policy, applied)
    if trouble:
        evidence, fix = trouble
        return _shown(policy, State.TODO, said, evidence, fix)
    return _shown(policy, State.DONE, said, _in_words(domain, policy, applied))


def _trouble(
    look: Look, domain: str, policy: Policy, applied: str
) -> tuple[str, str] | None:
    """Return what keeps mail of ours from satisfying the policy, and what mends it."""
    is_signed = look.is_done("dkim")
    has_spf = look.is_done("mail_from") and not policy.is_strict("aspf")
    if not is_signed and policy.is_strict("aspf") and look.is_done("mail_from"):
        return (
            f"It wants SPF of {domain} itself (aspf=s), and bounces go to a domain below "
            "it; so DKIM alone can satisfy it, and that is not done yet.",
            "Have DKIM done first (see “DKIM”), or take aspf=s out of the record.",
        )
    if applied in HARSH and not is_signed and not has_spf:
        return (
            f"p={applied} counts for mail from {domain}: {_MEANING[applied]}. Mail from "
            "here fails, because DKIM is not done yet.",
            "Have DKIM done first (see “DKIM”), or write p=none until it is.",
        )
    if policy.is_strict("adkim") and (signer := _signer(look)) and signer != domain:
        return (
            f"It wants a signature of {domain} itself (adkim=s), and mail is signed for "
            f"{signer}.",
            f"Verify {domain} in Amazon SES by itself, or take adkim=s out of the "
            "record.",
        )
    return None


def _signer(look: Look) -> str:
    """Return the domain that mail is signed for, "" when that is not known."""
    try:
        identity = look_for_identities(look).domain
    except SendError:
        return ""
    return identity.name if identity else ""


def _in_words(domain: str, policy: Policy, applied: str) -> str:
    where = "" if policy.domain == domain else f" (that of {policy.domain}, above it)"
    words = f"{domain} has a DMARC record{where}: {_MEANING[applied]}"
    percent = policy.tags.get("pct", "100")
    if applied in HARSH and percent != "100":
        words += f", for {percent} % of it"
    if "rua" not in policy.tags:
        return f"{words}. No reports are asked for (rua)."
    return f"{words}. Reports go to {policy.tags['rua'].replace('mailto:', '')}."


def _shown(
    policy: Policy, state: State, said: str, evidence: str, fix: str = ""
) -> Finding:
    record = DnsRecord(
        "TXT", f"_dmarc.{policy.domain}", policy.text, policy.text, state
    )
    return Finding(state, said, evidence, fix, (record,))
