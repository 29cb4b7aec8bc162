"""One effect of each event: whatever the order, however often, from however many sides."""

import itertools
import json
import random
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from email_settings.delivery.settle import Outcome, settle
from email_settings.events import store as store_module
from email_settings.events.feed import Tally
from email_settings.events.store import match_late, store
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import DeliveryEvent, Fate, OutboxMessage, SesSettings
from email_settings.tests import event_bodies as said
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.event_bodies import SES_ID, body, mail, mail_of, wrapped
from ticketflow.lib.many_rows import update_rows

pytestmark = pytest.mark.django_db
State = OutboxMessage.State
Kind = DeliveryEvent.Kind


def sent(code: str = "", *, is_secret: bool = False) -> OutboxMessage:
    """Return a mail that Amazon SES took, or whose one try ended with that problem."""
    claimed = make_claim(make_message(is_secret=is_secret), make_settings())
    error = SendError(problem_for(code)) if code else None
    settle([Outcome(claimed, ses_message_id="" if code else SES_ID, error=error)])
    claimed.message.refresh_from_db()
    return claimed.message


def tell(*events: Any) -> Tally:
    bodies = [one if isinstance(one, str) else body(one) for one in events]
    return store(bodies, installation=SesSettings.load().installation)


def about(message: OutboxMessage, **changes: Any) -> dict[str, Any]:
    return mail_of(message, message.attempt_set.get(), **changes)


def fate_after(message: OutboxMessage) -> tuple[Any, ...]:
    message.refresh_from_db()
    return message.state, message.fate, message.fate_at, message.fate_detail


# One event alone

FATES: list[tuple[Callable[[dict[str, Any]], Any], Fate | None, str]] = [
    (said.send, Fate.SENT, "Amazon SES has begun to deliver it."),
    (said.delay, Fate.DELAYED, "The mailbox is full. Amazon SES goes on trying."),
    (
        said.delivery,
        Fate.DELIVERED,
        "The mail server of larkfield.example, 203.0.113.25,",
    ),
    (said.bounce, Fate.BOUNCED, "The address does not exist.\nsmtp; 550 5.1.1"),
    (
        lambda of: said.bounce(of, "Transient", "MailboxFull"),
        Fate.SOFT_BOUNCED,
        "The mailbox is full. Amazon SES has given up",
    ),
    (
        lambda of: said.bounce(of, "Undetermined", "Undetermined"),
        Fate.SOFT_BOUNCED,
        "It came back, and Amazon SES can’t tell why.",
    ),
    (
        lambda of: said.bounce(of, "Permanent", "FromNextYear"),
        Fate.BOUNCED,
        "The recipient’s server refused it for good.",
    ),
    (said.auto_reply, None, ""),
    (said.reject, Fate.REJECTED, "did not send it: Bad content."),
    (said.rendering_failure, Fate.REJECTED, "could not make the mail"),
    (said.complaint, Fate.COMPLAINED, "The recipient marked it as spam."),
    (lambda of: said.complaint(of, None), Fate.COMPLAINED, "complained about it"),
    (lambda of: said.complaint(of, "not-spam"), None, ""),
    (lambda of: said.complaint(of, "auth-failure"), None, ""),
    (said.opened, None, ""),
    (said.click, None, ""),
    (said.subscription, None, ""),
]


@pytest.mark.parametrize(("make", "fate", "words"), FATES)
def test_fate_by_one_event(
    make: Callable[[dict[str, Any]], Any], fate: Fate | None, words: str
) -> None:
    message = sent()
    assert tell(make(about(message))).events == 1
    message.refresh_from_db()
    assert message.fate == fate
    assert words in message.fate_detail
    assert message.event_set.count() == 1


# Any order, any number


def five(message: OutboxMessage) -> list[Any]:
    of = about(message)
    return [
        said.send(of),
        said.delay(of),
        said.bounce(of, "Transient", "MailboxFull", feedback_id="soft"),
        said.delivery(of),
        said.complaint(of),
    ]


