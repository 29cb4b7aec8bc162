"""Keeps all workers together below the rate that AWS allows.

An exact sliding window over the real starts: one more may start when the start `rate`
before it is a good second old. Nothing is reserved ahead, so that a thread that is late
can't bunch up with the next one.
"""

import collections
import functools
import threading
import time
from typing import Protocol

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import SesSettings

# What AWS gives an account in the sandbox, and a safe guess when it says nothing.
SLOWEST_RATE = 1.0  # recipients per second
# A little over a second, so that network jitter does not push one too many into it.
WINDOW_SECONDS = 1.04
# Starts are spread over the window, yet may catch up a little.
SPREAD = 0.9
LONGEST_NAP_SECONDS = 5.0


class Pace(Protocol):
    """Says when the next message may start."""

    ahead: int  # how many may be claimed while they still wait for their turn

    def take(self, stopping: threading.Event) -> bool:
        """Wait for a turn; False when `stopping` was set first. Raises SendError."""
        ...


class NoPace:
    """For rehearsal: nothing leaves, so nothing has to wait."""

    ahead = 1_000_000

    def take(self, stopping: threading.Event) -> bool:
        return not stopping.is_set()


class _Window:
    """What both windows share: one thread of the process asks, the others line up."""

    def __init__(self, rate: float) -> None:
        self.starts = max(1, int(rate))
        self.window_seconds = WINDOW_SECONDS * self.starts / rate
        self.apart_seconds = SPREAD / rate
        self.ahead = max(1, int(rate * 0.1))
        self._turn = threading.Lock()

    def take(self, stopping: threading.Event) -> bool:
        with self._turn:
            while not stopping.is_set():
                wait = self.seconds_to_wait()
                if wait <= 0:
                    return True
                stopping.wait(min(wait, LONGEST_NAP_SECONDS))
        return False

    def seconds_to_wait(self) -> float:
        """Take a turn and return 0 or less, or return how long there is none."""
        raise NotImplementedError


class LocalPace(_Window):
    """For the one worker of an embedded installation."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._started: collections.deque[float] = collections.deque(maxlen=self.starts)

    def seconds_to_wait(self) -> float:
        now = time.monotonic()
        wait = 0.0
        if self._started:
            wait = self._started[-1] + self.apart_seconds - now
        if len(self._started) == self.starts:
            wait = max(wait, self._started[0] + self.window_seconds - now)
        if wait <= 0:
            self._started.append(now)
        return wait


class RedisPace(_Window):
    """For any number of workers on any number of machines; the clock is that of Redis."""

    _SCRIPT = """
    local time = redis.call('TIME')
    local now = time[1] + time[2] / 1e6
    local starts, window, apart = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local wait = 0
    local last = redis.call('LINDEX', KEYS[1], 0)
    if last then wait = last + apart - now end
    local oldest = redis.call('LINDEX', KEYS[1], starts - 1)
    if oldest then wait = math.max(wait, oldest + window - now) end
    if wait <= 0 then
        redis.call('LPUSH', KEYS[1], string.format('%.6f', now))
        redis.call('LTRIM', KEYS[1], 0, starts - 1)
        redis.call('EXPIRE', KEYS[1], math.ceil(window) + 60)
    end
    return string.format('%.6f', wait)
    """

    def __init__(self, rate: float, *, url: str, account: str) -> None:
        """`account` names what the rate belongs to: an AWS account and region."""
        super().__init__(rate)
        self._key = f"ticketflow:pace:{account}"
        redis = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=3)
        self._script = redis.register_script(self._SCRIPT)

    def seconds_to_wait(self) -> float:
        arguments = [self.starts, self.window_seconds, self.apart_seconds]
        try:
            return float(self._script(keys=[self._key], args=arguments))
        except RedisError as error:
            raise SendError(
                problem_for("pacer_unavailable"), detail=str(error)
            ) from error


def pace_for(sender: SesSettings) -> Pace:
    """Return the pace of these settings: the same object as long as the rate stays."""
    if not sender.is_live:
        return NoPace()
    account = f"{sender.account_id or sender.access_key_id}:{sender.region}"
    return _window(settings.REDIS_URL, account, sender.max_send_rate or SLOWEST_RATE)


@functools.lru_cache(maxsize=4)
def _window(redis_url: str, account: str, rate: float) -> Pace:
    if redis_url:
        return RedisPace(rate, url=redis_url, account=account)
    return LocalPace(rate)
