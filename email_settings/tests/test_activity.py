"""Admin Panel → Email Activity: every mail, by state, text, kind and period."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from email_settings.delivery import hold
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import OutboxMessage, SesSettings
from email_settings.tests.builders import make_message, make_settings
from email_settings.views.activity import PAGE_SIZE

State = OutboxMessage.State
pytestmark = pytest.mark.django_db


def show(panel: Client, **query: str) -> str:
    return panel.get(reverse("email_settings:message-list"), query).content.decode()


def put(recipient: str, state: str = "sent", **values: object) -> OutboxMessage:
    """A mail that has come as far as the state says."""
    message = make_message(recipient=recipient)
    values.setdefault("sent_at", timezone.now() if state == "sent" else None)
    OutboxMessage.objects.filter(pk=message.pk).update(state=state, **values)
    message.refresh_from_db()
    return message


def recipients(shown: str) -> list[str]:
    return re.findall(r'<td class="w-to full">([^<]+)</td>', shown)


def test_without_mail_it_says_what_will_fill_it(panel: Client) -> None:
    assert "No mail yet" in show(panel)


def test_newest_comes_first_with_all_there_is_to_know(panel: Client) -> None:
    put("first@larkfield.example")
    put(
        "second@larkfield.example",
        "failed",
        reason="Amazon SES refused the address of the recipient.",
        reason_code="recipient_invalid",
        about_label="#42",
        about_path="/tickets/42/",
        attempts=3,
    )
    shown = show(panel)
    assert recipients(shown) == ["second@larkfield.example", "first@larkfield.example"]
    assert "We received your ticket" in shown
    assert "Amazon SES refused the address of the recipient." in shown
    assert 'href="/tickets/42/">#42</a>' in shown
    assert "Failed" in shown
    assert "Confirmation" in shown
    assert '<td class="num end hide-sm hide-md">3</td>' in shown


def test_tabs_count_and_narrow(panel: Client) -> None:
    put("a@larkfield.example")
    put("b@larkfield.example")
    put("c@larkfield.example", "failed")
    shown = show(panel, state="failed")
    assert recipients(shown) == ["c@larkfield.example"]
    assert re.search(r'Sent <span class="count">2</span>', shown)
    assert re.search(r'Failed <span class="count">1</span>', shown)
    assert re.search(r'All <span class="count">3</span>', shown)
    assert "Suppressed" not in shown


@pytest.mark.parametrize(
    "text",
    ["HANNAH@", "printer", "0100018f-fake-000001", "#42", "uid"],
)
def test_search_finds_recipient_subject_ticket_and_ids(
    panel: Client, text: str
) -> None:
    put("other@larkfield.example")
    wanted = put(
        "hannah@larkfield.example",
        subject="The Printer",
        ses_message_id="0100018f-fake-000001",
        about_label="#42",
    )
    shown = show(panel, q=str(wanted.uid) if text == "uid" else text)
    assert recipients(shown) == ["hannah@larkfield.example"]


@pytest.mark.parametrize("state", ["sent", "failed", "held", "captured"])
def test_state_and_kind_narrow_together(panel: Client, state: str) -> None:
    for name, reason in [("sent", ""), ("failed", "expired"), ("held", "key_unknown")]:
        put(f"{name}@larkfield.example", name, kind="test", reason_code=reason)
        put(f"other@{name}.example", name, kind="invitation", reason_code=reason)
    put("captured@larkfield.example", "held", kind="test", reason_code="rehearsal")
    shown = show(panel, state=state, kind="test")
    assert recipients(shown) == [f"{state}@larkfield.example"]


def test_address_is_found_by_its_beginning_in_any_case(panel: Client) -> None:
    put("Ewa@Larkfield.example")
    put("ewa@larkfield.example.org")
    put("kewa@larkfield.example")
    put("other@larkfield.example", subject="For ewa@larkfield.example")
    assert recipients(show(panel, q="eWa@lark")) == [
        "ewa@larkfield.example.org",
        "Ewa@Larkfield.example",
    ]
    # Whoever has exactly this address is meant alone.
    shown = show(panel, q="ewa@larkfield.example")
    assert recipients(shown) == ["Ewa@Larkfield.example"]


@pytest.mark.parametrize("sign", ["%", "_", "\\", "*"])
def test_signs_of_patterns_stand_for_themselves(panel: Client, sign: str) -> None:
    put("ewa@larkfield.example")
    put(f"e{sign}a@larkfield.example")
    assert recipients(show(panel, q=f"e{sign}a@")) == [f"e{sign}a@larkfield.example"]
    assert recipients(show(panel, q=f"e{sign}a")) == [f"e{sign}a@larkfield.example"]


def test_address_that_nobody_has_can_be_looked_for_everywhere(panel: Client) -> None:
    put("hannah.brooks@larkfield.example")
    put("other@larkfield.example", subject="For brooks@larkfield.example")
    shown = show(panel, q="brooks@larkfield")
    assert recipients(shown) == []
    assert "It may still stand in the middle of an address" in shown
    assert "Looked through" not in shown
    everywhere = re.search(r'href="([^"]+look=everywhere[^"]*)"', shown)
    assert everywhere
    shown = panel.get(everywhere[1].replace("&amp;", "&")).content.decode()
    assert recipients(shown) == [
        "other@larkfield.example",
        "hannah.brooks@larkfield.example",
    ]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for words looks through four messages a page."""
    monkeypatch.setattr("email_settings.activity.LOOKED_THROUGH", 4)


