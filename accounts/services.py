"""Every change to people and invitations: rows, history and mail, or nothing."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts import access, invitations, reach, roles
from accounts.errors import (
    AlreadySetUpError,
    InvitationClosedError,
    LastAdminError,
    NoMailError,
    OwnAccountError,
    TooManyAddressesError,
)
from accounts.models import (
    INVITATION_LIFETIME,
    AuditEntry,
    EmailChange,
    Invitation,
    Role,
    User,
    new_nonce,
)
from accounts.tokens import void_mailed_links
from email_settings import outbox
from email_settings.models import Brand, Lane, OutboxMessage
from email_settings.void_links import void_links

MOST_AT_ONCE = 50  # addresses in one go
RECENT = 10  # entries on the overview

# Out-of-office replies to these mails would help nobody (RFC 3834).
AUTOMATIC_HEADERS = {
    "Auto-Submitted": "auto-generated",
    "X-Auto-Response-Suppress": "All",
}
_BRAND_ID = 1
NEVER = datetime.min.replace(tzinfo=UTC)


@sensitive_variables("password")
@transaction.atomic
def set_up(
    *, email: str, name: str, password: str, company_name: str, time_zone: str = "UTC"
) -> User:
    """Make the company and its first admin.

    Raises AlreadySetUpError when there is a user already.
    """
    brand, _ = Brand.objects.select_for_update().get_or_create(pk=_BRAND_ID)
    # The row's lock makes the second of two racers wait here for the first one's commit.
    if User.objects.exists():
        raise AlreadySetUpError("This help desk is set up already. Sign in instead.")
    brand.company_name = company_name
    brand.save(update_fields=["company_name"])
    admin = User.objects.create_user(
        email, password, name=name, role=Role.ADMIN, time_zone=time_zone
    )
    audit(admin, "set up the help desk for", admin.email)
    return admin


@transaction.atomic
def invite_users(
    *, actor: User, emails: Sequence[str], role: str, note: str = ""
) -> list[Invitation]:
    """Invite each address that has neither an account nor a link that works.

    Returns the invitations that were made or renewed; access.why_not_invited explains
    the others. One mail each. Raises TooManyAddressesError above MOST_AT_ONCE.
    """
    access.require_admin(actor)
    addresses = list(dict.fromkeys(email.strip().lower() for email in emails))
    if len(addresses) > MOST_AT_ONCE:
        raise TooManyAddressesError(
            f"That is {len(addresses)} addresses. Invite up to {MOST_AT_ONCE} at once."
        )
    has_account = set(
        User.objects.filter(email__in=addresses).values_list("email", flat=True)
    )
    made = []
    for email in addresses:
        if email in has_account:
            continue
        invitation = _open_invitation(actor, email=email, role=role, note=note)
        if invitation:
            _mail_invitation(invitation)
            audit(actor, "invited", email, f"as {roles.card(role)}")
            made.append(invitation)
    return made


@transaction.atomic
def resend_invitation(*, actor: User, invitation_id: int) -> Invitation:
    """Make a new link, void the old one, and mail it.

    Raises InvitationClosedError when the invitation was accepted or revoked, and
    NoMailError when the mail would not leave and the link of now works.
    """
    invitation = access.get_invitation_to_manage(actor, invitation_id)
    _refuse_closed(invitation)
    _refuse_useless(invitation)
    invitation.nonce = new_nonce()
    invitation.expires_at = timezone.now() + INVITATION_LIFETIME
    invitation.save(update_fields=["nonce", "expires_at"])
    _mail_invitation(invitation)
    audit(actor, "sent a new invitation to", invitation.email)
    return invitation


@transaction.atomic
def revoke_invitation(*, actor: User, invitation_id: int) -> Invitation:
    """Void the link for good.

    Raises InvitationClosedError when the invitation was accepted or revoked.
    """
    invitation = access.get_invitation_to_manage(actor, invitation_id)
    _refuse_closed(invitation)
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    _call_back_mail(invitation)
    audit(actor, "revoked the invitation of", invitation.email)
    return invitation


@sensitive_variables("password")
@transaction.atomic
def accept_invitation(
    *, token: str, name: str, password: str, time_zone: str = "UTC"
) -> User:
    """Make the invited person's account; of two that try at once, one succeeds.

    Raises InvitationClosedError for a token that opens nothing (any more).
    """
    invitation = invitations.find(token)
    if invitation is None:
        raise InvitationClosedError("This link does not work. Use the newest one.")
    now = timezone.now()
    # The conditional UPDATE decides the race; the nonce, one against a resend.
    is_ours = (
        Invitation.objects.valid_at(now)
        .filter(pk=invitation.pk, nonce=invitation.nonce)
        .update(accepted_at=now)
    )
    if not is_ours:
        raise InvitationClosedError("This invitation can no longer be used.")
    if User.objects.filter(email=invitation.email).exists():
        raise InvitationClosedError(
            "There is an account with this address already. Sign in instead."
        )
    person = User.objects.create_user(
        invitation.email,
        password,
        name=name,
        role=invitation.role,
        time_zone=time_zone,
    )
    Invitation.objects.filter(pk=invitation.pk).update(accepted_by=person)
    _call_back_mail(invitation)
    audit(person, "accepted the invitation for", person.email)
    return person


@transaction.atomic
def change_role(*, actor: User, user_id: int, role: str) -> User:
    """Give the person another role and end their sessions.

    Raises LastAdminError when nobody would be left to run the help desk.
    """
    person = access.get_person_to_manage(actor, user_id)
    if person.role == role:
        return person
    if person.is_admin and person.is_active:
        _refuse_last_admin(person)
    old, new = roles.card(person.role), roles.card(role)
    person.role = Role(role)
    end_sessions(person)
    person.save(update_fields=["role", "session_epoch"])
    audit(actor, "changed the role of", person.email, f"from {old} to {new}")
    return person


@transaction.atomic
def deactivate_user(*, actor: User, user_id: int) -> User:
    """Keep the person out, now and until reactivated; what they did stays.

    Raises OwnAccountError for oneself and LastAdminError for the last admin.
    """
    person = access.get_person_to_manage(actor, user_id)
    if not person.is_active:
        return person
    if person.pk == actor.pk:
        raise OwnAccountError(
            "You cannot deactivate yourself. Ask another admin to do it."
        )
    if person.is_admin:
        _refuse_last_admin(person)
    person.is_active = False
    end_sessions(person)
    person.save(update_fields=["is_active", "session_epoch"])
    audit(actor, "deactivated", person.email)
    return person


@transaction.atomic
def reactivate_user(*, actor: User, user_id: int) -> User:
    """Let the person sign in again, with the password they had."""
    person = access.get_person_to_manage(actor, user_id)
    if person.is_active:
        return person
    person.is_active = True
    person.save(update_fields=["is_active"])
    audit(actor, "reactivated", person.email)
    return person


@transaction.atomic
def change_profile(*, actor: User, name: str, time_zone: str, theme: str) -> None:
    """Save how the person is called, which clock they read, and light or dark."""
    actor.name = name
    actor.time_zone = time_zone
    actor.theme = User.Theme(theme)
    actor.save(update_fields=["name", "time_zone", "theme"])


def recent_audit(limit: int = RECENT) -> list[AuditEntry]:
    """Return what was done to people and invitations, newest first."""
    entries = AuditEntry.objects.select_related("actor")
    return list(entries.order_by("-created_at", "-pk")[:limit])


def history_of(person: User) -> Iterable[AuditEntry]:
    """Return what was done to the person, from the invitation on, newest first.

    At each address for as long as it was theirs. Three queries.
    """
    about = Q(target=person.email, created_at__gt=_since(person))
    for change in person.email_changes.filter(confirmed_at__isnull=False):
        about |= Q(target=change.old_email, created_at__lte=change.confirmed_at)
    entries = AuditEntry.objects.select_related("actor").filter(about)
    return entries.order_by("-created_at", "-pk")[:100]


def _since(person: User) -> datetime:
    """Return since when nobody else has the person's address."""
    left = EmailChange.objects.filter(old_email=person.email).exclude(person=person)
    return left.aggregate(at=Max("confirmed_at"))["at"] or NEVER


