"""The composer with a real pointer: a note must never leave as a reply."""

import pytest
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from ticketflow.tests.browser.conftest import SignIn
from tickets import services
from tickets.models import Comment, Queue

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [1440, 390])
def test_one_click_on_internal_note_makes_it_a_note(
    live_server: LiveServer,
    sign_in: SignIn,
    agent: User,
    requester: User,
    queue: Queue,
    width: int,
) -> None:
    """The composer once grew on focus, and the click landed beside what it was meant for."""
    ticket = services.open_ticket(
        actor=requester, subject="VPN", body="It drops.", queue=queue
    )
    page = sign_in(agent)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{live_server.url}/tickets/{ticket.number}/")
    choice = page.locator("label", has=page.locator("[name=kind][value=note]"))
    box = choice.bounding_box()
    assert box
    # By hand instead of click(), which would wait until nothing moves.
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    page.get_by_label("Message", exact=True).fill("For us only")
    expect(page.get_by_role("button", name="Add note")).to_be_visible()
    page.get_by_role("button", name="Add note").click()
    expect(page.get_by_text("For us only")).to_be_visible()
    note = Comment.objects.get(body="For us only")
    assert note.is_internal


def test_a_change_beside_the_composer_keeps_what_is_being_written(
    live_server: LiveServer,
    sign_in: SignIn,
    agent: User,
    requester: User,
    queue: Queue,
) -> None:
    """Such a change loads the page anew, and half a note was gone."""
    ticket = services.open_ticket(
        actor=requester, subject="VPN", body="It drops.", queue=queue
    )
    page = sign_in(agent)
    address = f"{live_server.url}/tickets/{ticket.number}/"
    page.goto(address)
    page.locator("label", has=page.locator("[name=kind][value=note]")).click()
    page.get_by_label("Message", exact=True).fill("Half a thought")
    with page.expect_navigation():
        page.get_by_label("Priority", exact=True).select_option("High")
    message = page.get_by_label("Message", exact=True)
    expect(message).to_have_value("Half a thought")
    expect(page.get_by_role("button", name="Add note")).to_be_visible()
    page.goto(address)
    expect(message).to_have_value("")
