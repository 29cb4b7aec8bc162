"""How the person of a session is looked up."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.db.models import Exists, OuterRef

from accounts.models import User
from email_settings.suppression.standing import in_force


class Backend(AuthenticationBackend):
    """allauth's, and each page knows of its person whether mail reaches them.

    It comes with the person, so that pages of everybody else cost no query more.
    """

    def get_user(self, user_id: Any) -> User | None:
        barred = in_force().filter(address_lower=OuterRef("email"))
        people = User.objects.annotate(gets_no_mail=Exists(barred))
        person = people.filter(pk=user_id).first()
        return person if person and self.user_can_authenticate(person) else None