def _open_invitation(
    actor: User, *, email: str, role: str, note: str
) -> Invitation | None:
    """Return a new or renewed invitation, None if a working link is out there."""
    now = timezone.now()
    terms = {
        "role": Role(role),
        "note": note,
        "invited_by": actor,
        "created_at": now,
        "expires_at": now + INVITATION_LIFETIME,
    }
    expired = (
        Invitation.objects.pending()
        .select_for_update()
        .filter(email=email, expires_at__lte=now)
        .first()
    )
    if expired:
        for field, value in {**terms, "nonce": new_nonce()}.items():
            setattr(expired, field, value)
        expired.save(update_fields=[*terms, "nonce"])
        return expired
    try:
        with transaction.atomic():
            return Invitation.objects.create(email=email, **terms)
    except IntegrityError:
        return None  # open already, perhaps by another admin in this very moment


def _mail_invitation(invitation: Invitation) -> None:
    """Mail the link; an earlier mail, whose link is void now, is called back."""
    _call_back_mail(invitation)
    invitation.outbox_message = outbox.enqueue(
        kind="invitation",
        template="accounts/mail/invitation",
        context={
            "invitation": invitation,
            "inviter": invitation.invited_by,
            "role": roles.card(invitation.role),
            "url": invitations.link_for(invitation),
        },
        recipient=invitation.email,
        lane=Lane.SECURITY,
        headers=AUTOMATIC_HEADERS,
        is_secret=True,
        about_label="User Management",
        about_path="/admin-panel/users/",
    )
    invitation.save(update_fields=["outbox_message"])


