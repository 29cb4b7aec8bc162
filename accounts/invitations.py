"""The link of an invitation: computed from its row, never stored.

docs/decisions/0004-invitation-links.md says why.
"""

from django.conf import settings
from django.urls import reverse

from accounts import signed_links
from accounts.models import Invitation

_SALT = "accounts.invitation"


def link_for(invitation: Invitation) -> str:
    """Return the whole address that opens the invitation."""
    token = signed_links.token_for(_SALT, invitation.pk, invitation.nonce)
    return f"{settings.SITE_URL}{reverse('accounts:invitation-accept', args=[token])}"


def find(token: str) -> Invitation | None:
    """Return the invitation that the token opens, whatever its state; None for any other text."""
    number = signed_links.number_in(token)
    if number is None:
        return None
    invitation = (
        Invitation.objects.select_related("invited_by").filter(pk=number).first()
    )
    if invitation is None:
        return None
    fits = signed_links.fits(token, _SALT, invitation.pk, invitation.nonce)
    return invitation if fits else None
