"""Measures one installation with real worker processes: what delivery.py starts.

Runs inside `manage.py shell`, so that settings and database are those of the
installation; the answer is one line of JSON on standard output.
"""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Role, User
from email_settings import credentials, mime, outbox, rendering
from email_settings.delivery.pump import SLOTS
from email_settings.models import Brand, OutboxMessage, SesSettings, WorkerHeartbeat
from tickets import services
from tickets.models import Queue, Ticket, Watcher

BENCH = Path(__file__).resolve().parent
PATIENCE_SECONDS = 300.0  # a busy machine takes its time
REPLY = """Hello,

we have replaced the cable between the switch and the printer, and the queue is empty
again. Could you print one page and tell us whether it comes out?

1. Open any document.
2. Choose **Etage 3 – Farbe**.
3. Print one page.

If it stays silent, please write back what the display says.

Best wishes
"""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long. delivery.py hands it over as JSON."""

    workers: int
    stub_port: int
    scratch: str  # a folder
    rounds: int
    seconds: float  # of each round of the raw loop
    latencies_ms: tuple[int, ...]
    idle_mails: int
    requests: int  # of one mail each, for what one costs
    backlogs: tuple[int, ...]  # what the workers' memory is looked at with


@dataclass
class Speed:
    """Mails per second at one latency: medians over the rounds."""

    raw_per_s: float
    pipeline_per_s: float
    ratio: float  # the median of the rounds' own ratios
    rounds: list[tuple[float, float]]  # raw, pipeline


@dataclass
class Figures:
    """What one installation gave."""

    processes: int
    slots: int
    mail_bytes: int = 0
    speed: dict[str, Speed] = field(default_factory=dict)  # by latency in ms
    enqueue_us: dict[str, float] = field(default_factory=dict)
    reply_ms: dict[str, float] = field(default_factory=dict)
    idle_ms: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)  # by mails that wait


def main(plan: Plan) -> None:
    """Measure everything of the plan and print it."""
    figures = Figures(plan.workers, SLOTS)
    with ExitStack() as running:
        stub = running.enter_context(_running_stub(plan))
        ticket = _prepare()
        figures.enqueue_us, figures.reply_ms = _cost_of_enqueueing(ticket, plan)
        mail = _one_mail(ticket, Path(plan.scratch))
        figures.mail_bytes = mail.stat().st_size
        workers = running.enter_context(_running_workers(plan))
        _backlog(ticket, 300)
        _wait_until_sent(stub, 300)  # clients are made, connections are open
        figures.idle_ms = _idle_latency(stub, plan)
        for latency in plan.latencies_ms:
            stub.ask(f"latency/{latency}")
            figures.speed[str(latency)] = _speed(stub, ticket, mail, plan)
        for count in plan.backlogs:
            figures.memory_mb[str(count)] = _memory(stub, ticket, workers, count)
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


# The world around


@dataclass(frozen=True)
class Stub:
    """The stand-in for Amazon SES, as this process sees it."""

    port: int

    def ask(self, what: str) -> Any:
        """Return its answer to one of the questions of ses_stub.py."""
        url = f"http://127.0.0.1:{self.port}/stub/{what}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    def rate(self) -> float:
        """Mails per second from the first to the last that arrived."""
        found = self.ask("arrivals")
        spent = found["last_at"] - found["first_at"]
        return (found["count"] - 1) / spent if spent else 0.0


@contextmanager
def _running_stub(plan: Plan) -> Iterator[Stub]:
    command = [sys.executable, str(BENCH / "ses_stub.py"), "--port"]
    process = subprocess.Popen([*command, str(plan.stub_port)])  # noqa: S603 - ours
    stub = Stub(plan.stub_port)
    try:
        _wait_until(lambda: _answers(stub), "the stub to answer", seconds=10)
        yield stub
    finally:
        process.kill()
        process.wait()


def _answers(stub: Stub) -> bool:
    try:
        stub.ask("forget")
    except OSError:
        return False
    return True


@contextmanager
def _running_workers(plan: Plan) -> Iterator[list[int]]:
    """Start them and give their process ids."""
    with ExitStack() as files:
        logs = [
            files.enter_context((Path(plan.scratch) / f"worker-{n}.log").open("w+"))
            for n in range(plan.workers)
        ]
        processes = [_start_worker(log) for log in logs]
        try:
            _wait_until(
                lambda: WorkerHeartbeat.objects.count() == plan.workers,
                "the workers to start",
                seconds=60,
            )
            yield [process.pid for process in processes]
        except BaseException:
            for log in logs:
                log.seek(0)
                sys.stderr.write(log.read()[-4000:])
            raise
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(30)


def _start_worker(log: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ticketflow.runtime.worker"],
        cwd=settings.BASE_DIR,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_until(look: Callable[[], bool], what: str, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:.0f} s for {what}.")
        time.sleep(0.05)


def _prepare() -> Ticket:
    """Save an account whose pace is no limit, and return a ticket to write about."""
    Brand.objects.create(company_name="Larkfield")
    sender = SesSettings.load()
    sender.access_key_id = "AKIAIOSFODNN7EXAMPLE"
    sender.region = "eu-west-1"
    sender.from_email = "help@larkfield.example"
    sender.from_name = "Larkfield Help"
    sender.max_send_rate = 100_000
    sender.max_24_hour_send = -1
    sender.is_sandbox = False
    sender.is_sending_enabled = True
    sender.checked_at = timezone.now()
    sender.mode = SesSettings.Mode.LIVE
    credentials.store_secret(sender, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    sender.save()
    requester = _person(0)
    queue = Queue.objects.create(name="IT Support", icon="laptop")
    return services.open_ticket(
        actor=requester, subject="Drucker im 3. Stock", body="Silent.", queue=queue
    )


def _person(number: int, role: Role = Role.REQUESTER) -> User:
    # Nobody signs in with it; hashing a password for each would take minutes.
    return User.objects.create(
        email=f"person{number}@larkfield.example",
        name=f"Person {number}",
        role=role,
        password="!",  # noqa: S106 - none fits it
    )


# What it costs the request


def _cost_of_enqueueing(
    ticket: Ticket, plan: Plan
) -> tuple[dict[str, float], dict[str, float]]:
    """Return microseconds a mail, and milliseconds a reply to 5 and to 500 watchers.

    No worker runs meanwhile, so nothing is sent, and all is removed at the end.
    """
    enqueue = {
        "one": _median_us(lambda: _enqueue(ticket, 1), plan.requests),
        "of_500": _median_us(lambda: _enqueue(ticket, 500), 5) / 500,
    }
    agent = _person(1, Role.AGENT)
    people = [_person(number) for number in range(2, 502)]
    reply = {}
    for watchers in (5, 500):
        Watcher.objects.filter(ticket=ticket).delete()
        Watcher.objects.bulk_create(
            Watcher(ticket=ticket, user=person, added_by=agent)
            for person in people[:watchers]
        )
        reply[f"to_{watchers}"] = _median_us(lambda: _reply(ticket, agent), 7) / 1000
    ticket.comments.all().delete()
    OutboxMessage.objects.all().delete()
    return enqueue, reply


def _reply(ticket: Ticket, agent: User) -> None:
    services.add_public_reply(actor=agent, number=ticket.number, body=REPLY)


def _enqueue(ticket: Ticket, count: int) -> list[int]:
    """Put a reply in the outbox for so many, in one transaction, as a request does."""
    with transaction.atomic():
        return outbox.enqueue_many(
            kind="public_reply",
            template="tickets/mail/public_reply",
            context=_context(ticket),
            recipients=[
                (f"person{number}@larkfield.example", f"Person {number}")
                for number in range(count)
            ],
        )


def _context(ticket: Ticket) -> dict[str, Any]:
    return {
        "ticket": ticket,
        "ticket_url": f"{settings.SITE_URL}/tickets/{ticket.number}/",
        "actor": ticket.requester,
        "is_solved": False,
        "body_text": REPLY,
        "body_html": REPLY,
        "preview": REPLY[:80],
        "file_names": [],
        "reason": f"You get this because you watch ticket #{ticket.number}.",
        "reader_is_agent": False,
    }


def _median_us(action: Callable[[], object], times: int) -> float:
    action()
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent) * 1e6


# How fast it leaves


def _one_mail(ticket: Ticket, scratch: Path) -> Path:
    """Return a file with one mail as the product builds it."""
    rendered = rendering.render_mail("tickets/mail/public_reply", _context(ticket))
    message = OutboxMessage(
        recipient="person0@larkfield.example",
        recipient_name="Person 0",
        subject=rendered.subject,
    )
    file = scratch / "mail.eml"
    file.write_bytes(
        mime.build_mime(
            message,
            sender=SesSettings.load(),
            text=rendered.text,
            html=rendered.html,
        )
    )
    return file


def _backlog(ticket: Ticket, count: int) -> None:
    """Have so many messages due at once: one transaction, in batches."""
    with transaction.atomic():
        for start in range(0, count, 500):
            _enqueue(ticket, min(500, count - start))


def _wait_until_sent(stub: Stub, count: int) -> None:
    """Wait for the mails and then for their rows. Raises when one left twice."""
    _wait_until(
        lambda: stub.ask("count") >= count,
        f"{count} mails",
        seconds=PATIENCE_SECONDS,
    )
    unsent = OutboxMessage.objects.exclude(state=OutboxMessage.State.SENT)
    _wait_until(lambda: not unsent.exists(), "the rows to be settled", seconds=30)
    found = stub.ask("arrivals")
    if found["count"] != count or found["doubled"]:
        raise AssertionError(f"{count} mails, arrived: {found['count']}")


def _idle_latency(stub: Stub, plan: Plan) -> dict[str, float]:
    """Return milliseconds from the commit until the mail is at SES, one mail a time."""
    stub.ask("forget")
    committed = {}
    for _ in range(plan.idle_mails):
        with transaction.atomic():
            message = outbox.put(
                kind="public_reply",
                subject="Drucker im 3. Stock",
                text_body=REPLY,
                html_body=f"<p>{REPLY}</p>",
                recipient="person0@larkfield.example",
            )
        committed[message.uid.hex] = time.monotonic()
        # Not in step with anything that looks at regular times
        time.sleep(random.uniform(0.2, 0.4))  # noqa: S311 - no secret
    _wait_until_sent(stub, plan.idle_mails)
    arrived = stub.ask("arrivals")["by_message"]
    waits = sorted((arrived[uid] - at) * 1000 for uid, at in committed.items())
    return {
        "p50": _percentile(waits, 50),
        "p95": _percentile(waits, 95),
        "max": waits[-1],
    }


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _speed(stub: Stub, ticket: Ticket, mail: Path, plan: Plan) -> Speed:
    """Let the raw loop and the pipeline take turns."""
    rounds = []
    for _ in range(plan.rounds):
        raw = _raw_rate(stub, mail, plan)
        rounds.append((raw, _pipeline_rate(stub, ticket, round(raw * plan.seconds))))
    return Speed(
        raw_per_s=statistics.median(raw for raw, _ in rounds),
        pipeline_per_s=statistics.median(whole for _, whole in rounds),
        ratio=statistics.median(whole / raw for raw, whole in rounds),
        rounds=rounds,
    )


def _raw_rate(stub: Stub, mail: Path, plan: Plan) -> float:
    command = [
        *(sys.executable, str(BENCH / "raw_loop.py")),
        *("--threads", str(SLOTS)),
        *("--seconds", str(plan.seconds)),
        *("--mail", str(mail)),
    ]
    processes = [
        subprocess.Popen(  # noqa: S603 - ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(plan.workers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    stub.ask("forget")
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=PATIENCE_SECONDS)
    return stub.rate()


def _pipeline_rate(stub: Stub, ticket: Ticket, count: int) -> float:
    stub.ask("forget")
    _backlog(ticket, count)
    _wait_until_sent(stub, count)
    return stub.rate()


def _memory(stub: Stub, ticket: Ticket, workers: Sequence[int], count: int) -> float:
    """Return the most megabytes that a worker holds while so many mails wait.

    Leaves the rest of them waiting. Needs /proc; without it the answer is 0.
    """
    stub.ask("forget")
    _backlog(ticket, count)
    _wait_until(
        lambda: stub.ask("count") >= min(count, 1_000), "some mails", seconds=90
    )
    return max(_resident_mb(process_id) for process_id in workers)


def _resident_mb(process_id: int) -> float:
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(
        int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")
    )


if __name__ == "chain":
    options = json.loads(os.environ["BENCH_PLAN"])
    main(Plan(**options))
