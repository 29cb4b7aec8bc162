"""Tokens that are computed from a row and the secret key: `<row id>.<signature>`."""

import base64

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

_LONGEST_ID = 18  # digits; a longer number fits into no database column


def token_for(salt: str, number: int, value: str) -> str:
    """Return the token of the row with this id; `value` is what else it is bound to."""
    return _token(salt, number, value, None)


def number_in(token: str) -> int | None:
    """Return the id that a token names; None for any other text."""
    number, dot, _ = token.partition(".")
    if not (dot and number.isascii() and number.isdecimal()):
        return None
    return int(number) if len(number) <= _LONGEST_ID else None


def fits(token: str, salt: str, number: int, value: str) -> bool:
    """Whether the token is of this row, by the secret key of now or a fallback."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    good = [_token(salt, number, value, secret) for secret in secrets]
    found = [constant_time_compare(token, one) for one in good]
    return any(found)


def _token(salt: str, number: int, value: str, secret: str | bytes | None) -> str:
    text = f"{number}:{value}"
    digest = salted_hmac(salt, text, secret=secret, algorithm="sha256").digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{number}.{signature}"
