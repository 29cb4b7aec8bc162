"""axe-core finds nothing on any page: wide and narrow, light and dark, menus open or shut."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts import email_change, invitations, services
from accounts.models import (
    INVITATION_LIFETIME,
    EmailChange,
    Invitation,
    Role,
    User,
)
from email_settings.models import (
    AwsRelease,
    AwsSuppression,
    Brand,
    DeliveryAttempt,
    DeliveryEvent,
    EventFeed,
    Fate,
    KeyRotation,
    MailWatch,
    OutboxMessage,
    SesSettings,
    Suppression,
    SuppressionSync,
    WorkerHeartbeat,
)
from email_settings.rotation import machine, words
from ticketflow.lib.localfiles import read_or_create_secret
from ticketflow.sending_again import send_again
from ticketflow.tests.browser.conftest import Axe, SignIn
from tickets import services as tickets
from tickets.models import Queue, Ticket
from tickets.tests.builders import make_file, make_ticket
from tickets.tests.lost_mail import let_fare, mail_to
from tickets.undelivered import tell_undelivered

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDE = (1440, 900)
NARROW = (390, 844)
State = OutboxMessage.State


@dataclass
class Desk:
    """A help desk with one of each, and who is in it."""

    people: dict[str, User]
    ticket: Ticket
    queue: Queue
    invitation: Invitation
    change: EmailChange
    messages: dict[str, OutboxMessage] = field(default_factory=dict)


@pytest.fixture
def desk(
    brand: Brand,
    admin: User,
    agent: User,
    requester: User,
    outsider: User,
    queue: Queue,
) -> Desk:
    ticket = make_ticket(
        requester=requester,
        queue=queue,
        body="It began **this morning**:\n\n- cable\n- Wi-Fi\n\n`timeout 1200s`",
        files=[make_file("screen.png")],
        priority=Ticket.Priority.URGENT,
        watcher_emails=[outsider.email],
    )
    for priority in Ticket.Priority:
        make_ticket(
            requester=outsider,
            queue=queue,
            subject=f"A {priority.label.lower()} thing with a rather long summary",
            priority=priority,
        )
    tickets.assign(actor=agent, number=ticket.pk, assignee=agent)
    tickets.add_internal_note(actor=agent, number=ticket.pk, body="The gateway again.")
    reply = tickets.add_public_reply(
        actor=agent, number=ticket.pk, body="Which client?", then_status="pending"
    )
    let_fare(mail_to(reply, requester), "Bounced")
    tell_undelivered()
    services.deactivate_user(actor=admin, user_id=outsider.pk)
    [invitation] = services.invite_users(
        actor=admin, emails=["ines@larkfield.example"], role=Role.AGENT, note="Welcome."
    )
    SesSettings.objects.create(
        region="eu-west-2",
        from_email="help@larkfield.example",
        from_name="Larkfield",
        mode=SesSettings.Mode.LIVE,
        hold_code="secret_mismatch",
        held_since=timezone.now() - timedelta(minutes=20),
        configuration_set="ticketflow-ses",
        event_queue_url="https://sqs.eu-west-2.amazonaws.com/123456789012/events",
        event_topic_arn="arn:aws:sns:eu-west-2:123456789012:events",
        guarded_since=timezone.now() - timedelta(hours=1),
    )
    watch = MailWatch.load()
    watch.mails, watch.bounced, watch.complained = 2000, 170, 4
    watch.counted_since = watch.counted_at = timezone.now() - timedelta(minutes=3)
    watch.enforcement = "PROBATION"
    watch.silence, watch.silent_since, watch.silent_count = "unheard", timezone.now(), 9
    watch.save()
    WorkerHeartbeat.objects.create(name="web-1")
    change = email_change.ask(actor=requester, new_email="hannah@new.example")
    bar_addresses(requester, agent, invitation)
    messages = one_message_in_each_state()
    tell_of_events(messages["sent"])
    messages |= lose_some(admin)
    return Desk(
        people={"admin": admin, "agent": agent, "requester": requester},
        ticket=ticket,
        queue=queue,
        invitation=invitation,
        change=change,
        messages=messages,
    )


def bar_addresses(held: User, complained: User, invitation: Invitation) -> None:
    """Let no mail reach some people, so that their pages and those of admins say so."""
    tomorrow = timezone.now() + timedelta(days=1)
    for address, reason, until in [
        (held.email, Suppression.Reason.FAILING, tomorrow),
        (complained.email, Suppression.Reason.COMPLAINED, None),
        (invitation.email, Suppression.Reason.BOUNCED, None),
    ]:
        Suppression.objects.update_or_create(
            address_lower=address,
            defaults={
                "address": address,
                "reason": reason,
                "held_until": until,
                "detail": "The mailbox is full.\nsmtp; 452 4.2.2 over quota",
            },
        )


def one_message_in_each_state() -> dict[str, OutboxMessage]:
    now = timezone.now()
    messages = {}
    for state in State:
        message = OutboxMessage.objects.create(
            kind="test" if state == State.SENT else "public_reply",
            recipient=f"{state}@larkfield.example",
            subject="Re: [#1] VPN drops every 20 minutes",
            text_body="Which client?",
            html_body="<p>Which client?</p>",
            state=state,
            reason="The mailbox does not exist." if state == State.FAILED else "",
            sent_at=now if state == State.SENT else None,
            claim_token="x" if state == State.SENDING else "",
            lease_until=now if state == State.SENDING else None,
        )
        DeliveryAttempt.objects.create(
            message=message,
            number=1,
            worker="web-1",
            region="eu-west-2",
            finished_at=now,
        )
        messages[str(state)] = message
    return messages


def lose_some(admin: User) -> dict[str, OutboxMessage]:
    """Mails that bounced: one is sent again, one can be, one waits for its address."""
    lost = {}
    for name in ("repeated", "lost", "barred"):
        lost[name] = OutboxMessage.objects.create(
            kind="public_reply",
            recipient=f"{name}@larkfield.example",
            subject="Re: [#1] VPN drops every 20 minutes",
            text_body="Which client?",
            html_body="<p>Which client?</p>",
            about_label="#1",
            about_path="/tickets/1/",
            state=State.SENT,
            sent_at=timezone.now(),
            fate=Fate.BOUNCED,
            fate_detail="The address does not exist.\nsmtp; 550 5.1.1 user unknown",
        )
    lost["second"] = send_again(lost["repeated"].uid, actor=admin)
    barred = lost["barred"].recipient
    Suppression.objects.create(address=barred, address_lower=barred, reason="bounced")
    return lost


def tell_of_events(sent: OutboxMessage) -> None:
    """Let Amazon SES have told of this mail, and the queue not be read any more."""
    now = timezone.now()
    for kind, sub_kind in [
        ("send", ""),
        ("delay", "MailboxFull"),
        ("bounce", "Permanent/NoEmail"),
    ]:
        DeliveryEvent.objects.create(
            message=sent,
            kind=kind,
            sub_kind=sub_kind,
            mark=kind,
            happened_at=now,
            diagnostic="smtp; 550 5.1.1 user unknown",
        )
    OutboxMessage.objects.filter(pk=sent.pk).update(
        fate=Fate.BOUNCED, fate_at=now, fate_detail="The address does not exist."
    )
    for number, fate in enumerate(Fate):
        OutboxMessage.objects.create(
            kind="simulator" if number < 3 else "public_reply",
            recipient=f"{['success', 'bounce', 'complaint', 'x'][min(number, 3)]}+1@simulator.amazonses.com",
            subject="Proof of delivery events",
            state=State.SENT,
            sent_at=now,
            fate=fate,
            fate_detail="The mailbox is full. Amazon SES goes on trying.",
        )
    DeliveryEvent.objects.create(
        kind="unreadable",
        mark="x",
        happened_at=now,
        raw="What is this?",
        diagnostic="No event.",
    )
    EventFeed.objects.create(
        queue_url=SesSettings.load().event_queue_url,
        began_at=now,
        asked_at=now,
        last_event_at=now,
        event_count=3,
        foreign_count=2,
        unreadable_count=1,
        queue_depth=1204,
        problem={
            "code": "queue_denied",
            "title": "AWS does not let us read the queue events.",
            "why": "The credentials have no right to it.",
            "fix": "Add the statement below.",
            "words": "AccessDenied: User is not authorized to perform: sqs:receivemessage",
            "statement": '{"Effect": "Allow", "Action": ["sqs:ReceiveMessage"]}',
        },
        problem_since=now,
        webhook_topic_arn="arn:aws:sns:eu-west-2:123456789012:events",
        webhook_wanted_at=now,
        webhook_posted_at=now,
        webhook_refused_count=3,
        webhook_refused_at=now,
        webhook_refusal="The signature does not fit.",
        webhook_problem={
            "code": "AuthorizationError",
            "title": "The webhook could not be confirmed.",
            "why": "The access key may not do this (sns:ConfirmSubscription).",
            "fix": "Add the statement below to the policy of the IAM user or role.",
            "words": "AuthorizationError: not authorized",
            "statement": '{"Effect": "Allow", "Action": ["sns:ConfirmSubscription"]}',
        },
    )


def path(name: str, *args: Any, query: str = "") -> Callable[[Desk], str]:
    """Return the address of a page, of one thing of the desk where `args` say which."""

    def of(desk: Desk) -> str:
        values = [arg(desk) if callable(arg) else arg for arg in args]
        return reverse(name, args=values) + query

    return of


def ticket(desk: Desk) -> int:
    return desk.ticket.pk


def message(state: str) -> Callable[[Desk], Any]:
    return lambda desk: desk.messages[state].uid


def invitation_link(desk: Desk) -> str:
    return invitations.link_for(desk.invitation).removeprefix(settings.SITE_URL)


def change_link(desk: Desk) -> str:
    return email_change.link_for(desk.change).removeprefix(settings.SITE_URL)


def voided_link(desk: Desk) -> str:
    old = EmailChange.objects.create(
        person=desk.people["agent"],
        old_email=desk.people["agent"].email,
        new_email="maya@new.example",
        expires_at=timezone.now(),
        cancelled_at=timezone.now(),
    )
    return email_change.link_for(old).removeprefix(settings.SITE_URL)


def suppressed(desk: Desk) -> int:
    """The entry of an address that complained and AWS would not release."""
    now = timezone.now()
    address = desk.messages["sent"].recipient
    SuppressionSync.objects.get_or_create(pk=1, defaults={"synced_at": now})
    AwsSuppression.objects.get_or_create(
        address=address,
        address_lower=address,
        defaults={"reason": "COMPLAINT", "listed_at": now, "seen_in": uuid.uuid4()},
    )
    AwsRelease.objects.get_or_create(
        address_lower=address,
        defaults={
            "address": address,
            "outcome": "failed",
            "done_at": now,
            "problem": EventFeed.objects.get().problem,
        },
    )
    entry, _ = Suppression.objects.get_or_create(
        address_lower=address,
        defaults={
            "address": address,
            "reason": "complained",
            "detail": "The recipient marked it as spam.",
            "message": desk.messages["sent"],
        },
    )
    return entry.pk


def suppression_list(query: str) -> Callable[[Desk], str]:
    def of(desk: Desk) -> str:
        suppressed(desk)
        Suppression.objects.get_or_create(
            address="full@larkfield.example",
            address_lower="full@larkfield.example",
            reason="failing",
            defaults={"held_until": timezone.now() + timedelta(days=1)},
        )
        AwsSuppression.objects.get_or_create(
            address="Only@larkfield.example",
            address_lower="only@larkfield.example",
            defaults={"reason": "BOUNCE", "seen_in": uuid.uuid4()},
        )
        return reverse("email_settings:suppression-list") + query

    return of


PAGES: list[tuple[str, Callable[[Desk], str]]] = [
    # before one is in
    ("nobody", path("account_login")),
    ("nobody", path("account_reset_password")),
    ("nobody", path("account_reset_password_done")),
    ("nobody", invitation_link),
    ("nobody", path("accounts:invitation-accept", "1.nonsense")),
    ("nobody", change_link),
    ("nobody", voided_link),
    ("nobody", path("accounts:email-change-confirm", "1.nonsense")),
    ("nobody", lambda desk: "/no-such-page/"),
    # requesters
    ("requester", path("tickets:ticket-list")),
    ("requester", path("tickets:ticket-create")),
    ("requester", path("tickets:ticket-detail", ticket)),
    ("requester", path("accounts:profile")),
    ("requester", path("accounts:email-change")),
    ("requester", path("account_change_password")),
    ("requester", path("admin-overview")),  # refused
    # agents
    ("agent", path("tickets:ticket-list", query="?view=open")),
    ("agent", path("tickets:ticket-list", query="?view=mine")),
    ("agent", path("tickets:ticket-list", query="?view=undelivered")),
    ("agent", path("tickets:ticket-list", query="?q=nothing+like+it")),
    ("agent", path("tickets:ticket-create")),
    ("agent", path("tickets:ticket-detail", ticket)),
    ("agent", path("accounts:profile")),
    ("agent", path("accounts:email-change")),
    ("agent", change_link),
    # admins
    ("admin", path("tickets:ticket-detail", ticket)),
    ("admin", path("admin-overview")),
    ("admin", path("email_settings:settings")),
    ("admin", path("email_settings:rotation")),
    ("admin", path("email_settings:settings-go-live")),
    ("admin", path("email_settings:settings-rehearse")),
    ("admin", path("email_settings:test-detail", message("sent"))),
    ("admin", path("email_settings:guide")),
    ("admin", path("email_settings:guide-document", "operations")),
    ("admin", path("email_settings:rights", query="?way=policy")),
    (
        "admin",
        path(
            "email_settings:rights",
            query="?feature=rotation&region=eu-west-2&from_email=help@x.example"
            "&way=template",
        ),
    ),
    ("admin", path("email_settings:rights", query="?region=nowhere")),  # refused
    ("admin", path("email_settings:events")),
    ("admin", path("email_settings:message-list")),
    ("admin", path("email_settings:message-list", query="?fate=bounced")),
    ("admin", path("email_settings:message-list", query="?state=held")),
    ("admin", path("email_settings:notices-release")),
    ("admin", path("email_settings:message-detail", message("sent"))),
    ("admin", path("email_settings:message-detail", message("failed"))),
    ("admin", path("email_settings:message-detail", message("lost"))),
    ("admin", path("email_settings:message-detail", message("barred"))),
    ("admin", path("email_settings:message-detail", message("repeated"))),
    ("admin", path("email_settings:message-detail", message("second"))),
    ("admin", path("email_settings:message-detail", message("held"))),
    # addresses that get no mail
    ("admin", path("email_settings:suppression-list")),
    ("admin", suppression_list("")),
    ("admin", suppression_list("?show=held")),
    ("admin", suppression_list("?show=aws")),
    ("admin", path("email_settings:suppression-detail", suppressed)),
    ("admin", path("email_settings:suppression-release", suppressed)),
    ("admin", path("email_settings:suppression-add")),
    ("admin", path("email_settings:suppression-import")),
    # questions before something is done about mail
    ("admin", path("email_settings:mail-hold")),
    ("admin", path("email_settings:message-retry-all")),
    ("admin", path("email_settings:message-retry-failed")),
    ("admin", path("email_settings:message-cancel-all", query="?state=held")),
    ("admin", path("email_settings:message-resend-all", query="?state=unknown")),
    ("admin", path("email_settings:message-mark-all-sent", query="?state=unknown")),
    ("admin", path("email_settings:message-resend", message("unknown"))),
    ("admin", path("email_settings:message-mark-sent", message("unknown"))),
    ("admin", path("message-send-again", message("lost"))),
    ("admin", path("email_settings:message-cancel", message("held"))),
    ("admin", path("accounts:user-list")),
    (
        "admin",
        path("accounts:user-detail", lambda desk: desk.people["agent"].pk),
    ),
    (
        "admin",
        path("accounts:user-email", lambda desk: desk.people["agent"].pk),
    ),
    ("admin", path("accounts:invitation-create")),
    ("admin", path("accounts:invitation-link", lambda desk: desk.invitation.pk)),
    ("admin", path("tickets:queue-list")),
    ("admin", path("tickets:queue-create")),
    ("admin", path("tickets:queue-update", lambda desk: desk.queue.pk)),
]


def find(page: Page, axe: Axe) -> list[str]:
    """Look at the page as it is, wide and narrow, light and dark."""
    found = []
    for width, height in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="light")
        found += axe(page)
        if page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        ):
            found.append(f"{page.url} scrolls sideways at {width} px")
        page.emulate_media(color_scheme="dark")
        # Nothing but colours differs.
        found += axe(page, only_contrast=True)
    return found


@pytest.mark.parametrize("role", ["nobody", "requester", "agent", "admin"])
def test_pages(
    role: str,
    desk: Desk,
    page: Page,
    sign_in: SignIn,
    live_server: LiveServer,
    axe: Axe,
) -> None:
    if role != "nobody":
        sign_in(desk.people[role])
    found = []
    for who, path_of in PAGES:
        if who == role:
            page.goto(live_server.url + path_of(desk))
            found += find(page, axe)
    assert found == []


def test_a_long_name_without_blanks_pushes_nothing_aside(
    admin: User, page: Page, sign_in: SignIn, live_server: LiveServer
) -> None:
    admin.name = "W" * 120
    admin.save()
    sign_in(admin)
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    for address in (
        reverse("accounts:user-detail", args=[admin.pk]),
        reverse("account_logout"),
    ):
        page.goto(live_server.url + address)
        assert not page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not page.evaluate(
            "[...document.querySelectorAll('.sidebar .me')]"
            ".some(me => me.offsetWidth > me.closest('.sidebar').offsetWidth)"
        )


def test_first_run(page: Page, live_server: LiveServer, axe: Axe) -> None:
    token = read_or_create_secret(settings.DATA_DIR / "setup_token")
    page.goto(f"{live_server.url}{reverse('accounts:setup')}?token={token}")
    assert find(page, axe) == []
    page.goto(f"{live_server.url}{reverse('accounts:setup')}")
    assert find(page, axe) == []


def test_expired_invitation(
    desk: Desk, page: Page, live_server: LiveServer, axe: Axe
) -> None:
    desk.invitation.expires_at = timezone.now() - INVITATION_LIFETIME
    desk.invitation.save()
    page.goto(live_server.url + invitation_link(desk))
    assert find(page, axe) == []


@pytest.mark.parametrize(
    ("who", "path_of", "button"),
    [
        ("nobody", path("account_login"), "Sign in"),
        ("requester", path("tickets:ticket-create"), "Send ticket"),
        ("admin", path("email_settings:settings"), "Save Settings"),
        ("admin", path("accounts:invitation-create"), "Send invitation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_forms(
    who: str,
    path_of: Callable[[Desk], str],
    button: str,
    desk: Desk,
    page: Page,
    sign_in: SignIn,
    live_server: LiveServer,
    axe: Axe,
) -> None:
    if who != "nobody":
        sign_in(desk.people[who])
    page.goto(live_server.url + path_of(desk))
    page.locator("form").evaluate_all(
        "forms => forms.forEach(f => f.noValidate = true)"
    )
    page.locator("main").get_by_role("button", name=button).click()
    expect(page.locator("[role=alert], [aria-invalid=true]").first).to_be_focused()
    expect(page).to_have_title("Error: " + page.title().removeprefix("Error: "))
    assert find(page, axe) == []


def with_a_key(days: int = 84) -> SesSettings:
    """Store an access key of that age."""
    row = SesSettings.load()
    row.access_key_id = "AKIAIOSFODNN7EXAMPLE"
    row.secret_access_key_encrypted = "of no use"
    row.key_since = timezone.now() - timedelta(days=days)
    row.principal_arn = "arn:aws:iam::123456789012:user/ticketflow-ses"
    row.account_id = "123456789012"
    row.save()
    return row


@pytest.mark.parametrize("days", [84, 91])
def test_each_source_of_credentials(
    days: int,
    desk: Desk,
    page: Page,
    sign_in: SignIn,
    live_server: LiveServer,
    axe: Axe,
) -> None:
    with_a_key(days)
    sign_in(desk.people["admin"])
    page.goto(live_server.url + reverse("email_settings:settings"))
    found = find(page, axe)
    for name, shown, hidden in (
        ("Assume a role", "Role ARN", None),
        ("This server’s own", None, "AWS Access Key ID"),
        ("Access key", "AWS Access Key ID", "Role ARN"),
    ):
        page.get_by_role("radio", name=name).check(force=True)
        if shown:
            expect(page.get_by_label(shown, exact=True)).to_be_visible()
        if hidden:
            expect(page.get_by_label(hidden, exact=True)).to_be_hidden()
        found += find(page, axe)
    assert found == []


def begun(desk: Desk, step: KeyRotation.Step, code: str = "") -> KeyRotation:
    """Put a rotation at a step, with a problem of that code if one is given."""
    KeyRotation.objects.all().delete()
    is_switched = step in {"watch", "disable", "rest", "delete", "back"}
    rotation = KeyRotation.objects.create(
        step=step,
        started_by=desk.people["admin"],
        old_key_id="AKIAI44QH8DHBEXAMPLE" if is_switched else "AKIAIOSFODNN7EXAMPLE",
        old_user="ticketflow-ses",
        new_key_id="AKIAIOSFODNN7EXAMPLE" if is_switched else "AKIAI44QH8DHBEXAMPLE",
        switched_at=timezone.now() if is_switched else None,
        off_at=timezone.now() if step == "rest" else None,
        problem=words.problem(code, others="AKIAI44QH8DHBEXAMPLE") if code else {},
        # Else the page would look again in the middle of the look at it.
        next_at=None,
    )
    rotation.entries.create(
        actor=desk.people["admin"], text="Began to rotate the key AKIAIOSFODNN7EXAMPLE"
    )
    rotation.entries.create(text="AWS made the key AKIAI44QH8DHBEXAMPLE.")
    return rotation


ROTATIONS = [
    *((step, "") for step in KeyRotation.Step if step not in machine.ENDED),
    (KeyRotation.Step.CREATE, "two_keys"),
    (KeyRotation.Step.CREATE, "orphan_key"),
    (KeyRotation.Step.TRY, "fewer_permissions"),
    (KeyRotation.Step.DISABLE, "still_active"),
    (KeyRotation.Step.DELETE, "delete_by_hand"),
    (KeyRotation.Step.BACK, "old_key_off"),
]


def test_each_step_of_a_rotation(
    desk: Desk, page: Page, sign_in: SignIn, live_server: LiveServer, axe: Axe
) -> None:
    with_a_key()
    sign_in(desk.people["admin"])
    found = []
    for step, code in ROTATIONS:
        begun(desk, step, code)
        page.goto(live_server.url + reverse("email_settings:rotation"))
        found += find(page, axe)
    assert found == []


def test_menus_and_dialogs(
    desk: Desk, page: Page, sign_in: SignIn, live_server: LiveServer, axe: Axe
) -> None:
    sign_in(desk.people["admin"])
    page.goto(f"{live_server.url}{reverse('tickets:ticket-list')}?view=open")
    page.keyboard.press("Control+k")
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.locator("summary.me").click()
    assert axe(page) == []
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    page.get_by_role("button", name="Open navigation").click()
    assert axe(page) == []
