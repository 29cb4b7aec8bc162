"""A browser as far as these tests need one: cookies, forms, and patience with failures."""

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any

from email_settings.tests.faults.sites import PASSWORD, REQUESTER

# Nobody waits longer for a page that hangs, and no test does.
LONGEST_SECONDS = 20.0


@dataclass(frozen=True)
class Reply:
    """What came back: 0 when the connection broke."""

    status: int
    location: str
    body: str
    seconds: float

    @property
    def is_done(self) -> bool:
        """Whether the form was taken, which answers with a redirect."""
        return self.status == http.client.FOUND


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Show redirects instead of following them."""


class Browser:
    """One person's browser at one site."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._open = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), _StayHere()
        ).open

    def get(self, path: str) -> Reply:
        return self._ask(urllib.request.Request(self._base + path))  # noqa: S310

    def post(self, path: str, fields: dict[str, str]) -> Reply:
        data = urllib.parse.urlencode(fields).encode()
        return self._ask(urllib.request.Request(self._base + path, data))  # noqa: S310

    def sign_in(self, email: str = REQUESTER) -> Reply:
        page = self.get("/accounts/login/")
        fields = hidden_fields(page.body)
        return self.post(
            "/accounts/login/", {**fields, "login": email, "password": PASSWORD}
        )

    def new_ticket(self, subject: str) -> dict[str, str]:
        """Open the form and fill it in; the same fields may be sent again."""
        page = self.get("/tickets/new/")
        queue = re.search(r'<option value="(\d+)"', page.body) or re.search(
            r'name="queue" value="(\d+)"', page.body
        )
        assert queue, page.body
        return {
            **hidden_fields(page.body),
            "queue": queue.group(1),
            "subject": subject,
            "body": "It does not work.",
            "priority": "2",
            "watchers": "",
        }

    def send_ticket(self, fields: dict[str, str]) -> Reply:
        return self.post("/tickets/new/", fields)

    def _ask(self, request: urllib.request.Request) -> Reply:
        began = time.monotonic()
        try:
            with self._open(request, timeout=LONGEST_SECONDS) as reply:
                status, headers, body = reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                status, headers, body = error.code, error.headers, error.read()
        except (OSError, http.client.HTTPException):
            return Reply(0, "", "", time.monotonic() - began)
        return Reply(
            status,
            headers.get("Location", ""),
            body.decode(errors="replace"),
            time.monotonic() - began,
        )


def hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the page's forms."""
    found = {}
    for field in re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page):
        name = re.search(r'name="([^"]*)"', field)
        value = re.search(r'value="([^"]*)"', field)
        if name and value:
            found[name.group(1)] = value.group(1)
    return found
