"""A cache in Redis that never keeps anybody from working.

Only counters of wrong passwords live in it. While Redis is away each process counts by
itself: somebody who guesses gets a few tries more, and nobody is kept out.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

# A frozen Redis accepts connections and never answers.
ANSWER_WITHIN_SECONDS = 1.0
# Asked again after this; meanwhile nobody waits for it.
AWAY_SECONDS = 10.0


class FallbackCache(BaseCache):
    """Redis while it answers, else this process's own memory."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = {
            "socket_timeout": ANSWER_WITHIN_SECONDS,
            "socket_connect_timeout": ANSWER_WITHIN_SECONDS,
            **params.get("OPTIONS", {}),
        }
        self._redis = RedisCache(server, {**params, "OPTIONS": options})
        self._memory = LocMemCache(f"fallback {server}", {})
        self._away_until = 0.0
        self._trying = threading.Lock()

    def _ask(self, question: Callable[[BaseCache], Any]) -> Any:
        if time.monotonic() < self._away_until:
            return question(self._memory)
        # When it may be back, one request finds out and the others do not queue up.
        is_doubtful = self._away_until > 0
        if is_doubtful and not self._trying.acquire(blocking=False):
            return question(self._memory)
        try:
            answer = question(self._redis)
            self._away_until = 0.0
        except (RedisError, OSError):
            self._away_until = time.monotonic() + AWAY_SECONDS
            return question(self._memory)
        finally:
            if is_doubtful:
                self._trying.release()
        return answer

    def add(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        return bool(self._ask(lambda cache: cache.add(key, value, timeout, version)))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._ask(lambda cache: cache.get(key, default, version))

    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> None:
        self._ask(lambda cache: cache.set(key, value, timeout, version))

    def touch(
        self,
        key: str,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        return bool(self._ask(lambda cache: cache.touch(key, timeout, version)))

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._ask(lambda cache: cache.delete(key, version)))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return int(self._ask(lambda cache: cache.incr(key, delta, version)))

    def clear(self) -> None:
        self._ask(lambda cache: cache.clear())
