"""How a person comes to another e-mail address: by a link to it, or by an admin."""

import hashlib
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import access, reach, signed_links
from accounts.errors import (
    AddressError,
    EmailChangeClosedError,
    OwnAccountError,
    TooManyChangesError,
)
from accounts.models import EmailChange, Invitation, User
from accounts.services import AUTOMATIC_HEADERS, audit, end_sessions
from accounts.tokens import cancel_email_change
from email_settings import outbox
from email_settings.models import Lane, OutboxMessage
from email_settings.status import MailStatus
from email_settings.void_links import void_links

MOST_AN_HOUR = 5  # letters that one person may have sent to addresses of their choice
ASKED, CHANGED = "email_change", "email_changed"  # kinds of mail
_SALT = "accounts.email_change"


@transaction.atomic
def ask(*, actor: User, new_email: str) -> EmailChange:
    """Mail a link to the new address; the person's address changes when it is opened.

    Raises AddressError for one's own address and one that gets no mail, and
    TooManyChangesError. One that somebody has is answered as any other: the mail alone
    differs, and has no link.
    """
    person = User.objects.select_for_update().get(pk=actor.pk)
    new_email = new_email.strip().lower()
    _refuse_same(person, new_email)
    _refuse_barred(new_email)
    _refuse_too_many(person)
    cancel_email_change(person)
    now = timezone.now()
    change = EmailChange.objects.create(
        person=person,
        asked_by=person,
        old_email=person.email,
        new_email=new_email,
        bound_to=fingerprint(person),
        created_at=now,
        expires_at=now + EmailChange.LIFETIME,
    )
    change.outbox_message = _mail_link(change)
    change.save(update_fields=["outbox_message"])
    audit(person, "asked to change the address of", person.email, f"to {new_email}")
    return change


@transaction.atomic
def resend(*, actor: User) -> EmailChange:
    """Mail a new link to the address that the person waits for; the earlier one is void.

    Raises what `ask` raises, and EmailChangeClosedError when there is none.
    """
    change = pending_of(actor)
    if change is None:
        raise EmailChangeClosedError("You wait for no other address any more.")
    return ask(actor=actor, new_email=change.new_email)


@transaction.atomic
def cancel(*, actor: User) -> bool:
    """Keep the address; the link is void. False when there was nothing to cancel."""
    return cancel_email_change(actor)


@transaction.atomic
def confirm(*, token: str) -> EmailChange:
    """Give the person the address that the token was mailed to, and tell the old one.

    Of two that confirm at once, one succeeds. All sessions of the person end. Raises
    EmailChangeClosedError for a token that opens nothing (any more), and AddressError
    when somebody else has the address now.
    """
    found = find(token)
    if found is None:
        raise EmailChangeClosedError("This link does not work. Use the newest one.")
    person = User.objects.select_for_update().get(pk=found.person_id)
    now = timezone.now()
    # The conditional UPDATE decides the race; the nonce, one against a resend.
    is_ours = (
        EmailChange.objects.valid_at(now)
        .filter(pk=found.pk, nonce=found.nonce, old_email=person.email)
        .update(confirmed_at=now)
    )
    if not (is_ours and _is_unchanged(found, person)):
        raise EmailChangeClosedError("This link can no longer be used.")
    void_links(OutboxMessage.objects.filter(pk__in=[found.outbox_message_id]))
    found.confirmed_at = now
    _move(person, found)
    _tell_old(found)
    return found


@transaction.atomic
def change_for(*, actor: User, user_id: int, new_email: str) -> EmailChange:
    """Give a person another address at once, as an admin; both addresses are told.

    Raises AddressError for one that somebody has, and OwnAccountError for oneself while
    mail can confirm it.
    """
    person = access.get_person_to_manage(actor, user_id)
    refuse_for(actor=actor, person=person, new_email=new_email)
    cancel_email_change(person)
    now = timezone.now()
    change = EmailChange.objects.create(
        person=person,
        asked_by=actor,
        old_email=person.email,
        new_email=new_email.strip().lower(),
        bound_to=fingerprint(person),
        created_at=now,
        expires_at=now,
        confirmed_at=now,
    )
    _move(person, change)
    _tell_old(change)
    change.outbox_message = _tell_new(change)
    change.save(update_fields=["outbox_message"])
    return change


def refuse_for(*, actor: User, person: User, new_email: str) -> None:
    """Raise what `change_for` would raise for an admin; nothing is changed."""
    if actor.pk == person.pk and not may_change_own_as_admin():
        raise OwnAccountError(
            "Change your own address on your profile: a link to the new one confirms it."
        )
    new_email = new_email.strip().lower()
    if new_email == person.email:
        raise AddressError(f"{new_email} is the address of {person} already.")
    if other := User.objects.filter(email=new_email).first():
        state = "" if other.is_active else ", deactivated"
        raise AddressError(
            f"{new_email} is the address of another account ({other}{state}). Change "
            "that one first, or choose another address."
        )


def may_change_own_as_admin() -> bool:
    """Whether no link can be mailed just now, so that an admin's word has to do."""
    status = MailStatus()
    return status.is_rehearsal or not status.is_configured


def pending_of(person: User) -> EmailChange | None:
    """Return what the person waits for, expired or not. One query."""
    changes = EmailChange.objects.pending().select_related("outbox_message")
    bodies = ("outbox_message__text_body", "outbox_message__html_body")
    return changes.defer(*bodies).filter(person=person).first()


