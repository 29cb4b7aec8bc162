"""The demo's stand-in for AWS, run by `manage.py start --demo` as a child.

Any well-formed key is right, and the given domain is verified in every region. It keeps
what it is sent in memory and passes nothing on.
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.ses.models import ses_backends
from werkzeug.serving import make_server

from email_settings.gateway.regions import regions
from ticketflow.runtime import lifeline

# GetAccount, which moto does not know
# (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html).
ACCOUNT = {
    "DedicatedIpAutoWarmupEnabled": False,
    "EnforcementStatus": "HEALTHY",
    "ProductionAccessEnabled": True,
    "SendQuota": {
        "Max24HourSend": 50000.0,
        "MaxSendRate": 14.0,
        "SentLast24Hours": 0.0,
    },
    "SendingEnabled": True,
}

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def application() -> WsgiApp:
    """Return moto, with the one answer that it lacks."""
    moto = DomainDispatcherApplication(create_backend_app)
    account = json.dumps(ACCOUNT).encode()

    def answer(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/v2/email/account":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [account]
        return moto(environ, start_response)  # type: ignore[no-any-return]

    return answer


def verify_everywhere(domain: str) -> None:
    """Make every address of the domain a good From, whatever region is chosen."""
    known = ses_backends[DEFAULT_ACCOUNT_ID]
    for region, _ in regions():
        if region in known.regions:
            identity = known[region].create_email_identity_v2(domain, None, None, None)
            identity.verified_for_sending_status = True


def main() -> None:
    """Answer until SIGTERM or until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--verified", required=True, help="a domain")
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    lifeline.hold(arguments.lifeline)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    verify_everywhere(arguments.verified)
    server = make_server(
        "127.0.0.1",
        0,
        application(),
        threaded=True,
        request_handler=MotoRequestHandler,
        fd=arguments.socket,
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
