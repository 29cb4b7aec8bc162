"""Whoever called mail from here spam may say that they want it after all."""

from django.db import transaction

from accounts.errors import NoMailError
from accounts.models import User
from accounts.services import audit
from email_settings.models import Suppression
from email_settings.services import stored_settings
from email_settings.suppression import aws, wishes
from email_settings.suppression.record import lock
from email_settings.suppression.standing import standing_of

# After that an admin decides: each further complaint harms the mail of everybody.
MOST_BY_ONESELF = 2


@transaction.atomic
def mail_again(*, actor: User) -> None:
    """Let the person's own address get mail again, here and, by the worker, at AWS.

    Their word counts for what they did themselves. Raises NoMailError when there is
    another reason, or when they changed their mind too often.
    """
    lock([actor.email])
    standing = standing_of(actor.email)
    if standing is None:
        return  # somebody was faster
    if standing.entry.reason != Suppression.Reason.COMPLAINED:
        raise NoMailError(
            "Your address gets no mail for another reason by now. Change your address, "
            "or ask an admin to release it."
        )
    if _releases_by(actor) >= MOST_BY_ONESELF:
        raise NoMailError(
            "You asked for mail again before, and it was called spam again. Ask an admin "
            "if you want it all the same."
        )
    wishes.release(actor.email, actor=actor)
    if aws.can_ask(stored_settings()):
        aws.want_release(actor.email, actor=actor)
    audit(actor, "asked for mail again at", actor.email)


def _releases_by(person: User) -> int:
    return Suppression.objects.filter(
        address_lower=person.email,
        reason=Suppression.Reason.COMPLAINED,
        closed_by=person,
    ).count()
