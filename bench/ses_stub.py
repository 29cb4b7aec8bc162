"""A stand-in for Amazon SES that costs next to nothing, so that the sender is measured.

    python bench/ses_stub.py --port 8180

Takes `SendEmail` of the API v2 and answers after the set latency, with a message id.
Remembers when each message arrived, by its tag tf-msg:

    GET /stub/latency/50   answer after 50 ms from now on
    GET /stub/forget       begin to count anew
    GET /stub/count        how many arrived since: cheap, may be asked all the time
    GET /stub/arrivals     what arrived since, see Arrivals
"""

import argparse
import asyncio
import json
import re
import time
from dataclasses import asdict, dataclass, field

_TAG = re.compile(rb'"tf-msg",\s*"Value":\s*"([^"]+)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# So much allowance that the sender's pace is never what limits it
ACCOUNT = {
    "ProductionAccessEnabled": True,
    "SendingEnabled": True,
    "EnforcementStatus": "HEALTHY",
    "SendQuota": {
        "MaxSendRate": 100_000.0,
        "Max24HourSend": -1.0,
        "SentLast24Hours": 0.0,
    },
}


@dataclass
class Arrivals:
    """Messages since it was last told to forget; times are of the monotonic clock."""

    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    doubled: int = 0  # arrived although it had arrived before
    by_message: dict[str, float] = field(default_factory=dict)  # tf-msg: when

    def note(self, message: str) -> None:
        """Count one arrival; `message` is "" when it has no tag."""
        now = time.monotonic()
        self.first_at = self.first_at or now
        self.last_at = now
        self.count += 1
        if message in self.by_message:
            self.doubled += 1
        elif message:
            self.by_message[message] = now


@dataclass
class Stub:
    """What the connections share."""

    latency: float = 0.0  # seconds
    arrivals: Arrivals = field(default_factory=Arrivals)

    def answer(self, path: str, body: bytes) -> tuple[bytes, float]:
        """Return the JSON to answer with, and after how many seconds."""
        match path.strip("/").split("/"):
            case ["v2", "email", "outbound-emails"]:
                tag = _TAG.search(body)
                self.arrivals.note(tag.group(1).decode() if tag else "")
                message_id = f"0100stub-{time.monotonic_ns():016x}-000000"
                return json.dumps({"MessageId": message_id}).encode(), self.latency
            case ["v2", "email", "account"]:
                return json.dumps(ACCOUNT).encode(), 0.0
            case ["stub", "latency", milliseconds]:
                self.latency = float(milliseconds) / 1000
            case ["stub", "forget"]:
                self.arrivals = Arrivals()
            case ["stub", "count"]:
                return json.dumps(self.arrivals.count).encode(), 0.0
            case ["stub", "arrivals"]:
                return json.dumps(asdict(self.arrivals)).encode(), 0.0
        return b"{}", 0.0


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as boto3 and urllib speak it."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._take_request():
            pass

    def _take_request(self) -> bool:
        """Answer the first request that is complete; False when none is."""
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return False
        found = _LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        if len(rest) < length:
            if not rest and b"100-continue" in head.lower():
                self._write(_CONTINUE)
            return False
        self._received = rest[length:]
        path = head.split(b" ", 2)[1].decode()
        content, wait = self._stub.answer(path, rest[:length])
        answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"x-amzn-RequestId: 0f0f0f0f-1111-2222-3333-444444444444\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(content), content)
        )
        if wait:
            asyncio.get_running_loop().call_later(wait, self._write, answer)
        else:
            self._write(answer)
        return True

    def _write(self, content: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(content)


async def serve(port: int) -> None:
    """Answer on 127.0.0.1 until the process is stopped."""
    stub = Stub()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(stub), "127.0.0.1", port, backlog=1024
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
