"""The ticket that most tests of this room are about."""

import pytest

from accounts.models import User
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_ticket


@pytest.fixture
def ticket(requester: User, queue: Queue) -> Ticket:
    return make_ticket(requester=requester, queue=queue)
