"""When a rate warns, holds and releases, and over which mails it is taken. Pure."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from email_settings.reputation.rates import (
    BOUNCES,
    COMPLAINTS,
    LEAST_MAILS,
    LONGEST_SPAN,
    USUAL_SPAN,
    Level,
    Lines,
    Rate,
    graver,
    percent,
    window_start,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ago = st.timedeltas(min_value=timedelta(0), max_value=LONGEST_SPAN).map(
    lambda span: NOW - span
)
lines = st.sampled_from([BOUNCES, COMPLAINTS])


@st.composite
def some_rates(draw: st.DrawFn) -> Rate:
    mails = draw(st.integers(0, 100_000))
    return Rate(draw(st.integers(0, mails)), mails, draw(lines))


# The window


def test_window_is_a_week_where_that_has_mail_enough() -> None:
    start = window_start(NOW, enough_since=NOW - 2 * DAY, most_since=None)
    assert start == NOW - USUAL_SPAN


def test_window_reaches_back_until_there_is_mail_enough() -> None:
    start = window_start(NOW, enough_since=NOW - 20 * DAY, most_since=None)
    assert start == NOW - 20 * DAY


def test_window_is_thirty_days_where_there_is_little_mail() -> None:
    assert window_start(NOW, enough_since=None, most_since=None) == NOW - LONGEST_SPAN


def test_window_is_shorter_where_there_is_very_much_mail() -> None:
    start = window_start(NOW, enough_since=NOW - DAY / 50, most_since=NOW - DAY)
    assert start == NOW - DAY


@given(st.none() | ago, st.none() | ago)
def test_window_has_its_bounds(enough: datetime | None, most: datetime | None) -> None:
    assume(most is None or (enough is not None and most <= enough))
    start = window_start(NOW, enough_since=enough, most_since=most)
    assert NOW - LONGEST_SPAN <= start <= NOW
    assert most is None or start >= most  # never more than the most
    if enough:
        assert start <= enough  # never fewer than enough where there are so many


# The lines


@pytest.mark.parametrize("which", [BOUNCES, COMPLAINTS])
def test_each_line_comes_before_the_graver_one(which: Lines) -> None:
    assert which.calm < which.warn < which.review < which.pause
    assert which.review < which.release < which.hold < which.pause
    assert which.least_to_warn <= which.least_to_hold


@pytest.mark.parametrize(
    ("count", "mails", "is_held"),
    [
        (1, 10, False),  # one bounce of ten mails
        (9, LEAST_MAILS, False),
        (10, LEAST_MAILS, True),
        (79, 1000, False),
        (80, 1000, True),
        (40, LEAST_MAILS - 1, False),  # too few to say
    ],
)
def test_notices_are_held_for_many_bounces(
    *, count: int, mails: int, is_held: bool
) -> None:
    assert Rate(count, mails, BOUNCES).is_to_hold(is_held=False) is is_held


@pytest.mark.parametrize(
    ("count", "mails", "is_held"),
    [
        (1, 100, False),
        (2, 200, False),
        (3, 700, True),
        (3, 800, False),
        (4, 1000, True),
    ],
)
def test_notices_are_held_for_several_complaints(
    *, count: int, mails: int, is_held: bool
) -> None:
    assert Rate(count, mails, COMPLAINTS).is_to_hold(is_held=False) is is_held


def test_notices_go_on_well_below_the_line_only() -> None:
    between, below = Rate(70, 1000, BOUNCES), Rate(59, 1000, BOUNCES)
    assert not between.is_to_hold(is_held=False)
    assert between.is_to_hold(is_held=True)
    assert not below.is_to_hold(is_held=True)


@given(some_rates())
def test_what_is_held_stays_so_at_least_where_it_would_begin(rate: Rate) -> None:
    assert rate.is_to_hold(is_held=True) >= rate.is_to_hold(is_held=False)
    assert rate.is_to_warn(is_warned=True) >= rate.is_to_warn(is_warned=False)


@given(some_rates())
def test_admins_are_warned_before_notices_are_held(rate: Rate) -> None:
    assert rate.is_to_warn(is_warned=False) >= rate.is_to_hold(is_held=False)


@given(some_rates())
def test_nothing_is_done_about_what_is_not_known(rate: Rate) -> None:
    if rate.level is Level.UNKNOWN:
        assert not rate.is_to_warn(is_warned=True)
        assert not rate.is_to_hold(is_held=True)


@given(some_rates(), st.integers(1, 1000))
def test_one_more_bounce_never_makes_it_better(rate: Rate, more: int) -> None:
    worse = Rate(rate.count + more, rate.mails, rate.lines)
    assert worse.level >= rate.level
    assert worse.is_to_hold(is_held=False) >= rate.is_to_hold(is_held=False)


@pytest.mark.parametrize(
    ("count", "level"),
    [
        (0, Level.FINE),
        (29, Level.FINE),
        (30, Level.WARNED),
        (50, Level.REVIEW),
        (99, Level.REVIEW),
        (100, Level.PAUSE),
    ],
)
def test_level_is_by_the_lines_of_aws(count: int, level: Level) -> None:
    assert Rate(count, 1000, BOUNCES).level is level


def test_graver_is_the_higher_that_means_something() -> None:
    few, many = Rate(5, 10, BOUNCES), Rate(5, 1000, BOUNCES)
    assert graver([few, many]) == many
    outside = Rate(20, 200, BOUNCES)
    assert graver([many, outside]) == outside
    assert graver([few, Rate(0, 20, BOUNCES)]).mails == 20


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0"),
        (0.0008, "0.08"),
        (0.004, "0.4"),
        (0.05, "5"),
        (0.1234, "12.3"),
        (1.0, "100"),
    ],
)
def test_a_share_is_read_as_a_percentage(share: float, text: str) -> None:
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"
