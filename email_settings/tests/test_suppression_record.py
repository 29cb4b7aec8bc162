"""Events in, the list out: once, in any order, from many sides at once."""

import itertools
import random
import threading
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from email_settings.delivery.settle import Outcome, settle
from email_settings.events.store import match_late, store
from email_settings.models import (
    DeliveryEvent,
    OutboxMessage,
    SesSettings,
    Suppression,
)
from email_settings.suppression import record
from email_settings.suppression.exchange import NewEntry
from email_settings.suppression.standing import Status, standing_of
from email_settings.suppression.wishes import release, suppress
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.event_bodies import body, mail_of

pytestmark = pytest.mark.django_db
Reason = Suppression.Reason
HANNAH = "Hannah@Larkfield.example"


def sent(recipient: str = HANNAH, kind: str = "") -> OutboxMessage:
    claimed = make_claim(make_message(recipient=recipient), make_settings())
    settle([Outcome(claimed, ses_message_id=uuid.uuid4().hex)])
    message = claimed.message
    if kind:
        OutboxMessage.objects.filter(pk=message.pk).update(kind=kind)
    message.refresh_from_db()
    return message


def about(message: OutboxMessage) -> dict[str, Any]:
    attempt = message.attempt_set.get()
    return mail_of(message, attempt, messageId=message.ses_message_id)


def ago(**span: float) -> str:
    moment = datetime.now(UTC) - timedelta(**span)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bounce(
    message: OutboxMessage, sub: str = "Permanent/NoEmail", **span: float
) -> dict[str, Any]:
    kind, _, sub = sub.partition("/")
    return said.bounce(
        about(message),
        kind,
        sub,
        at=ago(**span or {"minutes": 5}),
        feedback_id=f"feedback-{message.pk}-{sub}",
    )


def full(message: OutboxMessage, **span: float) -> dict[str, Any]:
    return bounce(message, "Transient/MailboxFull", **span)


def arrived(message: OutboxMessage, **span: float) -> dict[str, Any]:
    return said.delivery(about(message), at=ago(**span))


def complaint(
    message: OutboxMessage, kind: str | None = "abuse", **span: float
) -> dict[str, Any]:
    told = said.complaint(about(message), kind)
    told["complaint"] |= {
        "timestamp": ago(**span or {"minutes": 4}),
        "feedbackId": f"complaint-{message.pk}-{kind}",
    }
    return told


def tell(*events: Any) -> None:
    installation = SesSettings.load().installation
    store([body(event) for event in events], installation=installation)


def how() -> list[tuple[str, bool]]:
    """Return reason and whether it is open of every entry, oldest first."""
    rows = Suppression.objects.order_by("pk").values_list("reason", "closed_at")
    return [(reason, closed_at is None) for reason, closed_at in rows]


def test_bounced_address_gets_no_mail_and_the_entry_says_why() -> None:
    message = sent()
    tell(bounce(message))
    entry = Suppression.objects.get()
    assert (entry.address, entry.address_lower) == (HANNAH, HANNAH.lower())
    assert (entry.reason, entry.message_id) == (Reason.BOUNCED, message.pk)
    assert entry.event_id == message.event_set.get().pk
    assert entry.happened_at == message.event_set.get().happened_at
    assert "user unknown" in entry.detail
    standing = standing_of("HANNAH@larkfield.example")
    assert standing
    assert (standing.status, standing.until) == (Status.SUPPRESSED, None)


def test_address_is_that_of_the_mail_whatever_the_event_names() -> None:
    """Who can put events into the queue must not suppress whom they like."""
    told = bounce(sent())
    told["bounce"]["bouncedRecipients"][0]["emailAddress"] = "victim@else.example"
    tell(told)
    assert standing_of("victim@else.example") is None
    assert standing_of(HANNAH)


@pytest.mark.parametrize("kind", OutboxMessage.PROBES)
def test_probes_are_never_counted(kind: str) -> None:
    tell(bounce(sent(kind=kind)))
    assert how() == []


def test_simulator_is_never_suppressed() -> None:
    message = sent("bounce@simulator.amazonses.com")
    tell(bounce(message))
    assert how() == []


