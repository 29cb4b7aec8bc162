"""No secret gets anywhere: a whole story with everything going wrong, then a search.

The two canaries are a secret access key and the link of an invitation. They are looked
for in the database and its files, the log, what is published to the broker, every page
and its headers, every mail, and what commands print.
"""

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import boto3
import botocore.auth
import kombu
import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.log import AdminEmailHandler
from django.views import debug

from email_settings import credentials, forms, nudge, services, tasks
from email_settings.credentials import Secret
from email_settings.delivery import pump
from email_settings.delivery.pump import Pump
from email_settings.delivery.slots import Slots
from email_settings.gateway import ses
from email_settings.models import Brand, OutboxMessage, SesSettings
from email_settings.pacing import NoPace
from email_settings.tests.builders import make_message
from email_settings.tests.fake_ses import Answer, FakeSes, refusal
from email_settings.tests.test_catalogue import INVALID, ROWS, Row
from email_settings.tests.test_gateway_probe import WHO, account
from email_settings.tests.traces import TraceHandler, Traces, encodings
from email_settings.views import settings as settings_view
from ticketflow.lib import encryption

pytestmark = pytest.mark.django_db(transaction=True)

KEY_ID = "AKIACANARY7EXAMPLE22"
SECRET = "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"
LINK = re.compile(r"/invitations/([\w.-]+)/")
LATER = timedelta(days=1)


# The search can fail


@pytest.mark.parametrize("name", [name for name, _ in encodings(SECRET)])
def test_search_finds_what_was_planted(name: str) -> None:
    traces = Traces()
    traces.add("page", b"before " + dict(encodings(SECRET))[name] + b" after")
    assert f"page ({name})" in traces.places_of(SECRET)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_search_finds_it_within_a_longer_base64(before: str) -> None:
    traces = Traces()
    traces.add("mail", base64.b64encode(f"{before}{SECRET} and more".encode()))
    assert traces.places_of(SECRET)


def test_search_finds_it_in_a_column_and_in_the_log() -> None:
    traces = Traces()
    handler = TraceHandler(traces)
    row = SesSettings.load()
    row.hold_detail = SECRET
    row.save()
    traces.add_database()
    handler.handle(
        logging.makeLogRecord({"name": "root", "msg": "%s", "args": (SECRET,)})
    )
    found = traces.places_of(SECRET)
    assert any(place.startswith("table email_settings_sessettings") for place in found)
    assert any(place.startswith("log root") for place in found)


def test_search_finds_nothing_where_nothing_is() -> None:
    traces = Traces()
    traces.add("page", SECRET[:-1])
    assert not traces.places_of(SECRET)


# The story


@dataclass
class Story:
    """A browser, a stand-in for AWS, and all that they leave behind."""

    client: Client
    aws: FakeSes
    settings: LazySettings
    traces: Traces = field(default_factory=Traces)

    def post(self, url: str, data: dict[str, Any]) -> int:
        return self._look(url, self.client.post(url, data))

    def get(self, url: str) -> int:
        return self._look(url, self.client.get(url))

    def _look(self, url: str, response: Any) -> int:
        self.traces.add(f"page {url}", response.content)
        self.traces.add(f"headers of {url}", repr(dict(response.headers)))
        self.traces.add(f"cookies of {url}", response.cookies.output())
        return int(response.status_code)

    def save(self, **changes: str) -> int:
        """Post the form of Email Settings with the secret in it."""
        values = {
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET,
            "region": "eu-west-1",
            "from_email": "help@larkfield.example",
            "from_name": "Larkfield Help",
            "reply_to": "",
            **changes,
        }
        return self.post(reverse("email_settings:settings"), values)

    def deliver(self) -> None:
        """Send what is due, as a worker does."""
        Pump(slots=Slots(2), pace_for=lambda sender: NoPace()).run(10)

    def go_on(self) -> None:
        """Let the next mail be tried whatever became of the last one."""
        SesSettings.objects.update(
            hold_code="", hold_detail="", held_since=None, probe_at=None
        )
        OutboxMessage.objects.filter(state="queued").update(
            due_at=timezone.now() + LATER
        )

    def run_command(self, name: str, *arguments: str) -> None:
        written = io.StringIO()
        try:
            call_command(name, *arguments, stdout=written, stderr=written)
        except (SystemExit, CommandError) as error:
            # It found something wrong; how it says so is looked at too.
            self.traces.add(f"manage.py {name}, refusal", error)
        self.traces.add(f"manage.py {name}", written.getvalue())


