"""The harness sees what it is there to see."""

import pytest
from playwright.sync_api import Page, Route
from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<script>1</script>", "Content Security Policy"),
        ("<p style='color:red'>x</p>", "Content Security Policy"),
        (
            "<img src='https://tracker.example/1.png' alt=''>",
            "asks https://tracker.example",
        ),
        ("<script src='/static/no-such-file.js'></script>", "404"),
    ],
)
def test_trouble_is_noticed(
    html: str, words: str, page: Page, live_server: LiveServer, trouble: list[str]
) -> None:
    address = f"{live_server.url}/accounts/login/"

    def add(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=response.text() + html)

    page.route(address, add)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    noticed = " ".join(trouble)
    trouble.clear()
    assert words in noticed
