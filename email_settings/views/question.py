"""The page that asks before something is done, which says how many messages it concerns.

Every action is a page that asks (GET) and the same address that acts (POST).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from email_settings.models import OutboxMessage


@dataclass(frozen=True)
class Back:
    """Where to go for who does not want it after all."""

    url: str
    label: str

    @classmethod
    def to_list(cls) -> Self:
        return cls(reverse("email_settings:message-list"), "Back to the list")

    @classmethod
    def to_message(cls, message: OutboxMessage) -> Self:
        url = reverse("email_settings:message-detail", args=[message.uid])
        return cls(url, "Back to the message")


@dataclass(frozen=True)
class Question:
    """What the page says."""

    title: str
    paragraphs: Sequence[str]
    button: str
    icon: str
    back: Back
    is_final: bool = False  # it can't be undone
    sure_label: str = ""  # of the box to tick first, "" for none
    until: datetime | None = None  # what was written later is not meant
    named: Sequence[OutboxMessage] = field(default_factory=list)
    error: str = ""


def ask(request: HttpRequest, question: Question) -> HttpResponse:
    """Answer with the page, as refused (422) when it has an error."""
    context = {"question": question}
    status = 422 if question.error else 200
    return render(
        request, "email_settings/message_confirm.html", context, status=status
    )


def count_of(number: int) -> str:
    """Return "1 message" or "1,204 messages"."""
    return f"{intcomma(number)} message{'' if number == 1 else 's'}"


def actor_of(request: HttpRequest) -> AbstractBaseUser:
    """Return who asks; nobody gets here without having signed in."""
    assert isinstance(request.user, AbstractBaseUser)
    return request.user
