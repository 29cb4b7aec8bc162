"""A mail that was sent and did not arrive is sent once more, by an admin, once."""

import contextlib
import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from conftest import make_user
from email_settings.again import Again
from email_settings.models import Fate, OutboxMessage, SesSettings
from email_settings.suppression import wishes
from email_settings.suppression.standing import standing_of
from email_settings.tests.builders import make_message, make_settings
from ticketflow.errors import DomainError
from ticketflow.sending_again import send_again
from tickets import services, undelivered
from tickets.marks import marks_of
from tickets.models import Comment, Notification, Queue, Ticket, TicketEvent
from tickets.tests.builders import make_ticket
from tickets.tests.lost_mail import WAYS, let_fare, mail_to, suppress

pytestmark = pytest.mark.django_db
State = OutboxMessage.State
LOST = ("Not delivered", "Rejected", "Bounced")
ASKED = "Send this message again?"


@pytest.fixture
def panel(client: Client, admin: User, brand: object) -> Client:
    make_settings()
    client.force_login(admin)
    return client


def put(way: str = "Bounced", **more: object) -> OutboxMessage:
    """A mail that fares this way."""
    return let_fare(make_message(headers={"Auto-Submitted": "no"}), way, **more)


def page(message: OutboxMessage) -> str:
    return reverse("email_settings:message-detail", args=[message.uid])


def button(message: OutboxMessage) -> str:
    return reverse("message-send-again", args=[message.uid])


def show(client: Client, url: str) -> str:
    return client.get(url, follow=True).content.decode()


def press(client: Client, message: OutboxMessage) -> str:
    return client.post(button(message), follow=True).content.decode()


def others(message: OutboxMessage) -> list[OutboxMessage]:
    return list(OutboxMessage.objects.exclude(pk=message.pk))


# What is sent


@pytest.mark.parametrize("way", LOST)
def test_what_did_not_arrive_is_sent_once_more_as_a_new_message(
    panel: Client, way: str
) -> None:
    first = put(way)
    assert button(first) in show(panel, page(first))
    assert ASKED in show(panel, button(first))
    assert others(first) == []  # it was only asked
    assert "It is on its way." in press(panel, first)
    (second,) = others(first)
    for name in (
        *("kind", "lane", "recipient", "recipient_name", "subject"),
        *("text", "html", "about_label", "about_path"),
    ):
        assert getattr(second, name) == getattr(first, name)
    assert (second.state, second.fate, second.attempts) == (State.QUEUED, None, 0)
    assert second.expires_at
    assert second.expires_at > timezone.now() + timedelta(days=2)
    assert second.headers["Auto-Submitted"] == "no"
    fate, told = first.fate, first.fate_detail
    first.refresh_from_db()
    assert (first.state, first.fate, first.fate_detail) == (State.SENT, fate, told)


def test_both_pages_tell_of_the_other(panel: Client) -> None:
    first = put()
    press(panel, first)
    (second,) = others(first)
    shown = show(panel, page(first))
    assert "It did not arrive, and was sent again" in shown
    assert "Ewa Kowalska had it sent again." in shown
    assert f'href="{page(second)}">The new message' in shown
    assert button(first) not in shown
    shown = show(panel, page(second))
    assert f'href="{page(first)}">The one before' in shown
    assert button(second) not in shown


def test_one_that_is_lost_again_is_sent_again(panel: Client) -> None:
    first = put()
    press(panel, first)
    (second,) = others(first)
    let_fare(second, "Bounced")
    press(panel, second)
    third = OutboxMessage.objects.latest("pk")
    shown = show(panel, page(second))
    assert page(first) in shown
    assert page(third) in shown
    assert page(second) in show(panel, page(third))
    assert page(first) not in show(panel, page(third))


def test_what_was_written_for_many_gets_a_body_of_its_own(
    panel: Client, agent: User, queue: Queue, requester: User, outsider: User
) -> None:
    watchers = [outsider, make_user("w@larkfield.example", "Wen", Role.REQUESTER)]
    ticket = make_ticket(
        requester=requester,
        queue=queue,
        watcher_emails=[watcher.email for watcher in watchers],
    )
    reply = services.add_public_reply(actor=agent, number=ticket.pk, body="Hello all")
    first = let_fare(mail_to(reply, outsider), "Bounced")
    assert first.shared_body
    press(panel, first)
    second = OutboxMessage.objects.latest("pk")
    assert second.shared_body is None
    assert second.text_body == first.shared_body.text
    assert second.html_body == first.shared_body.html


