"""Send Test Email: the road of every mail, leg by leg."""

from collections.abc import Callable

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings.delivery import hold
from email_settings.delivery.pump import Pump
from email_settings.gateway.errors import SendError, problem_for
from email_settings.models import (
    Lane,
    OutboxMessage,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.fake_ses import FakeSes, refusal
from email_settings.tests.mailbox import mails_at

State = OutboxMessage.State


@pytest.fixture
def worker(db: None) -> None:
    """A worker that has just shown a sign of life."""
    WorkerHeartbeat.objects.create(name="here:1")


def press(panel: Client, recipient: str = "ewa@larkfield.example") -> HttpResponse:
    url = reverse("email_settings:settings-test")
    return panel.post(url, {"recipient": recipient}, follow=True)  # type: ignore[return-value]


def watch(panel: Client, *, by_htmx: bool = False) -> str:
    uid = OutboxMessage.objects.get().uid
    headers = {"HX-Request": "true"} if by_htmx else {}
    url = reverse("email_settings:test-detail", args=[uid])
    return panel.get(url, headers=headers).content.decode()


@pytest.mark.django_db
def test_pressing_it_writes_one_urgent_mail_and_shows_its_legs(
    panel: Client, worker: None
) -> None:
    make_settings()
    shown = press(panel).content.decode()
    message = OutboxMessage.objects.get()
    assert message.kind == "test"
    assert message.lane == Lane.SECURITY
    assert message.recipient == "ewa@larkfield.example"
    assert message.recipient_name == "Ewa Kowalska"
    assert message.headers["Auto-Submitted"] == "auto-generated"
    assert "Ewa Kowalska asked for this test" in message.text_body
    assert "https://help.example.com/admin-panel/email-settings/" in message.text_body
    assert "Written" in shown
    assert "Waits for the worker" in shown
    assert 'hx-trigger="every 1s"' in shown


@pytest.mark.django_db
def test_another_address_may_get_it(panel: Client) -> None:
    make_settings()
    press(panel, "postmaster@other.example")
    assert OutboxMessage.objects.get().recipient == "postmaster@other.example"


@pytest.mark.django_db
def test_while_mail_is_held_it_has_the_account_tried_at_once(panel: Client) -> None:
    row = make_settings()
    hold.hold_all(SendError(problem_for("key_unknown")), version=row.version)
    assert not hold.take_turn_to_probe()
    press(panel)
    assert hold.take_turn_to_probe()


@pytest.mark.django_db
def test_it_waits_for_settings(panel: Client) -> None:
    shown = press(panel).content.decode()
    assert "Save working settings first" in shown
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("recipient", ["", "nobody", "a@b@c", "a" * 250 + "@x.example"])
def test_bad_address_is_refused(panel: Client, recipient: str) -> None:
    make_settings()
    assert "No test e-mail was sent." in press(panel, recipient).content.decode()
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db
def test_without_a_worker_it_says_so_at_once(panel: Client) -> None:
    make_settings()
    shown = press(panel).content.decode()
    assert "No worker is running" in shown
    assert 'hx-trigger="every 1s"' in shown


@pytest.mark.django_db
def test_htmx_gets_the_legs_alone(panel: Client, worker: None) -> None:
    make_settings()
    press(panel)
    shown = watch(panel, by_htmx=True)
    assert "<html" not in shown
    assert 'id="legs"' in shown


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["live", "rehearsal"])
def test_it_arrives_with_the_id_of_ses_even_in_rehearsal(
    panel: Client, worker: None, moto_url: str, mode: str
) -> None:
    make_settings(is_live=mode == "live")
    press(panel)
    Pump().run()
    shown = watch(panel)
    message = OutboxMessage.objects.get()
    assert message.state == State.SENT
    assert "Accepted by Amazon SES" in shown
    assert message.ses_message_id in shown
    assert "key ending in MPLE, eu-west-1" in shown
    assert "hx-trigger" not in shown
    [mail] = mails_at(moto_url, message)
    assert "A test e-mail from" in mail["Subject"]
    assert mail["To"] == "Ewa Kowalska <ewa@larkfield.example>"


