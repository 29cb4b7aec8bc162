"""The HTTP side of the stand-in."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from email_settings.standin import console, posting
from email_settings.standin.account import Account, Call
from email_settings.standin.asking import Ask
from email_settings.standin.faults import Fault, reply_of
from email_settings.standin.protocol import Reply, Request
from email_settings.standin.refused import RefusedError
from email_settings.standin.services import SERVICES, SES, Service, call
from email_settings.standin.signature import (
    Signer,
    check_signature,
    service_of,
)


def answer(account: Account, request: Request) -> Reply | Fault:
    """Return what AWS would answer to the request, or the fault that keeps it back."""
    with account.lock:
        if request.target == posting.CERTIFICATE_PATH:
            return Reply(200, posting.seal().certificate)
        if console.is_for_the_console(request):
            return console.answer(account, request)
        fault = _fault(account, request)
        if fault and not fault.takes_mail:
            return reply_of(fault, _service(request).refuse)
        reply = _aws(account, request)
        return fault or reply


def _fault(account: Account, request: Request) -> Fault | None:
    trouble = account.trouble
    is_a_send = request.target == "/v2/email/outbound-emails"
    is_met = trouble is not None and (is_a_send or trouble.meets_all)
    return trouble.meet() if trouble and is_met else None


def _service(request: Request) -> Service:
    return SERVICES.get(service_of(request), SERVICES[SES])


def _aws(account: Account, request: Request) -> Reply:
    service = _service(request)
    signer: Signer | None = None
    name = ""
    try:
        signer = check_signature(request, account, service.words)
        name, parameters = service.read(service.model, request)
        found = call(service, name, Ask(account, signer, parameters))
    except RefusedError as refusal:
        _log(account, signer, name, refusal.code)
        return service.refuse(refusal)
    _log(account, signer, name)
    return service.write(service.model, name, found)


def _log(account: Account, signer: Signer | None, name: str, refused: str = "") -> None:
    """Keep a call; of one that is not signed rightly nothing is known."""
    account.calls.append(
        Call(
            at=account.now(),
            region=signer.region if signer else "",
            action=f"{signer.service}:{name}" if signer else "",
            access_key_id=signer.key.access_key_id if signer else "",
            refused=refused,
        )
    )


class StandIn(ThreadingHTTPServer):
    """Answers for one account at a port of the loopback address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, account: Account, listener: socket.socket | None = None) -> None:
        """`listener` is a socket that listens already; else a free port is taken."""
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=listener is None)
        if listener is not None:
            self.socket.close()
            self.socket = listener
            self.server_address = listener.getsockname()
        self.account = account
        account.url = self.url
        self.let_go = threading.Event()  # ends what hangs

    @property
    def url(self) -> str:
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def _answer(self) -> None:
        request = Request(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
        )
        reply = answer(self.server.account, request)
        if isinstance(reply, Fault):
            self._keep_back(reply)
            return
        self.send_response_only(reply.status)
        self.send_header(
            "Date", format_datetime(self.server.account.now(), usegmt=True)
        )
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        # Who asked may have hung up, say after a long poll.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(reply.body)

    def _keep_back(self, fault: Fault) -> None:
        self.close_connection = True
        if fault is Fault.HANGS:
            self.server.let_go.wait()

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  # names of http.server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


@contextmanager
def running(account: Account) -> Iterator[StandIn]:
    """Answer in a thread until the block ends."""
    server = StandIn(account)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
