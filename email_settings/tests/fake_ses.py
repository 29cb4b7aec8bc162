"""A tiny HTTP server that answers as a test tells it, and counts what was posted."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

REQUEST_ID = "0f0f0f0f-1111-2222-3333-444444444444"


@dataclass(frozen=True)
class Answer:
    """One HTTP reply. With `hangs` it is never sent, though the request was taken."""

    status: int = 200
    body: str = json.dumps({"MessageId": "0100018f-fake-000000"})
    content_type: str = "application/json"
    error: str = ""  # the code, as x-amzn-ErrorType
    is_from_aws: bool = True  # AWS numbers its replies
    hangs: bool = False
    breaks: bool = False  # the request was taken, and the connection ends
    missing: int = 0  # bytes that are promised and never come
    date: str = ""  # the clock of AWS as in HTTP, "" for the real one

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": self.content_type}
        if self.is_from_aws:
            headers["x-amzn-RequestId"] = REQUEST_ID
        if self.error:
            headers["x-amzn-ErrorType"] = self.error
        return headers


def refusal(status: int, error: str, message: str) -> Answer:
    """Return an error as Amazon SES words it."""
    return Answer(status, json.dumps({"message": message}), error=error)


def page(status: int, text: str = "<html>Please sign in</html>") -> Answer:
    """Return a page of a proxy or portal."""
    return Answer(status, text, content_type="text/html", is_from_aws=False)


class FakeSes(ThreadingHTTPServer):
    """Answers every request with `answer`.

    `answers` are used up first, in their order; `routes` come before both, by path.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = Answer()
        self.answers: list[Answer] = []
        self.routes: dict[str, Answer] = {}
        self.posts: list[Mapping[str, Any]] = []
        self.let_go = threading.Event()  # ends what hangs
        self.accounting = threading.Lock()

    @property
    def url(self) -> str:
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"

    def take(self, path: str, post: Mapping[str, Any]) -> Answer:
        with self.accounting:
            if path in self.routes:
                return self.routes[path]
            self.posts.append(post)
            return self.answers.pop(0) if self.answers else self.answer

    @property
    def tagged_messages(self) -> list[str]:
        """The tf-msg of every mail that was posted."""
        with self.accounting:
            return [
                tag["Value"]
                for post in self.posts
                for tag in post.get("EmailTags", [])
                if tag["Name"] == "tf-msg"
            ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeSes

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_json = body.startswith(b"{")
        answer = self.server.take(self.path, json.loads(body) if is_json else {})
        if answer.hangs:
            self.server.let_go.wait()
            self.close_connection = True
            return
        if answer.breaks:
            self.close_connection = True
            return
        content = answer.body.encode()
        self.send_response_only(answer.status)
        self.send_header("Date", answer.date or self.date_time_string())
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + answer.missing))
        self.end_headers()
        self.wfile.write(content)
        if answer.missing:
            self.close_connection = True

    do_GET = do_POST  # noqa: N815  # the name that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


@contextmanager
def running_fake_ses() -> Iterator[FakeSes]:
    """Run a server until the block ends."""
    server = FakeSes()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class FakeGateway:
    """Takes mail in memory; `errors` are raised first, in their order."""

    errors: list[Exception] = field(default_factory=list)
    error: Exception | None = None
    sent: list[Any] = field(default_factory=list)

    def send(self, outgoing: Any) -> str:
        error = self.errors.pop(0) if self.errors else self.error
        if error is not None:
            raise error
        self.sent.append(outgoing)
        return f"fake-{len(self.sent)}"
