"""Who reaches what: every address × every kind of person.

An address that is missing from the table fails the build, so that a new page
can't come in without somebody deciding who may see it.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Any

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts import email_change
from accounts.invitations import link_for
from accounts.models import EmailChange, Invitation, Role, User
from email_settings.models import AwsSuppression, OutboxMessage, Suppression
from tickets.models import Attachment, Comment, Queue, Ticket, Watcher

ANONYMOUS, OUTSIDER, REQUESTER, AGENT, ADMIN = (
    "anonymous",
    "outsider",
    "requester",
    "agent",
    "admin",
)
EVERYBODY = (ANONYMOUS, OUTSIDER, REQUESTER, AGENT, ADMIN)


class Reach(Enum):
    """Who gets past the door of an address."""

    PUBLIC = auto()  # anyone, without signing in
    SIGNED_IN = auto()  # whoever has signed in
    TICKET = auto()  # the ticket's own people, and agents
    AGENTS = auto()  # agents and admins; others get 403
    ADMINS = auto()  # admins; others get 403
    GONE = auto()  # 404 for all: only there while nobody has set it up


@dataclass(frozen=True)
class Address:
    reach: Reach
    kwargs: dict[str, str] = field(default_factory=dict)  # name → attribute of World


PUBLIC, SIGNED_IN, AGENTS, ADMINS = (
    Address(Reach.PUBLIC),
    Address(Reach.SIGNED_IN),
    Address(Reach.AGENTS),
    Address(Reach.ADMINS),
)
TICKET = Address(Reach.TICKET, {"number": "number"})


def _with(address: Address, **kwargs: str) -> Address:
    return Address(address.reach, kwargs)


MATRIX: dict[str, Address] = {
    # wiring
    "home": SIGNED_IN,
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    "admin-overview": ADMINS,
    "message-send-again": _with(ADMINS, uid="message_uid"),
    # signing in
    "account_login": PUBLIC,
    "account_logout": PUBLIC,
    "account_reset_password": PUBLIC,
    "account_reset_password_done": PUBLIC,
    "account_reset_password_from_key": _with(PUBLIC, uidb36="word", key="word"),
    "account_reset_password_from_key_done": PUBLIC,
    "account_change_password": SIGNED_IN,
    # people
    "accounts:setup": Address(Reach.GONE),
    "accounts:profile": SIGNED_IN,
    "accounts:email-change": SIGNED_IN,
    "accounts:email-change-resend": SIGNED_IN,
    "accounts:email-change-cancel": SIGNED_IN,
    "accounts:mail-again": SIGNED_IN,
    "accounts:email-change-confirm": _with(PUBLIC, token="change_token"),
    "accounts:user-list": ADMINS,
    "accounts:user-detail": _with(ADMINS, user_id="user_id"),
    "accounts:user-email": _with(ADMINS, user_id="user_id"),
    "accounts:user-role": _with(ADMINS, user_id="user_id"),
    "accounts:user-deactivate": _with(ADMINS, user_id="user_id"),
    "accounts:user-reactivate": _with(ADMINS, user_id="user_id"),
    "accounts:invitation-create": ADMINS,
    "accounts:invitation-resend": _with(ADMINS, invitation_id="invitation_id"),
    "accounts:invitation-revoke": _with(ADMINS, invitation_id="invitation_id"),
    "accounts:invitation-link": _with(ADMINS, invitation_id="invitation_id"),
    "accounts:invitation-accept": _with(PUBLIC, token="token"),
    # mail
    "email_settings:settings": ADMINS,
    "email_settings:settings-test": ADMINS,
    "email_settings:test-detail": _with(ADMINS, uid="message_uid"),
    "email_settings:settings-go-live": ADMINS,
    "email_settings:settings-rehearse": ADMINS,
    "email_settings:events": ADMINS,
    "email_settings:events-simulator": ADMINS,
    "email_settings:events-canary": ADMINS,
    "email_settings:events-read-all-again": ADMINS,
    "email_settings:events-read-again": _with(ADMINS, event_id="event_id"),
    "email_settings:webhook-on": ADMINS,
    "email_settings:webhook-off": ADMINS,
    # Public, and off until an admin switches it on
    "email_settings:webhook": Address(Reach.GONE),
    "email_settings:message-list": ADMINS,
    "email_settings:message-detail": _with(ADMINS, uid="message_uid"),
    "email_settings:message-html": _with(ADMINS, uid="message_uid"),
    "email_settings:settings-check": ADMINS,
    "email_settings:fix-identity": ADMINS,
    "email_settings:fix-mail-from": ADMINS,
    "email_settings:fix-production": ADMINS,
    "email_settings:fix-events": ADMINS,
    "email_settings:guide": ADMINS,
    "email_settings:guide-document": _with(ADMINS, name="document"),
    "email_settings:rights": ADMINS,
    "email_settings:rights-script": ADMINS,
    "email_settings:rights-template": ADMINS,
    "email_settings:settings-check-line": _with(ADMINS, key="line_key"),
    "email_settings:checklist": ADMINS,
    "email_settings:rotation": ADMINS,
    "email_settings:rotation-start": ADMINS,
    "email_settings:rotation-paste": ADMINS,
    "email_settings:rotation-act": ADMINS,
    "email_settings:mail-hold": ADMINS,
    "email_settings:notices-release": ADMINS,
    "email_settings:notices-hold": ADMINS,
    "email_settings:mail-release": ADMINS,
    "email_settings:message-retry-all": ADMINS,
    "email_settings:message-retry-failed": ADMINS,
    "email_settings:message-cancel-all": ADMINS,
    "email_settings:message-resend-all": ADMINS,
    "email_settings:message-mark-all-sent": ADMINS,
    "email_settings:message-retry": _with(ADMINS, uid="message_uid"),
    "email_settings:message-resend": _with(ADMINS, uid="message_uid"),
    "email_settings:message-mark-sent": _with(ADMINS, uid="message_uid"),
    "email_settings:message-cancel": _with(ADMINS, uid="message_uid"),
    "email_settings:suppression-list": ADMINS,
    "email_settings:suppression-find": ADMINS,
    "email_settings:suppression-add": ADMINS,
    "email_settings:suppression-import": ADMINS,
    "email_settings:suppression-export": ADMINS,
    "email_settings:suppression-detail": _with(ADMINS, entry_id="entry_id"),
    "email_settings:suppression-release": _with(ADMINS, entry_id="entry_id"),
    "email_settings:suppression-security": _with(ADMINS, entry_id="entry_id"),
    "email_settings:suppression-send-again": _with(ADMINS, entry_id="entry_id"),
    "email_settings:suppression-sync": ADMINS,
    "email_settings:suppression-take-over": ADMINS,
    "email_settings:suppression-aws-release": _with(ADMINS, listed_id="listed_id"),
    # tickets
    "tickets:ticket-list": SIGNED_IN,
    "tickets:ticket-create": SIGNED_IN,
    "tickets:ticket-detail": TICKET,
    "tickets:ticket-reply": TICKET,
    "tickets:ticket-close": TICKET,
    "tickets:ticket-reopen": TICKET,
    "tickets:ticket-properties": Address(Reach.AGENTS, {"number": "number"}),
    "tickets:watcher-add": TICKET,
    "tickets:watcher-remove": Address(
        Reach.TICKET, {"number": "number", "user_id": "user_id"}
    ),
    "tickets:ticket-bulk": AGENTS,
    "tickets:attachment-detail": Address(
        Reach.TICKET, {"attachment_id": "attachment_id"}
    ),
    "tickets:queue-list": ADMINS,
    "tickets:queue-create": ADMINS,
    "tickets:queue-update": _with(ADMINS, queue_id="queue_id"),
}


def url_names(
    patterns: list[URLPattern | URLResolver], namespace: str = ""
) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = (
                f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            )
            yield from url_names(pattern.url_patterns, inner)
        elif pattern.name:
            yield f"{namespace}{pattern.name}"
        else:
            yield f"unnamed: {pattern.pattern}"


def test_every_address_is_in_the_matrix() -> None:
    assert set(url_names(get_resolver().url_patterns)) == set(MATRIX)


@dataclass(frozen=True)
class World:
    """One of everything that an address can name."""

    number: int
    attachment_id: int
    user_id: int
    queue_id: int
    invitation_id: int
    token: str
    change_token: str
    message_uid: str
    line_key: str
    event_id: int
    entry_id: int
    listed_id: int
    word: str = "x"
    document: str = "operations"


@pytest.fixture
def world(requester: User, agent: User, admin: User, queue: Queue) -> World:
    ticket = Ticket.objects.create(
        subject="Printer", requester=requester, queue=queue, assignee=agent
    )
    comment = Comment.objects.create(
        ticket=ticket, author=requester, visibility="public", body="It is empty."
    )
    attachment = Attachment.objects.create(
        comment=comment,
        file=ContentFile(b"hello", name="a.txt"),
        file_name="a.txt",
        content_type="text/plain",
        size=5,
    )
    watcher = User.objects.create_user("w@larkfield.example", name="W")
    Watcher.objects.create(ticket=ticket, user=watcher)
    invitation = Invitation.objects.create(
        email="new@larkfield.example",
        role=Role.REQUESTER,
        invited_by=admin,
        expires_at=timezone.now() + timedelta(days=1),
    )
    change = EmailChange.objects.create(
        person=watcher,
        old_email=watcher.email,
        new_email="w2@larkfield.example",
        bound_to=email_change.fingerprint(watcher),
        expires_at=timezone.now() + timedelta(hours=1),
    )
    message = OutboxMessage.objects.create(
        kind="test",
        recipient="ewa@larkfield.example",
        subject="Test",
        text_body="Test",
        html_body="<p>Test</p>",
        state=OutboxMessage.State.FAILED,
    )
    entry = Suppression.objects.create(
        address=requester.email, address_lower=requester.email, reason="bounced"
    )
    listed = AwsSuppression.objects.create(
        address=requester.email,
        address_lower=requester.email,
        reason="BOUNCE",
        seen_in=uuid.uuid4(),
    )
    return World(
        number=ticket.pk,
        attachment_id=attachment.pk,
        user_id=watcher.pk,
        queue_id=queue.pk,
        invitation_id=invitation.pk,
        token=link_for(invitation).rstrip("/").rsplit("/", 1)[-1],
        change_token=email_change.link_for(change).rstrip("/").rsplit("/", 1)[-1],
        message_uid=str(message.uid),
        line_key="dkim",
        event_id=1,
        entry_id=entry.pk,
        listed_id=listed.pk,
    )


def refusal(reach: Reach, who: str) -> int | None:
    """Return the status that keeps this person out, None when they may come in."""
    if reach is Reach.GONE:
        return 404
    if reach is Reach.PUBLIC:
        return None
    if who == ANONYMOUS:
        return 302
    if who == OUTSIDER and reach is Reach.TICKET:
        return 404
    is_agent, is_admin = who in {AGENT, ADMIN}, who == ADMIN
    may_enter = {
        Reach.SIGNED_IN: True,
        Reach.TICKET: True,
        Reach.AGENTS: is_agent,
        Reach.ADMINS: is_admin,
    }[reach]
    return None if may_enter else 403


def whole(response: Any) -> Any:
    """Read a file to its end, which is what closes it."""
    if response.streaming:
        b"".join(response)
    return response


def answer(who: User | None, method: str, url: str) -> tuple[int, str]:
    """Return status and target of what this person gets there."""
    client = Client()
    if who:
        client.force_login(who)
    response = whole(client.generic(method, url))
    return response.status_code, response.get("Location", "")


@pytest.mark.parametrize("name", sorted(MATRIX))
def test_only_those_who_may_reach_an_address(
    name: str, world: World, outsider: User, request: pytest.FixtureRequest
) -> None:
    address = MATRIX[name]
    url = reverse(
        name, kwargs={k: getattr(world, v) for k, v in address.kwargs.items()}
    )
    sign_in = reverse(settings.LOGIN_URL)
    wrong = []
    for who in EVERYBODY:
        user = None if who == ANONYMOUS else request.getfixturevalue(who)
        answers = {method: answer(user, method, url) for method in ("GET", "POST")}
        # The wrong method does nothing for anybody; the other one is the real case.
        real = {m: a for m, a in answers.items() if a[0] != 405}
        assert real
        for method, (status, location) in real.items():
            expected = refusal(address.reach, who)
            if expected == 302:
                is_right = status == 302 and location.startswith(sign_in)
            elif expected is not None:
                is_right = status == expected
            else:
                is_right = status not in {401, 403, 404, 500}
            if not is_right:
                wrong.append((who, method, status, location))
    assert wrong == []


@pytest.mark.parametrize("name", sorted(MATRIX))
def test_looking_at_an_address_changes_nothing(
    name: str, world: World, admin: User, client: Client
) -> None:
    client.force_login(admin)
    address = MATRIX[name]
    url = reverse(
        name, kwargs={k: getattr(world, v) for k, v in address.kwargs.items()}
    )

    with CaptureQueriesContext(connection) as queries:
        whole(client.get(url))

    written = [
        query["sql"]
        for query in queries
        if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))
        and "django_session" not in query["sql"]
    ]
    assert written == []
