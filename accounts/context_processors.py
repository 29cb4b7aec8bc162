"""What every page says to the person who looks at it."""

from django.http import HttpRequest

from accounts.reach import OwnMail


def own_mail(request: HttpRequest) -> dict[str, OwnMail]:
    """Give templates `own_mail`; nothing is read until one of them asks."""
    return {"own_mail": OwnMail(request)}
