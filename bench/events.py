"""How fast delivery events are read, stored and made the fate of mails.

    python bench/events.py                     10,000 events, in about a minute
    python bench/events.py --events 2000       fewer
    python bench/events.py --only sqlite       one of the two databases

A stand-in for Amazon SQS, in a process of its own, holds a Send and a Delivery for each
of so many mails, shuffled, and each tenth of them twice. The reader of the worker empties
the queue, on SQLite and on PostgreSQL, with no latency and with 50 ms for each call, as
from another continent. Checked at the end: nothing is left, every mail is delivered, and
no event is there twice. What is made for it is gone afterwards.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LATENCIES_MS = (0, 50)
TARGET = 10_000 / 60  # events a second


def main() -> None:
    """Measure what was asked for and print it."""
    if len(sys.argv) == 3 and sys.argv[1] == "--stub":
        Stub(int(sys.argv[2])).serve_forever()
        return
    # Beside each other on the path of what measure() runs in
    from delivery import _database, _environment

    options = _options()
    rows = []
    for mode in [options.only] if options.only else ["sqlite", "postgresql"]:
        for latency in LATENCIES_MS:
            with tempfile.TemporaryDirectory(prefix="ticketflow-bench-") as scratch:
                environment = _environment(scratch, options.port) | {
                    "BENCH_EVENTS": json.dumps(
                        {
                            "events": options.events,
                            "port": options.port,
                            "latency": latency / 1000,
                        }
                    )
                }
                if mode == "sqlite":
                    found = _run(environment)
                else:
                    with _database(options.postgresql) as url:
                        found = _run({**environment, "DATABASE_URL": url})
            rows.append({"database": mode, "latency_ms": latency, **found})
    _print(rows)


def _run(environment: dict[str, str]) -> dict[str, Any]:
    """Measure one installation, made anew."""
    manage = [sys.executable, "manage.py"]
    answer = ""
    for command in (
        ["migrate", "--skip-checks", "-v", "0"],
        ["shell", "--no-imports", "-c", "import events; events.measure()"],
    ):
        answer = subprocess.run(  # noqa: S603 - ours
            [*manage, *command],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--port", type=int, default=8190, help="of the stand-in")
    parser.add_argument(
        "--postgresql",
        default="postgres://postgres@127.0.0.1:5432/postgres",
        metavar="URL",
        help="a database to make another one beside (default: %(default)s)",
    )
    return parser.parse_args()


def _print(rows: list[dict[str, Any]]) -> None:
    out = sys.stdout.write
    out(f"target: {TARGET:.0f} events/s (10,000 a minute)\n")
    out("| database | latency | events | seconds | events/s | CPU ms/event | right |\n")
    out("| --- | --- | --- | --- | --- | --- | --- |\n")
    for row in rows:
        out(
            "| {database} | {latency_ms} ms | {events} | {seconds:.1f} | {rate:.0f} | "
            "{cpu_ms:.2f} | {right} |\n".format(**row)
        )


# The queue


class Stub(ThreadingHTTPServer):
    """As much of Amazon SQS as the reader asks; it gives what was put last time."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.lock = threading.Lock()
        self.waiting: deque[str] = deque()
        self.given: dict[str, str] = {}
        self.latency = 0.0

    def answer(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            match action:
                case "Fill":
                    self.waiting = deque(asked["bodies"])
                    self.given, self.latency = {}, asked["latency"]
                    return {}
                case "ReceiveMessage":
                    return {
                        "Messages": [
                            self._give() for _ in range(min(10, len(self.waiting)))
                        ]
                    }
                case "DeleteMessageBatch":
                    entries = asked["Entries"]
                    for entry in entries:
                        self.given.pop(entry["ReceiptHandle"], None)
                    return {
                        "Successful": [{"Id": e["Id"]} for e in entries],
                        "Failed": [],
                    }
            return {
                "Attributes": {
                    "ApproximateNumberOfMessages": str(len(self.waiting)),
                    "ApproximateNumberOfMessagesNotVisible": str(len(self.given)),
                }
            }

    def _give(self) -> dict[str, str]:
        receipt, body = uuid.uuid4().hex, self.waiting.popleft()
        self.given[receipt] = body
        return {"MessageId": receipt, "ReceiptHandle": receipt, "Body": body}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Stub

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        action = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if action != "Fill":
            time.sleep(self.server.latency)
        body = json.dumps(self.server.answer(action, asked)).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("x-amzn-RequestId", uuid.uuid4().hex)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


# Inside of one installation


def measure() -> None:
    """Fill the queue, let the reader empty it, and print what that took as JSON."""
    import urllib.request

    plan = json.loads(os.environ["BENCH_EVENTS"])
    stub = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, __file__, "--stub", str(plan["port"])]
    )
    try:
        url = f"http://127.0.0.1:{plan['port']}"
        bodies = _mails(plan["events"] // 2, f"{url}/123456789012/events")
        request = urllib.request.Request(
            url,
            json.dumps({"bodies": bodies, "latency": plan["latency"]}).encode(),
            {"X-Amz-Target": "AmazonSQS.Fill"},
        )
        _ask_until_it_listens(request)
        sys.stdout.write(json.dumps(_empty(len(bodies))) + "\n")
    finally:
        stub.kill()
        stub.wait()


def _ask_until_it_listens(request: Any) -> None:
    import urllib.request

    for _ in range(100):
        try:
            urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - loopback
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("The stand-in does not listen.")


def _mails(count: int, queue_url: str) -> list[str]:
    """Write mails that were sent, and return their events, each tenth of them twice."""
    from django.utils import timezone

    from email_settings import credentials
    from email_settings.models import (
        DeliveryAttempt,
        OutboxMessage,
        SesSettings,
    )

    row = SesSettings.load()
    row.access_key_id, row.region = "AKIAIOSFODNN7EXAMPLE", "eu-west-1"
    row.from_email = "help@larkfield.example"
    row.configuration_set, row.event_queue_url = "bench", queue_url
    credentials.store_secret(row, "x" * 40)
    row.save()
    now = timezone.now()
    messages = OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                kind="public_reply",
                recipient=f"person{number}@larkfield.example",
                subject="Re: [#1] The printer",
                text_body="Hello",
                state="sent",
                sent_at=now,
                ses_message_id=f"0102-{number:012}",
                claims=1,
            )
            for number in range(count)
        ],
        batch_size=500,
    )
    attempts = DeliveryAttempt.objects.bulk_create(
        [
            DeliveryAttempt(
                message=message,
                number=1,
                outcome="accepted",
                ses_message_id=message.ses_message_id,
            )
            for message in messages
        ],
        batch_size=500,
    )
    bodies = []
    for message, attempt in zip(messages, attempts, strict=True):
        mail = {
            "timestamp": "2026-11-24T10:00:00.000Z",
            "messageId": message.ses_message_id,
            "destination": [message.recipient],
            "headers": [{"name": f"X-{n}", "value": "x" * 60} for n in range(15)],
            "tags": {
                "tf-inst": [row.installation.hex],
                "tf-msg": [message.uid.hex],
                "tf-att": [attempt.uid.hex],
            },
        }
        delivery = {
            "timestamp": "2026-11-24T10:00:02.000Z",
            "recipients": [message.recipient],
            "smtpResponse": "250 2.6.0 Message received",
            "remoteMtaIp": "203.0.113.25",
        }
        bodies += [
            _wrapped({"eventType": "Send", "mail": mail, "send": {}}),
            _wrapped({"eventType": "Delivery", "mail": mail, "delivery": delivery}),
        ]
    bodies += bodies[::10]
    random.Random(1).shuffle(bodies)  # noqa: S311 - no secret
    return bodies


