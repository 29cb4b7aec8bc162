"""The first page is light, with everything that it brings along."""

import gzip
import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from accounts.models import User
from tickets.models import Queue
from tickets.tests.builders import make_ticket

FIRST_VISIT = 60_000  # bytes on the wire, compressed
LATER_VISIT = 15_000


@pytest.mark.django_db
def test_ticket_list_of_a_full_page_is_light(
    client: Client, agent: User, requester: User, queue: Queue
) -> None:
    for number in range(30):
        make_ticket(requester=requester, queue=queue, subject=f"Printer {number} jams")
    client.force_login(agent)
    html = client.get("/tickets/?view=open").content
    assert html.count(b"jams") >= 30
    page = len(gzip.compress(html))
    files = {
        name: compressed_size(name)
        for name in set(re.findall(r"/static/([^\"#?]+)", html.decode()))
    }
    assert page + sum(files.values()) < FIRST_VISIT, {"page": page, **files}
    assert page < LATER_VISIT


def compressed_size(name: str) -> int:
    path = finders.find(name)
    assert isinstance(path, str)
    with open(path, "rb") as file:  # noqa: PTH123 - finders give text
        return len(gzip.compress(file.read()))
