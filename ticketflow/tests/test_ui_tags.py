"""The tags say the right word, in the right tone, and escape what people wrote."""

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.messages import constants
from django.contrib.messages.storage.base import Message
from django.template import Context, Template
from django.utils import timezone

from accounts.models import User
from email_settings.models import OutboxMessage
from ticketflow.lib.request_id import current_request_id
from ticketflow.templatetags import ui
from tickets.models import Ticket

MAYA = User(pk=7, name="Maya Okafor", email="maya@larkfield.example")


def rendered(source: str, **values: object) -> str:
    return Template(source).render(Context(values))


def test_icon_is_silent_unless_it_is_labelled() -> None:
    assert 'aria-hidden="true"' in rendered('{% icon "mail" %}')
    labelled = rendered('{% icon "mail" label="E-mail" %}')
    assert 'role="img" aria-label="E-mail"' in labelled
    assert "aria-hidden" not in labelled


def test_icon_points_into_the_one_cached_file() -> None:
    assert rendered('{% icon "mail" "icon-lg" %}') == (
        '<svg class="icon icon-lg" aria-hidden="true">'
        '<use href="/static/icons.svg#mail"/></svg>'
    )


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Maya Okafor", "MO"),
        ("Maya van der Okafor", "MO"),
        ("maya", "M"),
        ("s.novak@northway.example", "SN"),
        ("", "?"),
    ],
)
def test_initials(name: str, letters: str) -> None:
    assert ui.initials(name) == letters


def test_avatar_keeps_its_hue_when_the_name_changes() -> None:
    renamed = User(pk=7, name="Maya Adeyemi")
    assert ui.avatar(MAYA).replace("MO", "MA") == ui.avatar(renamed)


def test_avatar_speaks_the_name_only_when_asked() -> None:
    assert 'aria-hidden="true"' in ui.avatar(MAYA)
    assert 'aria-label="Maya Okafor"' in rendered(
        "{% avatar user label=True %}", user=MAYA
    )


def test_avatar_of_nobody_says_so() -> None:
    assert 'aria-label="Nobody"' in ui.avatar(None)


def test_names_are_escaped() -> None:
    mallory = User(pk=1, name='"><script>x</script>')
    html = rendered('{% avatar user "lg" label=True %}', user=mallory)
    assert "<script>" not in html
    assert '""' not in html


@pytest.mark.parametrize("value", Ticket.Status.values)
def test_every_status_has_its_shape_and_word(value: str) -> None:
    assert Ticket.Status(value).label in ui.status(value)


def test_status_can_use_other_words_and_hide_them() -> None:
    assert "In progress" in ui.status("open", label="In progress")
    icon_only = rendered("{% status s icon_only=True %}", s="on_hold")
    assert '<span class="vh">On hold</span>' in icon_only
    assert "status-hold" in icon_only


@pytest.mark.parametrize("value", Ticket.Priority.values)
def test_every_priority_has_its_shape_and_word(value: int) -> None:
    label = Ticket.Priority(value).label
    assert f"{label} priority" in ui.prio(value)
    assert rendered("{% prio p text=True %}", p=value).endswith(f"{label}</span>")


@pytest.mark.parametrize("state", OutboxMessage.State.values)
def test_every_mail_state_has_a_word(state: str) -> None:
    assert OutboxMessage.State(state).label in ui.delivery(state)


def test_only_exceptions_are_loud() -> None:
    assert "badge-quiet" in ui.delivery("sent")
    assert "badge-quiet" in ui.delivery("cancelled")
    assert "badge-quiet" not in ui.delivery("held")
    assert "badge-bad" in ui.delivery("failed")


NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon on 24 November 2026, in UTC."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=6), "6 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=1), "23 November"),
        (timedelta(days=12), "12 November"),
        (timedelta(days=365), "24 November 2025"),
        (timedelta(seconds=-20), "in a moment"),
        (timedelta(minutes=-5), "in 5 min"),
        (timedelta(days=-1), "in 1 day"),
        (timedelta(days=-6, hours=-3), "in 6 days"),
        (timedelta(days=-60), "23 January 2027"),
    ],
)
def test_when_speaks_as_people_do(distance: timedelta, words: str) -> None:
    html = ui.when(NOW - distance).replace(ui.NO_BREAK, " ")
    assert html.endswith(f">{words}</time>")


@pytest.mark.usefixtures("noon")
def test_when_is_in_the_zone_of_the_reader() -> None:
    with timezone.override(zoneinfo.ZoneInfo("Europe/Helsinki")):
        html = ui.when(datetime(2026, 11, 20, 22, 30, tzinfo=UTC))
    assert 'datetime="2026-11-21T00:30:00+02:00"' in html
    assert 'title="21 November 2026, 00:30 EET"' in html
    assert html.endswith(f">21{ui.NO_BREAK}November</time>")


def test_when_of_never_is_nothing() -> None:
    assert ui.when(None) == ""


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=42), "42 s"),
        (timedelta(minutes=7), "7 min"),
        (timedelta(hours=5, minutes=59), "5 h"),
        (timedelta(days=2, hours=3), "2 days"),
        (None, ""),
    ],
)
def test_duration_uses_the_biggest_unit(length: timedelta | None, words: str) -> None:
    assert ui.duration(length).replace(ui.NO_BREAK, " ") == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 messages"), (1, "1 message"), (1204, "1,204 messages")],
)
def test_plural(number: int, words: str) -> None:
    assert ui.plural(number, "message").replace(ui.NO_BREAK, " ") == words


def test_plural_of_a_word_of_its_own() -> None:
    assert ui.plural(2, "reply", "replies") == f"2{ui.NO_BREAK}replies"


def test_spark_has_a_bar_for_each_value_and_a_sentence() -> None:
    html = rendered(
        '{% spark values "Mails per hour" held %}', values=[0, 4, 8], held=[1]
    )
    assert html.count("<rect") == 3
    assert html.count("spark-held") == 1
    assert 'role="img" aria-label="Mails per hour"' in html


def test_spark_of_nothing_is_empty() -> None:
    assert "<rect" not in ui.spark([], "No mail yet")


@pytest.mark.parametrize(
    ("level", "tone"),
    [
        (constants.DEBUG, "info"),
        (constants.INFO, "info"),
        (constants.SUCCESS, "ok"),
        (constants.WARNING, "warn"),
        (constants.ERROR, "bad"),
        (99, "info"),
    ],
)
def test_message_levels_have_their_tones(level: int, tone: str) -> None:
    message = Message(level, "Saved")
    assert ui.message_tone(message) == tone
    assert ui.message_icon(message)


def test_request_id_is_the_one_in_the_log() -> None:
    token = current_request_id.set("abc123")
    try:
        assert rendered("{% request_id %}") == "abc123"
    finally:
        current_request_id.reset(token)