@pytest.fixture
def story(
    panel: Client,
    brand: Brand,
    fake_ses: FakeSes,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Story]:
    """A story whose log, broker and error mails are watched."""
    monkeypatch.setattr(ses, "READ_SECONDS", 0.3)
    monkeypatch.setattr(ses, "_cached", None)
    settings.ADMINS = [("Ops", "ops@larkfield.example")]
    panel.raise_request_exception = False
    fake_ses.routes = {"/": WHO, "/v2/email/account": account()}
    told = Story(panel, fake_ses, settings)
    handler = TraceHandler(told.traces)
    mails = AdminEmailHandler(include_html=True)
    mails.setLevel(logging.ERROR)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    for one in (handler, mails):
        root.addHandler(one)
    _watch_the_broker(told.traces, monkeypatch)
    yield told
    root.setLevel(level)
    for one in (handler, mails):
        root.removeHandler(one)
    assert handler.count


def _watch_the_broker(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = kombu.Producer.publish

    def watched(self: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
        traces.add("broker", repr((body, args, kwargs)))
        return publish(self, body, *args, **kwargs)

    monkeypatch.setattr(kombu.Producer, "publish", watched)


def collect(story: Story) -> None:
    """Look at every page about mail, the mails, the commands and the database."""
    for message in OutboxMessage.objects.all():
        story.get(reverse("email_settings:message-detail", args=[message.uid]))
    for part in ("html", "text", "headers"):
        story.get(f"{_last_page()}?part={part}")
    for name in ("settings", "message-list"):
        story.get(reverse(f"email_settings:{name}"))
    story.get(reverse("admin-overview"))
    story.run_command("doctor")
    story.run_command("dumpdata")
    story.run_command("check", "--deploy")
    for sent in mail.outbox:
        story.traces.add("error mail", sent.message().as_bytes())
        story.traces.add("error mail, text", sent.body)
        for body, _ in getattr(sent, "alternatives", []):
            story.traces.add("error mail, HTML", str(body))
    story.traces.add_database()


def _last_page() -> str:
    uid = OutboxMessage.objects.latest("id").uid
    return reverse("email_settings:message-detail", args=[uid])


def add_posts(story: Story) -> None:
    """See what was posted to AWS: the mails as they left."""
    for post in story.aws.posts:
        story.traces.add("post", json.dumps(post))
        story.traces.add("mail", mime_of(post))


def mime_of(post: Any) -> bytes:
    raw = post.get("Content", {}).get("Raw", {}).get("Data", "")
    return base64.b64decode(raw)


def is_story_told(story: Story) -> bool:
    """Whether the search reached what it should: a harmless word is found all over."""
    places = story.traces.places_of(KEY_ID)
    found = {place.partition(" ")[0] for place in places}
    return {"table", "page"} <= found and bool(mail.outbox)


def fail(*args: object, **kwargs: object) -> Any:
    """Stand in for a part that breaks."""
    raise RuntimeError("Something broke.")


@dataclass(frozen=True)
class Crash:
    """A place that breaks while the form is posted."""

    owner: Any
    name: str


CRASHES = {
    "in the view": Crash(services, "check_account"),
    "after saving": Crash(settings_view, "_say_saved"),
    "in the form": Crash(forms, "check_secret"),
    "in encrypting": Crash(encryption, "AESGCM"),
    "in storing": Crash(credentials, "store_secret"),
    "in building a client": Crash(boto3.session.Session, "client"),
    "in signing": Crash(botocore.auth.SigV4Auth, "add_auth"),
}


@pytest.mark.parametrize("is_debug", [False, True], ids=["", "DEBUG"])
@pytest.mark.parametrize("place", CRASHES)
def test_no_error_page_or_error_mail_shows_the_secret(
    story: Story, monkeypatch: pytest.MonkeyPatch, place: str, *, is_debug: bool
) -> None:
    crash = CRASHES[place]
    monkeypatch.setattr(crash.owner, crash.name, fail)
    story.settings.DEBUG = is_debug
    assert story.save() == 500
    story.settings.DEBUG = False
    monkeypatch.undo()
    assert mail.outbox
    for sent in mail.outbox:
        story.traces.add("error mail", sent.message().as_bytes())
        for body, _ in getattr(sent, "alternatives", []):
            story.traces.add("error mail, HTML", str(body))
    story.traces.add_database()
    assert story.traces.places_of(SECRET) == set()


@pytest.mark.parametrize("place", ["in the form", "in building a client"])
def test_without_our_filter_the_error_page_would_show_it(
    story: Story, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(CRASHES[place].owner, CRASHES[place].name, fail)
    choose_filter: Any = debug.get_default_exception_reporter_filter
    story.settings.DEBUG = True
    story.settings.DEFAULT_EXCEPTION_REPORTER_FILTER = (
        "django.views.debug.SafeExceptionReporterFilter"
    )
    choose_filter.cache_clear()
    story.save()
    story.settings.DEBUG = False
    choose_filter.cache_clear()
    assert story.traces.places_of(SECRET)


def test_nothing_that_aws_answers_lets_the_secret_out(
    story: Story, monkeypatch: pytest.MonkeyPatch, admin: Any
) -> None:
    assert story.save() == 302
    story.post(reverse("email_settings:settings-go-live"), {"send_captured": ""})
    SesSettings.objects.update(mode=SesSettings.Mode.LIVE)
    for row in unlike(ROWS):
        story.aws.answer = row.answer
        make_message(subject=f"After {row.code}")
        story.deliver()
        story.go_on()
    story.aws.answer = Answer()
    story.post(
        reverse("email_settings:settings-test"), {"recipient": "ewa@larkfield.example"}
    )
    story.deliver()
    refuse_all_ways(story)
    break_the_worker(story, monkeypatch)
    nudge.publish()
    assert len(set(OutboxMessage.objects.values_list("state", flat=True))) >= 5
    collect(story)
    add_posts(story)
    assert story.traces.places_of(SECRET) == set()
    assert is_story_told(story)


def unlike(rows: list[Row]) -> list[Row]:
    """Return one row of each code and class of answer."""
    return list({(row.number, row.code): row for row in rows}.values())


def refuse_all_ways(story: Story) -> None:
    """Have the form refused for its shape, by AWS, and for want of an answer."""
    assert story.save(access_key_id=SECRET) == 200
    assert story.save(secret_access_key=f"{SECRET} {SECRET}") == 200
    assert story.save(from_email="nobody") == 200
    story.aws.routes = {}
    for answer in (
        refusal(403, "UnrecognizedClientException", INVALID),
        refusal(403, "InvalidSignatureException", "Signature expired"),
        Answer(breaks=True),
        Answer(500, "<html>"),
    ):
        story.aws.answer = answer
        assert story.save() == 200
    story.aws.answer = Answer()
    story.aws.routes = {"/": WHO, "/v2/email/account": account()}


def break_the_worker(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker fail while it holds the secret, and its task fail as a whole."""
    for owner, name in (
        (botocore.auth.SigV4Auth, "add_auth"),
        (boto3.session.Session, "client"),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, fail)
            broken.setattr(ses, "_cached", None)
            make_message(subject="Broken")
            story.deliver()
            story.go_on()

    def drain() -> None:
        secret = Secret(SECRET)
        raise RuntimeError(f"The task broke with {secret}.")

    with monkeypatch.context() as broken:
        broken.setattr(pump, "drain", drain)
        failed = tasks.deliver.apply()
        story.traces.add("result of a task", f"{failed.result!r} {failed.traceback}")


# The link of an invitation


@pytest.fixture
def invited(story: Story) -> str:
    """Invite somebody, send the mail, and return what makes its link work."""
    assert story.save() == 302
    SesSettings.objects.update(mode=SesSettings.Mode.LIVE)
    story.aws.answers = [
        refusal(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
        Answer(breaks=True),
    ]
    data = {"emails": "ines@larkfield.example", "role": "agent", "note": ""}
    assert story.post("/admin-panel/users/invite/", data) == 302
    story.deliver()
    story.deliver()
    found = next(filter(None, (LINK.search(text_of(p)) for p in story.aws.posts)))
    return str(found[1])


def text_of(post: Any) -> str:
    text = mime_of(post).decode()
    return text.replace("=\r\n", "").replace("=3D", "=")


def test_link_is_nowhere_but_in_its_mail(
    story: Story, invited: str, queue: Any, requester: Any
) -> None:
    story.post(reverse("account_reset_password"), {"email": "ewa@larkfield.example"})
    story.post(
        reverse("tickets:ticket-create"),
        {
            "queue": queue.pk,
            "subject": "Projector",
            "body": "It turns itself off.",
            "priority": "3",
            "submission_key": "5f0c7f9e-3b2e-4a55-9f0e-3a8b5a0f9f11",
        },
    )
    story.deliver()
    refuse_all_ways(story)
    nudge.publish()
    collect(story)
    assert story.traces.places_of(invited) == set()
    assert story.traces.places_of(SECRET) == set()
    sealed = OutboxMessage.objects.filter(is_secret=True).exclude(text_body="")
    assert not any("http" in message.text_body for message in sealed)
    add_posts(story)
    assert story.traces.places_of(invited)
