"""The ticket that most tests of this room are about, and somebody who watches it."""

from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from accounts.models import Role, User
from conftest import make_user
from tickets import services
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket


@pytest.fixture
def ticket(requester: User, queue: Queue) -> Ticket:
    return make_ticket(requester=requester, queue=queue)


@pytest.fixture
def colleague(db: None) -> User:
    """A second agent."""
    return make_user("jonas@larkfield.example", "Jonas Lindqvist", Role.AGENT)


@pytest.fixture
def watcher(ticket: Ticket, agent: User) -> User:
    """A requester who watches the ticket."""
    person = make_user("daniel@larkfield.example", "Daniel Whitlock", Role.REQUESTER)
    services.add_watcher(actor=agent, number=ticket.number, email=person.email)
    return person


@pytest.fixture
def stored_files() -> Path:
    """The folder of uploaded files."""
    return Path(default_storage.path("attachments"))
