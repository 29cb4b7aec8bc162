"""What people write in Markdown, as a browser draws it."""

import pytest
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from ticketflow.tests.browser.conftest import SignIn
from tickets import services
from tickets.models import Queue

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BODY = """Say `ping`:

```
ping 192.0.2.1
```

| Room | State |
| ---- | ----- |
| Wye  | dark  |
"""


def test_code_is_boxed_once_and_tables_have_lines(
    live_server: LiveServer, sign_in: SignIn, requester: User, queue: Queue
) -> None:
    ticket = services.open_ticket(
        actor=requester, subject="No network", body=BODY, queue=queue
    )
    page = sign_in(requester)
    page.goto(f"{live_server.url}/tickets/{ticket.number}/")
    prose = page.locator(".prose")
    expect(prose.locator("p code")).to_have_css("border-top-width", "1px")
    block = prose.locator("pre code")
    expect(block).to_have_css("border-top-width", "0px")
    expect(block).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    expect(block).to_have_css("padding-left", "0px")
    expect(prose.locator("td").first).to_have_css("border-top-width", "1px")
