"""The live checklist on Email Settings, over the HTTP client: with and without htmx."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from email_settings import services
from email_settings.models import (
    OutboxMessage,
    ReadinessLine,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.readiness import run
from email_settings.readiness.finding import State
from email_settings.readiness.lines import LINES
from email_settings.readiness.panel import panel as panel_of
from email_settings.standin.presets import SENDING
from email_settings.status import MailStatus
from email_settings.tests.builders import SECRET, make_message, make_settings
from email_settings.tests.live_account import DOMAIN, LiveAccount
from ticketflow.lib.documents import anchor_of

pytestmark = pytest.mark.django_db

SETTINGS = reverse("email_settings:settings")
CHECKLIST = reverse("email_settings:checklist")
CHECK = reverse("email_settings:settings-check")
HTMX = {"HX-Request": "true"}


def check_line(key: str) -> str:
    return reverse("email_settings:settings-check-line", args=[key])


def text(panel: Client, url: str = SETTINGS, **options: object) -> str:
    return panel.get(url, **options).content.decode()  # type: ignore[arg-type]


def li(html: str, key: str) -> str:
    """Return one line of the checklist."""
    found = re.search(rf'<li [^>]*id="line-{key}".*?</li>', html, re.DOTALL)
    assert found
    return found[0]


def wanted() -> set[str]:
    rows = ReadinessLine.objects.filter(wanted_at__isnull=False)
    return set(rows.values_list("key", flat=True))


def look_at_all() -> None:
    run.want_all()
    run.run()


def a_worker_runs() -> None:
    WorkerHeartbeat.objects.create(name="worker-1", task_at=timezone.now())


# What it shows


def test_first_visit_says_what_each_line_is_about_and_writes_nothing(
    panel: Client,
) -> None:
    shown = text(panel)
    for line in LINES:
        assert line.about in li(shown, line.key)
    assert "0 of 13 done" in shown
    assert "Check now" not in shown
    assert not ReadinessLine.objects.exists()
    assert not SesSettings.objects.exists()


def test_all_that_is_done_is_counted(panel: Client, live: LiveAccount) -> None:
    live.domain.mail_from = None
    look_at_all()
    shown = text(panel)
    # MAIL FROM is not needed; permission and the two of events are to do.
    assert "9 of 12 done" in shown
    assert "Checked <time" in li(shown, "dkim")
    assert 'class="is-ok"' in li(shown, "dkim")


def test_first_look_after_an_update_wants_all_lines(
    panel: Client, live: LiveAccount
) -> None:
    shown = text(panel)
    assert wanted() == {line.key for line in LINES}
    assert "Waiting for its turn" in li(shown, "dkim")


def test_line_that_is_looked_at_says_so(panel: Client, live: LiveAccount) -> None:
    look_at_all()
    run.want("dkim")
    ReadinessLine.objects.filter(key="dkim").update(
        running_until=timezone.now() + timedelta(seconds=50)
    )
    shown = text(panel)
    assert "Checking…" in li(shown, "dkim")
    assert "is-run" in li(shown, "dkim")
    # The evidence of before stays readable.
    assert "All 3 records" in li(shown, "dkim")


def test_line_of_other_settings_says_so(live: LiveAccount) -> None:
    look_at_all()
    ReadinessLine.objects.filter(key="clock").update(settings_version=0)
    stored = services.stored_settings()
    lines = panel_of(stored, MailStatus(), timezone.now()).lines
    assert [line.key for line in lines if line.is_stale] == ["clock"]
    html = render_to_string("email_settings/_check.html", {"line": lines[0]})
    assert "Not checked with these settings" in html


def test_dns_records_can_be_copied(panel: Client, live: LiveAccount) -> None:
    live.zone.withdraw(f"_dmarc.{DOMAIN}", "TXT")
    look_at_all()
    shown = li(text(panel), "dmarc")
    assert f'<span id="dmarc-1-name">_dmarc.{DOMAIN}</span>' in shown
    assert 'data-copy="dmarc-1-value"' in shown
    assert "v=DMARC1; p=none; rua=mailto:" in shown


def test_statement_and_the_words_of_aws_are_shown(
    panel: Client, live: LiveAccount
) -> None:
    live.key.actions = SENDING
    look_at_all()
    shown = li(text(panel), "account")
    assert 'id="account-statement"' in shown
    assert "&quot;ses:GetAccount&quot;" in shown
    assert "AWS request ID" in shown


def test_whatever_stands_in_dns_is_text(panel: Client, live: LiveAccount) -> None:
    evil = 'v=DMARC1; p=none; rua=mailto:"><script>alert(1)</script>'
    live.zone.put(f"_dmarc.{DOMAIN}", "TXT", evil)
    look_at_all()
    shown = text(panel)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_secret_is_in_no_line(panel: Client, live: LiveAccount) -> None:
    live.key.secret = "x" * 40
    look_at_all()
    assert SECRET not in text(panel)
    assert SECRET not in str(list(ReadinessLine.objects.values()))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "Live"),
        ({"mode": "rehearsal"}, "Rehearsal"),
        ({"hold_code": "secret_mismatch"}, "Held"),
        ({"stopped_at": timezone.now()}, "Held by an admin"),
    ],
)
def test_it_says_whether_mail_leaves(
    panel: Client, live: LiveAccount, values: dict[str, object], said: str
) -> None:
    a_worker_runs()
    SesSettings.objects.update(**values)
    closing = text(panel).partition("checks-end")[2]
    assert f'<span class="state">{said}</span>' in closing


def test_without_a_worker_it_says_that_nobody_looks(
    panel: Client, live: LiveAccount
) -> None:
    shown = text(panel)
    assert "it is the worker that looks" in shown
    assert '<span class="state">No worker</span>' in shown
    a_worker_runs()
    assert "it is the worker that looks" not in text(panel)


def test_last_test_mail_is_told(panel: Client, live: LiveAccount) -> None:
    assert "Press Send Test Email" in text(panel)
    message = make_message(recipient="ewa@larkfield.example")
    OutboxMessage.objects.filter(pk=message.pk).update(
        kind=OutboxMessage.TEST, state="failed", reason="The mailbox does not exist."
    )
    shown = text(panel)
    assert "The mailbox does not exist." in shown
    assert reverse("email_settings:test-detail", args=[message.uid]) in shown


# Looking again


def test_check_now_wants_all_lines_and_comes_back(
    panel: Client, live: LiveAccount
) -> None:
    look_at_all()
    answer = panel.post(CHECK)
    assert answer.status_code == 302
    assert answer["Location"] == f"{SETTINGS}#checklist"
    assert wanted() == {line.key for line in LINES}
    shown = text(panel)
    assert "We look again." in shown
    assert "Look again</a> in a few seconds" in shown  # without JavaScript


def test_re_check_wants_one_line(panel: Client, live: LiveAccount) -> None:
    look_at_all()
    answer = panel.post(check_line("dkim"))
    assert answer["Location"] == f"{SETTINGS}#line-dkim"
    assert wanted() == {"dkim"}


def test_re_check_of_what_is_no_line_is_not_found(
    panel: Client, live: LiveAccount
) -> None:
    assert panel.post(check_line("everything")).status_code == 404
    assert not ReadinessLine.objects.exists()


@pytest.mark.parametrize("url", [CHECK, check_line("dkim")])
def test_nothing_is_looked_at_by_a_link(
    panel: Client, live: LiveAccount, url: str
) -> None:
    assert panel.get(url).status_code == 405
    assert not ReadinessLine.objects.exists()


def test_htmx_gets_the_checklist_alone_and_only_when_it_changed(
    panel: Client, live: LiveAccount
) -> None:
    a_worker_runs()
    shown = panel.post(CHECK, headers=HTMX).content.decode()
    assert "<html" not in shown
    assert 'hx-trigger="every 2s"' in shown
    mark = re.search(r"mark=(\w+)", shown)
    assert mark
    url = f"{CHECKLIST}?mark={mark[1]}"
    assert panel.get(url, headers=HTMX).status_code == 204
    run.run()
    answer = panel.get(url, headers=HTMX)
    assert answer.status_code == 200
    assert "Checked: 10 of 13 done." in answer.content.decode()


def test_page_that_asks_by_itself_wants_nothing_that_is_fresh(
    panel: Client, live: LiveAccount
) -> None:
    look_at_all()
    ReadinessLine.objects.update(checked_at=timezone.now() - timedelta(minutes=9))
    text(panel, CHECKLIST)
    assert wanted() == set()
    # Somebody who comes to the page sees what costs nothing as it is now.
    text(panel)
    assert wanted() == {"key_format", "permission", "simulator"}


def test_polling_slows_down_and_ends(panel: Client, live: LiveAccount) -> None:
    a_worker_runs()
    look_at_all()
    assert 'hx-trigger="every 60s"' in text(panel)  # some lines are to do
    ReadinessLine.objects.update(state=State.DONE)
    assert "hx-trigger" not in li(text(panel), "clock")
    assert 'hx-trigger="every' not in text(panel)


def test_saving_wants_all_lines(
    panel: Client, live: LiveAccount, admin: object
) -> None:
    look_at_all()
    panel.post(
        SETTINGS,
        {
            "source": "keys",
            "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "secret_access_key": "",
            "region": "eu-west-1",
            "from_email": f"help@{DOMAIN}",
        },
    )
    assert wanted() == {line.key for line in LINES}
    ReadinessLine.objects.update(wanted_at=None)
    services.go_back_to_rehearsal(actor=admin)  # type: ignore[arg-type]
    assert wanted() == {line.key for line in LINES}


# What it costs


def test_page_costs_a_constant_number_of_queries(
    panel: Client, live: LiveAccount, django_assert_max_num_queries: object
) -> None:
    look_at_all()
    for _ in range(30):
        make_message()
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        text(panel)
    ReadinessLine.objects.update(checked_at=timezone.now() - timedelta(days=2))
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        text(panel)
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        text(panel, CHECKLIST)


def test_looking_asks_aws_nothing(panel: Client, live: LiveAccount) -> None:
    make_settings()
    text(panel)
    text(panel, CHECKLIST)
    panel.post(CHECK)
    assert not live.account.calls


# The guide


def test_every_line_leads_to_a_step_of_the_guide() -> None:
    guide = Path(django_settings.BASE_DIR, "docs", "ses-setup.md").read_text()
    headings = re.findall(r"^#+ (.+)$", guide, re.MULTILINE)
    anchors = {anchor_of(heading) for heading in headings}
    assert {line.anchor for line in LINES} <= anchors
