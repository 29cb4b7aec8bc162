"""What is asked all the time is found by an index, on both databases.

The statements are explained with the parameters that they are run with: SQLite uses a
partial index only when it can see that the condition holds, and it sees no parameters.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from email_settings import canary, quota, retention, silence, traffic
from email_settings.activity import Activity
from email_settings.delivery import claim, recovery
from email_settings.events.status import FeedStatus
from email_settings.models import OutboxMessage, SesSettings
from email_settings.reputation import count as reputation
from email_settings.status import MailStatus
from email_settings.tests.builders import begin_with_an_empty_file, make_settings
from ticketflow.lib.many_rows import insert_copies
from ticketflow.lib.pagination import paginate

pytestmark = pytest.mark.django_db

State = OutboxMessage.State
TABLE = OutboxMessage._meta.db_table
WHOLE = re.compile(rf"Seq Scan on {TABLE}|\bSCAN {TABLE}(?! USING)")
SORTS = re.compile(r"\bSort\b|TEMP B-TREE")


@pytest.fixture(autouse=True)
def outbox() -> None:
    """Enough messages for an index to be worth it: most are sent, few wait."""
    begin_with_an_empty_file(OutboxMessage)
    make_settings()
    now = timezone.now()
    row = OutboxMessage(subject="Hi", attempts=1, claims=1, expires_at=now)
    common: dict[str, Any] = {"claim_token": "", "lease_until": None, "reason_code": ""}
    waiting: dict[str, dict[str, Any]] = {
        State.QUEUED: {},
        State.HELD: {"reason_code": "key_unknown"},
        State.SENDING: {"claim_token": "x", "lease_until": now},
        State.UNKNOWN: {},
        State.FAILED: {},
    }
    insert_copies(
        row,
        [
            {
                "uid": OutboxMessage().uid,
                **common,
                **waiting.get(state, {}),
                "state": state,
                "sent_at": written if state == State.SENT else None,
                "created_at": written,
                "due_at": written,
                "kind": "invitation" if number % 500 == 1 else "public_reply",
                "lane": number % 4,
                "recipient": f"person{number}@larkfield.example",
                "about_label": f"#{number}",
                "ses_message_id": f"01{number:014x}-0000-000000",
            }
            for number in range(3000)
            for written in [now - timedelta(hours=number)]
            for state in [list(waiting)[number % 5] if number % 50 < 5 else State.SENT]
        ],
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {TABLE}")
    # SQLite plans without statistics: nothing ever makes any.
    make_dear("seqscan", "bitmapscan")


def make_dear(*ways: str) -> None:
    """Have PostgreSQL show whether there is another way than these.

    Unless told, it reads so small a table as a whole.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for way in ways:
                cursor.execute(f"SET LOCAL enable_{way} = off")


@contextmanager
def explained() -> Iterator[list[str]]:
    """Collect how each statement about the outbox finds its rows."""
    plans: list[str] = []
    how = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    is_explaining = False

    def explain(
        execute: Callable[..., Any], sql: str, params: Any, *others: Any
    ) -> Any:
        nonlocal is_explaining
        reads = re.match(r"\s*(SELECT|UPDATE|WITH|DELETE)", sql)
        if reads and TABLE in sql and not is_explaining:
            is_explaining = True
            with connection.cursor() as cursor:
                cursor.execute(how + sql, params)
                plans.append("\n".join(str(line[-1]) for line in cursor.fetchall()))
            is_explaining = False
        return execute(sql, params, *others)

    with connection.execute_wrapper(explain):
        yield plans


def claim_due() -> None:
    make_dear("sort")
    claim.claim_due(10, token="t", sender=SesSettings.load())


def claim_held() -> None:
    claim.claim_held(token="t", sender=SesSettings.load())


def used_of_the_quota() -> None:
    settings = SesSettings.load()
    settings.checked_at = timezone.now() - timedelta(hours=1)
    settings.max_24_hour_send, settings.sent_last_24_hours = 20.0, 20.0
    found = quota.Quota.of(settings)
    assert found
    assert found.next_room_at


def sent_in_the_last_hour() -> None:
    traffic._sent_in_a_while(timezone.now())