def test_mail_of_nobody_suppresses_nobody() -> None:
    make_settings()
    tell(said.bounce())
    assert DeliveryEvent.objects.count() == 1
    assert how() == []


def test_event_that_is_matched_late_counts_then() -> None:
    message = sent()
    of = about(message)
    OutboxMessage.objects.update(ses_message_id="")
    told = said.bounce({**of, "tags": {}}, at=ago(minutes=5))
    tell(told)
    assert how() == []
    OutboxMessage.objects.update(ses_message_id=of["messageId"])
    assert match_late() == 1
    assert how() == [(Reason.BOUNCED, True)]


def test_hundredfold_is_once() -> None:
    message = sent()
    for _ in range(100):
        tell(bounce(message), bounce(message))
    assert how() == [(Reason.BOUNCED, True)]


def test_told_again_after_a_release_nothing_is_suppressed(admin: Any) -> None:
    message, older = sent(), sent()
    tell(bounce(message))
    assert release(HANNAH, actor=admin)
    tell(bounce(message))
    tell(bounce(older, minutes=30))  # an older one that was slow
    assert how() == [(Reason.BOUNCED, False)]
    assert not release(HANNAH, actor=admin)
    newer = sent()
    tell(bounce(newer, minutes=-1))
    assert how() == [(Reason.BOUNCED, False), (Reason.BOUNCED, True)]


def test_released_with_a_slow_clock_it_stays_released(admin: Any) -> None:
    message = sent()
    tell(bounce(message, minutes=-3))
    release(HANNAH, actor=admin)
    Suppression.objects.update(event=None)
    tell(bounce(message, minutes=-3))
    assert how() == [(Reason.BOUNCED, False)]


def test_three_failures_hold_and_a_delivery_frees() -> None:
    mails = [sent() for _ in range(4)]
    tell(full(mails[0], hours=5))
    tell(full(mails[1], hours=4))
    assert how() == []
    tell(full(mails[2], hours=3))
    standing = standing_of(HANNAH)
    assert standing
    assert standing.status == Status.HELD
    assert standing.until
    assert timedelta(hours=20) < standing.until - timezone.now() < timedelta(hours=22)
    tell(arrived(mails[3], hours=2))
    assert standing_of(HANNAH) is None
    assert Suppression.objects.get().closed_why == (
        "A mail to the address was delivered."
    )


def test_every_order_of_failures_and_a_delivery_ends_in_one_state() -> None:
    mails = [sent() for _ in range(5)]
    told = [
        full(mails[0], hours=5),
        full(mails[1], hours=4),
        arrived(mails[2], hours=3.5),
        full(mails[3], hours=3),
        full(mails[4], hours=2),
    ]
    ends = set()
    for order in itertools.permutations(told):
        DeliveryEvent.objects.all().delete()
        Suppression.objects.all().delete()
        for event in order:
            tell(event)
        ends.add(standing_of(HANNAH))
    assert ends == {None}


def test_every_order_of_bad_news_ends_in_one_state() -> None:
    mails = [sent() for _ in range(5)]
    told = [
        *(full(mails[n], hours=9 - n) for n in range(3)),
        bounce(mails[3], "Permanent/OnAccountSuppressionList", hours=1),
        bounce(mails[4], hours=5),
    ]
    ends = set()
    for order in itertools.permutations(told):
        DeliveryEvent.objects.all().delete()
        Suppression.objects.all().delete()
        for event in order:
            tell(event)
        entry = Suppression.objects.get(closed_at=None)
        ends.add((entry.reason, entry.message_id, entry.held_until))
    assert ends == {(Reason.BOUNCED, mails[4].pk, None)}


def test_graver_reason_takes_the_place_of_a_hold() -> None:
    mails = [sent() for _ in range(4)]
    tell(*(full(mails[n], hours=9 - n) for n in range(3)))
    tell(bounce(mails[3]))
    assert how() == [(Reason.FAILING, False), (Reason.BOUNCED, True)]
    assert "graver" in Suppression.objects.earliest("pk").closed_why
    tell(complaint(mails[0]))
    assert how()[-1] == (Reason.COMPLAINED, True)
    tell(bounce(sent()))
    assert len(how()) == 3  # a milder one changes nothing


