"""What a password may not be, beyond Django's own rules."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.models import User
from email_settings.rendering import company_name

_SHORTEST_WORD = 4  # letters; a company called "AB" bans nothing
_LONGEST_PASSWORD = 4096  # characters; hashing more costs everybody time


def refuse_words_in_use_here(password: str, words: Iterable[str]) -> None:
    """Raise ValidationError if the password is one of the words with digits and signs around it."""
    core = _letters(password)
    for word in words:
        letters = _letters(word)
        if len(letters) >= _SHORTEST_WORD and core == letters:
            raise ValidationError(
                "Too easy to guess: it is a name that everybody here knows, with a "
                "number or sign. Four random words work well.",
                code="password_of_this_place",
            )


class NotOfThisPlaceValidator:
    """Refuses the company's name, the product's and the host's, however decorated."""

    def validate(self, password: str, user: User | None = None) -> None:
        company = company_name()
        host = urlsplit(settings.SITE_URL).hostname or ""
        words = ["ticketflow", "helpdesk", company, *company.split(), *host.split(".")]
        refuse_words_in_use_here(password, words)

    def get_help_text(self) -> str:
        return "Not the name of your company or of this help desk."


class NotEndlessValidator:
    """Refuses passwords so long that hashing them would keep everybody waiting."""

    def validate(self, password: str, user: User | None = None) -> None:
        if len(password) > _LONGEST_PASSWORD:
            raise ValidationError(
                f"This password is longer than {_LONGEST_PASSWORD:,} characters. "
                "Choose a shorter one.",
                code="password_too_long",
            )

    def get_help_text(self) -> str:
        return f"At most {_LONGEST_PASSWORD:,} characters."


def _letters(text: str) -> str:
    return re.sub(r"[\W\d_]+", "", text).casefold()
