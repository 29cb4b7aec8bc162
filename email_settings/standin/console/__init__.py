"""A page to break the stand-in and to mend it again, for whoever walks the demo.

For the loopback address alone. It uses no JavaScript.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlsplit

from email_settings.standin.account import Account
from email_settings.standin.console.changes import CHANGES
from email_settings.standin.console.page import page
from email_settings.standin.protocol import Reply, Request


def is_for_the_console(request: Request) -> bool:
    """Whether a browser asks: AWS is never asked without a signature."""
    return "authorization" not in request.headers and request.target.partition("?")[
        0
    ] in {"/", "/change"}


def answer(account: Account, request: Request) -> Reply:
    """Show the page, or change something and show it again."""
    host = request.headers.get("host", "")
    # Neither a page of somebody else's nor a name that was bent to this address.
    if host.partition(":")[0] not in {"127.0.0.1", "localhost"}:
        return Reply(403, b"For this machine alone.")
    query = _first(urlsplit(request.target).query)
    region = account.region(query.get("region") or _usual_region(account))
    if request.method == "GET":
        shown = page(account, region)
        return Reply(200, shown.encode(), {"Content-Type": "text/html; charset=utf-8"})
    if request.headers.get("origin") != f"http://{host}":
        return Reply(403, b"Only this page itself may change something.")
    given = _first(request.body.decode())
    what, value = given.get("what", ""), given.get("value", "")
    if what in CHANGES:
        CHANGES[what](account, region, value)
    anchor = f"#{quote(given['back'])}" if given.get("back") else ""
    return Reply(303, b"", {"Location": f"/?region={quote(region.name)}{anchor}"})


def _first(text: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _usual_region(account: Account) -> str:
    return next(iter(account.regions), "eu-west-1")
