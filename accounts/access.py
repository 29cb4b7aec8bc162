"""Who acts, and whom or what they may change."""

from collections.abc import Iterable

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils import timezone

from accounts.models import Invitation, User


def signed_in(request: HttpRequest) -> User:
    """Return who makes the request, typed. Raises PermissionDenied for nobody."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def require_admin(actor: User) -> None:
    """Raise PermissionDenied unless the actor is an admin who may still sign in."""
    if not (actor.is_admin and actor.is_active):
        raise PermissionDenied


def get_person(actor: User, user_id: int) -> User:
    """Return any person, for an admin to look at."""
    require_admin(actor)
    try:
        return User.objects.get(pk=user_id)
    except User.DoesNotExist:
        raise Http404 from None


def get_person_to_manage(actor: User, user_id: int) -> User:
    """Return the person, locked until the transaction ends, together with all admins.

    Two changes that could each take away one of the last two admins wait for each other.
    """
    get_person(actor, user_id)
    admins = User.objects.admins().values_list("pk", flat=True)
    locked = User.objects.select_for_update().filter(pk__in={user_id, *admins})
    people = {person.pk: person for person in locked.order_by("pk")}
    return people[user_id]


def get_invitation(actor: User, invitation_id: int) -> Invitation:
    """Return any invitation, for an admin to look at."""
    require_admin(actor)
    try:
        return Invitation.objects.get(pk=invitation_id)
    except Invitation.DoesNotExist:
        raise Http404 from None


def get_invitation_to_manage(actor: User, invitation_id: int) -> Invitation:
    """Return the invitation, locked until the transaction ends."""
    require_admin(actor)
    try:
        return Invitation.objects.select_for_update().get(pk=invitation_id)
    except Invitation.DoesNotExist:
        raise Http404 from None


def why_not_invited(emails: Iterable[str]) -> dict[str, str]:
    """Return address → why it needs no new invitation; addresses that do are absent."""
    addresses = set(emails)
    reasons = dict.fromkeys(
        Invitation.objects.valid_at(timezone.now())
        .filter(email__in=addresses)
        .values_list("email", flat=True),
        "is invited already and the link still works",
    )
    for person in User.objects.filter(email__in=addresses):
        reasons[person.email] = (
            "has an account already"
            if person.is_active
            else "has an account that is deactivated; reactivate it instead"
        )
    return reasons
