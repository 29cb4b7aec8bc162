"""The demo's stand-in for AWS, run by `manage.py start --demo` as a child.

One access key is right, and the given domain is verified in every region. It keeps what
it is sent in memory and passes nothing on; its own page breaks and mends it.
"""

import argparse
import socket

from email_settings.standin.account import Account
from email_settings.standin.server import StandIn
from ticketflow.runtime import lifeline

# The pair of AWS's own documentation.
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105


def account(domain: str) -> Account:
    """Return an account in production with that domain verified."""
    made = Account()
    made.add_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    made.verified_everywhere.add(domain)
    return made


def main() -> None:
    """Answer until SIGTERM or until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--verified", required=True, help="a domain")
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    lifeline.hold(arguments.lifeline)
    listener = socket.socket(fileno=arguments.socket)
    StandIn(account(arguments.verified), listener).serve_forever()


if __name__ == "__main__":
    main()