def further(shown: str) -> str:
    found = re.search(r'href="([^"]+)">Look further back', shown)
    return found[1].replace("&amp;", "&") if found else ""


@pytest.mark.usefixtures("few_at_once")
def test_words_are_looked_for_some_messages_at_a_time(panel: Client) -> None:
    for number in range(10):
        put(
            f"p{number}@larkfield.example",
            subject=f"{'Zeppelin' if number in {0, 9} else 'x'}",
        )
    first = show(panel, q="zeppelin", state="sent")
    assert recipients(first) == ["p9@larkfield.example"]
    assert "Looked through" in first
    second = panel.get(further(first)).content.decode()
    assert recipients(second) == []
    assert "Older ones may." in second
    third = panel.get(further(second)).content.decode()
    assert recipients(third) == ["p0@larkfield.example"]
    assert "Looked through" not in third  # that were all
    everything = show(panel, q="zeppelin", look="everywhere")
    assert recipients(everything) == ["p9@larkfield.example", "p0@larkfield.example"]
    assert "Looked through" not in everything


@pytest.mark.usefixtures("few_at_once")
def test_search_looks_through_what_the_filters_leave(panel: Client) -> None:
    put("old@larkfield.example", "failed", subject="Zeppelin")
    for number in range(6):
        put(f"p{number}@larkfield.example")
    assert recipients(show(panel, q="zeppelin")) == []
    shown = show(panel, q="zeppelin", state="failed")
    assert recipients(shown) == ["old@larkfield.example"]
    assert "Looked through" not in shown


@pytest.mark.usefixtures("few_at_once")
def test_what_an_index_finds_is_found_however_old(panel: Client) -> None:
    old = put(
        "ewa@larkfield.example",
        about_label="#42",
        ses_message_id="0100018f6b8e7d3a-1a2b-000000",
    )
    for number in range(6):
        put(f"p{number}@larkfield.example")
    for text in ("ewa@", "#42", old.ses_message_id.upper(), str(old.uid), old.uid.hex):
        shown = show(panel, q=text)
        assert recipients(shown) == ["ewa@larkfield.example"], text
        assert "Looked through" not in shown


