"""The rate that AWS allows, kept over threads, processes and machines."""

import math
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from email_settings import pacing
from email_settings.gateway.errors import SendError
from email_settings.models import SesSettings
from email_settings.pacing import (
    AWAY_SECONDS,
    KEPT_SECONDS,
    LONGEST_NAP_SECONDS,
    SLOWEST_RATE,
    TURN_LASTS_SECONDS,
    WHOLE_AGAIN_AFTER,
    WINDOW_SECONDS,
    DatabasePace,
    LocalPace,
    NoPace,
    Pace,
    RedisPace,
    _Turns,
    effective_rate,
    pace_for,
    slow_down,
)
from email_settings.tests.builders import make_settings
from ticketflow.tests.processes import wait_until
from ticketflow.tests.services import REDIS_URL


def starts_of(paces: list[Pace], *, each: int) -> list[float]:
    """Return when each turn came, with one thread a pace."""
    starts: list[float] = []

    def take_turns(pace: Pace) -> None:
        for _ in range(each):
            assert pace.take(threading.Event(), seconds=60)
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


def test_starts_are_spread_over_the_second() -> None:
    pace = LocalPace(10)
    assert pace.ask(1) == (1, 0.0)
    granted, wait = pace.ask(1)
    # Nine more would fit into the second, but not all at once.
    assert granted == 0
    assert 0 < wait < 0.1


def test_first_turn_comes_at_once() -> None:
    assert LocalPace(1).ask(1) == (1, 0)


def test_rate_below_one_is_kept() -> None:
    pace = LocalPace(0.5)
    assert pace.ask(1) == (1, 0)
    turns, wait = pace.ask(1)
    assert turns == 0
    assert 1.9 < wait < 2.2


def test_stopping_ends_the_wait() -> None:
    pace = LocalPace(0.01)
    pace.take(threading.Event(), seconds=60)
    stopping = threading.Event()
    threading.Timer(0.05, stopping.set).start()
    began = time.monotonic()
    assert pace.take(stopping, seconds=60) is False
    assert time.monotonic() - began < 2


def test_nobody_outwaits_the_time_there_is() -> None:
    pace = LocalPace(0.01)
    assert pace.take(threading.Event(), seconds=60)
    began = time.monotonic()
    assert not pace.take(threading.Event(), seconds=0.1)
    assert 0.1 <= time.monotonic() - began < 2


def test_nobody_outwaits_it_in_the_line_either() -> None:
    pace, stopping, given_up = LocalPace(0.01), threading.Event(), threading.Event()
    assert pace.take(stopping, seconds=60)
    first = threading.Thread(target=pace.take, args=(stopping,), kwargs={"seconds": 60})
    first.start()

    def wait_behind_it() -> None:
        if not pace.take(stopping, seconds=0.1):
            given_up.set()

    threading.Thread(target=wait_behind_it).start()
    assert given_up.wait(5)
    stopping.set()
    first.join()


def test_too_late_is_no_turn() -> None:
    pace = LocalPace(100)
    assert not pace.take(threading.Event(), seconds=-1)
    assert pace.ask(1) == (1, 0)


# Several turns with one question


