"""Admin Panel → Suppression List: look, release, add, and AWS's own list beside it."""

import csv
import io
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from email_settings.models import (
    AwsRelease,
    AwsSuppression,
    OutboxMessage,
    Suppression,
    SuppressionSync,
)
from email_settings.suppression import aws, wishes
from email_settings.suppression.exchange import (
    MOST_ROWS,
    NewEntry,
    UnreadableFileError,
    read_file,
    write_file,
)
from email_settings.suppression.standing import standing_of
from email_settings.tests.builders import make_message, make_settings
from email_settings.tests.test_suppression_gate import bar, suppressed

pytestmark = pytest.mark.django_db
Reason = Suppression.Reason
State = OutboxMessage.State
HANNAH = "hannah@larkfield.example"


def url(name: str, *args: object) -> str:
    return reverse(f"email_settings:suppression-{name}", args=args)


def show(panel: Client, name: str = "list", *args: object, **query: str) -> str:
    return text_of(panel.get(url(name, *args), query))


def text_of(response: Any) -> str:
    shown: str = response.content.decode()
    return shown.replace("\xa0", " ")


def press(panel: Client, name: str, *args: object, **data: Any) -> str:
    return text_of(panel.post(url(name, *args), data, follow=True))


def list_at_aws(address: str, reason: str = "BOUNCE") -> AwsSuppression:
    return AwsSuppression.objects.create(
        address=address, address_lower=address.lower(), reason=reason, seen_in=uuid4()
    )


# Looking


def test_empty_list_says_what_will_fill_it(panel: Client) -> None:
    assert "Every address gets mail" in show(panel)


def test_list_tells_address_reason_and_why(panel: Client) -> None:
    bar()
    shown = show(panel)
    assert HANNAH in shown
    assert "Bounced for good" in shown
    assert "550 5.1.1" in shown


def test_tabs_and_filters(panel: Client, admin: Any) -> None:
    bar("gone@larkfield.example")
    bar("full@larkfield.example", reason=Reason.FAILING, hours=5)
    Suppression.objects.filter(pk=bar("free@larkfield.example").pk).update(
        closed_at=timezone.now()
    )
    list_at_aws("Aws@larkfield.example")

    def found(**query: str) -> set[str]:
        shown = show(panel, **query)
        names = ("gone", "full", "free", "Aws")
        return {name for name in names if f"{name}@larkfield.example" in shown}

    assert found() == {"gone"}
    assert found(show="held") == {"full"}
    assert found(show="past") == {"free"}
    assert found(show="aws") == {"Aws"}
    assert found(q="GONE") == {"gone"}
    assert found(q="nobody") == set()
    assert found(reason="complained") == set()
    assert found(show="nonsense", reason="nonsense", cursor="x", q="\0") == {"gone"}


def test_list_costs_the_same_however_long(panel: Client) -> None:
    def questions(count: int) -> int:
        for n in range(count):
            entry = bar(f"p{n}-{count}@larkfield.example")
            entry.message = make_message()
            entry.save()
        with CaptureQueriesContext(connection) as queries:
            show(panel)
        return len(queries)

    assert questions(2) == questions(60)


def test_a_released_address_leads_to_the_mail_that_bounced(
    panel: Client, admin: Any
) -> None:
    entry = bar()
    entry.message = make_message(recipient="first@larkfield.example")
    entry.save()
    wishes.release(HANNAH, actor=admin)
    shown = show(panel, "detail", entry.pk)
    assert "This address gets mail" in shown
    assert reverse("email_settings:message-detail", args=[entry.message.uid]) in shown


def test_pages_of_a_long_list(panel: Client) -> None:
    for n in range(60):
        bar(f"p{n}@larkfield.example")
    shown = show(panel)
    assert "p59@" in shown
    assert "p9@" not in shown
    older = shown.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    assert "p9@" in panel.get(older.replace("&amp;", "&")).content.decode()


def test_page_of_an_address_has_its_history(panel: Client) -> None:
    message = suppressed()
    entry = Suppression.objects.get()
    shown = show(panel, "detail", entry.pk)
    assert "Mail to this address bounced for good." in shown
    assert message.subject in shown
    assert url("release", entry.pk) in shown


