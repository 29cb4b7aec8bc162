"""People, their invitations, and what admins did."""

import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from email_settings.lifetimes import EMAIL_CHANGE_LINK, INVITATION_LINK
from email_settings.models import OutboxMessage

INVITATION_LIFETIME = INVITATION_LINK  # the mail is of use for as long as its link


class Role(models.TextChoices):
    """What a person is in the help desk. What each may do stands in roles.py."""

    REQUESTER = "requester", "Requester"  # opens and follows own tickets
    AGENT = "agent", "Agent"  # answers tickets
    ADMIN = "admin", "Admin"  # everything, including e-mail and people


class UserManager(BaseUserManager["User"]):
    """Makes people; the e-mail address is the login."""

    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        """Make an admin; this is what `manage.py createsuperuser` calls."""
        fields["role"] = Role.ADMIN
        return self.create_user(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class UserQuerySet(models.QuerySet["User"]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def agents(self) -> Self:
        """People who may answer tickets: agents and admins."""
        return self.filter(role__in=[Role.AGENT, Role.ADMIN])

    def admins(self) -> Self:
        return self.filter(role=Role.ADMIN)

    def matching(self, text: str) -> Self:
        """People with the text in their name or e-mail address; everybody for ""."""
        if not text:
            return self
        return self.filter(
            models.Q(name__icontains=text) | models.Q(email__icontains=text)
        )


class User(AbstractBaseUser):
    """A person who may sign in. Changed through accounts.services only."""

    class Theme(models.TextChoices):
        AUTO = "auto", "Auto"  # as the device says
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    email = models.EmailField("e-mail address", max_length=254, unique=True)
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.REQUESTER)
    is_active = models.BooleanField(default=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.AUTO)
    date_joined = models.DateTimeField(default=timezone.now)
    # Grows to end every session and void every reset link this person has.
    session_epoch = models.PositiveIntegerField(default=0)

    objects = UserManager.from_queryset(UserQuerySet)()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            # Stored in lower case, so that unique means unique to people.
            models.CheckConstraint(
                name="user_email_lower", condition=models.Q(email=Lower("email"))
            ),
            models.CheckConstraint(
                name="user_role_known", condition=models.Q(role__in=Role.values)
            ),
        ]
        indexes = [models.Index(fields=["name", "id"], name="user_by_name")]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def is_agent(self) -> bool:
        """Whether the person may answer tickets."""
        return self.role in {Role.AGENT, Role.ADMIN}

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.email

    def get_session_auth_hash(self) -> str:
        """Return what a session must know to go on: it changes with the password and the epoch."""
        return self._session_hash(None)

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for secret in settings.SECRET_KEY_FALLBACKS:
            yield self._session_hash(secret)

    def _session_hash(self, secret: str | bytes | None) -> str:
        value = f"{self.session_epoch}:{self.password}"
        return salted_hmac(
            "accounts.session", value, secret=secret, algorithm="sha256"
        ).hexdigest()

    # django.contrib.auth asks these of every user; permissions here are roles.
    def has_perm(self, perm: str, obj: object = None) -> bool:
        return False

    def has_module_perms(self, app_label: str) -> bool:
        return False


def new_nonce() -> str:
    return secrets.token_hex(16)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def pending(self) -> Self:
        """Neither accepted nor revoked; some of them may have expired."""
        return self.filter(accepted_at=None, revoked_at=None)

    def valid_at(self, moment: datetime) -> Self:
        """Those whose link opens the door at the moment."""
        return self.pending().filter(expires_at__gt=moment)


class Invitation(models.Model):
    """One address that was asked to join. Changed through accounts.services only.

    The link's token is not stored: it is computed from this row's nonce and the
    installation's secret key, so a copy of the database opens no door.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"  # the link works
        EXPIRED = "expired", "Expired"  # nobody used it in time
        ACCEPTED = "accepted", "Accepted"  # the person is in
        REVOKED = "revoked", "Revoked"  # an admin took it back

    email = models.EmailField("e-mail address", max_length=254)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.REQUESTER)
    note = models.TextField(max_length=1000, blank=True)
    nonce = models.CharField(max_length=32, default=new_nonce)
    invited_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="invitations_sent"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    outbox_message = models.ForeignKey(
        OutboxMessage,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects: ClassVar[InvitationQuerySet] = InvitationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="invitation_newest")
        ]
        constraints = [
            # Two admins who invite the same address at once make one invitation.
            models.UniqueConstraint(
                Lower("email"),
                name="invitation_one_open_per_email",
                condition=models.Q(accepted_at=None, revoked_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def state(self) -> State:
        if self.accepted_at:
            return self.State.ACCEPTED
        if self.revoked_at:
            return self.State.REVOKED
        if self.expires_at <= timezone.now():
            return self.State.EXPIRED
        return self.State.OPEN


class EmailChangeQuerySet(models.QuerySet["EmailChange"]):
    def pending(self) -> Self:
        """Neither confirmed nor cancelled; some of them may have expired."""
        return self.filter(confirmed_at=None, cancelled_at=None)

    def valid_at(self, moment: datetime) -> Self:
        """Those whose link changes the address at the moment."""
        return self.pending().filter(expires_at__gt=moment)


class EmailChange(models.Model):
    """That a person is to have another address. Changed through accounts.email_change only.

    Its link's token is computed, as an invitation's is. Confirmed ones are the record of
    the addresses that a person had.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"  # the link works
        EXPIRED = "expired", "Expired"  # nobody used it in time
        CONFIRMED = "confirmed", "Confirmed"  # the address is the new one
        CANCELLED = "cancelled", "Cancelled"  # taken back, or overtaken

    person = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="email_changes"
    )
    asked_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # the person, or an admin
    old_email = models.EmailField(max_length=254)
    new_email = models.EmailField(max_length=254)
    nonce = models.CharField(max_length=32, default=new_nonce)
    # What the person was when it was asked for: email_change.fingerprint
    bound_to = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    outbox_message = models.ForeignKey(
        OutboxMessage,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects: ClassVar[EmailChangeQuerySet] = EmailChangeQuerySet.as_manager()  # type: ignore[assignment]

    LIFETIME = EMAIL_CHANGE_LINK

    class Meta:
        indexes = [
            # whose address it was before
            models.Index(fields=["old_email"], name="email_change_old")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["person"],
                name="email_change_one_pending",
                condition=models.Q(confirmed_at=None, cancelled_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.old_email} to {self.new_email}"

    @property
    def state(self) -> State:
        if self.confirmed_at:
            return self.State.CONFIRMED
        if self.cancelled_at:
            return self.State.CANCELLED
        if self.expires_at <= timezone.now():
            return self.State.EXPIRED
        return self.State.OPEN


class AuditEntry(models.Model):
    """What somebody did to a person or an invitation, append-only.

    It reads as a sentence: actor, action, target (an address), details.
    """

    actor = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    action = models.CharField(max_length=60)  # a past-tense sentence part: "invited"
    target = models.CharField(max_length=254, blank=True)
    details = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            # the history on a person's page
            models.Index(fields=["target", "-created_at", "-id"], name="audit_about")
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
