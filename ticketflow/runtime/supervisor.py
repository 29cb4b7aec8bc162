"""Keeps a few children running until it is told to stop, and then stops them in order."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Role:
    """A child to keep running: its name in the output, how to start and to end it."""

    name: str
    command: Sequence[str]
    grace: float  # seconds to end by itself after SIGTERM
    descriptors: Sequence[int] = ()  # open files that it inherits
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Patience:
    """When a child that keeps dying is given up."""

    quick: float = 60.0  # seconds; whoever lived longer starts with a clean slate
    deaths: int = 5  # quick ones in a row
    first_delay: float = 0.4  # seconds before the first restart, doubled each time
    longest_delay: float = 10.0


class Printer:
    """Writes whole lines, each with who says it, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        # That nobody reads any more is no reason to stop.
        with self._lock, suppress(BrokenPipeError, ValueError):
            sys.stdout.write(f"{name:6} | {line}\n")
            sys.stdout.flush()


@dataclass
class _Child:
    role: Role
    process: subprocess.Popen[bytes]
    started_at: float


@dataclass(frozen=True)
class _Died:
    child: _Child


@dataclass(frozen=True)
class _RestartDue:
    role: Role


class _Stop:
    pass


class Supervisor:
    """Runs every role once, in the foreground.

    Nothing here polls: threads that wait for a child, timers and signal handlers put
    what happened into one queue, and only the main thread acts on it.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        say: Callable[[str, str], None],
        patience: Patience | None = None,
        when_stopping: Callable[[], None] = lambda: None,
    ) -> None:
        self.roles = roles
        self.patience = patience or Patience()
        self._say = say
        self._when_stopping = when_stopping
        # SimpleQueue may be used inside a signal handler, Queue may not.
        self._happened: queue.SimpleQueue[_Died | _RestartDue | _Stop] = (
            queue.SimpleQueue()
        )
        self._children: dict[str, _Child] = {}
        self._quick_deaths: dict[str, int] = {}
        self._lifeline, self._lifeline_end = os.pipe()

    def run(self) -> int:
        """Keep the children running until a signal comes; return the exit code.

        0 after a signal, 1 when a child could not be kept alive. Must be called from
        the main thread, as only that one may set signal handlers.
        """
        with self._signals_stop_us():
            for role in self.roles:
                self._start(role)
            code = self._watch()
            self._when_stopping()
            for role in self.roles:
                self._end(role)
        return code

    @contextmanager
    def _signals_stop_us(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._happened.put(_Stop())

        before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, role: Role) -> None:
        process = subprocess.Popen(  # noqa: S603
            [*role.command, "--lifeline", str(self._lifeline)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **role.environment},
            pass_fds=[self._lifeline, *role.descriptors],
            # Ctrl-C reaches the parent alone, which then stops the children in order.
            start_new_session=True,
        )
        child = _Child(role, process, time.monotonic())
        self._children[role.name] = child
        for work in (self._repeat_output, self._await_end):
            threading.Thread(target=work, args=(child,), daemon=True).start()

    def _repeat_output(self, child: _Child) -> None:
        assert child.process.stdout is not None
        with child.process.stdout as output:
            for line in output:
                self._say(child.role.name, line.decode(errors="replace").rstrip())

    def _await_end(self, child: _Child) -> None:
        child.process.wait()
        self._happened.put(_Died(child))

    def _watch(self) -> int:
        while True:
            match self._happened.get():
                case _Stop():
                    self._say("start", "Stopping")
                    return 0
                case _RestartDue(role):
                    self._start(role)
                case _Died(child) if not self._arrange_restart(child):
                    return 1

    def _arrange_restart(self, child: _Child) -> bool:
        """Bring the role back a little later; False when there is no point in it."""
        name = child.role.name
        _end_session(child)
        lived = time.monotonic() - child.started_at
        deaths = (
            1 if lived > self.patience.quick else self._quick_deaths.get(name, 0) + 1
        )
        self._quick_deaths[name] = deaths
        how = _how_it_ended(child.process.returncode)
        if deaths >= self.patience.deaths:
            self._say(
                "start",
                f"{name} {how}, {deaths} times in a row. Giving up: the lines above "
                "that begin with its name say why.",
            )
            return False
        delay = min(
            self.patience.longest_delay, self.patience.first_delay * 2 ** (deaths - 1)
        )
        self._say("start", f"{name} {how}. Starting it again in {delay:.1f} s.")
        timer = threading.Timer(delay, self._happened.put, [_RestartDue(child.role)])
        timer.daemon = True
        timer.start()
        return True

    def _end(self, role: Role) -> None:
        child = self._children[role.name]
        if child.process.poll() is None:
            child.process.terminate()
            try:
                child.process.wait(role.grace)
            except subprocess.TimeoutExpired:
                self._say("start", f"{role.name} did not end by itself, killing it")
        _end_session(child)
        child.process.wait()


def _end_session(child: _Child) -> None:
    """Kill what is left of a child and of its own children.

    A gunicorn worker outlives its killed arbiter for a moment and would still answer.
    """
    # macOS says "not permitted" of a group that has ended.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"