def test_page_of_the_second_does_without_a_first_that_was_removed(
    panel: Client,
) -> None:
    first = put()
    press(panel, first)
    (second,) = others(first)
    first.delete()
    shown = show(panel, page(second))
    assert "Put in the outbox again" in shown
    assert "The one before" not in shown.replace("as the one before", "")


# What is not


@pytest.mark.parametrize("way", [way for way in WAYS if way not in LOST])
def test_what_was_not_lost_is_refused(panel: Client, way: str) -> None:
    message = put(way)
    assert button(message) not in show(panel, page(message))
    assert ASKED not in show(panel, button(message))
    shown = press(panel, message)
    said = "called this message spam" if way == "Complained" else f"is {way.lower()}:"
    assert said in shown
    assert others(message) == []


@pytest.mark.parametrize("kind", ["test", "simulator", "canary", "key_test"])
def test_a_trial_is_made_anew(panel: Client, kind: str) -> None:
    message = put(kind=kind)
    assert button(message) not in show(panel, page(message))
    assert "This message was a trial." in press(panel, message)
    assert others(message) == []


def test_a_link_that_was_wiped_is_not_sent_again(panel: Client) -> None:
    message = put(is_secret=True, text_body="", html_body="")
    shown = show(panel, page(message))
    assert button(message) not in shown
    assert "a link that was wiped" in shown
    assert "a link that was wiped" in press(panel, message)
    assert others(message) == []


def test_a_link_that_works_no_more_is_not_sent_again(panel: Client) -> None:
    message = put(is_secret=True, expires_at=timezone.now() - timedelta(seconds=1))
    assert "does not work any more" in press(panel, message)
    assert others(message) == []


def test_a_void_link_is_not_sent_again(panel: Client) -> None:
    message = put(is_secret=True, reason_code="link_void")
    press(panel, message)
    assert others(message) == []


@pytest.mark.parametrize("way", LOST)
def test_an_address_without_mail_is_released_first(
    panel: Client, admin: User, way: str
) -> None:
    message = put(way)
    entry = suppress(message.recipient)
    shown = show(panel, page(message))
    assert button(message) not in shown
    assert "can be sent again when hannah@larkfield.example gets mail" in shown
    assert "Mail to this address bounced for good." in shown
    assert reverse("email_settings:suppression-detail", args=[entry.pk]) in shown
    assert ASKED not in show(panel, button(message))
    assert "gets mail" in press(panel, message)
    assert others(message) == []
    wishes.release(message.recipient, actor=admin)
    assert button(message) in show(panel, page(message))
    press(panel, message)
    assert len(others(message)) == 1


def test_security_mail_passes_where_an_admin_said_so(panel: Client) -> None:
    message = put(lane=0)
    suppress(message.recipient, security_allowed_at=timezone.now())
    press(panel, message)
    assert len(others(message)) == 1


def test_two_clicks_send_one(panel: Client) -> None:
    first = put()
    press(panel, first)
    assert "Ewa Kowalska had it sent again." in press(panel, first)
    assert len(others(first)) == 1


def test_whoever_looked_too_early_is_refused_all_the_same(
    monkeypatch: pytest.MonkeyPatch, admin: User, agent: User
) -> None:
    monkeypatch.setattr(Again, "of", lambda message: Again(is_lost=True))
    first = put()
    send_again(first.uid, actor=admin)
    with pytest.raises(DomainError, match="Somebody was faster"):
        send_again(first.uid, actor=agent)
    delivered = put("Delivered")  # news came after the page was drawn
    with pytest.raises(DomainError, match="Somebody was faster"):
        send_again(delivered.uid, actor=admin)
    assert OutboxMessage.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_at_the_same_moment_one_sends(
    monkeypatch: pytest.MonkeyPatch, admin: User
) -> None:
    make_settings()
    first = put()
    both = threading.Barrier(2)

    def look_together(address: str) -> object:
        # SQLite lets in one writer at a time: the other waits outside.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(1)
        return standing_of(address)

    monkeypatch.setattr("email_settings.again.standing_of", look_together)
    other = make_user("jonas@larkfield.example", "Jonas", Role.ADMIN)
    outcomes: list[str] = []

    def press_it(actor: User) -> None:
        try:
            send_again(first.uid, actor=actor)
            outcomes.append("sent")
        except DomainError:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=press_it, args=[who]) for who in (admin, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "sent"]
    assert len(others(first)) == 1