def test_search_costs_the_same_number_of_queries_for_every_text(panel: Client) -> None:
    make_settings()

    def cost(text: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            show(panel, q=text)
        return len(queries)

    few = {text: cost(text) for text in ("#42", "ewa@", "nobody@", "printer", "\0")}
    for number in range(60):
        put(f"ewa@larkfield{number}.example", about_label="#42", subject="Printer")
    assert {text: cost(text) for text in few} == few
    assert max(few.values()) <= 12


def test_kind_and_period_narrow_together(panel: Client) -> None:
    put("new@larkfield.example", kind="invitation")
    put("other@larkfield.example", kind="test")
    put(
        "old@larkfield.example",
        kind="invitation",
        created_at=timezone.now() - timedelta(days=8),
    )
    assert len(recipients(show(panel, kind="invitation"))) == 2
    shown = show(panel, kind="invitation", period="7d")
    assert recipients(shown) == ["new@larkfield.example"]


def test_search_that_finds_nothing_offers_the_way_back(panel: Client) -> None:
    put("a@larkfield.example")
    assert "No message fits" in show(panel, q="nobody")


@pytest.mark.parametrize(
    "query",
    [
        {"state": "nonsense"},
        {"period": "nonsense"},
        {"cursor": "nonsense"},
        {"cursor": "W2ZhbHNlLCBbMSwgMl1d"},
    ],
)
def test_nonsense_in_the_address_shows_all(
    panel: Client, query: dict[str, str]
) -> None:
    put("a@larkfield.example")
    assert recipients(show(panel, **query)) == ["a@larkfield.example"]


def test_pages_keep_the_filters_and_lead_back(panel: Client) -> None:
    for number in range(PAGE_SIZE + 5):
        put(f"p{number}@larkfield.example")
    first = show(panel, state="sent", q="larkfield")
    assert len(recipients(first)) == PAGE_SIZE
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older
    address = older[1].replace("&amp;", "&")
    assert "state=sent" in address
    assert "q=larkfield" in address
    second = panel.get(address).content.decode()
    assert len(recipients(second)) == 5
    newer = re.search(r'href="([^"]+)" rel="prev"', second)
    assert newer
    back = panel.get(newer[1].replace("&amp;", "&")).content.decode()
    assert recipients(back) == recipients(first)


def test_captured_mail_is_called_so_and_is_no_trouble(panel: Client) -> None:
    put("a@larkfield.example", "held", reason_code="rehearsal", reason="Rehearsal")
    shown = show(panel)
    assert "Retry all" not in shown
    assert re.search(r'Captured <span class="count">1</span>', shown)
    assert re.search(r'Held <span class="count">0</span>', shown)
    assert recipients(show(panel, state="captured")) == ["a@larkfield.example"]
    assert recipients(show(panel, state="held")) == []


def test_retry_all_says_how_many_and_frees_them(panel: Client) -> None:
    make_settings()
    held = [
        put(f"{name}@larkfield.example", "held", reason_code="key_unknown")
        for name in "abc"
    ]
    assert "Retry all 3" in show(panel)
    url = reverse("email_settings:message-retry-all")
    shown = panel.post(url, follow=True).content.decode()
    assert "3 messages on the way again." in shown
    for message in held:
        message.refresh_from_db()
        assert message.state == State.QUEUED


def test_retry_all_tries_one_while_the_account_is_broken(panel: Client) -> None:
    row = make_settings()
    message = make_message()
    hold.hold_all(SendError(problem_for("key_unknown")), version=row.version)
    hold.park_due(SesSettings.load())
    shown = show(panel)
    assert shown.count("Retry all 1") == 1
    assert shown.count('class="banner ') == 1
    url = reverse("email_settings:message-retry-all")
    answer = panel.post(url, follow=True).content.decode()
    assert "One message is tried at once." in answer
    assert "on the way again" not in answer
    message.refresh_from_db()
    assert message.state == State.HELD
    assert hold.take_turn_to_probe()


def test_retry_all_with_nothing_held_says_so(panel: Client) -> None:
    url = reverse("email_settings:message-retry-all")
    shown = panel.post(url, follow=True).content.decode()
    assert "No message waited for you." in shown


def test_retry_all_asks_first_and_changes_nothing(panel: Client) -> None:
    make_settings()
    message = put("a@larkfield.example", "held", reason_code="key_unknown")
    shown = panel.get(reverse("email_settings:message-retry-all")).content.decode()
    assert "1 message could not leave and waits" in shown
    message.refresh_from_db()
    assert message.state == State.HELD


@pytest.mark.parametrize("who", ["agent", "requester"])
@pytest.mark.parametrize("name", ["message-list", "message-retry-all"])
def test_only_admins_see_mail(
    client: Client, request: pytest.FixtureRequest, who: str, name: str
) -> None:
    client.force_login(request.getfixturevalue(who))
    url = reverse(f"email_settings:{name}")
    assert client.post(url).status_code == 403
    assert client.get(url).status_code == 403


@pytest.mark.parametrize("query", [{}, {"state": "failed"}, {"q": "larkfield"}])
def test_list_costs_the_same_for_one_and_for_many(
    panel: Client, query: dict[str, str]
) -> None:
    make_settings()

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            show(panel, **query)
        return len(queries)

    put("first@larkfield.example", "failed")
    for_one = cost()
    for number in range(40):
        put(f"p{number}@larkfield.example", "failed", reason_code="recipient_invalid")
        put(f"q{number}@larkfield.example", "unknown", lane=number % 4)
    assert cost() == for_one
    # Session, user and brand; settings and figures; the list, its counts, doubts by
    # lane, the last hour, its probes, its failures.
    assert for_one <= 12
