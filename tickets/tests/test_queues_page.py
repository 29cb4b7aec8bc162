"""Admin Panel, Queues."""

import threading
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from tickets import queues
from tickets.models import Queue, Ticket
from tickets.queues import LastQueueError

LIST = reverse("tickets:queue-list")
CREATE = reverse("tickets:queue-create")


@pytest.fixture
def admins_client(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


def update_url(queue: Queue) -> str:
    return reverse("tickets:queue-update", args=[queue.pk])


def said(**fields: Any) -> dict[str, Any]:
    return {"name": "Facilities", "icon": "building", "is_active": "on", **fields}


def test_shows_each_queue_with_people_and_work(
    admins_client: Client, agent: User, queue: Queue, ticket: Ticket
) -> None:
    queue.members.add(agent)
    text = admins_client.get(LIST).content.decode()
    assert "IT Support" in text
    assert "Maya Okafor" in text


def test_makes_a_queue(admins_client: Client, admin: User, agent: User) -> None:
    description = "Rooms, badges, heating"
    fields = said(description=description, members=[agent.pk])
    response = admins_client.post(CREATE, fields)
    assert response["Location"] == LIST
    queue = Queue.objects.get(name="Facilities")
    assert (queue.description, queue.icon) == (description, "building")
    assert list(queue.members.all()) == [agent]
    assert AuditEntry.objects.get().target == "Facilities"


def test_changes_a_queue(admins_client: Client, queue: Queue) -> None:
    admins_client.post(update_url(queue), said(name="Service Desk"))
    queue.refresh_from_db()
    assert queue.name == "Service Desk"


def test_a_queue_switched_off_keeps_its_tickets_and_takes_no_new_ones(
    admins_client: Client, queue: Queue, ticket: Ticket
) -> None:
    fields = said(name=queue.name)
    del fields["is_active"]
    admins_client.post(update_url(queue), fields)
    queue.refresh_from_db()
    assert not queue.is_active
    detail = reverse("tickets:ticket-detail", args=[ticket.number])
    assert admins_client.get(detail).status_code == 200
    create = admins_client.get(reverse("tickets:ticket-create")).content.decode()
    assert queue.name not in create


def test_the_last_queue_stays_on(admins_client: Client, queue: Queue) -> None:
    Queue.objects.exclude(pk=queue.pk).delete()
    fields = said(name=queue.name)
    del fields["is_active"]
    text = admins_client.post(update_url(queue), fields).content.decode()
    assert "This is the only queue that takes new tickets." in text
    queue.refresh_from_db()
    assert queue.is_active


@pytest.mark.django_db(transaction=True)
def test_two_admins_cannot_switch_off_the_last_two_queues_at_once(
    admin: User, queue: Queue
) -> None:
    Queue.objects.exclude(pk=queue.pk).delete()
    other = Queue.objects.create(name="Payroll")
    refusals: list[LastQueueError] = []

    def switch_off(one: Queue) -> None:
        queues.update_queue(
            actor=admin,
            queue_id=one.pk,
            name=one.name,
            description="",
            icon="inbox",
            members=[],
            is_active=False,
        )

    def switch_off_the_other() -> None:
        try:
            switch_off(other)
        except LastQueueError as error:
            refusals.append(error)
        connection.close()

    thread = threading.Thread(target=switch_off_the_other)
    with transaction.atomic():
        switch_off(queue)
        thread.start()
        thread.join(0.5)
    thread.join()
    assert len(refusals) == 1
    assert Queue.objects.get(is_active=True) == other


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "The queue needs a name."),
        ({"name": "IT Support"}, "There is a queue of this name."),
        ({"icon": "skull"}, "Select a valid choice"),
    ],
)
def test_refusals_say_what_to_do(
    admins_client: Client, queue: Queue, fields: dict[str, str], words: str
) -> None:
    before = Queue.objects.count()
    text = admins_client.post(CREATE, said(**fields)).content.decode()
    assert words in text
    assert Queue.objects.count() == before


def test_members_that_no_database_holds_are_refused(admins_client: Client) -> None:
    response = admins_client.post(CREATE, said(members=["9" * 30]))
    assert response.status_code == 200
    assert not Queue.objects.filter(name="Facilities").exists()


def test_requesters_cannot_be_members(admins_client: Client, requester: User) -> None:
    admins_client.post(CREATE, said(members=[requester.pk]))
    assert not Queue.objects.filter(name="Facilities").exists()


@pytest.mark.parametrize("who", ["requester", "agent"])
def test_others_may_not(
    client: Client, request: pytest.FixtureRequest, queue: Queue, who: str
) -> None:
    person: User = request.getfixturevalue(who)
    client.force_login(person)
    assert client.get(LIST).status_code == 403
    assert client.post(CREATE, said()).status_code == 403
    assert client.post(update_url(queue), said()).status_code == 403
    with pytest.raises(PermissionDenied):
        queues.create_queue(actor=person, name="Facilities")
    assert not Queue.objects.filter(name="Facilities").exists()
