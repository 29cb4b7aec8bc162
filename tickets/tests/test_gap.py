"""Agents know before they write that the requester or a watcher gets no e-mail."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from email_settings.models import Suppression
from tickets import services
from tickets.models import Ticket
from tickets.tests.lost_mail import suppress


def page(client: Client, ticket: Ticket) -> str:
    response = client.get(reverse("tickets:ticket-detail", args=[ticket.number]))
    return " ".join(response.content.decode().split())


@pytest.fixture
def agents_client(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


def test_nothing_is_said_while_everybody_gets_mail(
    agents_client: Client, ticket: Ticket, watcher: User
) -> None:
    text = page(agents_client, ticket)
    assert "no e-mail" not in text


@pytest.mark.parametrize("reason", Suppression.Reason.values)
def test_a_requester_who_gets_none_is_told_of_twice(
    agents_client: Client, ticket: Ticket, requester: User, reason: str
) -> None:
    entry = suppress(requester.email, reason=reason)
    text = page(agents_client, ticket)
    assert "<b>Hannah Brooks gets no e-mail</b>" in text
    assert requester.email in text
    assert "Your reply will be on the ticket, but nobody will be told." in text
    assert "Hannah Brooks will not be told of a reply" in text.split('id="reply"')[1]
    assert "ask an admin" in text
    assert entry.detail in text


def test_an_admin_gets_the_way_to_mend_it(
    client: Client, admin: User, ticket: Ticket, requester: User
) -> None:
    entry = suppress(requester.email)
    client.force_login(admin)
    text = page(client, ticket)
    assert reverse("email_settings:suppression-detail", args=[entry.pk]) in text
    assert reverse("accounts:user-detail", args=[requester.pk]) in text
    assert "ask an admin" not in text


def test_for_a_while_says_until_when(
    agents_client: Client, ticket: Ticket, requester: User
) -> None:
    until = timezone.now() + timedelta(days=2)
    suppress(requester.email, reason="failing", held_until=until)
    text = page(agents_client, ticket)
    assert "gets no e-mail until" in text
    assert f"{until:%H:%M}" in text
    assert "its mail waits" in text


def test_a_hold_that_is_over_says_nothing(
    agents_client: Client, ticket: Ticket, requester: User
) -> None:
    suppress(requester.email, held_until=timezone.now() - timedelta(minutes=1))
    assert "no e-mail" not in page(agents_client, ticket)


def test_security_mail_alone_is_as_good_as_none(
    agents_client: Client, ticket: Ticket, requester: User
) -> None:
    suppress(requester.email, security_allowed_at=timezone.now())
    assert "Hannah Brooks gets no e-mail" in page(agents_client, ticket)


def test_a_watcher_who_gets_none_is_named(
    agents_client: Client, ticket: Ticket, watcher: User
) -> None:
    suppress(watcher.email)
    text = page(agents_client, ticket)
    assert "Daniel Whitlock gets no e-mail" in text
    assert "but Daniel Whitlock will not be told" in text


def test_many_are_counted(
    agents_client: Client, ticket: Ticket, agent: User, requester: User
) -> None:
    suppress(requester.email)
    for number in range(12):
        person = User.objects.create_user(f"p{number}@x.example", name=f"P {number:02}")
        services.add_watcher(actor=agent, number=ticket.number, email=person.email)
        suppress(person.email)
    text = page(agents_client, ticket)
    assert "Hannah Brooks, P 00, P 01 and 10 others get no e-mail" in text
    assert "p11@x.example" not in text.split('class="timeline"')[0]


def test_somebody_who_is_deactivated_is_not_mailed_anyway(
    agents_client: Client, ticket: Ticket, requester: User
) -> None:
    suppress(requester.email)
    User.objects.filter(pk=requester.pk).update(is_active=False)
    assert "no e-mail" not in page(agents_client, ticket)


def test_requesters_are_not_told_of_others(
    client: Client, ticket: Ticket, requester: User, watcher: User
) -> None:
    suppress(watcher.email)
    client.force_login(requester)
    text = page(client, ticket)
    assert watcher.email not in text
    assert "Daniel Whitlock gets no e-mail" not in text


def test_a_requester_who_gets_none_is_promised_none(
    client: Client, ticket: Ticket, requester: User
) -> None:
    client.force_login(requester)
    assert "Every reply comes by e-mail" in page(client, ticket)
    suppress(requester.email)
    text = page(client, ticket)
    assert "Every reply comes by e-mail" not in text
    assert "We cannot e-mail you" in text
