"""The rate that AWS allows, kept over threads, processes and machines."""

import math
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from email_settings import pacing
from email_settings.gateway.errors import SendError
from email_settings.models import SesSettings
from email_settings.pacing import (
    SLOWEST_RATE,
    WHOLE_AGAIN_AFTER,
    LocalPace,
    NoPace,
    Pace,
    RedisPace,
    effective_rate,
    pace_for,
    slow_down,
)
from email_settings.tests.builders import make_settings
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
    assert pace.is_away


@pytest.fixture
def one_worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paces of an embedded installation, none of them made yet."""
    settings.REDIS_URL = ""
    monkeypatch.setattr("email_settings.pacing.connection.vendor", "sqlite")
    pacing._paces.clear()


def live(**values: Any) -> SesSettings:
    return SesSettings(
        mode=SesSettings.Mode.LIVE, **{"account_id": "1", "max_send_rate": 14, **values}
    )


def test_rehearsal_has_no_pace() -> None:
    assert isinstance(pace_for(SesSettings()), NoPace)


def test_pace_follows_the_settings_and_remembers_what_started(one_worker: None) -> None:
    pace = pace_for(live())
    assert isinstance(pace, LocalPace)
    assert pace.rate == 14
    assert pace.seconds_to_wait() <= 0
    assert pace_for(live(max_send_rate=0.5)) is pace
    assert pace.rate == 0.5
    assert 1.5 < pace.seconds_to_wait() < 2.2
    assert pace_for(live(region="eu-west-1")) is not pace


def test_rate_that_grows_forgets_nothing() -> None:
    pace = LocalPace(2)
    starts = [pace.seconds_to_wait() <= 0]
    pace.rate = 1000
    time.sleep(0.002)
    starts.append(pace.seconds_to_wait() <= 0)
    time.sleep(0.002)
    starts.append(pace.seconds_to_wait() <= 0)
    pace.rate = 3
    time.sleep(0.002)
    assert starts == [True] * 3
    assert pace.seconds_to_wait() > 0.3


# Which rate is aimed at

NOW = timezone.now()


@pytest.mark.parametrize(
    ("of_aws", "typed", "expected"),
    [
        (14, None, 14),
        (None, 5, 5),
        (14, 5, 5),
        (14, 50, 14),
        (0.5, None, 0.5),
        (500, None, 500),
        (None, None, SLOWEST_RATE),
        (0, None, SLOWEST_RATE),
        (-1, None, SLOWEST_RATE),
        (math.nan, None, SLOWEST_RATE),
        (math.inf, None, SLOWEST_RATE),
        (0, 3, 3),
    ],
)
def test_rate_is_the_smallest_that_is_known(
    of_aws: float | None, typed: float | None, expected: float
) -> None:
    sender = live(max_send_rate=of_aws, manual_send_rate=typed)
    assert effective_rate(sender, NOW) == expected


@pytest.mark.parametrize(
    ("part", "expected"), [(0, 7), (0.25, 8.75), (0.5, 10.5), (1, 14), (9, 14)]
)
def test_slowed_rate_grows_back(part: float, expected: float) -> None:
    sender = live(slowed_to=7, slowed_at=NOW - part * WHOLE_AGAIN_AFTER)
    assert effective_rate(sender, NOW) == pytest.approx(expected)


def test_slowed_rate_of_another_machine_whose_clock_is_ahead() -> None:
    sender = live(slowed_to=7, slowed_at=NOW + timedelta(minutes=1))
    assert effective_rate(sender, NOW) == 7


def test_rate_that_was_lowered_meanwhile_is_kept() -> None:
    sender = live(max_send_rate=2, slowed_to=7, slowed_at=NOW)
    assert effective_rate(sender, NOW) == 2


@pytest.mark.django_db
def test_burst_of_too_fast_halves_the_rate_once() -> None:
    make_settings(max_send_rate=14)
    assert [slow_down() for _ in range(20)] == [True] + [False] * 19
    assert SesSettings.load().slowed_to == 7


@pytest.mark.django_db
def test_next_burst_halves_what_has_grown_back_down_to_the_least() -> None:
    make_settings(max_send_rate=14)
    rates = []
    for _ in range(6):
        SesSettings.objects.filter(slowed_at__isnull=False).update(
            slowed_at=timezone.now() - pacing.ONE_BURST
        )
        assert slow_down()
        rates.append(SesSettings.load().slowed_to)
    assert rates[0] == 7
    assert 3.5 <= (rates[1] or 0) < 3.6
    assert rates[-1] == pytest.approx(1.4)


@pytest.mark.django_db
@pytest.mark.parametrize(("rate", "least"), [(1, 0.5), (0.3, 0.3), (500, 50)])
def test_rate_is_never_slowed_to_nothing(rate: float, least: float) -> None:
    make_settings(max_send_rate=rate)
    for _ in range(10):
        SesSettings.objects.update(slowed_at=None)
        SesSettings.objects.filter(slowed_to__isnull=False).update(
            slowed_at=timezone.now() - pacing.ONE_BURST
        )
        slow_down()
    assert SesSettings.load().slowed_to == pytest.approx(least)