def probes_of_the_quota() -> None:
    quota._probes(since=timezone.now() - timedelta(days=60))


def count_what_became_of_mail() -> None:
    reputation.count("help@larkfield.example")


def mails_without_news() -> None:
    now = timezone.now()
    silence._unheard(FeedStatus(is_connected=True, began_at=now), now)


def last_canaries() -> None:
    canary._newest()


def failed_in_the_last_hour() -> None:
    list(traffic._failures(timezone.now()))


def oldest_due() -> None:
    assert MailStatus().oldest_due_at


def remove_old() -> None:
    assert retention._remove_some(90)


def count_old() -> None:
    assert retention.how_many_would_go(90)


@pytest.mark.parametrize(
    ("action", "index"),
    [
        (claim_due, "outbox_due"),
        (claim_held, "outbox_held"),
        (oldest_due, "outbox_due"),
        (recovery.give_up_what_expired, "outbox_expiring"),
        (recovery.call_unknown_what_lost_its_lease, "outbox_state_newest"),
        (used_of_the_quota, "outbox_sent_at"),
        (mails_without_news, "outbox_sent_at"),
        (last_canaries, "outbox_kind_newest"),
        (probes_of_the_quota, "outbox_kind_newest"),
        (count_what_became_of_mail, "outbox_sent_at"),
        (sent_in_the_last_hour, "outbox_sent_at"),
        (failed_in_the_last_hour, "outbox_state_newest"),
        (remove_old, "outbox_newest"),
        (count_old, "outbox_newest"),
    ],
)
def test_workers_find_what_they_look_for(
    action: Callable[[], None], index: str
) -> None:
    with explained() as plans, transaction.atomic():
        action()
    assert any(re.search(index, plan) for plan in plans), plans
    assert not [plan for plan in plans if WHOLE.search(plan)]


def test_reputation_reads_the_mails_of_its_window_only() -> None:
    with explained() as plans:
        count_what_became_of_mail()
    assert len(plans) == 4
    # Of the few that Amazon SES did not try PostgreSQL may begin with their events.
    for plan in plans[:3] if connection.vendor == "postgresql" else plans:
        assert "outbox_sent_at" in plan
        assert "outbox_fate" not in plan


@pytest.mark.parametrize("action", [claim_due, remove_old])
def test_first_of_many_are_found_without_sorting_all(
    action: Callable[[], None],
) -> None:
    make_dear("sort")
    with explained() as plans:
        action()
    # On SQLite the first of each lane are put in order, which are a few.
    is_of_lanes = action is claim_due and connection.vendor == "sqlite"
    assert len(SORTS.findall(plans[0])) == is_of_lanes


PAGES: Sequence[tuple[Activity, str]] = [
    (Activity(), "outbox_newest"),
    (Activity(state="failed"), "outbox_state_newest"),
    (Activity(kind="invitation"), "outbox_kind_newest"),
    (Activity(text="person7@larkfield.example"), "outbox_recipient_newest"),
    (Activity(text="person7@"), "outbox_recipient_newest"),
    (Activity(text="#12"), "outbox_about_newest"),
    (Activity(text=f"01{5:014x}-0000-000000"), "outbox_ses_message_id"),
    (Activity(text="printer"), "outbox_newest"),
    (Activity(text="printer", state="failed"), "outbox_state_newest"),
]


@pytest.mark.parametrize(("activity", "index"), PAGES, ids=str)
def test_email_activity_finds_what_it_shows(activity: Activity, index: str) -> None:
    with explained() as plans:
        paginate(
            activity.found().for_list(),
            order=["-created_at", "-id"],
            cursor="",
            size=50,
            among=activity.among(),
        )
    assert any(index in plan for plan in plans), plans
    assert not [plan for plan in plans if WHOLE.search(plan)]


@pytest.mark.parametrize(
    "activity", [Activity(), Activity(state="sent"), Activity(text="#12")]
)
def test_email_activity_sorts_nothing(activity: Activity) -> None:
    make_dear("sort")
    with explained() as plans:
        list(activity.found().newest_first()[:51])
    assert not [plan for plan in plans if SORTS.search(plan)]
