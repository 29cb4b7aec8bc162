"""A stand-in for Amazon SES that remembers on disk every mail it was handed.

The promise that nothing is lost and nothing doubled is checked against this log: it
survives whatever the product forgets.
"""

import itertools
import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from email_settings.tests.fake_account import account
from email_settings.tests.fake_ses import Answer, refusal
from ticketflow.tests.processes import wait_until

TOO_FAST = refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
BROKEN = refusal(500, "InternalServiceErrorException", "Try again later.")


@dataclass(frozen=True)
class Taken:
    """One mail that arrived here: whose it is, and what was answered, if anybody heard."""

    at: float
    message: str  # the tag tf-msg
    attempt: str  # the tag tf-att
    recipient: str
    status: int
    ses_message_id: str  # "" when it was refused

    @property
    def is_accepted(self) -> bool:
        return bool(self.ses_message_id)


class SesLog(ThreadingHTTPServer):
    """Takes every mail, after `latency` seconds and while `gate` is open.

    A mail is in the log before its answer: as with the real one, it may be taken and
    nobody left to hear so.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.latency = 0.0
        self.gate = threading.Event()
        self.gate.set()
        # Used up first, by recipient
        self.answers: defaultdict[str, list[Answer]] = defaultdict(list)
        self._path = path
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._is_over = False

    @property
    def url(self) -> str:
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"

    def read(self) -> list[Taken]:
        """Return everything that was ever taken, from the file."""
        lines = self._path.read_text().splitlines()
        return [Taken(**json.loads(line)) for line in lines]

    @property
    def count(self) -> int:
        """How many mails were taken so far."""
        return len(self._path.read_bytes().splitlines())

    def wait_for(self, count: int) -> None:
        """Return when so many mails were taken; AssertionError after a minute."""
        wait_until(lambda: self.count >= count, seconds=60)

    def per_message(self) -> Counter[str]:
        """Return how often each message was accepted."""
        return Counter(taken.message for taken in self.read() if taken.is_accepted)

    def close_gate(self) -> None:
        """Take mails from now on, and answer none."""
        self.gate.clear()

    def open_gate(self) -> None:
        """Answer all that waits, and what comes."""
        self.gate.set()

    def take(self, post: dict[str, Any]) -> Answer:
        """Write the mail down, then wait as long as an answer is to take."""
        tags = {tag["Name"]: tag["Value"] for tag in post.get("EmailTags", [])}
        (recipient,) = post["Destination"]["ToAddresses"]
        with self._writing:
            answer = self._next_answer(recipient)
            ses_id = json.loads(answer.body).get("MessageId", "")
            taken = Taken(
                time.time(),
                tags.get("tf-msg", ""),
                tags.get("tf-att", ""),
                recipient,
                answer.status,
                ses_id,
            )
            if not self._is_over:
                os.write(self._file, json.dumps(taken.__dict__).encode() + b"\n")
                os.fsync(self._file)
        time.sleep(self.latency)
        self.gate.wait()
        return answer

    def _next_answer(self, recipient: str) -> Answer:
        if self.answers[recipient]:
            return self.answers[recipient].pop(0)
        return Answer(body=json.dumps({"MessageId": f"taken-{next(self._numbers)}"}))

    def end(self) -> None:
        """Take no more, and let everybody go."""
        self.gate.set()
        with self._writing:
            self._is_over = True
            os.close(self._file)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SesLog

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v2/email/outbound-emails":
            self._answer(self.server.take(json.loads(body)))
        else:
            self._answer(Answer(404, "{}"))

    def do_GET(self) -> None:
        is_account = self.path.startswith("/v2/email/account")
        self._answer(account(sent=0) if is_account else Answer(404, "{}"))

    def _answer(self, answer: Answer) -> None:
        content = answer.body.encode()
        head = [f"HTTP/1.1 {answer.status} {'OK' if answer.status == 200 else 'No'}"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        head += [f"Content-Length: {len(content)}", "", ""]
        try:
            self.wfile.write("\r\n".join(head).encode() + content)
        except OSError:  # whoever asked has died meanwhile
            self.close_connection = True

    def handle(self) -> None:
        """Serve one connection; that it was cut is no news here."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


@contextmanager
def running_ses_log(path: Path) -> Iterator[SesLog]:
    """Run one until the block ends."""
    server = SesLog(path)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end()
        server.shutdown()
        server.server_close()
        thread.join()