def _call_back_mail(invitation: Invitation) -> None:
    """Let no mail leave any more whose link opens nothing."""
    if mail := invitation.outbox_message:
        void_links(OutboxMessage.objects.filter(pk=mail.pk))


def _refuse_closed(invitation: Invitation) -> None:
    if invitation.accepted_at:
        raise InvitationClosedError(
            f"{invitation.email} has accepted this invitation in the meantime."
        )
    if invitation.revoked_at:
        raise InvitationClosedError(
            f"The invitation of {invitation.email} was revoked in the meantime. "
            "Invite them again."
        )


def _refuse_useless(invitation: Invitation) -> None:
    """A link that somebody may have been given is not voided for a mail that stays here."""
    is_open = invitation.state == Invitation.State.OPEN
    standing = reach.barred_of([invitation.email]).get(invitation.email)
    if is_open and standing:
        raise NoMailError(
            f"Not sent again: {invitation.email} gets no mail. {standing.title} The "
            "invitation’s link still works: hand it over with Copy link, or release "
            "the address first."
        )


def _refuse_last_admin(person: User) -> None:
    """The caller holds the locks of all admins (access.get_person_to_manage)."""
    if not User.objects.active().admins().exclude(pk=person.pk).exists():
        raise LastAdminError(
            f"{person} is the only admin. Make somebody else an admin first."
        )


def end_sessions(person: User) -> None:
    """End every session of the person once they are saved, and void the links they have."""
    person.session_epoch = F("session_epoch") + 1
    void_mailed_links(person)


def audit(actor: User, action: str, target: str, details: str = "") -> None:
    """Keep what somebody did; it reads as a sentence."""
    AuditEntry.objects.create(
        actor=actor, action=action, target=target, details=details[:254]
    )
