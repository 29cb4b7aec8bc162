"""An AWS account over HTTP that answers the questions of the settings page as told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import unquote

from email_settings.tests.fake_ses import Answer, refusal

ACCOUNT_ID = "123456789012"
_WHO = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT_ID}:user/ticketflow-ses</Arn>
<UserId>AIDA</UserId><Account>{ACCOUNT_ID}</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"""


def sts_refusal(code: str, message: str) -> Answer:
    """An error of STS, which speaks XML."""
    body = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{code}</Code><Message>{message}</Message></Error>"
        "<RequestId>r-1</RequestId></ErrorResponse>"
    )
    return Answer(403, body, content_type="text/xml")


def account(
    *, is_sandbox: bool = False, is_sending_enabled: bool = True, sent: float = 1204
) -> Answer:
    return Answer(
        body=json.dumps(
            {
                "ProductionAccessEnabled": not is_sandbox,
                "SendingEnabled": is_sending_enabled,
                "EnforcementStatus": "HEALTHY",
                "SendQuota": {
                    "Max24HourSend": 200 if is_sandbox else 50000,
                    "MaxSendRate": 1 if is_sandbox else 14,
                    "SentLast24Hours": sent,
                },
            }
        )
    )


class FakeAccount(ThreadingHTTPServer):
    """Valid keys and a production account until a test says otherwise."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.who = Answer(body=_WHO, content_type="text/xml")
        self.account = account()
        self.verified = {"larkfield.example"}
        self.identity_refusal: Answer | None = None
        self.asked: list[str] = []
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        host, port = cast(tuple[str, int], self.server_address)
        return f"http://{host}:{port}"

    def refuse_key(self, code: str, message: str) -> None:
        """Answer as STS and SES do to a key pair that they do not accept."""
        self.who = sts_refusal(code, message)
        self.account = refusal(403, code, message)
        self.identity_refusal = refusal(403, code, message)

    def identity(self, name: str) -> Answer:
        if self.identity_refusal:
            return self.identity_refusal
        if name not in self.verified:
            return refusal(404, "NotFoundException", f"Email identity {name} missing")
        return Answer(body=json.dumps({"VerifiedForSendingStatus": True}))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeAccount

    def do_GET(self) -> None:
        if self.path.startswith("/v2/email/account"):
            self._answer("GetAccount", self.server.account)
        else:
            name = unquote(self.path.rpartition("/")[2])
            self._answer("GetEmailIdentity", self.server.identity(name))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("GetCallerIdentity", self.server.who)

    def _answer(self, question: str, answer: Answer) -> None:
        self.server.asked.append(question)
        if answer.hangs:
            self.server.let_go.wait()
            self.close_connection = True
            return
        content = answer.body.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


@contextmanager
def running_fake_account() -> Iterator[FakeAccount]:
    """Run an account until the block ends."""
    server = FakeAccount()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