@pytest.mark.django_db(transaction=True)
def test_rehearsal_still_captures_all_other_mail(panel: Client, moto_url: str) -> None:
    make_settings(is_live=False)
    other = make_message()
    press(panel)
    Pump().run()
    other.refresh_from_db()
    assert (other.state, other.reason_code) == (State.HELD, "rehearsal")
    assert not mails_at(moto_url, other)
    assert len(mails_at(moto_url, *OutboxMessage.objects.all())) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("code", "status", "message", "said"),
    [
        (
            "UnrecognizedClientException",
            403,
            "The security token included in the request is invalid.",
            "AWS does not know this access key.",
        ),
        (
            "AccessDeniedException",
            403,
            "User `arn:aws:iam::1:user/x' is not authorized to perform "
            "`ses:SendRawEmail' on resource `arn:aws:ses:eu-west-1:1:identity/x'",
            "The access key may not do this: ses:SendRawEmail.",
        ),
        (
            "MessageRejected",
            400,
            "Email address is not verified. The following identities failed the check "
            "in region EU-WEST-1: help@larkfield.example",
            "Amazon SES does not know the sender help@larkfield.example",
        ),
        (
            "MessageRejected",
            400,
            "Email address is not verified. The following identities failed the check "
            "in region EU-WEST-1: ewa@larkfield.example",
            "The account is in the sandbox, and ewa@larkfield.example is not verified.",
        ),
    ],
)
def test_refusal_is_shown_with_its_fix_and_awss_own_words(
    panel: Client,
    worker: None,
    fake_ses: FakeSes,
    code: str,
    status: int,
    message: str,
    said: str,
) -> None:
    make_settings(is_live=False)
    fake_ses.answer = refusal(status, code, message)
    press(panel)
    Pump().run()
    shown = watch(panel)
    assert said in shown
    assert "Refused" in shown
    assert message.partition("`")[0] in shown
    assert "hx-trigger" not in shown


@pytest.mark.django_db(transaction=True)
def test_without_aws_in_reach_it_is_tried_again_by_itself(
    panel: Client, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    make_settings()
    press(panel)
    Pump().run()
    shown = watch(panel)
    assert "can&#x27;t reach Amazon SES" in shown
    assert "Waits for its next try" in shown


@pytest.mark.django_db
def test_captured_test_says_that_nothing_left(
    panel: Client, worker: None, settled_capture: Callable[[], OutboxMessage]
) -> None:
    settled_capture()
    shown = watch(panel)
    assert "Captured, nothing left this machine" in shown


@pytest.fixture
def settled_capture() -> Callable[[], OutboxMessage]:
    """A test e-mail that rehearsal kept, as when the settings were removed meanwhile."""

    def capture() -> OutboxMessage:
        message = make_message()
        message.kind = "test"
        message.state = State.HELD
        message.reason_code = "rehearsal"
        message.save()
        message.attempt_set.create(
            number=1, outcome="captured", finished_at=timezone.now()
        )
        return message

    return capture


@pytest.mark.django_db
def test_only_test_mails_have_such_a_page(panel: Client) -> None:
    message = make_message()
    url = reverse("email_settings:test-detail", args=[message.uid])
    assert panel.get(url).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["agent", "requester"])
def test_only_admins_send_tests(
    client: Client, request: pytest.FixtureRequest, who: str
) -> None:
    make_settings()
    client.force_login(request.getfixturevalue(who))
    url = reverse("email_settings:settings-test")
    assert client.post(url, {"recipient": "x@y.example"}).status_code == 403
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db
def test_watching_costs_few_queries(
    panel: Client, worker: None, django_assert_max_num_queries: object
) -> None:
    make_settings()
    press(panel)
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        watch(panel, by_htmx=True)
    assert SesSettings.load().is_configured