def test_no_spam_ends_a_complaint() -> None:
    message = sent()
    tell(complaint(message, hours=2))
    assert how() == [(Reason.COMPLAINED, True)]
    tell(complaint(message, "not-spam", hours=1))
    assert how() == [(Reason.COMPLAINED, False)]
    assert "no spam" in Suppression.objects.get().closed_why
    tell(complaint(message, hours=2))
    assert how() == [(Reason.COMPLAINED, False)]


def test_hold_that_ran_out_is_followed_by_a_longer_one() -> None:
    mails = [sent() for _ in range(4)]
    tell(*(full(mails[n], hours=50 - n) for n in range(3)))
    assert how() == []  # told too late to hold anything
    ended = timezone.now() - timedelta(hours=24)
    Suppression.objects.create(
        address=HANNAH,
        address_lower=HANNAH.lower(),
        reason=Reason.FAILING,
        happened_at=ended - timedelta(days=1),
        held_until=ended,
    )
    tell(full(mails[3], hours=1))
    assert how() == [(Reason.FAILING, False), (Reason.FAILING, True)]
    standing = standing_of(HANNAH)
    assert standing
    assert standing.until
    assert standing.until > timezone.now() + timedelta(days=2)


def test_what_a_person_added_stays_under_milder_reasons(admin: Any) -> None:
    message = sent()
    suppress([NewEntry(HANNAH, Reason.BY_HAND)], actor=admin)
    tell(bounce(message, "Permanent/OnAccountSuppressionList"))
    assert how() == [(Reason.BY_HAND, True)]
    tell(bounce(message))
    assert how() == [(Reason.BY_HAND, False), (Reason.BOUNCED, True)]


def test_import_that_was_faster_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, admin: Any
) -> None:
    message = sent()
    suppress([NewEntry(HANNAH, Reason.IMPORTED)], actor=admin)
    monkeypatch.setattr(record, "_entries_of", lambda addresses: defaultdict(list))
    tell(bounce(message))
    assert how() == [(Reason.IMPORTED, True)]
    assert not DeliveryEvent.objects.filter(kind="unreadable").exists()


def test_mail_that_arrives_costs_one_question() -> None:
    """Nearly all of it does, so that is what must be cheap."""
    mails = [sent(f"p{n}@larkfield.example") for n in range(6)]
    with CaptureQueriesContext(connection) as few:
        tell(arrived(mails[0], minutes=1))
    with CaptureQueriesContext(connection) as many:
        tell(*(arrived(message, minutes=1) for message in mails[1:]))

    def about_the_list(queries: CaptureQueriesContext) -> int:
        return sum(
            "email_settings_suppression" in query["sql"].lower()
            for query in queries.captured_queries
        )

    assert about_the_list(few) == about_the_list(many) == 1


@pytest.mark.django_db(transaction=True)
def test_many_threads_tell_the_same_in_any_order() -> None:
    mails = [sent(f"p{n % 3}@larkfield.example") for n in range(12)]
    told = [
        *(full(message, hours=9 - n / 4) for n, message in enumerate(mails[:9])),
        *(bounce(message) for message in mails[9:11]),
        complaint(mails[11]),
    ]
    texts = [body(event) for event in told] * 25
    installation = SesSettings.load().installation
    failures: list[BaseException] = []

    def run(seed: int) -> None:
        mine = list(texts)
        random.Random(seed).shuffle(mine)  # noqa: S311
        try:
            for at in range(0, len(mine), 10):
                store(mine[at : at + 10], installation=installation)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connection.close()

    def import_the_same() -> None:
        try:
            for _ in range(20):
                suppress(
                    [
                        NewEntry(f"p{n}@larkfield.example", Reason.IMPORTED)
                        for n in range(3)
                    ],
                    actor=None,
                )
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[seed]) for seed in range(3)]
    threads.append(threading.Thread(target=import_the_same))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not DeliveryEvent.objects.filter(kind="unreadable").exists()
    in_force = Suppression.objects.filter(closed_at=None)
    assert dict(in_force.values_list("address", "reason")) == {
        "p0@larkfield.example": Reason.BOUNCED,
        "p1@larkfield.example": Reason.BOUNCED,
        "p2@larkfield.example": Reason.COMPLAINED,
    }