def test_page_of_an_address_costs_the_same_however_much_there_is(
    panel: Client,
) -> None:
    entry = bar()

    def questions() -> int:
        with CaptureQueriesContext(connection) as queries:
            show(panel, "detail", entry.pk)
        return len(queries)

    make_message()
    before = questions()
    for _ in range(10):
        make_message()
    assert questions() == before


def test_message_page_leads_to_the_address(panel: Client) -> None:
    message = suppressed()
    page = reverse("email_settings:message-detail", args=[message.uid])
    shown = panel.get(page).content.decode()
    assert "Not sent: this address gets no mail" in shown
    assert "550 5.1.1" in shown
    assert f"{url('find')}?address=hannah%40larkfield.example" in shown
    found = panel.get(url("find"), {"address": "HANNAH@larkfield.example"})
    assert found["Location"] == url("detail", Suppression.objects.get().pk)
    elsewhere = panel.get(url("find"), {"address": "nobody@x.example"})
    assert elsewhere["Location"] == f"{url('list')}?q=nobody%40x.example"


# Releasing


def test_release_asks_first_and_then_frees_and_asks_aws(panel: Client) -> None:
    message = suppressed()
    entry = Suppression.objects.get()
    asked = show(panel, "release", entry.pk)
    assert "1 message was not sent because of this" in asked
    assert standing_of(HANNAH)
    shown = press(panel, "release", entry.pk)
    assert "gets mail again" in shown
    assert standing_of(HANNAH) is None
    assert AwsRelease.objects.get().address_lower == HANNAH
    assert "The worker asks AWS to release the address" in shown
    assert "Send 1 message again" in shown
    assert "Send 1 message again?" in show(panel, "send-again", entry.pk)
    assert "1 message on the way again" in press(panel, "send-again", entry.pk)
    message.refresh_from_db()
    assert message.state == State.QUEUED
    assert "gets mail already" in press(panel, "release", entry.pk)


def test_without_an_account_aws_is_not_asked(panel: Client) -> None:
    press(panel, "release", bar().pk)
    assert not AwsRelease.objects.exists()


def test_complaint_is_released_only_with_the_box(panel: Client) -> None:
    entry = bar(reason=Reason.COMPLAINED)
    assert "A second complaint hurts" in show(panel, "release", entry.pk)
    answer = panel.post(url("release", entry.pk))
    assert answer.status_code == 422
    assert standing_of(HANNAH)
    press(panel, "release", entry.pk, sure="on")
    assert standing_of(HANNAH) is None


def test_refusal_of_aws_is_shown_with_the_statement(panel: Client) -> None:
    make_settings()
    entry = bar()
    press(panel, "release", entry.pk)
    AwsRelease.objects.update(
        outcome="failed",
        done_at=timezone.now(),
        problem={
            "title": "The access key may not do this.",
            "why": "",
            "fix": "Add this.",
            "words": "AccessDeniedException",
            "statement": '{"Effect": "Allow"}',
        },
    )
    shown = show(panel, "detail", entry.pk)
    assert "AWS did not release it" in shown
    assert "&quot;Effect&quot;: &quot;Allow&quot;" in shown
    assert "hx-get" not in shown.partition("at-aws")[2]


def test_security_mail_is_let_through_and_stopped(panel: Client) -> None:
    entry = bar()
    press(panel, "security", entry.pk, allow="yes")
    assert standing_of(HANNAH).status == "overridden"  # type: ignore[union-attr]
    assert "Invitations and password resets go all the same" in show(
        panel, "detail", entry.pk
    )
    press(panel, "security", entry.pk, allow="no")
    assert standing_of(HANNAH).status == "suppressed"  # type: ignore[union-attr]
    press(panel, "release", entry.pk)
    assert "released meanwhile" in press(panel, "security", entry.pk, allow="yes")


# By hand


