"""The shells around the pages, and the fields of forms."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.contrib.messages import constants
from django.contrib.messages.storage.base import Message
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import User
from ticketflow.lib.choice_cards import ChoiceCard

pytestmark = pytest.mark.django_db

Render = Callable[..., str]


@pytest.fixture
def render(rf: RequestFactory) -> Render:
    """Render a page in one of the layouts, as this person would get it."""

    def render(layout: str, user: User, path: str = "/tickets/", **values: Any) -> str:
        request = rf.get(path)
        request.user = user
        page = Template(
            '{% extends "layouts/' + layout + '.html" %}'
            "{% block title %}Page{% endblock %}{% block main %}MAIN{% endblock %}"
        )
        return page.render(Context({"request": request, **values}))

    return render


VIEWS = [
    {
        "slug": "mine",
        "title": "My open",
        "icon": "inbox",
        "count": 5,
        "url": "/tickets/?view=mine",
        "is_current": True,
    },
    {
        "slug": "solved",
        "title": "Solved",
        "icon": "check-circle",
        "count": None,
        "url": "/tickets/?view=solved",
        "is_current": False,
    },
]


@pytest.mark.parametrize("layout", ["app", "admin", "requester", "entry"])
def test_every_layout_has_its_landmarks(
    layout: str, admin: User, render: Render
) -> None:
    html = render(layout, admin)
    assert '<html lang="en-GB"' in html
    assert "<title>Page · TicketFlow</title>" in html
    assert 'class="skip" href="#main"' in html
    assert html.count("<main ") == 1
    assert "MAIN" in html


def test_appearance_of_the_profile_is_written_by_the_server(
    agent: User, render: Render
) -> None:
    assert "data-theme" not in render("app", agent).partition(">")[0]
    agent.theme = User.Theme.DARK
    assert '<html lang="en-GB" data-theme="dark">' in render("app", agent)


def test_side_bar_shows_views_with_their_counts(agent: User, render: Render) -> None:
    html = render("app", agent, ticket_views=VIEWS)
    assert '<a href="/tickets/?view=mine" aria-current="page">' in html
    assert html.count('<span class="count">') == 1
    assert 'data-key="g m"' in html


def test_only_admins_are_shown_the_admin_panel(
    agent: User, admin: User, render: Render
) -> None:
    assert "/admin-panel/" not in render("app", agent)
    assert "/admin-panel/" in render("app", admin)


def test_navigation_marks_the_page_one_is_on_or_below(
    admin: User, render: Render
) -> None:
    html = render("admin", admin, path="/admin-panel/users/7/")
    assert '<a href="/admin-panel/users/" aria-current="page">' in html
    assert html.count('aria-current="page"') == 1
    html = render("admin", admin, path="/admin-panel/")
    assert '<a href="/admin-panel/" aria-current="page">' in html


@pytest.mark.parametrize("layout", ["app", "requester"])
def test_signing_out_is_a_post(layout: str, agent: User, render: Render) -> None:
    assert 'method="post" action="/accounts/logout/"' in render(layout, agent)


@pytest.mark.parametrize("layout", ["app", "admin", "requester", "entry"])
def test_messages_are_banners_and_errors_are_alerts(
    layout: str, admin: User, render: Render
) -> None:
    messages = [
        Message(constants.SUCCESS, "Saved <b>"),
        Message(constants.ERROR, "Refused"),
    ]
    html = render(layout, admin, messages=messages)
    assert '<div class="banner banner-ok" role="status">' in html
    assert '<div class="banner banner-bad" role="alert">' in html
    assert "Saved &lt;b&gt;" in html


def mail_status(**changes: Any) -> SimpleNamespace:
    """Mail as it is on a good day, but for the changes."""
    good_day = {
        "is_rehearsal": False,
        "is_configured": True,
        "hold": None,
        "held_count": 0,
        "worker_is_running": True,
        "worker_last_beat": timezone.now(),
        "oldest_due_age": None,
        "is_late": False,
        "settings_url": "/admin-panel/email-settings/",
        "activity_url": "/admin-panel/email-activity/",
    }
    return SimpleNamespace(**{**good_day, **changes})


def test_no_banner_while_mail_is_well(admin: User, render: Render) -> None:
    assert '"banner ' not in render("admin", admin, mail_status=mail_status())


HOLD = SimpleNamespace(
    title="AWS refuses our access key",
    reason="It answers SignatureDoesNotMatch.",
    fix="Enter the key again.",
    since=timezone.now() - timedelta(minutes=20),
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_rehearsal": True}, "Rehearsal: no mail leaves this server"),
        (
            {"is_late": True, "oldest_due_age": timedelta(minutes=7)},
            "due for 7\N{NO-BREAK SPACE}min",
        ),
        ({"worker_is_running": False}, "The mail worker is not running"),
        ({"worker_last_beat": None, "worker_is_running": False}, "has not been seen"),
        ({"hold": HOLD, "held_count": 14}, "14\N{NO-BREAK SPACE}messages wait"),
        ({"hold": HOLD, "is_rehearsal": True}, "AWS refuses our access key"),
    ],
)
def test_banner_says_what_is_wrong_with_mail(
    changes: dict[str, Any], words: str, admin: User, render: Render
) -> None:
    html = render("admin", admin, mail_status=mail_status(**changes))
    assert words in html
    assert html.count('class="banner ') == 1


def test_held_mail_is_counted_in_the_navigation(admin: User, render: Render) -> None:
    html = render("admin", admin, mail_status=mail_status(held_count=14))
    assert "14\N{NO-BREAK SPACE}held" in html


class SampleForm(forms.Form):
    email = forms.EmailField(label="E-mail", help_text="We write to <you>.")
    note = forms.CharField(widget=forms.Textarea, required=False)
    role = forms.ChoiceField(
        widget=forms.RadioSelect,
        choices=[
            ("agent", ChoiceCard("Agent", "Answers tickets", "inbox")),
            ("admin", "Admin"),
        ],
    )
    zone = forms.ChoiceField(choices=[("UTC", "UTC")])
    is_live = forms.BooleanField(required=False, label="Live")
    photos = forms.FileField(required=False)
    key = forms.CharField(widget=forms.HiddenInput, required=False)


def fields(form: forms.Form) -> str:
    return "".join(field.as_field_group() for field in form)


def test_fields_wear_the_classes_of_the_stylesheet() -> None:
    html = fields(SampleForm())
    assert '<input class="input" type="email" name="email"' in html
    assert '<textarea class="textarea" name="note"' in html
    assert '<select class="select" name="zone"' in html
    assert '<input class="box" type="checkbox" name="is_live"' in html
    assert '<label class="drop" for="id_photos">' in html
    assert html.count("class=") == html.count(" class=")


def test_a_class_of_the_form_is_added_and_not_repeated() -> None:
    form = SampleForm()
    form.fields["email"].widget.attrs["class"] = "input-mono"
    html = form["email"].as_field_group()
    assert 'class="input input-mono"' in html
    assert html.count("input-mono") == 1


def test_help_is_tied_to_its_field_and_escaped() -> None:
    html = SampleForm()["email"].as_field_group()
    assert 'aria-describedby="id_email_helptext"' in html
    assert '<p class="help" id="id_email_helptext">We write to &lt;you&gt;.</p>' in html


def test_optional_fields_say_so() -> None:
    assert "optional" in SampleForm()["note"].as_field_group()
    assert "optional" not in SampleForm()["email"].as_field_group()


def test_error_is_tied_to_its_field() -> None:
    html = SampleForm({"email": "nonsense"})["email"].as_field_group()
    assert '<div class="field" data-invalid>' in html
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="id_email_helptext id_email_error"' in html
    assert 'id="id_email_error"' in html


def test_choices_are_cards_with_a_name_a_line_and_an_icon() -> None:
    html = SampleForm()["role"].as_field_group()
    assert "<fieldset" in html
    assert '<legend class="label">Role</legend>' in html
    assert "<b>Agent</b><small>Answers tickets</small>" in html
    assert "#inbox" in html
    assert "<b>Admin</b></span>" in html


def test_hidden_field_brings_nothing_but_itself() -> None:
    html = "".join(SampleForm()["key"].as_field_group().splitlines())
    assert html == '<input type="hidden" name="key" id="id_key">'


def errors_of(form: forms.Form) -> str:
    return Template('{% include "components/_form_errors.html" %}').render(
        Context({"form": form})
    )


def test_a_fresh_form_has_no_banner() -> None:
    assert errors_of(SampleForm()).strip() == ""


def test_banner_counts_the_fields_that_were_refused() -> None:
    html = errors_of(SampleForm({"email": "x@y.example", "zone": "UTC"}))
    assert 'role="alert" tabindex="-1"' in html
    assert "1\N{NO-BREAK SPACE}field needs a second look" in html


def test_banner_gives_the_reason_of_the_whole_form() -> None:
    form = SampleForm({})
    form.add_error(None, "AWS does not accept this key pair.")
    assert "AWS does not accept this key pair." in errors_of(form)


def test_title_says_that_the_form_was_refused(agent: User, render: Render) -> None:
    html = render("requester", agent, form=SampleForm({}))
    assert "<title>Error: Page" in html
