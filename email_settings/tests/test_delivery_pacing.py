"""The rate that AWS allows, kept over threads, processes and machines."""

import threading
import time
import uuid

import pytest
from pytest_django import Settings
from redis import Redis

from email_settings import pacing
from email_settings.gateway.errors import SendError
from email_settings.models import SesSettings
from email_settings.pacing import LocalPace, NoPace, Pace, RedisPace, pace_for
from ticketflow.tests.services import REDIS_URL


def starts_of(paces: list[Pace], *, each: int) -> list[float]:
    """Return when each turn came, with one thread a pace."""
    starts: list[float] = []

    def take_turns(pace: Pace) -> None:
        for _ in range(each):
            assert pace.take(threading.Event())
            starts.append(time.monotonic())

    threads = [threading.Thread(target=take_turns, args=(pace,)) for pace in paces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(starts)


def assert_rate_is_kept(starts: list[float], rate: int) -> None:
    # The thread may be noted late on a busy machine, hence not a whole second.
    pairs = zip(starts, starts[rate:], strict=False)
    assert all(late - early > 0.8 for early, late in pairs)


def test_local_pace_keeps_the_rate_and_uses_it() -> None:
    pace = LocalPace(50)
    starts = starts_of([pace] * 4, each=25)
    assert_rate_is_kept(starts, 50)
    assert starts[-1] - starts[0] < 6


def test_first_turn_comes_at_once() -> None:
    assert LocalPace(1).seconds_to_wait() <= 0


def test_rate_below_one_is_kept() -> None:
    pace = LocalPace(0.5)
    assert pace.seconds_to_wait() <= 0
    assert 1.9 < pace.seconds_to_wait() < 2.2


def test_stopping_ends_the_wait() -> None:
    pace = LocalPace(0.01)
    pace.take(threading.Event())
    stopping = threading.Event()
    threading.Timer(0.05, stopping.set).start()
    began = time.monotonic()
    assert pace.take(stopping) is False
    assert time.monotonic() - began < 2


@pytest.mark.services
def test_redis_pace_keeps_the_rate_over_processes() -> None:
    account = uuid.uuid4().hex
    paces: list[Pace] = [
        RedisPace(30, url=REDIS_URL, account=account) for _ in range(3)
    ]
    starts = starts_of(paces, each=20)
    assert_rate_is_kept(starts, 30)
    assert starts[-1] - starts[0] < 8
    with Redis.from_url(REDIS_URL) as redis:
        redis.delete(f"ticketflow:pace:{account}")


def test_redis_that_is_away_is_told_and_nothing_leaves() -> None:
    pace = RedisPace(10, url="redis://127.0.0.1:1/0", account="a")
    with pytest.raises(SendError) as caught:
        pace.take(threading.Event())
    assert caught.value.problem.code == "pacer_unavailable"


def test_pace_follows_the_settings(settings: Settings) -> None:
    settings.REDIS_URL = ""
    live = SesSettings(mode=SesSettings.Mode.LIVE, account_id="1", max_send_rate=14)
    assert isinstance(pace_for(SesSettings()), NoPace)
    pace = pace_for(live)
    assert isinstance(pace, LocalPace)
    assert pace.starts == 14
    assert pace_for(live) is pace


def test_unknown_rate_is_that_of_the_sandbox(settings: Settings) -> None:
    settings.REDIS_URL = ""
    pace = pace_for(SesSettings(mode=SesSettings.Mode.LIVE, account_id="2"))
    assert isinstance(pace, LocalPace)
    assert pace.starts == pacing.SLOWEST_RATE