def test_addresses_are_added_by_hand(panel: Client, admin: Any) -> None:
    bar()
    shown = press(
        panel,
        "add",
        addresses=f"Ida@larkfield.example, {HANNAH}\nida@LARKFIELD.example\n",
        detail="She has left.",
    )
    assert "1 address added. 1 was on the list already." in shown
    entry = Suppression.objects.get(address="Ida@larkfield.example")
    assert (entry.reason, entry.created_by, entry.detail) == (
        Reason.BY_HAND,
        admin,
        "She has left.",
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nobody", "It has no @."),
        ("a@b", "It is not an e-mail address."),
        ("bounce@simulator.amazonses.com", "mailbox simulator"),
        ("x" * 260 + "@larkfield.example", "longer than 254"),
        ("<script>@x.example", "It is not an e-mail address."),
    ],
)
def test_wrong_lines_are_named_and_nothing_is_added(
    panel: Client, line: str, why: str
) -> None:
    shown = press(panel, "add", addresses=f"ida@larkfield.example\n{line}")
    assert "Line 2" in shown
    assert why in shown
    assert "<script>@" not in shown
    assert not Suppression.objects.exists()


def test_nothing_pasted_is_said(panel: Client) -> None:
    assert "Paste one address at least." in press(panel, "add", addresses=" \n ,")


# Files


def upload(panel: Client, content: bytes | str) -> str:
    content = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile("list.csv", content)
    return text_of(panel.post(url("import"), {"file": file}))


AWS_EXPORT = (
    "EmailAddress,Reason,LastUpdateTime\n"
    "Hannah@larkfield.example,BOUNCE,2026-10-01T10:00:00Z\n"
    "oliver@larkfield.example,COMPLAINT,2026-10-02T10:00:00Z\n"
    "nonsense,BOUNCE,2026-10-02T10:00:00Z\n"
)


def test_import_shows_what_it_would_do_and_then_does_it(panel: Client) -> None:
    bar()
    shown = upload(panel, AWS_EXPORT)
    assert "Import 1 address" in shown
    assert "Line 4, “nonsense”: It has no @." in shown
    assert Suppression.objects.count() == 1
    content = shown.partition("<textarea")[2].partition(">")[2].partition("</text")[0]
    press(panel, "import", is_confirmed="yes", content=content)
    entry = Suppression.objects.get(address="oliver@larkfield.example")
    assert entry.reason == Reason.COMPLAINED
    assert entry.happened_at.isoformat() == "2026-10-02T10:00:00+00:00"


@pytest.mark.parametrize(
    "content",
    [
        AWS_EXPORT,
        AWS_EXPORT.replace(",", ";"),
        "sep=;\r\n" + AWS_EXPORT.replace(",", ";"),
        AWS_EXPORT.replace("\n", "\r\n"),
        "\ufeff" + AWS_EXPORT,
        AWS_EXPORT.encode("utf-16"),
        "hannah@larkfield.example\noliver@larkfield.example\nnonsense\n",
        "E-mail address\nhannah@larkfield.example\noliver@larkfield.example\nnonsense",
        'Name;E-Mail\n"Brooks; Hannah";hannah@larkfield.example\n'
        "Oliver;oliver@larkfield.example\nX;nonsense\n",
    ],
)
def test_file_is_read_however_it_was_written(content: str | bytes) -> None:
    content = content.encode() if isinstance(content, str) else content
    reading = read_file(content)
    assert set(reading.entries) == {HANNAH, "oliver@larkfield.example"}
    assert [one.text for one in reading.wrong] == ["nonsense"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no address"),
        (b"\n\n", "no address"),
        ("Zoë@larkfield.example".encode("latin-1"), "not in UTF-8"),
        (b"PK\x03\x04\0\0", "no text file"),
        (b"\xff\xfe\x00", "not in UTF-8"),
        (b"a@x.example\n" * 100_000, "larger than 1 MB"),
        (
            b"".join(b"p%d@x.example\n" % n for n in range(MOST_ROWS + 1)),
            "more than 10,000",
        ),
        (b'"' + b"x" * 200_000, "no CSV file"),
    ],
)
def test_file_that_cannot_be_read_says_why(
    panel: Client, content: bytes, why: str
) -> None:
    with pytest.raises(UnreadableFileError, match=why):
        read_file(content)
    assert why in upload(panel, content)
    assert not Suppression.objects.exists()


def test_no_file_is_said(panel: Client) -> None:
    assert "Choose a file first." in press(panel, "import")


