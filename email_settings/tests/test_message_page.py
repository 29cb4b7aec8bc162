"""The page of one mail: its story, its reason with the fix, and what it says."""

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings.events import second_try
from email_settings.models import DeliveryAttempt, OutboxMessage, WorkerHeartbeat
from email_settings.tests.builders import make_message, make_settings

State, Outcome = OutboxMessage.State, DeliveryAttempt.Outcome
pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(db: None) -> None:
    """A worker that has just shown a sign of life."""
    WorkerHeartbeat.objects.create(name="here:1")


def settle(
    message: OutboxMessage, state: str, code: str = "", **values: object
) -> None:
    """Let a mail have come as far as the state says."""
    values.setdefault("sent_at", timezone.now() if state == "sent" else None)
    OutboxMessage.objects.filter(pk=message.pk).update(
        state=state, reason_code=code, **values
    )


def show(panel: Client, message: OutboxMessage, part: str = "") -> str:
    url = reverse("email_settings:message-detail", args=[message.uid])
    return panel.get(url, {"part": part} if part else {}).content.decode()


def retry(panel: Client, message: OutboxMessage) -> str:
    url = reverse("email_settings:message-retry", args=[message.uid])
    return panel.post(url, follow=True).content.decode()


def test_sent_mail_tells_its_story(panel: Client) -> None:
    message = make_message()
    now = timezone.now()
    message.attempt_set.create(
        number=1,
        outcome=Outcome.NOT_SENT,
        started_at=now,
        finished_at=now,
        error_code="cannot_connect",
        error_detail="Could not connect to the endpoint URL",
    )
    message.attempt_set.create(
        number=4,
        outcome=Outcome.ACCEPTED,
        started_at=now,
        finished_at=message.created_at + timedelta(seconds=2.4),
        access_key_hint="MPLE",
        region="eu-west-2",
        ses_message_id="0102-id",
    )
    settle(message, "sent", ses_message_id="0102-id")
    shown = show(panel, message)
    for part in (
        "Written",
        "First try",
        "It did not leave, and is tried again",
        "Could not connect to the endpoint URL",
        "Second try, key ending in MPLE, eu-west-2",
        "Accepted by Amazon SES",
        "0102-id",
        "2.4 s in total",
    ):
        assert part in shown
    assert "message-retry" not in shown
    assert "/retry/" not in shown


@pytest.mark.parametrize("note", [second_try.NOTE, "Ewa Kowalska had it sent again."])
def test_a_second_try_is_told_apart_from_the_words_of_the_provider(
    panel: Client, note: str
) -> None:
    message = make_message()
    for number, detail in ((1, f"Read timeout\n{note}"), (2, "Read timeout")):
        message.attempt_set.create(
            number=number,
            outcome=Outcome.UNKNOWN,
            error_code="no_answer",
            error_detail=detail,
        )
    settle(message, "unknown", "no_answer", claims=2)
    shown = show(panel, message)
    assert f"<b>Sent once more</b><p>{note}</p>" in shown
    assert shown.count("Sent once more") == 1
    assert shown.count('tabindex="0">no_answer\nRead timeout</pre>') == 2


def test_a_worker_whose_clock_is_behind_takes_no_negative_time(panel: Client) -> None:
    message = make_message()
    message.attempt_set.create(
        number=1,
        outcome=Outcome.ACCEPTED,
        finished_at=message.created_at - timedelta(seconds=30),
    )
    assert " 0.0 s in total" in show(panel, message).replace(">", " ")


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ("held", "key_unknown", "AWS does not know this access key."),
        ("failed", "recipient_invalid", "Not sent: "),
    ],
)
def test_trouble_has_its_reason_and_a_retry(
    panel: Client, state: str, code: str, said: str
) -> None:
    make_settings()
    message = make_message()
    settle(message, state, code)
    assert said in show(panel, message)
    assert "The message is on its way again." in retry(panel, message)
    message.refresh_from_db()
    assert message.state == State.QUEUED


