"""Checks the signature of a request, as AWS does: Signature Version 4.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from email_settings.standin.account import Account, Key
from email_settings.standin.protocol import Request
from email_settings.standin.refused import RefusedError

LEEWAY = timedelta(minutes=5)
STAMP = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/"
    r"(?P<service>[^/]+)/aws4_request, *SignedHeaders=(?P<headers>[^,]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Signer:
    """Who signed a request, and for which region and service."""

    key: Key
    region: str
    service: str


@dataclass(frozen=True)
class Words:
    """How a service calls what is wrong with a signature."""

    unknown_key: str
    wrong_signature: str
    expired: str


def service_of(request: Request) -> str:
    """Return the name of the service that a request is signed for, "" when it is not."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    return found["service"] if found else ""


def check_signature(request: Request, account: Account, words: Words) -> Signer:
    """Return who signed the request. Raises RefusedError with the words of AWS."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise RefusedError(
            "MissingAuthenticationTokenException", "Missing Authentication Token", 403
        )
    key = _key(account, found["key"], words)
    _check_clock(request, account, words)
    if not account.takes_any_key:
        expected = _signature(request, key, found)
        if not hmac.compare_digest(expected, found["signature"]):
            raise RefusedError(
                words.wrong_signature,
                "The request signature we calculated does not match the signature you "
                "provided. Check your AWS Secret Access Key and signing method. Consult "
                "the service documentation for details.",
                403,
            )
    _check_session(request, account, key, words)
    key.last_used = (account.now(), found["service"], found["region"])
    return Signer(key, found["region"], found["service"])


def unknown_key(words: Words) -> RefusedError:
    """Return what AWS says of a key that it, or a region of it, does not know."""
    said = "The security token included in the request is invalid."
    return RefusedError(words.unknown_key, said, 403)


def _key(account: Account, access_key_id: str, words: Words) -> Key:
    key = account.keys.get(access_key_id)
    if key is None and account.takes_any_key:
        key = account.add_key(access_key_id, "")
    # AWS does not tell an inactive key from one that it never knew.
    if key is None or not key.is_active:
        raise unknown_key(words)
    if key.works_from and account.now() < key.works_from:
        raise unknown_key(words)
    return key


def _check_session(request: Request, account: Account, key: Key, words: Words) -> None:
    given = request.headers.get("x-amz-security-token", "")
    if not hmac.compare_digest(given, key.session_token):
        raise unknown_key(words)
    if key.expires_at and key.expires_at <= account.now():
        raise RefusedError(
            words.expired,
            "The security token included in the request is expired",
            403,
        )


def _check_clock(request: Request, account: Account, words: Words) -> None:
    stamp = request.headers.get("x-amz-date", "")
    signed_at = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    now = account.now()
    code = words.wrong_signature
    if signed_at < now - LEEWAY:
        said = (
            f"Signature expired: {stamp} is now earlier than "
            f"{(now - LEEWAY).strftime(STAMP)} ({now.strftime(STAMP)} - 5 min.)"
        )
        raise RefusedError(code, said, 403)
    if signed_at > now + LEEWAY:
        said = (
            f"Signature not yet current: {stamp} is still later than "
            f"{(now + LEEWAY).strftime(STAMP)} ({now.strftime(STAMP)} + 5 min.)"
        )
        raise RefusedError(code, said, 403)


def _signature(request: Request, key: Key, found: re.Match[str]) -> str:
    """Sign the request anew with the SDK's own signer and the secret of the key."""
    names = found["headers"].split(";")
    again = AWSRequest(
        method=request.method,
        url=f"http://{request.headers['host']}{request.target}",
        headers={name: request.headers.get(name, "") for name in names},
        data=request.body,
    )
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(
        Credentials(key.access_key_id, key.secret), found["service"], found["region"]
    )
    canonical = signer.canonical_request(again)
    return str(signer.signature(signer.string_to_sign(again, canonical), again))