def test_every_order_of_five_events_ends_in_one_state() -> None:
    message = sent()
    ends = set()
    for order in itertools.permutations(five(message)):
        DeliveryEvent.objects.all().delete()
        OutboxMessage.objects.update(fate=None, fate_at=None, fate_detail="")
        for event in order:
            tell(event)
        ends.add(fate_after(message))
    ((state, fate, *_),) = ends
    assert (state, fate) == (State.SENT, Fate.COMPLAINED)
    assert message.event_set.count() == 5


RANKS: list[Callable[[dict[str, Any]], Any]] = [
    said.send,
    said.delay,
    lambda of: said.bounce(of, "Transient", "MailboxFull"),
    said.delivery,
    said.reject,
    said.bounce,
    said.complaint,
]


@pytest.mark.parametrize("lower", range(len(RANKS) - 1))
@pytest.mark.parametrize("step", [1, -1])
def test_each_fate_outweighs_the_one_below(lower: int, step: int) -> None:
    message = sent()
    events = [make(about(message)) for make in RANKS[lower : lower + 2]]
    for event in events[::step]:
        tell(event)
    message.refresh_from_db()
    assert message.fate == lower + 2


def test_of_two_delays_the_later_is_told() -> None:
    message = sent()
    later = said.delay(about(message), "IPFailure", "2026-11-24T10:30:00.000Z")
    for event in (later, said.delay(about(message))):
        tell(event)
    message.refresh_from_db()
    assert "blocks or slows" in message.fate_detail
    assert message.event_set.count() == 2


def test_out_of_office_after_delivery_stays_delivered() -> None:
    message = sent()
    tell(said.delivery(about(message)), said.auto_reply(about(message)))
    message.refresh_from_db()
    assert message.fate == Fate.DELIVERED
    assert not message.event_set.filter(kind=Kind.BOUNCE).exists()


def test_same_event_raw_and_wrapped_is_one() -> None:
    message = sent()
    event = said.bounce(about(message))
    tell(body(event), wrapped(event), wrapped(event))
    assert message.event_set.count() == 1


@pytest.mark.django_db(transaction=True)
def test_hundred_copies_under_threads_are_one_effect() -> None:
    message = sent()
    events = five(message)
    bodies = [body(event) for event in events] * 100
    random.Random(7).shuffle(bodies)  # noqa: S311
    installation = SesSettings.load().installation
    problems: list[Exception] = []

    def work(mine: list[str]) -> None:
        try:
            for start in range(0, len(mine), 10):
                store(mine[start : start + 10], installation=installation)
        except Exception as error:  # noqa: BLE001  # the test tells it
            problems.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(bodies[number::5],)) for number in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    state, fate, *_ = fate_after(message)
    assert (state, fate) == (State.SENT, Fate.COMPLAINED)
    kinds = message.event_set.values_list("kind", flat=True)
    assert sorted(kinds) == ["bounce", "complaint", "delay", "delivery", "send"]
    assert DeliveryEvent.objects.count() == 5


# Whose mail it is


def test_event_resolves_an_unknown_outcome() -> None:
    message = sent("no_answer")
    assert message.state == State.UNKNOWN
    tell(said.send(about(message)))
    message.refresh_from_db()
    assert (message.state, message.ses_message_id) == (State.SENT, SES_ID)
    attempt = message.attempt_set.get()
    assert message.sent_at is not None
    assert message.sent_at >= attempt.started_at
    assert (attempt.outcome, attempt.ses_message_id) == ("accepted", SES_ID)


def test_bounce_alone_shows_too_that_it_was_taken() -> None:
    message = sent("no_answer", is_secret=True)
    tell(said.bounce(about(message)))
    message.refresh_from_db()
    assert (message.state, message.fate) == (State.SENT, Fate.BOUNCED)
    assert message.text_body == ""


def test_event_of_another_installation_is_counted_and_nothing_else() -> None:
    message = sent("no_answer")
    tags = about(message)["tags"] | {"tf-inst": [uuid.uuid4().hex]}
    tally = tell(said.send(about(message, tags=tags)))
    assert (tally.foreign, tally.events) == (1, 0)
    message.refresh_from_db()
    assert message.state == State.UNKNOWN
    assert not DeliveryEvent.objects.exists()