def test_captured_mail_cannot_be_sent_before_going_live(panel: Client) -> None:
    make_settings(is_live=False)
    message = make_message()
    settle(message, "held", "rehearsal")
    shown = show(panel, message)
    assert "Captured, nothing left this machine" in shown
    assert "/retry/" not in shown
    make_settings(is_live=True)
    assert "Send it now" in show(panel, message)


def test_mail_that_waits_says_that_no_worker_runs(panel: Client) -> None:
    assert "No worker is running" in show(panel, make_message())


def test_mail_that_waits_for_a_worker_that_runs_is_no_trouble(
    panel: Client, worker: None
) -> None:
    shown = show(panel, make_message())
    assert "Waits for the worker" in shown
    assert "No worker is running" not in shown


@pytest.mark.parametrize("state", ["sent", "cancelled"])
def test_what_is_over_is_not_retried(panel: Client, state: str) -> None:
    message = make_message()
    settle(message, state)
    assert "there is nothing to try again" in retry(panel, message)
    message.refresh_from_db()
    assert message.state == state


def test_both_bodies_and_the_headers_are_shown_as_sent(panel: Client) -> None:
    message = make_message(
        text_body="Plain <words>\n",
        html_body="<p>Rich <b>words</b></p>",
        headers={"Auto-Submitted": "auto-generated"},
    )
    assert "sandbox" in show(panel, message)
    assert "Rich <b>words" not in show(panel, message)
    assert "Plain &lt;words&gt;" in show(panel, message, "text")
    assert "auto-generated" in show(panel, message, "headers")


def test_html_has_a_policy_of_its_own_and_fits_only_our_frame(panel: Client) -> None:
    message = make_message(html_body="<p>Rich</p><script>alert(1)</script>")
    response = panel.get(reverse("email_settings:message-html", args=[message.uid]))
    assert response.content.decode().startswith("<p>Rich</p>")
    policy = response["Content-Security-Policy"]
    for rule in (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "frame-ancestors 'self'",
        "sandbox",
    ):
        assert rule in policy
    assert "script-src" not in policy
    assert response["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("part", ["", "html", "text", "headers"])
def test_secret_mail_shows_its_body_to_nobody(panel: Client, part: str) -> None:
    canary = "https://help.example.com/invitations/canary-token/"
    message = make_message(
        text_body=f"Join: {canary}\n",
        html_body=f"<a href='{canary}'>Join</a>",
        is_secret=True,
    )
    shown = show(panel, message, part)
    assert "canary-token" not in shown
    assert "v1:" not in shown
    if part != "headers":
        assert "Its text is shown to nobody" in shown
    url = reverse("email_settings:message-html", args=[message.uid])
    assert panel.get(url).status_code == 404


def test_mail_without_html_shows_its_text(panel: Client) -> None:
    message = make_message(text_body="Only text\n", html_body="")
    assert "Only text" in show(panel, message)
    url = reverse("email_settings:message-html", args=[message.uid])
    assert panel.get(url).status_code == 404


@pytest.mark.parametrize("name", ["message-detail", "message-html", "message-retry"])
def test_mail_that_does_not_exist_is_not_found(panel: Client, name: str) -> None:
    url = reverse(f"email_settings:{name}", args=[uuid.uuid4()])
    method = panel.post if name == "message-retry" else panel.get
    assert method(url).status_code == 404


@pytest.mark.parametrize("who", ["agent", "requester"])
@pytest.mark.parametrize("name", ["message-detail", "message-html", "message-retry"])
def test_only_admins_read_mail(
    client: Client, request: pytest.FixtureRequest, who: str, name: str
) -> None:
    message = make_message()
    settle(message, "failed", "recipient_invalid")
    client.force_login(request.getfixturevalue(who))
    url = reverse(f"email_settings:{name}", args=[message.uid])
    assert client.get(url).status_code == 403
    assert client.post(url).status_code == 403
    message.refresh_from_db()
    assert message.state == State.FAILED


def test_page_costs_the_same_whatever_the_number_of_tries(
    panel: Client, django_assert_max_num_queries: object
) -> None:
    message = make_message()
    for number in range(1, 30):
        message.attempt_set.create(number=number, outcome=Outcome.NOT_SENT)
    with django_assert_max_num_queries(9):  # type: ignore[operator]
        show(panel, message)