def is_open(change: EmailChange) -> bool:
    """Whether its link still changes the address."""
    is_theirs = change.person.email == change.old_email
    is_in_time = change.state == EmailChange.State.OPEN
    return is_in_time and is_theirs and _is_unchanged(change, change.person)


def link_for(change: EmailChange) -> str:
    """Return the whole address that confirms the change."""
    token = signed_links.token_for(_SALT, change.pk, _covered(change))
    path = reverse("accounts:email-change-confirm", args=[token])
    return f"{settings.SITE_URL}{path}"


def find(token: str) -> EmailChange | None:
    """Return the change that the token is of, whatever its state; None for any other text."""
    number = signed_links.number_in(token)
    if number is None:
        return None
    changes = EmailChange.objects.select_related("person")
    change = changes.filter(pk=number).first()
    if change is None:
        return None
    fits = signed_links.fits(token, _SALT, change.pk, _covered(change))
    return change if fits else None


def fingerprint(person: User) -> str:
    """Return what a link is bound to: it is another after a new password, role or state."""
    value = f"{person.pk}:{person.session_epoch}:{person.password}:{person.is_active}"
    return hashlib.sha256(value.encode()).hexdigest()


def _covered(change: EmailChange) -> str:
    return ":".join(
        [
            *(str(change.person_id), change.old_email, change.new_email),
            *(change.bound_to, change.nonce),
        ]
    )


def _is_unchanged(change: EmailChange, person: User) -> bool:
    return person.is_active and change.bound_to == fingerprint(person)


def _move(person: User, change: EmailChange) -> None:
    """Change the address and all that hangs on it. The caller has locked the person."""
    # Before the address: whoever accepts the invitation takes the same locks in this order.
    _void_invitations(change)
    end_sessions(person)  # with the old address: links that went there are void
    person.email = change.new_email
    try:
        with transaction.atomic():
            person.save(update_fields=["email", "session_epoch"])
    except IntegrityError:
        raise AddressError(
            f"{change.new_email} belongs to another account by now. Nothing was changed."
        ) from None
    person.refresh_from_db(fields=["session_epoch"])
    change.person = person
    # allauth lets people sign in by these addresses, too.
    EmailAddress.objects.filter(user=person).delete()
    by = change.asked_by or person
    audit(by, "changed the address to", change.new_email, f"from {change.old_email}")


def _void_invitations(change: EmailChange) -> None:
    pending = Invitation.objects.pending().filter(email=change.new_email)
    # The row before its mail, as whoever accepts it does
    if invitation := pending.select_for_update().first():
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        void_links(OutboxMessage.objects.filter(pk__in=[invitation.outbox_message_id]))
        actor = change.asked_by or change.person
        audit(
            actor,
            "voided the invitation of",
            change.new_email,
            "because an account has this address now",
        )


def _mail_link(change: EmailChange) -> OutboxMessage:
    """Mail the link, or to somebody who has an account that it was asked for."""
    is_taken = User.objects.filter(email=change.new_email).exists()
    name = "email_taken" if is_taken else "email_confirm"
    return _mail(
        change,
        ASKED,
        name,
        recipient=change.new_email,
        url=link_for(change),
        is_secret=True,
    )


def _tell_old(change: EmailChange) -> None:
    _mail(change, CHANGED, "email_changed_old", recipient=change.old_email)


def _tell_new(change: EmailChange) -> OutboxMessage:
    url = settings.SITE_URL + reverse("account_login")
    return _mail(
        change, CHANGED, "email_changed_new", recipient=change.new_email, url=url
    )


def _mail(
    change: EmailChange,
    kind: str,
    name: str,
    *,
    recipient: str,
    url: str = "",
    is_secret: bool = False,
) -> OutboxMessage:
    by_admin = change.asked_by if change.asked_by_id != change.person_id else None
    return outbox.enqueue(
        kind=kind,
        template=f"accounts/mail/{name}",
        context={
            "change": change,
            "person": change.person,
            "by_admin": by_admin,
            "url": url,
            "hours": EmailChange.LIFETIME // timedelta(hours=1),
        },
        recipient=recipient,
        recipient_name="" if name == "email_taken" else change.person.name,
        lane=Lane.SECURITY,
        headers=AUTOMATIC_HEADERS,
        is_secret=is_secret,
    )


def _refuse_same(person: User, new_email: str) -> None:
    if new_email == person.email:
        raise AddressError("This is your address already.")


def _refuse_barred(new_email: str) -> None:
    # Not why: that is between the help desk and whoever owns the mailbox.
    if reach.barred_of([new_email]):
        raise AddressError(
            f"We cannot e-mail {new_email}: mail to it does not arrive. Check the "
            "spelling, use another address, or ask an admin."
        )


def _refuse_too_many(person: User) -> None:
    an_hour_ago = timezone.now() - timedelta(hours=1)
    recent = EmailChange.objects.filter(
        person=person, asked_by=person, created_at__gt=an_hour_ago
    )
    if recent.count() >= MOST_AN_HOUR:
        raise TooManyChangesError(
            f"You asked for {MOST_AN_HOUR} letters within an hour. Wait a little and try "
            "again; the newest link works until then."
        )
