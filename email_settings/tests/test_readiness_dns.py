"""Looking names up: what is missing is told from what could not be looked up."""

from collections.abc import Iterator

import dns.nameserver
import pytest
from pytest_django import Settings

from email_settings.readiness import dns as lookups
from email_settings.readiness.dns import Dns, DnsError, Mx
from email_settings.standin.account import Account
from email_settings.standin.dns import answering
from email_settings.standin.zone import Answer, Zone

NAME = "larkfield.example"


@pytest.fixture
def zone(settings: Settings) -> Iterator[Zone]:
    account = Account()
    with answering(account) as server:
        settings.DNS_SERVERS = [server.address]
        yield account.zone


def test_what_is_there_is_found(zone: Zone) -> None:
    zone.put(f"a.{NAME}", "CNAME", "B.Example.NET")
    zone.put(NAME, "MX", "20 second.example")
    zone.publish(NAME, "MX", "10 first.example")
    zone.put(NAME, "A", "192.0.2.7")
    zone.put(NAME, "AAAA", "2001:db8::7")
    dns = Dns()
    assert dns.cname(f"a.{NAME}") == "b.example.net"
    assert dns.mx(NAME) == [Mx(10, "first.example"), Mx(20, "second.example")]
    assert dns.addresses(NAME) == ["192.0.2.7", "2001:db8::7"]


def test_pieces_of_a_text_are_put_together(zone: Zone) -> None:
    zone.put(NAME, "TXT", "v=spf1 " + "x" * 300)
    assert Dns().txt(NAME) == ["v=spf1 " + "x" * 300]


def test_text_that_no_database_takes_is_made_harmless(zone: Zone) -> None:
    assert lookups._storable("a\0b") == "ab"
    zone.put(NAME, "TXT", "y" * 3000)
    assert len(Dns().txt(NAME)[0]) == lookups.LONGEST_TEXT


@pytest.mark.parametrize("exists", [True, False])
def test_no_such_name_and_no_such_record_are_both_missing(
    zone: Zone,
    exists: bool,  # noqa: FBT001
) -> None:
    if exists:
        zone.put(NAME, "A", "192.0.2.7")
    dns = Dns()
    assert (dns.cname(NAME), dns.mx(NAME), dns.txt(NAME)) == ("", [], [])


@pytest.mark.parametrize(
    ("answer", "says"),
    [(Answer.SILENCE, "in time"), (Answer.SERVER_FAILS, "SERVFAIL")],
)
def test_what_could_not_be_looked_up_is_not_missing(
    zone: Zone, monkeypatch: pytest.MonkeyPatch, answer: Answer, says: str
) -> None:
    monkeypatch.setattr(lookups, "LIFETIME_SECONDS", 0.3)
    zone.broken[NAME] = answer
    with pytest.raises(DnsError, match=says):
        Dns().cname(NAME)


@pytest.mark.parametrize("name", [f"{'a' * 64}.example", "a..example"])
def test_name_that_can_not_be_is_no_crash(zone: Zone, name: str) -> None:
    with pytest.raises(DnsError, match="can't be looked up"):
        Dns().txt(name)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("1.1.1.1", "1.1.1.1", 53),
        ("127.0.0.1:5300", "127.0.0.1", 5300),
        ("2606:4700::1111", "2606:4700::1111", 53),
        ("[2606:4700::1111]:5300", "2606:4700::1111", 5300),
    ],
)
def test_servers_are_named_with_or_without_a_port(
    text: str, address: str, port: int
) -> None:
    server = lookups._server(text)
    assert isinstance(server, dns.nameserver.Do53Nameserver)
    assert (server.address, server.port) == (address, port)


@pytest.mark.parametrize("text", ["dns.example", "1.1.1.1:dns", "", "localhost:53"])
def test_server_that_is_none_is_said(settings: Settings, text: str) -> None:
    settings.DNS_SERVERS = [text]
    with pytest.raises(DnsError, match="DNS_SERVERS names"):
        Dns().cname(NAME)
