"""A stand-in for Amazon SES that is told, mail by mail, what to do to the sender."""

import collections
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

from email_settings.tests.fake_ses import Answer, FakeSes

DRIP_SECONDS = 0.05


class Misdeed(Enum):
    """What a server can do instead of answering."""

    RESET = auto()  # takes the mail, then breaks the connection off
    HANG = auto()  # takes the mail and never answers
    DRIP = auto()  # answers byte by byte, for ever
    GARBLE = auto()  # takes the mail, then breaks TLS
    IDLE = auto()  # takes the mail, answers, and closes the connection unasked
    FORGET = (
        auto()
    )  # takes the mail, answers, and hears nothing more that is said there


@dataclass(frozen=True)
class Post:
    """One POST as it came in."""

    message: str  # the tag tf-msg
    attempt: str  # the tag tf-att
    recipient: str


Deed = Answer | Misdeed
Decide = Callable[[Post], Deed]


def accept(post: Post) -> Deed:
    """Take the mail, as Amazon SES does on a good day."""
    return Answer(body=json.dumps({"MessageId": f"0100-{post.attempt}"}))


def post_of(body: Mapping[str, Any]) -> Post:
    """Return what a request to send says about itself."""
    tags = {tag["Name"]: tag["Value"] for tag in body.get("EmailTags", [])}
    return Post(
        tags.get("tf-msg", ""),
        tags.get("tf-att", ""),
        body["Destination"]["ToAddresses"][0],
    )


class ScriptedSes(FakeSes):
    """Asks `decide` about every mail, and remembers what was posted and taken."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = _Handler
        self.decide: Decide = accept
        self.log: list[Post] = []
        self.accepted: list[Post] = []
        self.closed = threading.Semaphore(0)  # one for each connection that ended

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.closed.release()

    def meet(self, post: Post) -> Deed:
        """Write the POST down and say what to do about it."""
        with self.accounting:
            self.log.append(post)
            deed = self.decide(post)
            if isinstance(deed, Misdeed) or deed.status == 200:
                self.accepted.append(post)
        return deed

    def posts_by_message(self) -> collections.Counter[str]:
        """How often each message was posted, whatever came of it."""
        with self.accounting:
            return collections.Counter(post.message for post in self.log)

    def doubled(self) -> list[str]:
        """The messages that were taken more than once."""
        with self.accounting:
            counts = collections.Counter(post.message for post in self.accepted)
        return [message for message, count in counts.items() if count > 1]

    def posts_of_one_attempt(self) -> int:
        """The largest number of POSTs that one attempt made."""
        with self.accounting:
            counts = collections.Counter(post.attempt for post in self.log)
        return max(counts.values(), default=0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedSes

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        deed = self.server.meet(post_of(body))
        match deed:
            case Misdeed.RESET:
                # Closing with data unread or lingering off sends RST.
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.close_connection = True
                self.connection.close()
            case Misdeed.HANG:
                self.server.let_go.wait()
                self.close_connection = True
            case Misdeed.DRIP:
                self._drip()
            case Misdeed.GARBLE:
                # Past the TLS of this side, so that the other can't decipher it.
                socket.socket.sendall(self.connection, b"This is no TLS at all.")
                self.close_connection = True
            case Misdeed.IDLE:
                self._answer(cast(Answer, accept(post_of(body))))
                self.close_connection = True
            case Misdeed.FORGET:
                self._answer(cast(Answer, accept(post_of(body))))
                self.server.let_go.wait()
                self.close_connection = True
            case Answer():
                self._answer(deed)

    def _answer(self, answer: Answer) -> None:
        content = answer.body.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _drip(self) -> None:
        self.close_connection = True
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.let_go.wait(DRIP_SECONDS):
                self.wfile.write(b".")
                self.wfile.flush()
        except OSError:
            pass  # the sender had enough of it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


def speak_tls(server: ScriptedSes, certificate: Path) -> str:
    """Have the server speak TLS with that key and certificate; return its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")


@contextmanager
def running_scripted_ses() -> Iterator[ScriptedSes]:
    """Run a server until the block ends."""
    server = ScriptedSes()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