def _wrapped(event: dict[str, Any]) -> str:
    """Return the event as SNS passes it on."""
    message = json.dumps(event)
    return json.dumps({"Type": "Notification", "TopicArn": "x", "Message": message})


def _empty(count: int) -> dict[str, Any]:
    from django.db.models import Count

    from email_settings.events.poller import Poller
    from email_settings.gateway import queue
    from email_settings.models import (
        DeliveryEvent,
        EventFeed,
        Fate,
        OutboxMessage,
    )

    queue.LONG_POLL_SECONDS = 0
    poller = Poller(stopping=threading.Event(), holder="bench")
    began, cpu = time.monotonic(), time.process_time()
    while EventFeed.objects.filter(event_count__gte=count).count() == 0:
        poller.go()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    poller.go()
    twice = DeliveryEvent.objects.values("ses_message_id", "kind").annotate(
        n=Count("pk")
    )
    is_right = (
        not twice.filter(n__gt=1).exists()
        and not OutboxMessage.objects.exclude(fate=Fate.DELIVERED).exists()
        and EventFeed.objects.get().queue_depth == 0
    )
    return {
        "events": count,
        "seconds": seconds,
        "rate": count / seconds,
        "cpu_ms": cpu * 1000 / count,
        "right": "yes" if is_right else "NO",
    }


if __name__ == "__main__":
    main()
