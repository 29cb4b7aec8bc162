"""Rehearsal and live, and what every page of the Admin Panel says about mail."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from email_settings import services
from email_settings import status as status_module
from email_settings.delivery import hold
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import Lane, OutboxMessage, SesSettings, WorkerHeartbeat
from email_settings.status import MailStatus
from email_settings.tests.builders import make_message, make_settings

State = OutboxMessage.State
pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(db: None) -> WorkerHeartbeat:
    """A worker that has just shown a sign of life."""
    return WorkerHeartbeat.objects.create(name="here:1")


def capture(*, is_stale: bool = False) -> OutboxMessage:
    """A mail that rehearsal has kept, out of date or not."""
    message = make_message()
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=State.HELD,
        reason_code="rehearsal",
        expires_at=timezone.now() + timedelta(hours=-1 if is_stale else 1),
    )
    return message


def state_of(message: OutboxMessage) -> str:
    message.refresh_from_db()
    return message.state


def post(panel: Client, name: str, **values: str) -> str:
    url = reverse(f"email_settings:{name}")
    return panel.post(url, values, follow=True).content.decode()


# Rehearsal and live


def test_first_mail_is_in_rehearsal() -> None:
    assert MailStatus().is_rehearsal


def test_going_live_asks_first_and_says_what_waits(panel: Client) -> None:
    make_settings(is_live=False)
    capture()
    capture(is_stale=True)
    shown = panel.get(reverse("email_settings:settings-go-live")).content.decode()
    assert "2\N{NO-BREAK SPACE}messages captured in rehearsal" in shown
    assert "Send 1\N{NO-BREAK SPACE}message now" in shown
    assert "The other 1 is out of date and stays captured." in shown
    assert not SesSettings.load().is_live


def test_captured_mail_stays_unless_the_admin_sends_it(
    panel: Client, admin: AbstractBaseUser
) -> None:
    before = make_settings(is_live=False)
    message = capture()
    assert "Mail is live." in post(panel, "settings-go-live")
    row = SesSettings.load()
    assert row.is_live
    assert row.version > before.version
    assert row.saved_by == admin
    assert state_of(message) == State.HELD


def test_captured_mail_goes_when_the_admin_says_so_but_not_what_is_too_old(
    panel: Client,
) -> None:
    make_settings(is_live=False)
    fresh, stale = capture(), capture(is_stale=True)
    shown = post(panel, "settings-go-live", captured="send")
    assert "1 captured message on the way." in shown
    assert state_of(fresh) == State.QUEUED
    assert state_of(stale) == State.HELD


def test_nothing_goes_live_without_settings(panel: Client) -> None:
    assert "Save working settings first" in post(panel, "settings-go-live")
    assert not SesSettings.load().is_live


def test_sandbox_and_unconfirmed_keys_are_said_before_going_live(
    panel: Client,
) -> None:
    row = make_settings(is_live=False)
    url = reverse("email_settings:settings-go-live")
    assert "AWS has not confirmed this key" in panel.get(url).content.decode()
    row.is_sandbox, row.max_24_hour_send = True, 200
    row.save()
    shown = panel.get(url).content.decode()
    assert "The account is in the sandbox" in shown
    assert "at most 200 a day" in shown


def test_back_to_rehearsal_asks_first_and_captures_again(panel: Client) -> None:
    make_settings(is_live=True)
    make_message()
    shown = panel.get(reverse("email_settings:settings-rehearse")).content.decode()
    assert "1\N{NO-BREAK SPACE}message waits" in shown
    assert SesSettings.load().is_live
    assert "Mail is in rehearsal." in post(panel, "settings-rehearse")
    assert not SesSettings.load().is_live


@pytest.mark.parametrize("who", ["agent", "requester"])
@pytest.mark.parametrize("name", ["settings-go-live", "settings-rehearse"])
def test_only_admins_change_the_mode(
    client: Client, request: pytest.FixtureRequest, who: str, name: str
) -> None:
    before = make_settings(is_live=name == "settings-rehearse").mode
    client.force_login(request.getfixturevalue(who))
    url = reverse(f"email_settings:{name}")
    assert client.post(url).status_code == 403
    assert SesSettings.load().mode == before


# The banner


def banner(panel: Client) -> str:
    return panel.get(reverse("email_settings:message-list")).content.decode()


def test_rehearsal_is_said_on_every_page_of_the_panel(
    panel: Client, worker: WorkerHeartbeat
) -> None:
    for name in ("admin-overview", "email_settings:settings", "accounts:user-list"):
        assert "Rehearsal: no mail leaves" in panel.get(reverse(name)).content.decode()


def test_rehearsal_and_a_worker_that_is_away_are_both_said(panel: Client) -> None:
    shown = banner(panel)
    assert "Rehearsal: no mail leaves" in shown
    assert "The mail worker is not running" in shown


def test_live_mail_that_runs_says_nothing(
    panel: Client, worker: WorkerHeartbeat
) -> None:
    make_settings()
    shown = banner(panel)
    assert "Rehearsal: no mail leaves" not in shown
    assert "The mail worker is not running" not in shown


def test_worker_that_has_fallen_silent_is_said(
    panel: Client, worker: WorkerHeartbeat
) -> None:
    make_settings()
    worker.beat_at = timezone.now() - timedelta(seconds=36)
    worker.save()
    assert "The mail worker is not running" in banner(panel)


def test_mail_older_than_five_minutes_is_said(
    panel: Client, worker: WorkerHeartbeat
) -> None:
    make_settings()
    message = make_message()
    OutboxMessage.objects.filter(pk=message.pk).update(
        due_at=timezone.now() - timedelta(minutes=6)
    )
    assert "Mail is late" in banner(panel)


def test_mail_that_waits_for_its_next_try_is_not_late(worker: WorkerHeartbeat) -> None:
    message = make_message()
    OutboxMessage.objects.filter(pk=message.pk).update(
        due_at=timezone.now() + timedelta(hours=1),
        created_at=timezone.now() - timedelta(hours=1),
    )
    assert MailStatus().oldest_due_age is None
    assert not MailStatus().is_late


def test_hold_is_said_with_its_cause_and_the_way_on(
    panel: Client, worker: WorkerHeartbeat
) -> None:
    row = make_settings()
    make_message()
    hold.hold_all(SendError(problem_for("key_unknown")), version=row.version)
    hold.park_due(SesSettings.load())
    shown = banner(panel)
    assert "AWS does not know this access key." in shown
    assert "create a new access key" in shown
    assert "1\N{NO-BREAK SPACE}message waits" in shown


def test_captured_mail_is_not_counted_as_held() -> None:
    capture()
    status = MailStatus()
    assert (status.held_count, status.captured_count) == (0, 1)


# What waits, for the panel, the probes and the doctor


def put_aside(state: str, *, reason_code: str = "", lane: Lane = Lane.NOTICE) -> None:
    message = make_message(lane=lane)
    lease = {"lease_until": timezone.now(), "claim_token": "t"}
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=state,
        reason_code=reason_code,
        **(lease if state == State.SENDING else {}),
    )


def test_depth_says_lane_state_and_reason() -> None:
    make_message(lane=Lane.SECURITY)
    later = make_message(lane=Lane.SECURITY)
    OutboxMessage.objects.filter(pk=later.pk).update(
        due_at=timezone.now() + timedelta(hours=1)
    )
    put_aside(State.SENDING, lane=Lane.REPLY)
    put_aside(State.HELD, reason_code="rehearsal")
    put_aside(State.HELD, reason_code="stopped_by_hand", lane=Lane.DIGEST)
    put_aside(State.HELD, reason_code="key_unknown")
    put_aside(State.UNKNOWN)
    put_aside(State.CANCELLED)
    status = MailStatus()
    assert {(d.state, d.lane, d.reason_code, d.count) for d in status.depths} == {
        ("due", Lane.SECURITY, "", 1),
        ("later", Lane.SECURITY, "", 1),
        ("sending", Lane.REPLY, "", 1),
        ("held", Lane.NOTICE, "rehearsal", 1),
        ("held", Lane.DIGEST, "stopped_by_hand", 1),
        ("held", Lane.NOTICE, "key_unknown", 1),
    }
    assert (status.held_count, status.captured_count, status.unknown_count) == (2, 1, 1)
    assert status.held_for("key_unknown") == 1


def test_nothing_waits_in_an_empty_outbox() -> None:
    status = MailStatus()
    assert status.depths == ()
    assert (status.held_count, status.due_count, status.unknown_count) == (0, 0, 0)
    assert status.oldest_due_at is None
    assert not status.worker_is_running
    assert not status.beat_is_running


def test_counting_ends_somewhere_and_many_held_hide_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_module, "COUNT_LIMIT", 3)
    monkeypatch.setattr(
        status_module, "_figures_sql", status_module._figures_sql.__wrapped__
    )
    for _ in range(5):
        capture()
    put_aside(State.HELD, reason_code="stopped_by_hand")
    status = MailStatus()
    assert status.captured_count == 3
    assert status.held_for("stopped_by_hand") == 1
    assert {depth.reason_code: depth.is_exact for depth in status.depths} == {
        "rehearsal": False,
        "stopped_by_hand": True,
    }


def test_who_holds_all_mail_is_known_with_what_waits(admin: AbstractBaseUser) -> None:
    row = make_settings()
    assert MailStatus().stop is None
    row.stopped_at, row.stopped_by_id = timezone.now(), admin.pk
    row.save()
    put_aside(State.HELD, reason_code="stopped_by_hand")
    stop = MailStatus().stop
    assert stop is not None
    assert (stop.since, stop.by, stop.waiting) == (row.stopped_at, admin, 1)


def test_schedule_that_stands_still_is_known_though_the_process_lives(
    worker: WorkerHeartbeat,
) -> None:
    assert not MailStatus().beat_is_running
    worker.task_at = timezone.now() - timedelta(seconds=61)
    worker.save()
    status = MailStatus()
    assert status.worker_is_running
    assert not status.beat_is_running
    worker.task_at = timezone.now() - timedelta(seconds=50)
    worker.save()
    assert MailStatus().beat_is_running


# What it costs


def test_status_costs_nothing_until_it_is_asked(client: Client, requester: Any) -> None:
    client.force_login(requester)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        client.get(reverse("tickets:ticket-list"))
    assert not [q for q in queries if "sessettings" in q["sql"]]


def test_status_takes_two_queries(
    worker: WorkerHeartbeat, django_assert_num_queries: object
) -> None:
    make_settings()
    for _ in range(10):
        capture()
    make_message()
    with django_assert_num_queries(2):  # type: ignore[operator]
        status = MailStatus()
        assert status.is_rehearsal is False
        assert status.hold is None
        assert status.held_count == 0
        assert status.captured_count == 10
        assert status.due_count == 1
        assert len(status.depths) == 2
        assert status.stop is None
        assert status.key_problem == ""
        assert status.worker_is_running
        assert status.oldest_due_age is not None


def test_services_speak_plainly_about_what_rehearsal_keeps() -> None:
    capture()
    capture(is_stale=True)
    kept = services.captured_mail()
    assert (kept.count, kept.fresh_count) == (2, 1)