def test_event_without_tags_finds_its_mail_by_the_id_of_ses() -> None:
    message = sent()
    tell(said.delivery(mail(tags={})))
    message.refresh_from_db()
    assert message.fate == Fate.DELIVERED


def test_event_that_came_before_its_mail_was_known_is_matched_later() -> None:
    assert tell(said.delivery(mail(tags={}))).events == 1
    assert match_late() == 0
    message = sent()
    assert match_late() == 1
    message.refresh_from_db()
    assert message.fate == Fate.DELIVERED
    assert match_late() == 0


def test_after_a_day_nobody_looks_and_after_a_month_it_is_gone() -> None:
    tell(said.delivery(mail(tags={})))
    tell("what is this?")
    message = sent()
    now = timezone.now()
    DeliveryEvent.objects.update(received_at=now - timedelta(hours=25))
    assert match_late() == 0
    assert DeliveryEvent.objects.count() == 2
    tell(said.send(about(message)))
    DeliveryEvent.objects.update(received_at=now - timedelta(days=31))
    match_late()
    assert [event.kind for event in DeliveryEvent.objects.all()] == ["send"]


def test_event_of_a_mail_that_was_removed_is_kept_without_it() -> None:
    message = sent()
    of = about(message)
    message.delete()
    assert tell(said.bounce(of)).events == 1
    assert DeliveryEvent.objects.get().message is None


def test_events_go_with_their_mail() -> None:
    """What retention removes, it removes wholly."""
    message = sent()
    tell(said.bounce(about(message)))
    message.delete()
    assert not DeliveryEvent.objects.exists()


# What can't be read


def test_what_is_unreadable_is_set_aside_once_and_the_rest_goes_on() -> None:
    message = sent()
    hostile = "\0\ud800" + "x" * 20_000
    tally = tell(hostile, hostile, said.VALIDATION, said.delivery(about(message)))
    assert tally == Tally(events=1, validations=1, foreign=0, unreadable=2)
    aside = DeliveryEvent.objects.get(kind=Kind.UNREADABLE)
    assert len(aside.raw) == 8_000
    assert aside.diagnostic == "It is no event of Amazon SES."
    message.refresh_from_db()
    assert message.fate == Fate.DELIVERED


def test_event_that_the_database_refuses_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, bad = sent(), sent()
    keep = store_module._keep

    def refuse(found: Any, **options: Any) -> Any:
        if bad.pk in found:
            raise DataError("value too long")
        return keep(found, **options)

    monkeypatch.setattr(store_module, "_keep", refuse)
    tally = tell(said.delivery(about(bad)), said.delivery(about(good)))
    assert tally.unreadable == 1
    good.refresh_from_db()
    assert good.fate == Fate.DELIVERED
    aside = DeliveryEvent.objects.get(kind=Kind.UNREADABLE)
    assert json.loads(aside.raw)["eventType"] == "Delivery"


def test_while_the_database_is_away_nothing_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*arguments: Any, **options: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(store_module, "_keep", away)
    with pytest.raises(OperationalError):
        tell(said.delivery(about(sent())))
    assert not DeliveryEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_fate_is_drawn_by_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has read the events too early must not write after who knows better."""
    message = sent()
    installation = SesSettings.load().installation
    delivered, bounced = (
        body(said.delivery(about(message))),
        body(said.bounce(about(message))),
    )
    has_read, other_is_done = threading.Event(), threading.Event()
    write = update_rows

    def write_late(*arguments: Any, **options: Any) -> int:
        if threading.current_thread().name == "early":
            has_read.set()
            other_is_done.wait(1.5)  # in vain, where the other has to wait for this one
        return write(*arguments, **options)

    monkeypatch.setattr(store_module, "update_rows", write_late)

    def keep(text: str) -> None:
        try:
            store([text], installation=installation)
        finally:
            connection.close()

    early = threading.Thread(target=keep, args=(delivered,), name="early")
    early.start()
    assert has_read.wait(10)
    late = threading.Thread(target=keep, args=(bounced,))
    late.start()
    late.join(1.0)
    if not late.is_alive():
        other_is_done.set()
    early.join()
    late.join()
    message.refresh_from_db()
    assert message.fate == Fate.BOUNCED
