"""Which identities of Amazon SES stand for a From address, and what they say."""

from collections.abc import Iterator
from dataclasses import dataclass

from email_settings.gateway.errors import SendError
from email_settings.gateway.reader import Answer
from email_settings.readiness.look import Look


def domain_of(address: str) -> str:
    """Return the domain as DNS and SES know it: small letters, no umlauts."""
    domain = address.rpartition("@")[2].strip().lower().rstrip(".")
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


def with_parents(domain: str) -> Iterator[str]:
    """Yield the domain and each domain above it that somebody can own.

    Which those are only the list of public suffixes tells: here it is every name of two
    labels or more, so that "co.uk" is asked about, too, and nothing is found there.
    """
    labels = domain.split(".")
    for start in range(max(len(labels) - 1, 1)):
        yield ".".join(labels[start:])


@dataclass(frozen=True)
class Identity:
    """An address or a domain that SES knows in this region."""

    name: str
    answer: Answer

    @property
    def is_verified(self) -> bool:
        return bool(self.answer.get("VerifiedForSendingStatus"))

    @property
    def is_address(self) -> bool:
        return "@" in self.name


@dataclass(frozen=True)
class Identities:
    """Those that stand for a From address, the most specific first."""

    found: tuple[Identity, ...]
    denied: SendError | None = None  # the first question that was not allowed

    @property
    def verified(self) -> Identity | None:
        """The one whose settings mail is sent with, None when mail is refused."""
        return next((each for each in self.found if each.is_verified), None)

    @property
    def domain(self) -> Identity | None:
        """The domain that counts: the nearest to the address, verified before others."""
        domains = [each for each in self.found if not each.is_address]
        verified = next((each for each in domains if each.is_verified), None)
        return verified or next(iter(domains), None)


def look_for_identities(look: Look) -> Identities:
    """Ask SES about the address, its domain and each parent domain, until one is verified.

    Raises SendError when AWS can't be asked. That a question is not allowed is no end: a
    policy may allow it for the domain alone.
    """
    address = look.sender.from_email
    local = address.rpartition("@")[0]
    domain = domain_of(address)
    found: list[Identity] = []
    denied: SendError | None = None
    for name in (f"{local}@{domain}", *with_parents(domain)):
        try:
            answer = look.aws.identity(name)
        except SendError as error:
            if error.problem.code != "access_denied":
                raise
            denied = denied or error
            continue
        if answer is None:
            continue
        found.append(Identity(name, answer))
        # An address alone says nothing of DKIM; its domain may.
        if "@" not in name and found[-1].is_verified:
            break
    return Identities(tuple(found), denied)
