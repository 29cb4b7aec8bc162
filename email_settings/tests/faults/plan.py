"""Breaks a process of the product from outside: where it dies, which guard is off.

A test gives the plan to the process in its environment; the process applies it before
it begins to work. The product itself knows nothing of this.
"""

import functools
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

VARIABLE = "FAULT_PLAN"
ROOMS = {"ticketflow", "tickets", "accounts", "email_settings"}


@dataclass(frozen=True)
class Kill:
    """SIGKILL this process before or after a call of the function, or SIGSTOP it."""

    where: str  # "package.module.function" or "package.module.Class.method"
    when: str = "before"  # or "after" it returned
    call: int = 1  # the first is 1
    # Only while this file is there; whoever dies of it takes it along, so that the
    # process that comes next lives.
    armed_by: str = ""
    signal: str = "SIGKILL"


@dataclass(frozen=True)
class Plan:
    """All that is to go wrong in one process."""

    kills: Sequence[Kill] = ()
    off: Sequence[str] = ()  # names of guards.OFF
    lease_seconds: float | None = None
    sweep_seconds: float | None = None  # 0: there is no sweep
    slots: int | None = None
    clock_ahead_seconds: float = 0.0  # of this machine's clock, before the real time
    full_disk_while: str = ""  # nothing can be written while this file is there

    def environment(self) -> dict[str, str]:
        """Return what carries the plan to a process."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> "Plan":
        said = json.loads(os.environ.get(VARIABLE, "{}"))
        said["kills"] = [Kill(**kill) for kill in said.get("kills", [])]
        return cls(**said)

    def set_clock(self) -> None:
        """Let this process believe that it is later, or earlier. First of all."""
        from django.utils import timezone

        real, ahead = timezone.now, timedelta(seconds=self.clock_ahead_seconds)
        if ahead:
            timezone.now = lambda: real() + ahead

    def apply(self) -> None:
        """Change this process. Django must be set up, and all that is named imported."""
        from email_settings.tests.faults import guards

        if self.lease_seconds is not None:
            lease = timedelta(seconds=self.lease_seconds)
            _set("email_settings.delivery.claim.LEASE", lease)
            _set("email_settings.delivery.claim.LATEST_START", lease / 2)
        if self.slots is not None:
            guards.use_slots(self.slots)
        if self.full_disk_while:
            threading.Thread(
                target=_fill_disk_while, args=[Path(self.full_disk_while)], daemon=True
            ).start()
        if self.sweep_seconds is not None:
            guards.sweep_every(self.sweep_seconds)
        for name in self.off:
            guards.OFF[name]()
        for kill in self.kills:
            wrap(kill.where, _Killer(kill).around)


def _fill_disk_while(path: Path) -> None:
    """Let every write to a file fail, in the database, its journals and the log."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    was_there = False
    while True:
        is_there = path.exists()
        if is_there != was_there:
            limit = 0 if is_there else most
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
            was_there = is_there
        time.sleep(0.02)


@dataclass
class _Killer:
    kill: Kill
    calls: int = field(default=0)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def dies(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            is_now = self.calls == self.kill.call or (
                self.calls > self.kill.call and self.kill.signal == "SIGKILL"
            )
            if is_now and self.kill.when == "before":
                self._die()
            result = function(*args, **kwargs)
            if is_now and self.kill.when == "after":
                self._die()
            return result

        return dies

    def _die(self) -> None:
        if self.kill.armed_by:
            try:
                Path(self.kill.armed_by).unlink()
            except FileNotFoundError:
                return
        os.kill(os.getpid(), signal.Signals[self.kill.signal])
        # It may take a moment to arrive; nothing must happen in it.
        time.sleep(60 if self.kill.signal == "SIGKILL" else 0.5)


def wrap(name: str, around: Callable[[Any], Any]) -> None:
    """Put something around a function or method, wherever it was imported to."""
    owner, attribute = _owner_of(name)
    replace(name, around(getattr(owner, attribute)))


def replace(name: str, new: Any) -> None:
    """Put `new` in the place of a function, method or class, wherever it is known."""
    owner, attribute = _owner_of(name)
    old = getattr(owner, attribute)
    setattr(owner, attribute, new)
    ours = [m for name, m in sys.modules.items() if name.partition(".")[0] in ROOMS]
    for module in ours:
        for alias in [key for key, value in vars(module).items() if value is old]:
            setattr(module, alias, new)


def _owner_of(name: str) -> tuple[Any, str]:
    """Return the module or class that has it. Raises AttributeError for no such thing."""
    path, _, attribute = name.rpartition(".")
    try:
        owner: Any = importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, class_name = path.rpartition(".")
        owner = getattr(importlib.import_module(module), class_name)
    getattr(owner, attribute)
    return owner, attribute


def _set(name: str, value: Any) -> None:
    owner, attribute = _owner_of(name)
    setattr(owner, attribute, value)
