"""A real Chromium that tolerates no foreign request, no error and no breach of the CSP."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe as AxeCore
from django.conf import settings
from django.test import Client
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request
from pytest_django.live_server_helper import LiveServer

from accounts.models import User

# Playwright keeps an event loop in the test's thread, which Django takes for async code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

OWN_HOSTS = {"127.0.0.1", "localhost"}
# What the browser itself would like to do on the network, and a test must not.
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

SignIn = Callable[[User], Page]


class Axe(Protocol):
    """Looks at a page as it is now and returns what axe-core finds in it."""

    def __call__(self, page: Page, *, only_contrast: bool = False) -> list[str]: ...


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any],
) -> dict[str, Any]:
    chromium = (
        os.environ.get("CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("google-chrome")
    )
    # Chromium refuses its sandbox to root, which is who CI runs as.
    args = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else QUIET
    return {**browser_type_launch_args, "executable_path": chromium, "args": args}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "locale": "en-GB",
        "timezone_id": "Europe/Helsinki",
        "viewport": {"width": 1440, "height": 900},
        "reduced_motion": "reduce",
    }


@pytest.fixture(scope="session")
def base_url() -> str:
    """Tests give whole addresses; the plug-in's own fixture warns under pytest 9."""
    return ""


@pytest.fixture
def trouble() -> Iterator[list[str]]:
    """What went wrong in the pages of this test; anything at all fails it."""
    found: list[str] = []
    yield found
    assert found == []


def watch(page: Page, trouble: list[str]) -> None:
    """Write down errors, breaches of the CSP and foreign requests of this page."""

    def on_console(message: ConsoleMessage) -> None:
        # An error page answers 4xx; the browser says so, and it is meant.
        is_own_answer = (
            message.text.startswith("Failed to load resource")
            and message.location.get("url") == page.url
        )
        if message.type == "error" and not is_own_answer:
            trouble.append(f"{page.url}: {message.text}")

    def on_request(request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host and host not in OWN_HOSTS:
            trouble.append(f"{page.url} asks {request.url}")

    page.set_default_timeout(10_000)
    page.on("console", on_console)
    page.on("pageerror", lambda error: trouble.append(f"{page.url}: {error}"))
    page.on("request", on_request)


@pytest.fixture
def page(context: BrowserContext, trouble: list[str]) -> Page:
    """The page of somebody not signed in."""
    page = context.new_page()
    watch(page, trouble)
    return page


@pytest.fixture
def new_person(
    new_context: Callable[..., BrowserContext], trouble: list[str]
) -> Callable[[], Page]:
    """Give a page with cookies of its own, as another person would have."""

    def make() -> Page:
        page = new_context().new_page()
        watch(page, trouble)
        return page

    return make


@pytest.fixture
def sign_in(page: Page, live_server: LiveServer) -> SignIn:
    """Give the page to this person, without the detour by the sign-in page."""

    def sign_in(user: User) -> Page:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        page.context.add_cookies(
            [{"name": cookie.key, "value": cookie.value, "url": live_server.url}]
        )
        return page

    return sign_in


@pytest.fixture(scope="session")
def axe() -> Axe:
    def find(page: Page, *, only_contrast: bool = False) -> list[str]:
        run_only: Any = (
            {"type": "rule", "values": ["color-contrast"]}
            if only_contrast
            else {"type": "tag", "values": AXE_TAGS}
        )
        if not page.evaluate("'axe' in window"):
            page.evaluate(AxeCore().axe_script)
        results = page.evaluate(
            "options => axe.run(options)",
            {"resultTypes": ["violations"], "runOnly": run_only},
        )
        size = page.viewport_size or {"width": 0}
        return [
            f"{page.url} at {size['width']} px, {rule['id']}: {node['html'][:200]}"
            f" {node['failureSummary']}"
            for rule in results["violations"]
            for node in rule["nodes"]
        ]

    return find