# Who may, and how it is asked


@pytest.mark.parametrize("who", ["agent", "requester"])
def test_only_admins_may(
    client: Client, request: pytest.FixtureRequest, who: str
) -> None:
    message = put()
    client.force_login(request.getfixturevalue(who))
    assert client.get(button(message)).status_code == 403
    assert client.post(button(message)).status_code == 403
    assert others(message) == []


def test_a_post_of_another_site_does_nothing(admin: User, brand: object) -> None:
    message = put()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    assert strict.post(button(message)).status_code == 403
    assert strict.put(button(message)).status_code in {403, 405}
    assert others(message) == []


def test_mail_that_does_not_exist_is_not_found(panel: Client) -> None:
    url = reverse("message-send-again", args=[uuid.uuid4()])
    assert panel.get(url).status_code == 404


def test_question_says_where_it_goes_and_what_it_may_cost(panel: Client) -> None:
    shown = show(panel, button(put(about_label="#7", about_path="/tickets/7/")))
    assert "to hannah@larkfield.example: We received your ticket" in shown
    assert "bounce rate" in shown
    assert "#7 shows what becomes of the new one." in shown
    assert "rehearsal" not in shown


def test_question_says_that_nothing_leaves_in_rehearsal(panel: Client) -> None:
    make_settings(is_live=False)
    message = put()
    assert "captured and does not leave" in show(panel, button(message))
    assert "captured and does not leave" in press(panel, message)


def test_question_says_that_all_mail_is_held(panel: Client) -> None:
    SesSettings.objects.update(stopped_at=timezone.now())
    message = put()
    assert "leaves when an admin releases it" in show(panel, button(message))
    assert "leaves when an admin releases it" in press(panel, message)


def test_page_of_a_lost_mail_costs_a_constant_number_of_questions(
    panel: Client, django_assert_max_num_queries: object
) -> None:
    for _ in range(3):
        last = OutboxMessage.objects.order_by("pk").last() or put()
        press(panel, let_fare(last, "Bounced"))
    let_fare(OutboxMessage.objects.latest("pk"), "Bounced")
    for message in OutboxMessage.objects.all():
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            show(panel, page(message))


# The ticket


@pytest.fixture
def reply(agent: User, queue: Queue, requester: User) -> Comment:
    ticket = make_ticket(requester=requester, queue=queue)
    return services.add_public_reply(actor=agent, number=ticket.pk, body="Hello")


def marked(reply: Comment) -> list[str]:
    return [mark.state for mark in marks_of([reply])[reply.pk]]


def is_listed(reply: Comment) -> bool:
    listed = Ticket.objects.filter(undelivered.still_undelivered())
    return listed.filter(pk=reply.ticket_id).exists()


def test_mark_and_list_follow_the_newest(
    panel: Client, requester: User, reply: Comment
) -> None:
    first = let_fare(mail_to(reply, requester), "Bounced")
    undelivered.tell_undelivered()
    assert (marked(reply), is_listed(reply)) == (["bounced"], True)
    press(panel, first)
    assert (marked(reply), is_listed(reply)) == (["queued"], False)
    second = mail_to(reply, requester)
    assert second != first
    let_fare(second, "Delivered")
    assert (marked(reply), is_listed(reply)) == (["delivered"], False)


def test_agents_are_told_when_the_second_is_lost_too(
    panel: Client, requester: User, reply: Comment
) -> None:
    first = let_fare(mail_to(reply, requester), "Bounced")
    undelivered.tell_undelivered()
    press(panel, first)
    let_fare(mail_to(reply, requester), "Bounced")
    undelivered.tell_undelivered()
    assert (marked(reply), is_listed(reply)) == (["bounced"], True)
    told = TicketEvent.objects.filter(kind=TicketEvent.Kind.UNDELIVERED)
    assert told.count() == 2


def test_whoever_is_refused_moves_nothing(
    panel: Client, requester: User, reply: Comment
) -> None:
    first = let_fare(mail_to(reply, requester), "Bounced", fate=Fate.COMPLAINED)
    press(panel, first)
    assert Notification.objects.get(comment=reply).outbox_message == first