class Generous(_Turns):
    """Gives as many turns as are asked for; counts how often it is asked."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.asked: list[int] = []
        self.let_go = threading.Event()

    def ask(self, most: int) -> tuple[int, float]:
        self.let_go.wait(5)
        self.asked.append(most)
        return most, 0.0


def line_up(pace: Generous, count: int) -> list[threading.Thread]:
    """Have so many threads wait behind one that is asking."""
    threads = [
        threading.Thread(
            target=pace.take, args=(threading.Event(),), kwargs={"seconds": 60}
        )
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(pace._line) == count, seconds=5)
    return threads


def test_one_question_takes_turns_for_all_that_wait() -> None:
    pace = Generous(900)
    threads = line_up(pace, 8)
    pace.let_go.set()
    for thread in threads:
        thread.join()
    # The first asked when it was alone, or nearly so.
    assert len(pace.asked) < 8
    assert sum(pace.asked) == 8
    assert not pace._spare


@pytest.mark.parametrize(("rate", "most"), [(1, 1), (14, 1), (100, 1), (500, 5)])
def test_one_question_takes_what_is_due_in_a_moment_and_no_more(
    rate: float, most: int
) -> None:
    pace = Generous(rate)
    threads = line_up(pace, 16)
    pace.let_go.set()
    for thread in threads:
        thread.join()
    assert max(pace.asked) == most


def test_turn_that_nobody_used_in_time_lapses(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Generous(900)
    pace.let_go.set()
    pace._spare.extend([time.monotonic() - 0.001, time.monotonic() + 60])
    assert pace.take(threading.Event(), seconds=60)
    assert pace.asked == []
    pace._spare.append(time.monotonic() - 0.001)
    assert pace.take(threading.Event(), seconds=60)
    assert pace.asked == [1]


def test_at_a_rate_out_of_reach_a_few_turns_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("email_settings.pacing.time.monotonic", lambda: now)
    pace = Generous(40_000)
    pace.let_go.set()
    for _ in range(19):
        assert pace.take(threading.Event(), seconds=60)
    now += KEPT_SECONDS - 0.001
    assert pace.take(threading.Event(), seconds=60)
    assert pace.asked == [20]
    assert pace.take(threading.Event(), seconds=60)
    now += KEPT_SECONDS
    assert pace.take(threading.Event(), seconds=60)
    assert pace.asked == [20, 20, 20]


@pytest.mark.parametrize("rate", [14, 200, 1_999])
def test_at_a_usual_rate_no_turn_is_kept_for_later(rate: float) -> None:
    pace = Generous(rate)
    pace.let_go.set()
    assert pace.take(threading.Event(), seconds=60)
    assert (pace.asked, list(pace._spare)) == ([1], [])


def test_turns_that_many_processes_keep_fit_into_what_the_window_spares() -> None:
    """Twenty processes that use all that they kept at one moment, and AWS's second."""
    rate = 20_000
    kept = 20 * Generous(rate)._limits.kept
    used_late = rate * TURN_LASTS_SECONDS
    assert rate / WINDOW_SECONDS + used_late + kept <= rate


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("email_settings.pacing.time.monotonic", clock)
    return clock


