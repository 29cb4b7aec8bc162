"""Plain functions that make what the tests need."""

from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from accounts import services
from accounts.invitations import link_for
from accounts.models import Invitation, Role, User

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple moon river"


def invite(
    admin: User, email: str = "ines@larkfield.example", role: str = Role.REQUESTER
) -> Invitation:
    return services.invite_users(actor=admin, emails=[email], role=role, note="")[0]


def expire(invitation: Invitation) -> Invitation:
    invitation.expires_at = timezone.now() - timedelta(minutes=1)
    invitation.save(update_fields=["expires_at"])
    return invitation


def path_of(invitation: Invitation) -> str:
    """The link without its host, as the test client wants it."""
    return "/" + link_for(invitation).split("/", 3)[3]


def token_of(invitation: Invitation) -> str:
    return path_of(invitation).split("/")[2]


def accept_data(**changes: str) -> dict[str, str]:
    return {
        "name": "Ines Duarte",
        "password": NEW_PASSWORD,
        "time_zone": "Europe/Lisbon",
        **changes,
    }


def emails_of(invitations: Sequence[Invitation]) -> list[str]:
    return [invitation.email for invitation in invitations]
