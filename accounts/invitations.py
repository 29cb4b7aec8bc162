"""The link of an invitation: computed from its row, never stored.

docs/decisions/0004-invitation-links.md says why.
"""

import base64
from collections.abc import Iterator

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import Invitation

_LONGEST_ID = 18  # digits; a longer number fits into no database column


def link_for(invitation: Invitation) -> str:
    """Return the whole address that opens the invitation."""
    path = reverse("accounts:invitation-accept", args=[_token(invitation, None)])
    return f"{settings.SITE_URL}{path}"


def find(token: str) -> Invitation | None:
    """Return the invitation that the token opens, whatever its state; None for any other text."""
    number, dot, _ = token.partition(".")
    if not (dot and number.isascii() and number.isdecimal()):
        return None
    if len(number) > _LONGEST_ID:
        return None
    invitation = (
        Invitation.objects.select_related("invited_by").filter(pk=int(number)).first()
    )
    if invitation is None:
        return None
    fits = [constant_time_compare(token, good) for good in _good_tokens(invitation)]
    return invitation if any(fits) else None


def _good_tokens(invitation: Invitation) -> Iterator[str]:
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        yield _token(invitation, secret)


def _token(invitation: Invitation, secret: str | bytes | None) -> str:
    digest = salted_hmac(
        "accounts.invitation",
        f"{invitation.pk}:{invitation.nonce}",
        secret=secret,
        algorithm="sha256",
    ).digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{invitation.pk}.{signature}"
