"""The cache in Redis, and what it does without."""

import pytest

from ticketflow.lib import fallback_cache
from ticketflow.lib.fallback_cache import FallbackCache
from ticketflow.tests.processes import free_port
from ticketflow.tests.services import REDIS_URL


@pytest.fixture
def lonely() -> FallbackCache:
    """A cache whose Redis nobody started."""
    return FallbackCache(f"redis://127.0.0.1:{free_port()}/0", {})


def use(cache: FallbackCache) -> None:
    cache.clear()
    assert cache.add("tries", 1) is True
    assert cache.add("tries", 5) is False
    assert cache.incr("tries") == 2
    assert cache.get("tries") == 2
    assert cache.touch("tries", 60) is True
    assert cache.delete("tries") is True
    assert cache.get("tries", "none") == "none"
    cache.set("tries", [1, 2])
    assert cache.get("tries") == [1, 2]


def test_counts_by_itself_while_redis_is_away(lonely: FallbackCache) -> None:
    use(lonely)


@pytest.mark.services
def test_counts_in_redis_while_it_answers() -> None:
    cache = FallbackCache(REDIS_URL, {"KEY_PREFIX": "test-fallback"})
    use(cache)
    assert FallbackCache(REDIS_URL, {"KEY_PREFIX": "test-fallback"}).get("tries")
    cache.delete("tries")


def test_does_not_ask_again_at_once(
    lonely: FallbackCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely.set("tries", 1)

    def ask(*args: object) -> None:
        raise AssertionError("Redis was asked")

    monkeypatch.setattr(lonely._redis, "get", ask)
    assert lonely.get("tries") == 1


@pytest.mark.services
def test_uses_redis_again_when_it_is_back(
    lonely: FallbackCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely.set("tries", 1)
    monkeypatch.setattr(fallback_cache, "AWAY_SECONDS", 0.0)
    lonely._away_until = 0.001  # long ago
    back = FallbackCache(REDIS_URL, {"KEY_PREFIX": "test-fallback"})
    lonely._redis = back._redis
    lonely.set("back", "yes")
    assert back.get("back") == "yes"
    back.delete("back")


def test_one_request_finds_out_for_all(
    lonely: FallbackCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely.set("tries", 1)
    lonely._away_until = 0.001  # long ago
    with lonely._trying:  # somebody is finding out
        monkeypatch.setattr(lonely._redis, "get", lambda *_: "Redis was asked")
        assert lonely.get("tries") == 1
