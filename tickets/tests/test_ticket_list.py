"""/tickets/ as agents see it: views, filters, order, pages."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from tickets import services
from tickets.listing import PAGE_SIZE
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket

URL = reverse("tickets:ticket-list")


@pytest.fixture
def agents_client(client: Client, agent: User) -> Client:
    client.force_login(agent)
    return client


def shown(client: Client, query: str = "") -> list[str]:
    """Return the subjects on the page, in order."""
    response = client.get(URL + query)
    assert response.status_code == 200
    return [ticket.subject for ticket in response.context["page"].rows]


def make_many(count: int, requester: User, queue: Queue) -> None:
    now = timezone.now()
    Ticket.objects.bulk_create(
        Ticket(
            subject=f"Ticket {index:03}",
            requester=requester,
            queue=queue,
            updated_at=now - timedelta(minutes=index),
        )
        for index in range(count)
    )


def test_agents_see_everybodys_open_tickets(
    agents_client: Client, requester: User, outsider: User, queue: Queue
) -> None:
    make_ticket(requester=requester, queue=queue, subject="Printer is out")
    make_ticket(requester=outsider, queue=queue, subject="Badge does not open")
    assert shown(agents_client) == ["Badge does not open", "Printer is out"]


def test_the_views_show_what_they_say(
    agents_client: Client, agent: User, requester: User, queue: Queue
) -> None:
    mine = make_ticket(requester=requester, queue=queue, subject="Mine")
    done = make_ticket(requester=requester, queue=queue, subject="Done")
    make_ticket(requester=requester, queue=queue, subject="Nobody's")
    services.assign(actor=agent, number=mine.number, assignee=agent)
    services.change_status(actor=agent, number=done.number, status="solved")
    assert shown(agents_client, "?view=mine") == ["Mine"]
    assert shown(agents_client, "?view=unassigned") == ["Nobody's"]
    assert shown(agents_client, "?view=solved") == ["Done"]
    assert sorted(shown(agents_client, "?view=all")) == ["Done", "Mine", "Nobody's"]


def test_the_side_bar_counts_views_and_queues(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    make_ticket(requester=requester, queue=queue)
    response = agents_client.get(URL)
    counts = {link.slug: link.count for link in response.context["ticket_views"]()}
    assert counts == {"mine": "0", "unassigned": "1", "open": "1", "solved": "0"}
    by_queue = {
        link["title"]: link["count"] for link in response.context["ticket_queues"]()
    }
    assert by_queue[queue.name] == "1"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?priority=4", ["Urgent one"]),
        ("?priority=4&priority=2", ["Urgent one", "Plain one"]),
        ("?sort=priority&q=one&view=open", ["Urgent one", "Plain one"]),
        ("?assignee=me", ["Plain one"]),
        ("?assignee=nobody", ["Urgent one"]),
        ("?assignee=me&assignee=nobody", ["Urgent one", "Plain one"]),
        ("?status=new", ["Urgent one"]),
        ("?status=open&priority=4", []),
        ("?q=urgent", ["Urgent one"]),
        ("?q=urgent&view=mine", []),
    ],
)
def test_filters_narrow_the_list(
    agents_client: Client,
    agent: User,
    requester: User,
    queue: Queue,
    query: str,
    expected: list[str],
) -> None:
    plain = make_ticket(requester=requester, queue=queue, subject="Plain one")
    services.assign(actor=agent, number=plain.number, assignee=agent)
    make_ticket(requester=requester, queue=queue, subject="Urgent one", priority=4)
    assert shown(agents_client, query) == expected


def test_filters_by_queue_and_requester(
    agents_client: Client, requester: User, outsider: User, queue: Queue
) -> None:
    other = Queue.objects.create(name="Facilities")
    make_ticket(requester=requester, queue=queue, subject="Laptop")
    make_ticket(requester=outsider, queue=other, subject="Heating")
    assert shown(agents_client, f"?queue={other.pk}") == ["Heating"]
    assert shown(agents_client, f"?requester={requester.pk}") == ["Laptop"]


def test_a_search_from_anywhere_finds_solved_tickets(
    agents_client: Client, agent: User, requester: User, queue: Queue
) -> None:
    ticket = make_ticket(requester=requester, queue=queue, subject="Toner is empty")
    services.change_status(actor=agent, number=ticket.number, status="solved")
    assert shown(agents_client, "?q=toner") == ["Toner is empty"]
    assert shown(agents_client, "?q=toner&view=open") == []


@pytest.mark.parametrize(
    "query",
    [
        "?status=nonsense",
        "?assignee=99999",
        "?assignee=x",
        "?queue=x",
        "?priority=99",
        "?requester=x",
        "?requester=99999999999999999999",
        "?sort=nonsense",
        "?view=nonsense",
        "?cursor=nonsense",
        "?cursor=" + "A" * 2000,
    ],
)
def test_a_stale_bookmark_shows_a_list_all_the_same(
    agents_client: Client, requester: User, queue: Queue, query: str
) -> None:
    make_ticket(requester=requester, queue=queue, subject="Still here")
    assert shown(agents_client, query) == ["Still here"]


def test_sorts_by_activity_and_by_priority(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    make_ticket(requester=requester, queue=queue, subject="First", priority=1)
    make_ticket(requester=requester, queue=queue, subject="Second", priority=4)
    make_ticket(requester=requester, queue=queue, subject="Third", priority=2)
    assert shown(agents_client) == ["Third", "Second", "First"]
    assert shown(agents_client, "?sort=oldest") == ["First", "Second", "Third"]
    assert shown(agents_client, "?sort=priority") == ["Second", "Third", "First"]


def test_urgency_orders_work_that_is_left_and_nothing_else(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    make_ticket(requester=requester, queue=queue, subject="First", priority=4)
    make_ticket(requester=requester, queue=queue, subject="Second", priority=1)
    assert shown(agents_client, "?view=all&sort=priority") == ["Second", "First"]


def test_offers_only_the_statuses_that_a_view_can_have(agents_client: Client) -> None:
    def offered(query: str) -> list[str]:
        menus = agents_client.get(URL + query).context["menus"]
        return [option.value for option in menus[0].options]

    assert offered("?view=solved") == ["solved", "closed"]
    assert offered("?view=open") == ["new", "open", "pending", "on_hold"]
    assert len(offered("?view=all")) == 6


@pytest.mark.parametrize("sort", ["updated", "oldest", "priority"])
def test_pages_show_each_ticket_once_and_keep_the_filters(
    agents_client: Client, requester: User, queue: Queue, sort: str
) -> None:
    make_many(PAGE_SIZE + 7, requester, queue)
    query = f"?status=new&sort={sort}"
    first = agents_client.get(URL + query)
    cursor = first.context["page"].next_cursor
    link = f"?status=new&amp;sort={sort}&amp;cursor={quote(cursor)}"
    assert link in first.content.decode()
    second = agents_client.get(f"{URL}{query}&cursor={cursor}").context["page"]
    subjects = [t.subject for t in [*first.context["page"].rows, *second.rows]]
    assert len(subjects) == len(set(subjects)) == PAGE_SIZE + 7
    assert second.next_cursor == ""
    back = agents_client.get(f"{URL}{query}&cursor={second.previous_cursor}")
    assert back.context["page"].rows == first.context["page"].rows


def test_the_head_says_how_many_without_counting_what_is_filtered(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    make_many(PAGE_SIZE + 1, requester, queue)
    assert agents_client.get(URL).context["meta"] == "51 tickets"
    filtered = agents_client.get(URL + "?status=new")
    assert filtered.context["meta"] == "more than 50 tickets"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "No ticket is open"),
        ("?view=all", "There is no ticket yet"),
        ("?view=mine", "Nothing is assigned to you"),
        ("?view=unassigned", "Every open ticket has somebody"),
        ("?view=solved", "Nothing was solved in the last seven days"),
        ("?q=zebra", "Nothing in all tickets has “zebra”"),
        ("?priority=4", "No ticket of this view fits the filters."),
    ],
)
def test_an_empty_list_says_why_and_what_fills_it(
    agents_client: Client, query: str, words: str
) -> None:
    assert words in agents_client.get(URL + query).content.decode()


def test_what_people_wrote_is_shown_as_text(
    agents_client: Client, requester: User, queue: Queue
) -> None:
    make_ticket(requester=requester, queue=queue, subject="<script>alert(1)</script>")
    page = agents_client.get(URL + "?q=%3Cb%3Escript").content.decode()
    assert "<script>alert" not in page
    assert "<b>script" not in page
