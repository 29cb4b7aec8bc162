"""Which calls are made, in which order, and what each is to tell."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from email_settings.credentials import Credentials, Secret
from email_settings.gateway.field import Caller, Reply

# Regions that are off in an account until somebody switches them on
# (https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html)
_OFF_AT_FIRST = ("af-south-1", "eu-south-1", "me-south-1")
_WITHOUT_SES = "ap-east-1"
SIMULATOR = "simulator.amazonses.com"
NO_SUCH_SET = "ticketflow-ses-no-such-set"
# RFC 2606: nobody's, and never anybody's
NOBODY = "nobody@ticketflow-field-check.example"


@dataclass(frozen=True)
class Probe:
    """One call."""

    name: str
    asks: str  # what it is to tell, in a sentence
    call: Callable[[], Reply]
    is_send: bool = False
    # Only while the account is in the sandbox, where AWS refuses it
    is_for_sandbox: bool = False


def probes(
    credentials: Credentials,
    *,
    from_email: str,
    configuration_set: str,
    inactive_key: tuple[str, Secret] | None = None,
) -> Iterator[Probe]:
    """Yield all calls, the harmless first."""
    caller = Caller(credentials)
    domain = from_email.rpartition("@")[2]
    yield Probe("who", "The credentials are right.", caller.sts)
    yield Probe("account", "What GetAccount says.", lambda: caller.ses("get_account"))
    yield Probe(
        "sender",
        "How a sender that is verified by itself, or not at all, is told.",
        lambda: caller.ses("get_email_identity", EmailIdentity=from_email),
    )
    yield Probe(
        "domain",
        "What is told of a domain: DKIM, MAIL FROM.",
        lambda: caller.ses("get_email_identity", EmailIdentity=domain),
    )
    yield Probe(
        "missing set",
        "The words for a configuration set that is not there.",
        lambda: caller.ses("get_configuration_set", ConfigurationSetName=NO_SUCH_SET),
    )
    if configuration_set:
        yield Probe(
            "event destinations",
            "How the destinations of the set are told.",
            lambda: caller.ses(
                "get_configuration_set_event_destinations",
                ConfigurationSetName=configuration_set,
            ),
        )
    yield Probe(
        "suppression list",
        "Whether the key may read it.",
        lambda: caller.ses("list_suppressed_destinations", PageSize=1),
    )
    yield Probe(
        "not suppressed",
        "The words for an address that is not on the list.",
        lambda: caller.ses("get_suppressed_destination", EmailAddress=NOBODY),
    )
    yield from _wrong_keys(caller, credentials, inactive_key)
    for region in _OFF_AT_FIRST:
        if region != credentials.region:
            yield Probe(
                f"region {region}",
                "The words where a region is not switched on (or that it is).",
                lambda region=region: caller.ses("get_account", region=region),  # type: ignore[misc]
            )
            break
    yield Probe(
        "region without SES",
        "What happens where there is no Amazon SES.",
        lambda: caller.ses("get_account", region=_WITHOUT_SES),
    )
    yield from _sends(caller, from_email, configuration_set)


def _wrong_keys(
    caller: Caller, credentials: Credentials, inactive_key: tuple[str, Secret] | None
) -> Iterator[Probe]:
    if credentials.access_key_id:
        wrong = caller.with_secret(Secret(secrets.token_urlsafe(30)))
        yield Probe(
            "wrong secret",
            "The words for a secret that does not belong to the key.",
            lambda: wrong.ses("get_account"),
        )
    made_up = "AKIA" + "".join(
        secrets.choice("ABCDEFGHIJKLMNOP234567") for _ in "x" * 16
    )
    unknown = caller.with_key(made_up, Secret(secrets.token_urlsafe(30)))
    yield Probe(
        "unknown key",
        "The words for a key that does not exist.",
        lambda: unknown.ses("get_account"),
    )
    if inactive_key:
        inactive = caller.with_key(*inactive_key)
        yield Probe(
            "inactive key",
            "Whether a key that is set to Inactive is told from one that is unknown.",
            lambda: inactive.ses("get_account"),
        )


def _sends(caller: Caller, from_email: str, configuration_set: str) -> Iterator[Probe]:
    simulator = f"success@{SIMULATOR}"
    yield Probe(
        "send",
        "Sending without a configuration set.",
        lambda: caller.send(sender=from_email, recipient=simulator),
        is_send=True,
    )
    if configuration_set:
        yield Probe(
            "send with the set",
            "Whether AWS asks for a right to the set, and on which resource.",
            lambda: caller.send(
                sender=from_email,
                recipient=simulator,
                configuration_set=configuration_set,
            ),
            is_send=True,
        )
    yield Probe(
        "send with a missing set",
        "The words for a send with a set that is not there.",
        lambda: caller.send(
            sender=from_email, recipient=simulator, configuration_set=NO_SUCH_SET
        ),
        is_send=True,
    )
    yield Probe(
        "send as a stranger",
        "The words for a sender that is not verified, or not allowed to the key.",
        lambda: caller.send(sender=NOBODY, recipient=simulator),
        is_send=True,
    )
    yield Probe(
        "send to no address",
        "The words for a recipient that is no address.",
        lambda: caller.send(sender=from_email, recipient="no-address"),
        is_send=True,
    )
    yield Probe(
        "send to a stranger",
        "The words for a recipient that is not verified, in the sandbox.",
        lambda: caller.send(sender=from_email, recipient=NOBODY),
        is_send=True,
        is_for_sandbox=True,
    )
