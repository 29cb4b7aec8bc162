"""A DNS server on the loopback address that answers from the records of an account."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from email_settings.standin.account import Account
from email_settings.standin.zone import Answer

SECONDS_TO_LIVE = 1  # what is published or mended shows at once
LONGEST_TEXT = 255  # bytes in one string of a TXT record


def reply_to(account: Account, wire: bytes) -> bytes | None:
    """Return the answer to a query, or None when nothing is answered."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    if not query.question:
        return None
    question = query.question[0]
    name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
    with account.lock:
        answer, records = account.zone.find(name.to_text(omit_final_dot=True), kind)
    if answer is Answer.SILENCE:
        return None
    reply = dns.message.make_response(query, recursion_available=True)
    if answer is Answer.NO_SUCH_NAME:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif answer is Answer.SERVER_FAILS:
        reply.set_rcode(dns.rcode.SERVFAIL)
    for owner, its_kind, value in records:
        rrset = reply.find_rrset(
            reply.answer,
            dns.name.from_text(owner),
            dns.rdataclass.IN,
            dns.rdatatype.from_text(its_kind),
            create=True,
        )
        rrset.add(_rdata(its_kind, value), ttl=SECONDS_TO_LIVE)
    return reply.to_wire()


def _rdata(kind: str, value: str) -> dns.rdata.Rdata:
    text = _quoted(value) if kind == "TXT" else value
    return dns.rdata.from_text(
        dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False
    )


def _quoted(text: str) -> str:
    parts = [
        text[start : start + LONGEST_TEXT]
        for start in range(0, len(text), LONGEST_TEXT)
    ]
    escaped = (part.replace("\\", "\\\\").replace('"', '\\"') for part in parts)
    return " ".join(f'"{part}"' for part in escaped)


class NameServer(socketserver.ThreadingUDPServer):
    """Answers for one account at a port of the loopback address."""

    daemon_threads = True

    def __init__(self, account: Account, listener: socket.socket | None = None) -> None:
        """`listener` is a socket that is bound already; else a free port is taken."""
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=listener is None)
        if listener is not None:
            self.socket.close()
            self.socket = listener
            self.server_address = listener.getsockname()
        self.account = account

    @property
    def address(self) -> str:
        """Host and port, as the setting DNS_SERVERS takes them."""
        host, port = cast(tuple[str, int], self.server_address)
        return f"{host}:{port}"


class _Handler(socketserver.BaseRequestHandler):
    server: NameServer

    def handle(self) -> None:
        wire, answers = self.request
        reply = reply_to(self.server.account, wire)
        if reply is not None:
            answers.sendto(reply, self.client_address)


@contextmanager
def answering(account: Account) -> Iterator[NameServer]:
    """Answer in a thread until the block ends."""
    server = NameServer(account)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
