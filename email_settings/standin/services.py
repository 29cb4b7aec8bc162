"""Which services the stand-in plays, and how each is spoken to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from email_settings.standin import iam, protocol, sns, sqs, sts
from email_settings.standin.asking import Ask, Operation
from email_settings.standin.protocol import Reply, Request
from email_settings.standin.refused import RefusedError
from email_settings.standin.ses import (
    account,
    identities,
    sending,
    sets,
    suppression,
)
from email_settings.standin.signature import Words, unknown_key

Reader = Callable[[str, Request], tuple[str, dict[str, Any]]]
Writer = Callable[[str, str, Mapping[str, Any]], Reply]
SES = "ses"
SENDS = frozenset({"SendEmail"})
_QUERY_WORDS = Words(
    unknown_key="InvalidClientTokenId",
    wrong_signature="SignatureDoesNotMatch",
    expired="ExpiredToken",
)


@dataclass(frozen=True)
class Service:
    """One service: its model in the SDK, its protocol and its operations."""

    model: str
    read: Reader
    write: Writer
    refuse: Callable[[RefusedError], Reply]
    operations: Mapping[str, Operation]
    words: Words = _QUERY_WORDS
    unknown_operation: str = "InvalidAction"

    def find(self, name: str) -> Operation:
        """Return the operation. Raises RefusedError."""
        if name not in self.operations:
            words = f"Could not find operation {name}"
            raise RefusedError(self.unknown_operation, words, 404)
        return self.operations[name]


def _query(model: str, operations: Mapping[str, Operation]) -> Service:
    return Service(
        model,
        protocol.read_query,
        protocol.write_query,
        protocol.refuse_query,
        operations,
    )


# By the name that a signature is for
SERVICES: dict[str, Service] = {
    SES: Service(
        "sesv2",
        protocol.read_rest_json,
        protocol.write_json,
        protocol.refuse_json,
        {
            **account.OPERATIONS,
            **identities.OPERATIONS,
            **sending.OPERATIONS,
            **sets.OPERATIONS,
            **suppression.OPERATIONS,
        },
        words=Words(
            unknown_key="UnrecognizedClientException",
            wrong_signature="InvalidSignatureException",
            expired="ExpiredTokenException",
        ),
        unknown_operation="UnknownOperationException",
    ),
    "sqs": Service(
        "sqs",
        protocol.read_json,
        protocol.write_json,
        protocol.refuse_query_compatible,
        sqs.OPERATIONS,
    ),
    "iam": _query("iam", iam.OPERATIONS),
    "sns": _query("sns", sns.OPERATIONS),
    "sts": _query("sts", sts.OPERATIONS),
}


def call(service: Service, name: str, ask: Ask) -> dict[str, Any]:
    """Do what is asked, under the rule of SES for all but sends. Raises RefusedError."""
    if ask.signer.service not in SERVICES:
        raise RefusedError("UnknownOperationException", "", 404)
    if ask.signer.service != "iam" and not ask.region.is_enabled:
        # The very words for a key that is unknown: AWS does not tell them apart.
        raise unknown_key(service.words)
    operation = service.find(name)
    if service.model == "sesv2":
        if name not in SENDS:
            _take_turn(ask)
        ask.account.look_at_dns(ask.region)
    return operation(ask)


def _take_turn(ask: Ask) -> None:
    """Let one call a second through, as SES does for all but sends.

    https://docs.aws.amazon.com/ses/latest/dg/quotas.html
    """
    if not ask.account.one_call_a_second:
        return
    now, last = ask.account.now(), ask.region.last_turn
    if last is not None and (now - last).total_seconds() < 1:
        raise RefusedError("TooManyRequestsException", "Rate exceeded", 429)
    ask.region.last_turn = now
