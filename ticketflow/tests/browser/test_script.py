"""What app.js adds to plain HTML, on a page that has one of each."""

import re

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from playwright.sync_api import Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from ticketflow.tests.browser.conftest import Axe

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SAMPLE = """{% extends "base.html" %}
{% block title %}Sample{% endblock title %}
{% block body %}<main id="main" tabindex="-1"><h1>Sample</h1>
<a class="btn" href="/went/?key" data-key="g u">Unassigned</a>
<details class="menu"><summary>Menu</summary><div class="menu-panel">
{% include "components/_appearance.html" %}</div></details>
<form class="kv" method="get" action="/went/" data-autosave>
<select class="select" name="priority" aria-label="Priority"><option>low<option>high</select></form>
<form method="get" action="/went/"><input type="hidden" name="removed" value="1">
<button class="btn" data-confirm="Remove Maya from this ticket?" data-confirm-label="Remove">Remove</button></form>
<span id="key">abc-123</span><button class="btn" type="button" data-copy="key">Copy</button>
<select class="select" name="zone" aria-label="Time zone" data-guess-time-zone>
<option>UTC<option>Europe/Helsinki<option>Europe/London</select>
<label class="drop" for="files"><span>Drop files here, or</span><input type="file" id="files" multiple></label>
<input class="input" id="find" aria-label="Find">
<form class="tickets" data-list method="get" action="/went/"><table><tbody>
{% for n in "123" %}<tr class="tk-row"><td><input class="box" type="checkbox" name="ticket" value="{{ n }}" aria-label="Select {{ n }}"></td>
<td><a class="tk-subject" href="/went/?ticket={{ n }}">Ticket {{ n }}</a></td></tr>{% endfor %}
</tbody></table><b data-count></b><div class="bulk"><button class="btn" name="do" value="solve" data-key="e">Solve</button></div></form>
</main>{% include "components/_palette.html" %}{% include "components/_shortcuts.html" %}{% endblock body %}"""


def ending(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text) + "$")


@pytest.fixture
def sample(page: Page, live_server: LiveServer) -> Page:
    """A page with one of each; every form and link of it leads to /went/."""
    html = Template(SAMPLE).render(Context({"request": RequestFactory().get("/")}))

    def answer(route: Route) -> None:
        route.fulfill(body=html, content_type="text/html")

    page.route("**/sample/", answer)
    page.route(
        "**/went/**",
        lambda route: route.fulfill(
            body='<!doctype html><html lang="en"><title>Went</title>',
            content_type="text/html",
        ),
    )
    page.goto(f"{live_server.url}/sample/")
    return page


def test_page_is_accessible(sample: Page, axe: Axe) -> None:
    assert axe(sample) == []
    sample.keyboard.press("?")
    expect(sample.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert axe(sample) == []


def test_two_keys_in_a_row_follow_a_link(sample: Page) -> None:
    sample.keyboard.press("g")
    sample.keyboard.press("u")
    expect(sample).to_have_url(ending("/went/?key"))


def test_keys_do_nothing_while_one_types(sample: Page) -> None:
    sample.locator("#find").press_sequentially("?gu")
    expect(sample.locator("#find")).to_have_value("?gu")
    expect(sample.locator("#shortcuts")).to_be_hidden()


def test_single_keys_can_be_switched_off(sample: Page) -> None:
    sample.keyboard.press("?")
    sample.get_by_role("switch").uncheck()
    sample.keyboard.press("Escape")
    sample.keyboard.press("/")
    expect(sample.locator("#find")).not_to_be_focused()


def test_palette_opens_by_key_and_shows_what_fits(sample: Page) -> None:
    sample.keyboard.press("Control+k")
    palette = sample.get_by_role("dialog", name="Search or jump to")
    expect(palette).to_be_visible()
    palette.get_by_role("searchbox").fill("new t")
    expect(palette.get_by_role("link")).to_have_count(1)
    sample.keyboard.press("ArrowDown")
    expect(palette.get_by_role("link", name="New ticket")).to_be_focused()


def test_list_is_walked_and_picked_by_keys(sample: Page) -> None:
    for key in ["j", "x", "j", "j", "X"]:
        sample.keyboard.press(key)
    expect(sample.locator("[data-count]")).to_have_text("3 selected")
    sample.keyboard.press("Escape")
    expect(sample.locator("[data-count]")).to_have_text("0 selected")


def test_bulk_key_takes_the_current_row(sample: Page) -> None:
    sample.keyboard.press("j")
    sample.keyboard.press("j")
    sample.keyboard.press("e")
    expect(sample).to_have_url(ending("?ticket=2&do=solve"))


def test_appearance_is_kept_on_this_device(sample: Page) -> None:
    html = sample.locator("html")
    sample.get_by_text("Menu").click()
    sample.get_by_role("button", name="Dark").click()
    expect(html).to_have_attribute("data-theme", "dark")
    sample.reload()
    expect(html).to_have_attribute("data-theme", "dark")


def test_menu_closes_by_escape_and_by_a_click_beside_it(sample: Page) -> None:
    panel = sample.locator(".menu-panel")
    sample.get_by_text("Menu").click()
    expect(panel).to_be_visible()
    sample.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    sample.get_by_text("Menu").click()
    sample.get_by_role("heading", name="Sample").click(force=True)
    expect(panel).to_be_hidden()


def test_change_is_saved_at_once(sample: Page) -> None:
    sample.get_by_label("Priority").select_option("high")
    expect(sample).to_have_url(ending("?priority=high"))


def test_what_cannot_be_undone_is_asked_first(sample: Page) -> None:
    before = sample.url
    sample.get_by_role("button", name="Remove").click()
    dialog = sample.get_by_role("dialog", name="Remove Maya from this ticket?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert sample.url == before
    sample.get_by_role("button", name="Remove").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(sample).to_have_url(ending("?removed=1"))


def test_copy_works_without_the_clipboard_api(sample: Page) -> None:
    sample.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    sample.get_by_role("button", name="Copy").click()
    expect(sample.locator("[data-toasts]")).to_contain_text("Copied")
    sample.locator("#find").focus()
    sample.keyboard.press("Control+v")
    expect(sample.locator("#find")).to_have_value("abc-123")


def test_time_zone_is_guessed(sample: Page) -> None:
    expect(sample.get_by_label("Time zone")).to_have_value("Europe/Helsinki")


def test_chosen_files_are_named(sample: Page) -> None:
    sample.locator("#files").set_input_files(
        {"name": "vpn.log", "mimeType": "text/plain", "buffer": b"x" * 2048}
    )
    expect(sample.locator(".file-names")).to_have_text("vpn.log2 KB")
