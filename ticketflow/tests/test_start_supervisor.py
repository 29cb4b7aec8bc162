"""Children are kept alive, given up when there is no point, and stopped in order."""

import os
import signal
import sys
import threading
from pathlib import Path

from ticketflow.runtime.supervisor import Patience, Role, Supervisor

IMPATIENT = Patience(first_delay=0.01, longest_delay=0.02)

# Says that it is up, and says good-bye when it is asked to end.
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("bye"), sys.exit(0)))
print("up", flush=True)
time.sleep(60)
"""
STUBBORN = POLITE.replace('lambda *_: (print("bye"), sys.exit(0))', "signal.SIG_IGN")


class Listener:
    """Collects what is said, and does something once a line has been heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self._changed = threading.Condition()

    def __call__(self, name: str, line: str) -> None:
        with self._changed:
            self.heard.append((name, line))
            self._changed.notify_all()

    def stop_us_after(self, *lines: tuple[str, str]) -> None:
        """Send this process SIGTERM, as a terminal or systemd would, after the lines."""

        def wait_and_stop() -> None:
            with self._changed:
                self._changed.wait_for(lambda: set(lines) <= set(self.heard), 20)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait_and_stop, daemon=True).start()


def script(name: str, code: str, *, grace: float = 10) -> Role:
    return Role(name, [sys.executable, "-c", code], grace)


def test_child_that_dies_at_once_is_given_up_after_five_times() -> None:
    listener = Listener()
    supervisor = Supervisor(
        [script("web", "raise SystemExit(3)")], say=listener, patience=IMPATIENT
    )

    assert supervisor.run() == 1

    said = [line for name, line in listener.heard if name == "start"]
    assert len(said) == 5
    assert all(line.startswith("web ended with code 3") for line in said)
    assert "5 times in a row. Giving up" in said[-1]


def test_child_is_brought_back_and_its_words_carry_its_name(tmp_path: Path) -> None:
    listener = Listener()
    dies_once = f"""
import os, pathlib, signal
try:
    pathlib.Path({str(tmp_path / "died")!r}).touch(exist_ok=False)
    os.kill(os.getpid(), signal.SIGKILL)
except FileExistsError:
    pass
{POLITE}
"""
    listener.stop_us_after(("worker", "up"))
    supervisor = Supervisor(
        [script("worker", dies_once)], say=listener, patience=IMPATIENT
    )

    assert supervisor.run() == 0
    assert (
        "start",
        "worker was killed by SIGKILL. Starting it again in 0.0 s.",
    ) in listener.heard


def test_children_are_stopped_one_after_the_other_in_the_order_given() -> None:
    listener = Listener()
    listener.stop_us_after(("web", "up"), ("worker", "up"))
    supervisor = Supervisor(
        [script("web", POLITE), script("worker", POLITE)], say=listener
    )

    assert supervisor.run() == 0

    farewells = [name for name, line in listener.heard if line == "bye"]
    assert farewells == ["web", "worker"]


def test_child_that_does_not_end_by_itself_is_killed() -> None:
    listener = Listener()
    listener.stop_us_after(("web", "up"))
    stubborn = script("web", STUBBORN, grace=0.1)

    assert Supervisor([stubborn], say=listener).run() == 0
    assert ("start", "web did not end by itself, killing it") in listener.heard


def test_the_callers_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    Supervisor(
        [script("web", "raise SystemExit(3)")], say=Listener(), patience=IMPATIENT
    ).run()
    assert signal.getsignal(signal.SIGTERM) == before
