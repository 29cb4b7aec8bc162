"""Looks names up in DNS, and tells what is missing from what could not be looked up."""

import ipaddress
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from django.conf import settings

# For one look-up, however many servers are asked.
LIFETIME_SECONDS = 3.0
PORT = 53
LONGEST_TEXT = 1_000  # characters


class DnsError(Exception):
    """It could not be looked up; the text says why, as a sentence."""


@dataclass(frozen=True)
class Mx:
    """Where mail for a name goes."""

    preference: int
    host: str

    def __str__(self) -> str:
        return f"{self.preference} {self.host}"


class Dns:
    """Look-ups of one look at the checklist. Every one of them may raise DnsError."""

    def __init__(self) -> None:
        self._resolver: dns.resolver.Resolver | None = None

    def cname(self, name: str) -> str:
        """Return what the name is an alias of, "" when it is none."""
        found = self._look_up(name, "CNAME")
        return _plain(found[0].target) if found else ""

    def mx(self, name: str) -> list[Mx]:
        """Return where mail for the name goes, the first choice first."""
        found = self._look_up(name, "MX")
        return sorted(
            (Mx(entry.preference, _plain(entry.exchange)) for entry in found),
            key=lambda entry: (entry.preference, entry.host),
        )

    def txt(self, name: str) -> list[str]:
        """Return the texts of the name; the pieces of one are put together."""
        return [
            _storable(b"".join(entry.strings).decode(errors="replace"))
            for entry in self._look_up(name, "TXT")
        ]

    def addresses(self, name: str) -> list[str]:
        """Return the IP addresses of the name."""
        found = [*self._look_up(name, "A"), *self._look_up(name, "AAAA")]
        return [str(entry.address) for entry in found]

    def _look_up(self, name: str, kind: str) -> list[Any]:
        """Return the records of one kind; [] when there is no such name or record."""
        try:
            answer = self._open().resolve(
                name, kind, search=False, lifetime=LIFETIME_SECONDS
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            raise DnsError(f"No DNS server answered about {name} in time.") from None
        except dns.resolver.NoNameservers:
            raise DnsError(
                f"The DNS servers could not say anything about {name} (SERVFAIL)."
            ) from None
        except (dns.resolver.NoResolverConfiguration, OSError):
            raise DnsError("This server knows no DNS server that it can ask.") from None
        except (dns.exception.DNSException, UnicodeError) as error:
            raise DnsError(
                f"{name} can't be looked up ({type(error).__name__})."
            ) from None
        # An alias is followed: what stands at its end counts.
        return list(answer)

    def _open(self) -> dns.resolver.Resolver:
        if self._resolver is None:
            servers = [_server(text) for text in settings.DNS_SERVERS]
            resolver = dns.resolver.Resolver(configure=not servers)
            if servers:
                resolver.nameservers = servers
            self._resolver = resolver
        return self._resolver


def _server(text: str) -> dns.nameserver.Do53Nameserver:
    """Return the server that "127.0.0.1:5300", "1.1.1.1" or "[::1]:53" names."""
    host, port = text.strip(), PORT
    try:
        if not _is_address(host):
            host, _, port_text = host.rpartition(":")
            host, port = host.strip("[]"), int(port_text)
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host)), port)
    except ValueError:
        raise DnsError(
            f"DNS_SERVERS names “{text}”, which is no IP address with a port."
        ) from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _storable(text: str) -> str:
    """Return what can be kept and shown: anybody can put anything into his DNS."""
    return text.replace("\0", "")[:LONGEST_TEXT]


def _plain(name: dns.name.Name) -> str:
    return str(name).rstrip(".").lower()
