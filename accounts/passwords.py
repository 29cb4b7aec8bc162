"""Mail about passwords: the reset link, and the word that one was changed."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.http import int_to_base36

from accounts.models import User
from accounts.services import AUTOMATIC_HEADERS
from accounts.tokens import RESET, ResetTokenGenerator, void_mailed_links
from email_settings import outbox
from email_settings.lifetimes import RESET_LINK
from email_settings.models import Lane


@transaction.atomic
def request_reset(*, email: str) -> None:
    """Mail a reset link to the person with this address.

    For an unknown or deactivated one nothing is kept, yet the same work is done: the
    time of the answer must not tell who has an account.
    """
    person = User.objects.active().filter(email=email.strip().lower()).first()
    if person is None:
        _mail_link(_nobody(email))
        transaction.set_rollback(True)
        return
    _mail_link(person)


@transaction.atomic
def tell_changed(*, person: User) -> None:
    """Tell the person that the password was changed, in case it was somebody else.

    Links that were mailed for choosing one work no longer.
    """
    void_mailed_links(person)
    outbox.enqueue(
        kind="password_changed",
        template="accounts/mail/password_changed",
        context={
            "person": person,
            "changed_at": timezone.now(),
            "url": settings.SITE_URL + reverse("account_reset_password"),
        },
        recipient=person.email,
        recipient_name=person.name,
        lane=Lane.SECURITY,
        headers=AUTOMATIC_HEADERS,
    )


def _mail_link(person: User) -> None:
    key = ResetTokenGenerator().make_token(person)
    path = reverse(
        "account_reset_password_from_key",
        kwargs={"uidb36": int_to_base36(person.pk), "key": key},
    )
    outbox.enqueue(
        kind=RESET,
        template="accounts/mail/password_reset",
        context={
            "person": person,
            "url": settings.SITE_URL + path,
            "hours": RESET_LINK // timedelta(hours=1),
        },
        recipient=person.email,
        recipient_name=person.name,
        lane=Lane.SECURITY,
        headers=AUTOMATIC_HEADERS,
        is_secret=True,
    )


def _nobody(email: str) -> User:
    nobody = User(pk=0, email=email, name="Nobody")
    nobody.set_unusable_password()
    return nobody
