"""A stand-in for AWS and DNS that is wholly set up, until a test breaks something."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from pytest_django import Settings

from email_settings.gateway import turns
from email_settings.gateway.reader import Reader
from email_settings.models import ReadinessLine, SesSettings
from email_settings.readiness.dns import Dns
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.lines import BY_KEY
from email_settings.readiness.look import Look
from email_settings.standin.account import (
    Account,
    Identity,
    Key,
    MailFrom,
    Region,
)
from email_settings.standin.dns import answering
from email_settings.standin.server import running
from email_settings.standin.zone import Zone
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET

HERE, DOMAIN = "eu-west-1", "larkfield.example"
FROM = f"help@{DOMAIN}"


@dataclass
class LiveAccount:
    """The account behind the stand-in, and one look at a time at a line."""

    account: Account
    url: str
    dns_address: str

    @property
    def region(self) -> Region:
        return self.account.region(HERE)

    @property
    def key(self) -> Key:
        return self.account.keys[ACCESS_KEY_ID]

    @property
    def zone(self) -> Zone:
        return self.account.zone

    @property
    def domain(self) -> Identity:
        return self.region.identities[DOMAIN]

    def publish(self) -> None:
        """Put into DNS what the domain wants, and a policy for it."""
        for name, kind, value in self.account.records_for(self.region, self.domain):
            self.zone.put(name, kind, value)
        self.zone.put(f"_dmarc.{DOMAIN}", "TXT", f"v=DMARC1; p=none; rua=mailto:{FROM}")

    def replace(self, name: str, *, is_verified: bool = True) -> Identity:
        """Let this be the only identity in the region."""
        self.region.identities.clear()
        identity = Identity(name, is_verified=is_verified)
        self.region.identities[name] = identity
        return identity

    def look(self, key: str, lines: Mapping[str, State] | None = None) -> Finding:
        """Look at one line, the others being in these states."""
        others = {
            name: Finding(state, state.label, "")
            for name, state in (lines or {}).items()
        }
        return self.look_beside(key, others)

    def look_beside(self, key: str, others: Mapping[str, Finding]) -> Finding:
        """Look at one line when this was found of others."""
        sender = SesSettings.load()
        rows = {
            name: ReadinessLine(
                key=name,
                state=other.state,
                said=other.said,
                evidence=other.evidence,
                settings_version=sender.version,
            )
            for name, other in others.items()
        }
        look = Look(sender, Reader(sender), Dns(), rows)
        return BY_KEY[key].check(look)

    def asked(self, action: str) -> int:
        """How often something like "ses:GetAccount" was asked, in all regions."""
        return len(self.account.calls_of(action))


@contextmanager
def live_account(
    settings: Settings, patch: pytest.MonkeyPatch
) -> Iterator[LiveAccount]:
    """Run AWS and DNS until the block ends; no question waits for its second."""
    patch.setattr(turns, "APART", turns.APART * 0)
    account = Account()
    account.add_key(ACCESS_KEY_ID, SECRET)
    account.region(HERE).identities[DOMAIN] = Identity(
        DOMAIN, mail_from=MailFrom(f"mail.{DOMAIN}")
    )
    with running(account) as server, answering(account) as name_server:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        settings.DNS_SERVERS = [name_server.address]
        live = LiveAccount(account, server.url, name_server.address)
        live.publish()
        yield live
