"""Files are downloads and nothing else, for those who may read their comment."""

import pytest
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tickets import services
from tickets.models import Attachment, Ticket
from tickets.tests.builders import PNG, make_file


@pytest.fixture
def attachment(agent: User, ticket: Ticket) -> Attachment:
    comment = services.add_public_reply(
        actor=agent, number=ticket.number, body="See file", files=[make_file()]
    )
    return comment.attachments.get()


def download(client: Client, attachment: Attachment) -> HttpResponseBase:
    """Fetch the whole file, as browsers do."""
    response = client.get(url(attachment))
    b"".join(response.streaming_content)  # type: ignore[attr-defined]
    return response


def url(attachment: Attachment) -> str:
    return reverse("tickets:attachment-detail", args=[attachment.pk])


@pytest.mark.parametrize("who", ["requester", "agent", "admin"])
def test_whoever_reads_the_comment_gets_the_file(
    client: Client, request: pytest.FixtureRequest, attachment: Attachment, who: str
) -> None:
    client.force_login(request.getfixturevalue(who))
    response = client.get(url(attachment))
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == PNG  # type: ignore[attr-defined]


def test_foreign_and_missing_files_are_both_404(
    client: Client, outsider: User, attachment: Attachment
) -> None:
    client.force_login(outsider)
    assert client.get(url(attachment)).status_code == 404
    missing = reverse("tickets:attachment-detail", args=[attachment.pk + 1000])
    assert client.get(missing).status_code == 404


def test_whoever_loses_the_ticket_loses_the_file(
    client: Client, agent: User, outsider: User, ticket: Ticket, attachment: Attachment
) -> None:
    services.add_watcher(actor=agent, number=ticket.number, email=outsider.email)
    client.force_login(outsider)
    assert download(client, attachment).status_code == 200
    services.remove_watcher(actor=agent, number=ticket.number, user_id=outsider.pk)
    assert client.get(url(attachment)).status_code == 404


def test_strangers_are_sent_to_sign_in(client: Client, attachment: Attachment) -> None:
    response = client.get(url(attachment))
    assert response.status_code == 302
    assert "login" in response["Location"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"<script>alert(1)</script>"),
        ("drawing.svg", b"<svg onload='alert(1)'/>"),
        ("photo.png", PNG),
        ("log.txt", b"<script>alert(1)</script>"),
        ("no ending", b"GIF89a"),
    ],
)
def test_no_file_becomes_a_page_of_this_site(
    client: Client, agent: User, ticket: Ticket, name: str, content: bytes
) -> None:
    comment = services.add_public_reply(
        actor=agent,
        number=ticket.number,
        body="See file",
        files=[make_file(name, content)],
    )
    client.force_login(agent)
    response = download(client, comment.attachments.get())
    assert response["Content-Disposition"].startswith("attachment;")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Content-Type"].partition(";")[0] in {
        "application/octet-stream",
        "image/png",
        "text/plain",
    }
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("Über Straße.png", "attachment; filename*=utf-8''%C3%9Cber%20Stra%C3%9Fe.png"),
        ('a"b.png', 'attachment; filename="a\\"b.png"'),
    ],
)
def test_the_name_survives_and_breaks_no_header(
    client: Client, agent: User, ticket: Ticket, name: str, header: str
) -> None:
    comment = services.add_public_reply(
        actor=agent, number=ticket.number, body="See file", files=[make_file(name)]
    )
    client.force_login(agent)
    response = download(client, comment.attachments.get())
    assert response["Content-Disposition"] == header


def test_a_file_that_is_gone_from_the_disk_is_404(
    client: Client, agent: User, attachment: Attachment
) -> None:
    attachment.file.storage.delete(str(attachment.file.name))
    client.force_login(agent)
    assert client.get(url(attachment)).status_code == 404