def test_what_is_confirmed_is_checked_again(panel: Client) -> None:
    shown = press(panel, "import", is_confirmed="yes", content="x" * 10)
    assert "Can’t be used" in shown
    assert not Suppression.objects.exists()


NASTY = [
    NewEntry("Hannah@larkfield.example", Reason.BOUNCED, "smtp; 550, „weg“\nzweite"),
    NewEntry("+tag@larkfield.example", Reason.COMPLAINED, '=HYPERLINK("http://x")'),
    NewEntry("-dash@larkfield.example", Reason.BY_HAND, "@SUM(1)"),
    NewEntry("'quote@larkfield.example", Reason.AWS_LISTED, "'=1"),
    NewEntry("=1+1@larkfield.example", Reason.AWS_EVERYWHERE, "'"),
    NewEntry("o'brien@larkfield.example", Reason.IMPORTED, "\ttab"),
]


def test_export_runs_no_formula_and_comes_back_as_it_was() -> None:
    at = timezone.now()
    entries = [NewEntry(e.address, e.reason, e.detail, at) for e in NASTY]
    text = "".join(write_file(entries))
    for row in csv.reader(io.StringIO(text.lstrip("\ufeff"))):
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    reading = read_file(text.encode())
    assert reading.wrong == []
    assert list(reading.entries.values()) == entries


def test_export_and_import_is_lossless(panel: Client) -> None:
    for entry in NASTY:
        bar(entry.address, reason=entry.reason, detail=entry.detail)
    bar("full@larkfield.example", reason=Reason.FAILING, hours=3)

    def rows() -> list[Any]:
        found = Suppression.objects.filter(held_until=None).order_by("address")
        return list(found.values_list("address", "reason", "detail", "happened_at"))

    before = rows()
    response = panel.get(url("export"))
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]
    assert 'filename="suppression-list-' in response["Content-Disposition"]
    Suppression.objects.all().delete()
    press(panel, "import", is_confirmed="yes", content=content.decode())
    assert rows() == before


# AWS


def test_difference_is_shown_and_taken_over(panel: Client) -> None:
    make_settings()
    bar()
    list_at_aws("Ida@larkfield.example")
    SuppressionSync.objects.create(pk=1, synced_at=timezone.now(), count=1)
    shown = show(panel)
    assert "Take over 1" in shown
    assert "Take over 1 address?" in show(panel, "take-over")
    assert "1 address taken over from AWS." in press(panel, "take-over")
    assert standing_of("ida@larkfield.example")
    again = panel.get(url("take-over"), follow=True).content.decode()
    assert "All that is on AWS’s list is on this one, too." in again


def test_reading_is_asked_for_and_watched(panel: Client) -> None:
    assert "Save working settings" in press(panel, "sync")
    make_settings()
    assert "Being read" in press(panel, "sync")
    assert aws.sync_state().wanted_at
    part = panel.get(url("list"), headers={"HX-Request": "true"}).content.decode()
    assert part.count('hx-trigger="every 3s"') == 1
    SuppressionSync.objects.update(wanted_at=None)
    assert "hx-trigger" not in (
        panel.get(url("list"), headers={"HX-Request": "true"}).content.decode()
    )


def test_refused_reading_shows_the_statement(panel: Client) -> None:
    make_settings()
    problem = {
        "code": "access_denied",
        "title": "The access key may not do this.",
        "why": "No policy allows it.",
        "fix": "Add this statement.",
        "words": "AccessDeniedException",
        "statement": '{"Action": "ses:ListSuppressedDestinations"}',
    }
    SuppressionSync.objects.create(
        pk=1, synced_at=timezone.now() - timedelta(days=2), problem=problem
    )
    shown = show(panel)
    assert "ses:ListSuppressedDestinations" in shown
    assert "What is shown here is of" in shown


def test_address_is_taken_off_aws_alone(panel: Client) -> None:
    listed = list_at_aws("Ida@larkfield.example", "COMPLAINT")
    assert "A second complaint hurts" in show(panel, "aws-release", listed.pk)
    assert panel.post(url("aws-release", listed.pk)).status_code == 422
    assert not AwsRelease.objects.exists()
    press(panel, "aws-release", listed.pk, sure="on")
    assert AwsRelease.objects.get().address == "Ida@larkfield.example"
