"""People who read along."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import services
from tickets.models import Ticket
from tickets.tests.builders import everything, last_mail, mails_since


@pytest.mark.parametrize("who", ["requester", "agent"])
def test_requester_and_agents_add_watchers(
    request: pytest.FixtureRequest, ticket: Ticket, outsider: User, who: str
) -> None:
    actor, last = request.getfixturevalue(who), last_mail()

    services.add_watcher(
        actor=actor, number=ticket.number, email=f" {outsider.email.title()}"
    )

    assert list(Ticket.objects.visible_to(outsider)) == [ticket]
    (event,) = ticket.events.filter(kind="watcher_added")
    assert (event.actor, event.new) == (actor, "Oliver Grant")
    assert mails_since(last) == []


def test_adding_somebody_twice_is_adding_once(
    ticket: Ticket, watcher: User, agent: User
) -> None:
    before = everything()
    services.add_watcher(actor=agent, number=ticket.number, email=watcher.email)
    assert everything() == before


def test_an_agent_may_watch(ticket: Ticket, agent: User, colleague: User) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=colleague.email)
    last = last_mail()
    services.add_public_reply(actor=agent, number=ticket.number, body="Done.")
    assert ("public_reply", colleague.email) in mails_since(last)


@pytest.mark.parametrize("email", ["nobody@larkfield.example", "", "x" * 300, "\x00"])
def test_an_address_that_nobody_has_is_refused(
    ticket: Ticket, agent: User, email: str
) -> None:
    before = everything()
    with pytest.raises(DomainError, match="invite them first"):
        services.add_watcher(actor=agent, number=ticket.number, email=email)
    assert everything() == before


def test_a_deactivated_person_cannot_watch(
    ticket: Ticket, agent: User, outsider: User
) -> None:
    outsider.is_active = False
    outsider.save()
    before = everything()
    with pytest.raises(DomainError, match="invite them first"):
        services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    assert everything() == before


def test_the_requester_needs_no_watching(
    ticket: Ticket, agent: User, requester: User
) -> None:
    before = everything()
    with pytest.raises(DomainError, match="hears of every reply anyway"):
        services.add_watcher(actor=agent, number=ticket.number, email=requester.email)
    assert everything() == before


def test_a_closed_ticket_takes_no_watchers(
    ticket: Ticket, agent: User, outsider: User
) -> None:
    services.change_status(actor=agent, number=ticket.number, status="closed")
    before = everything()
    with pytest.raises(DomainError, match="is closed"):
        services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    assert everything() == before


def test_a_watcher_adds_nobody_and_removes_nobody_else(
    ticket: Ticket, watcher: User, outsider: User, agent: User
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    before = everything()
    with pytest.raises(PermissionDenied):
        services.add_watcher(actor=watcher, number=ticket.number, email=agent.email)
    with pytest.raises(PermissionDenied):
        services.remove_watcher(
            actor=watcher, number=ticket.number, user_id=outsider.pk
        )
    assert everything() == before


def test_outsiders_do_not_know_the_ticket(
    ticket: Ticket, outsider: User, watcher: User
) -> None:
    before = everything()
    with pytest.raises(Http404):
        services.add_watcher(actor=outsider, number=ticket.number, email=outsider.email)
    with pytest.raises(Http404):
        services.remove_watcher(
            actor=outsider, number=ticket.number, user_id=watcher.pk
        )
    assert everything() == before


@pytest.mark.parametrize("who", ["requester", "agent", "watcher"])
def test_who_stops_watching_sees_no_more(
    request: pytest.FixtureRequest, ticket: Ticket, watcher: User, who: str
) -> None:
    actor = request.getfixturevalue(who)

    services.remove_watcher(actor=actor, number=ticket.number, user_id=watcher.pk)

    assert not Ticket.objects.visible_to(watcher).exists()
    (event,) = ticket.events.filter(kind="watcher_removed")
    assert (event.actor, event.old) == (actor, "Daniel Whitlock")


def test_removing_who_does_not_watch_changes_nothing(
    ticket: Ticket, agent: User, outsider: User
) -> None:
    before = everything()
    services.remove_watcher(actor=agent, number=ticket.number, user_id=outsider.pk)
    assert everything() == before
