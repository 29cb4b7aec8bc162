"""The agent's ready-made views and their counts."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from tickets import services, views_catalogue
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket


@pytest.fixture
def desk(
    requester: User, agent: User, colleague: User, queue: Queue
) -> dict[str, Ticket]:
    """One ticket of each sort."""
    made = {
        name: make_ticket(requester=requester, queue=queue)
        for name in ["new", "mine", "theirs", "waiting", "solved", "old"]
    }
    services.assign(actor=agent, number=made["mine"].number, assignee=agent)
    services.assign(actor=agent, number=made["theirs"].number, assignee=colleague)
    services.change_status(actor=agent, number=made["waiting"].number, status="pending")
    for name in ("solved", "old"):
        services.assign(actor=agent, number=made[name].number, assignee=agent)
        services.change_status(actor=agent, number=made[name].number, status="closed")
    long_ago = timezone.now() - timedelta(days=8)
    Ticket.objects.filter(pk=made["old"].pk).update(
        solved_at=long_ago, updated_at=long_ago
    )
    return made


@pytest.mark.parametrize(
    ("slug", "names"),
    [
        ("mine", {"mine"}),
        ("unassigned", {"new", "waiting"}),
        ("open", {"new", "mine", "theirs", "waiting"}),
        ("solved", {"solved"}),
    ],
)
def test_each_view_shows_its_own(
    desk: dict[str, Ticket], agent: User, slug: str, names: set[str]
) -> None:
    view = views_catalogue.VIEWS[slug]
    shown = view.tickets(Ticket.objects.visible_to(agent), agent)
    assert set(shown) == {desk[name] for name in names}


def test_all_counts_take_one_query(
    desk: dict[str, Ticket],
    agent: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):
        counts = views_catalogue.counts(agent)
    assert counts == {
        "mine": 1,
        "unassigned": 2,
        "open": 4,
        "solved": 1,
        "undelivered": 0,
    }


def test_counting_stops_at_the_cap(
    desk: dict[str, Ticket], agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_catalogue, "COUNT_CAP", 3)
    assert views_catalogue.counts(agent)["open"] == 3


def test_counts_are_shown_with_their_bound() -> None:
    assert views_catalogue.shown_count(999) == "999"
    assert views_catalogue.shown_count(1000) == "999+"