def test_turn_for_others_that_wait_lasts_from_before_the_question(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Generous(900)
    pace._line.extend([None, None])  # two others

    def answer_late(most: int) -> tuple[int, float]:
        clock.now += 0.01
        return most, 0.0

    monkeypatch.setattr(pace, "ask", answer_late)
    assert pace.take(threading.Event(), seconds=60)
    assert list(pace._spare) == [1000.0 + TURN_LASTS_SECONDS] * 2


def test_turn_that_was_taken_before_is_none_when_it_is_time_to_stop() -> None:
    pace, stopping = Generous(900), threading.Event()
    pace._spare.append(time.monotonic() + 60)
    stopping.set()
    assert not pace.take(stopping, seconds=60)
    assert not NoPace().take(stopping, seconds=60)


class OneNap(threading.Event):
    """Notes how long somebody wants to wait, and ends it."""

    seconds: float | None = None

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds = timeout
        self.set()
        return True


@pytest.mark.parametrize(
    ("seconds", "nap"),
    [(60, LONGEST_NAP_SECONDS), (2, 2)],
    ids=["a nap", "what is left"],
)
def test_no_wait_is_longer_than_a_nap_because_the_rate_may_change(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, nap: float
) -> None:
    pace, stopping = Generous(0.01), OneNap()
    monkeypatch.setattr(pace, "ask", lambda most: (0, 100.0))
    assert not pace.take(stopping, seconds=seconds)
    assert stopping.seconds == nap


def test_clock_that_did_not_answer_is_away_for_a_while_only(clock: Clock) -> None:
    pace = Generous(14)
    assert not pace.is_away
    pace._away(OSError())
    clock.now += AWAY_SECONDS - 0.001
    assert pace.is_away
    clock.now += 0.001
    assert not pace.is_away


def test_how_many_are_claimed_ahead_follows_the_rate() -> None:
    pace = LocalPace(1)
    assert pace.ahead == 1
    pace.rate = 100
    assert pace.ahead == 10


def test_local_pace_remembers_two_windows_and_no_more(clock: Clock) -> None:
    pace = LocalPace(2)
    for _ in range(20):
        assert pace.ask(1) == (1, 0)
        clock.now += 1
    assert len(pace._started) == 4


def test_redis_is_never_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = RedisPace(10, url="redis://127.0.0.1:1/0", account="a")
    monkeypatch.setattr(pace, "_script", lambda keys, args: (0, b"0"))
    turns, wait = pace.ask(1)
    assert turns == 0
    assert wait > 0


def test_database_that_is_away_is_told_and_connected_to_again() -> None:
    pace = DatabasePace(10, account="a")
    closed = []

    def no_cursor() -> None:
        raise DatabaseError

    pace._connection = SimpleNamespace(  # type: ignore[assignment]
        cursor=no_cursor, close=lambda: closed.append(True)
    )
    with pytest.raises(SendError) as caught:
        pace.take(threading.Event(), seconds=60)
    assert caught.value.problem.code == "pacer_database_unavailable"
    assert pace.is_away
    assert len(closed) == 1
    pace.close()
    assert len(closed) == 2


@pytest.mark.services
def test_redis_keeps_two_windows_and_for_a_minute(shared: RedisPace) -> None:
    shared.rate = 5
    with Redis.from_url(REDIS_URL) as redis:
        redis.rpush(shared._key, *["1.0"] * 100)
        assert shared.ask(100)[0] == 5
        assert redis.llen(shared._key) == 10
        assert 60 < redis.ttl(shared._key) <= 62


@pytest.fixture
def shared() -> Iterator[RedisPace]:
    """A pace of 500 a second that nobody else uses."""
    account = uuid.uuid4().hex
    yield RedisPace(500, url=REDIS_URL, account=account)
    with Redis.from_url(REDIS_URL) as redis:
        redis.delete(f"ticketflow:pace:{account}")


@pytest.mark.services
def test_redis_gives_several_turns_only_for_time_that_has_passed(
    shared: RedisPace,
) -> None:
    assert shared.ask(5)[0] == 5  # nothing has started yet
    turns, wait = shared.ask(5)
    assert turns <= 1
    assert wait <= 0.9 / 500
    time.sleep(0.02)
    assert shared.ask(5)[0] == 5


@pytest.mark.services
def test_several_turns_fill_no_window_too_full(shared: RedisPace) -> None:
    shared.rate = 20
    assert shared.ask(15)[0] == 15
    time.sleep(0.5)  # ten could have come one by one
    assert shared.ask(15)[0] == 5
    turns, wait = shared.ask(1)
    assert turns == 0
    assert 0.3 < wait < 0.6


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
        pace.take(threading.Event(), seconds=60)
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
    assert pace.ask(1) == (1, 0)
    assert pace_for(live(max_send_rate=0.5)) is pace
    assert pace.rate == 0.5
    turns, wait = pace.ask(1)
    assert turns == 0
    assert 1.5 < wait < 2.2
    assert pace_for(live(region="eu-west-1")) is not pace


def test_pace_is_slowed_after_aws_said_too_fast(one_worker: None) -> None:
    pace = pace_for(live(slowed_to=7, slowed_at=timezone.now()))
    assert isinstance(pace, LocalPace)
    assert 7 <= pace.rate < 8


def test_all_paces_of_the_process_let_go(
    one_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = []
    for region in ("eu-west-1", "eu-west-2"):
        pace = pace_for(live(region=region))
        monkeypatch.setattr(pace, "close", lambda region=region: let_go.append(region))
    pacing.close_paces()
    assert let_go == ["eu-west-1", "eu-west-2"]


def test_rate_that_grows_forgets_nothing() -> None:
    pace = LocalPace(2)
    starts = [pace.ask(1)]
    pace.rate = 1000
    time.sleep(0.002)
    starts.append(pace.ask(1))
    time.sleep(0.002)
    starts.append(pace.ask(1))
    pace.rate = 3
    time.sleep(0.002)
    assert starts == [(1, 0)] * 3
    turns, wait = pace.ask(1)
    assert turns == 0
    assert wait > 0.3


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
