"""The demo's stand-in for AWS, run by `manage.py start --demo` as a child.

One access key is right. The account begins as AWS hands it out: in the sandbox, with no
sender; or ready to send, for who wants to look at something else. It keeps what it is
sent in memory and passes nothing on; its own page breaks and mends it.
"""

import argparse
import socket
import threading
from datetime import timedelta

from email_settings.standin import presets
from email_settings.standin.account import Account, Feed
from email_settings.standin.dns import NameServer
from email_settings.standin.server import StandIn
from ticketflow.runtime import lifeline

# The pair of AWS's own documentation.
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105
BEGINNINGS = {"new": presets.begin_new, "ready": presets.begin_ready}


def account(domain: str, begin: str) -> Account:
    """Return the account of a company with that domain."""
    made = Account()
    made.domain = domain
    made.add_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    made.feed = Feed(delay=timedelta(seconds=1), transport=timedelta(seconds=2))
    BEGINNINGS[begin](made, domain)
    return made


def main() -> None:
    """Answer until SIGTERM or until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--dns", type=int, required=True, help="a bound UDP socket")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--begin", choices=BEGINNINGS, default="new")
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    lifeline.hold(arguments.lifeline)
    played = account(arguments.domain, arguments.begin)
    names = NameServer(played, socket.socket(fileno=arguments.dns))
    threading.Thread(target=names.serve_forever, daemon=True).start()
    listener = socket.socket(fileno=arguments.socket)
    StandIn(played, listener).serve_forever()


if __name__ == "__main__":
    main()
