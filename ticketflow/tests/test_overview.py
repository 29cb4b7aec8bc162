"""The first page of the Admin Panel: what to do first, what needs somebody, figures."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Invitation, Role, User
from email_settings.models import (
    MailWatch,
    OutboxMessage,
    ReadinessLine,
    WorkerHeartbeat,
)
from email_settings.tests.builders import make_message, make_settings
from ticketflow import overview
from tickets.models import Queue, Ticket

State = OutboxMessage.State
pytestmark = pytest.mark.django_db


@pytest.fixture
def panel(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


@pytest.fixture
def make_ticket(requester: User, queue: Queue) -> Callable[..., Ticket]:
    def make(**values: object) -> Ticket:
        return Ticket.objects.create(
            subject="VPN drops", requester=requester, queue=queue, **values
        )

    return make


def show(panel: Client) -> str:
    return panel.get(reverse("admin-overview")).content.decode()


def test_fresh_installation_says_what_to_do_first(panel: Client) -> None:
    shown = show(panel)
    steps = ["Set up e-mail", "Invite people", "Open a ticket"]
    places = [shown.index(f"<h3>{step}</h3>") for step in steps]
    assert places == sorted(places)
    assert 'btn-primary" href="/admin-panel/email-settings/"' in shown


def test_steps_that_are_done_are_ticked_and_gone_when_all_are(
    panel: Client, make_ticket: Callable[..., Ticket]
) -> None:
    make_settings()
    shown = show(panel)
    assert "What to do first" in shown
    assert "Done:" in shown
    make_ticket()
    assert "What to do first" not in show(panel)


def test_admin_of_a_fresh_house_starts_at_the_panel(
    panel: Client, make_ticket: Callable[..., Ticket]
) -> None:
    assert panel.get("/").headers["Location"] == reverse("admin-overview")
    make_ticket()
    assert panel.get("/").headers["Location"] == reverse("tickets:ticket-list")


def test_admin_with_mail_set_up_starts_at_the_tickets(panel: Client) -> None:
    make_settings()
    assert panel.get("/").headers["Location"] == reverse("tickets:ticket-list")


@pytest.mark.parametrize("who", ["agent", "requester"])
def test_others_start_at_the_tickets_and_see_no_panel(
    client: Client, request: pytest.FixtureRequest, who: str
) -> None:
    client.force_login(request.getfixturevalue(who))
    assert client.get("/").headers["Location"] == reverse("tickets:ticket-list")
    assert client.get(reverse("admin-overview")).status_code == 403


def test_nothing_to_do_is_said(
    panel: Client, make_ticket: Callable[..., Ticket]
) -> None:
    make_settings()
    WorkerHeartbeat.objects.create(name="here:1")
    make_ticket(assignee=User.objects.get(role=Role.ADMIN))
    shown = show(panel)
    assert "Everything runs; nothing needs you." in shown
    assert "Needs attention" not in shown


def test_trouble_is_listed_with_its_button(panel: Client) -> None:
    row = make_settings(is_live=False)
    row.is_from_verified, row.is_sandbox = False, True
    row.save()
    for state, code in [("held", "key_unknown"), ("failed", "x"), ("unknown", "x")]:
        message = make_message()
        OutboxMessage.objects.filter(pk=message.pk).update(
            state=state, reason_code=code
        )
    Invitation.objects.create(
        email="late@larkfield.example", expires_at=timezone.now() - timedelta(days=1)
    )
    Invitation.objects.create(
        email="lost@larkfield.example",
        expires_at=timezone.now() + timedelta(days=1),
        outbox_message=OutboxMessage.objects.get(state="failed"),
    )
    shown = show(panel)
    for part in (
        "The mail worker is not running",
        "1 e-mail is held",
        "1 e-mail in doubt",
        "1 e-mail was not sent in the last 24 hours",
        "The From address is not verified",
        "The AWS account is in the sandbox",
        "Rehearsal: no mail leaves",
        "1 invitation did not leave",
        "1 invitation expired",
    ):
        assert part in shown


def test_line_of_the_set_up_that_is_wrong_is_listed(panel: Client) -> None:
    row = make_settings()
    ReadinessLine.objects.create(
        key="dkim",
        state="wrong",
        said="2 of 3 found",
        evidence="1 of 3 records is wrong.",
        settings_version=row.version,
    )
    ReadinessLine.objects.create(
        key="clock", state="wrong", evidence="Of before.", settings_version=0
    )
    shown = show(panel)
    assert "E-mail set-up: DKIM" in shown
    assert "1 of 3 records is wrong." in shown
    assert f"{reverse('email_settings:settings')}#line-dkim" in shown
    assert "Of before." not in shown


def test_worker_that_is_away_is_in_the_headline(
    panel: Client, make_ticket: Callable[..., Ticket]
) -> None:
    make_settings()
    make_ticket()
    assert "Mail does not leave as it should." in show(panel)


def test_figures_are_real(make_ticket: Callable[..., Ticket], admin: User) -> None:
    now = timezone.now()
    make_ticket()
    make_ticket(status="pending", assignee=admin)
    make_ticket(status="solved", solved_at=now)
    make_ticket(status="closed", solved_at=now - timedelta(days=9))
    tickets = overview.ticket_figures(now)
    assert (tickets.unsolved, tickets.unassigned, tickets.waiting) == (2, 1, 1)
    assert tickets.solved_this_week == 1

    people = overview.people_figures(now)
    assert (people.active, people.everybody, people.agents) == (2, 2, 1)

    for age in (timedelta(0), timedelta(hours=5), timedelta(days=2)):
        message = make_message()
        OutboxMessage.objects.filter(pk=message.pk).update(
            state=State.SENT, sent_at=now, created_at=now - age
        )
    mail = overview.mail_figures(now)
    assert (mail.written, mail.sent, mail.given_up) == (2, 2, 0)
    assert len(mail.per_hour) == 24
    assert mail.per_hour[-1] == 1
    assert mail.per_hour[-6] == 1


def test_page_costs_a_constant_number_of_queries(
    panel: Client,
    make_ticket: Callable[..., Ticket],
    django_assert_max_num_queries: object,
) -> None:
    make_settings()
    for _ in range(20):
        make_ticket()
        make_message()
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        show(panel)


@pytest.mark.parametrize("kind", OutboxMessage.PROBES)
def test_mail_to_the_simulator_is_in_no_figure(kind: str) -> None:
    OutboxMessage.objects.create(kind=kind, recipient="x@simulator.amazonses.com")
    OutboxMessage.objects.create(kind="public_reply", recipient="x@larkfield.example")
    assert overview.mail_figures(timezone.localtime()).written == 1


def test_overview_names_rates_that_get_worse_and_the_review_of_aws(
    panel: Client,
) -> None:
    make_settings()
    watch = MailWatch.load()
    watch.mails, watch.bounced = 1000, 5
    watch.save()
    shown = show(panel)
    assert "0.5\N{NO-BREAK SPACE}%" in shown
    assert "Too much mail bounces" not in shown
    MailWatch.objects.update(bounced=40)
    assert "Too much mail bounces" in show(panel)
    MailWatch.objects.update(bounced=0, complained=1)
    assert "Too much mail is called spam" in show(panel)
    MailWatch.objects.update(enforcement="PROBATION")
    assert "AWS has the account under review" in show(panel)


def test_held_notices_are_no_work_to_be_done(panel: Client) -> None:
    make_settings()
    OutboxMessage.objects.filter(pk=make_message().pk).update(
        state="held", reason_code="reputation_guard"
    )
    assert "e-mail is held" not in show(panel)
