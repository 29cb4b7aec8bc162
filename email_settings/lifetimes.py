"""How long sending a mail makes sense, by its kind: the one place that says so."""

from datetime import timedelta

from django.conf import settings

from email_settings.models import OutboxMessage

# What is about a ticket, and every kind that is not named below
USUAL = timedelta(days=3)
# A link that resets a password works for as long, counted from when it was asked for.
RESET_LINK = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
# So does the link of an invitation.
INVITATION_LINK = timedelta(days=7)
# And the link by which somebody confirms another address of theirs.
EMAIL_CHANGE_LINK = timedelta(hours=1)

BY_KIND = {
    "password_reset": RESET_LINK,
    "account": RESET_LINK,  # mail of Django itself, which may carry such a link
    "invitation": INVITATION_LINK,
    "email_change": EMAIL_CHANGE_LINK,
    # Whoever pressed the button is looking; an old one would only puzzle.
    **dict.fromkeys((*OutboxMessage.TRIALS, OutboxMessage.CANARY), timedelta(hours=1)),
}


def lifetime_of(kind: str) -> timedelta:
    """Return how long after it was written a mail of this kind is still sent."""
    return BY_KIND.get(kind, USUAL)
