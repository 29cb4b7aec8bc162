"""The frame that every mail is set in."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from email_settings.models import Brand
from email_settings.rendering import Rendered, render_mail

SITE_URL = "https://help.example.com"
SUBJECT = "{% block s %}[#42] {{ title }}{% endblock %}"
TEXT = """{% extends "mail/base.txt" %}
{% block content %}{{ title }}

View ticket: {{ url }}{% endblock %}
{% block reason %}You get this because you opened ticket #42.{% endblock %}
"""
HTML = """{% extends "mail/base.html" %}
{% block title %}{{ title }}{% endblock %}
{% block preheader %}Maya answered{% endblock %}
{% block ref %}#42{% endblock %}
{% block heading %}{{ title }}{% endblock %}
{% block content %}
{% include "mail/_person.html" with name="Maya Okafor" line="IT Support" %}
<div class="md">{{ body|safe }}</div>
{% include "mail/_note.html" with name="Ewa" text=note %}
{% include "mail/_button.html" with url=url label="View ticket" bare=True %}
{% endblock %}
{% block quote %}
{% include "mail/_quote.html" with title="You wrote, 09:58" text=note %}
{% endblock %}
{% block reason %}You get this because you opened ticket #42.{% endblock %}
"""


@pytest.fixture
def mail(tmp_path: Path, settings: LazySettings, brand: Brand) -> Rendered:
    """A mail with every part there is, about a ticket with awkward letters."""
    for ending, source in (("subject.txt", SUBJECT), ("txt", TEXT), ("html", HTML)):
        (tmp_path / f"sample.{ending}").write_text(source)
    engine: dict[str, Any] = settings.TEMPLATES[0]
    settings.TEMPLATES = [
        {**engine, "DIRS": [settings.BASE_DIR / "templates", tmp_path]}
    ]
    return render_mail(
        "sample",
        {
            "title": "<b>VPN</b> & “Wi-Fi”",
            "body": "<p>Hi Hannah,</p><ul><li>it is <code>fixed</code></li></ul>"
            "<table><tr><th>Room</th></tr><tr><td>Wye</td></tr></table>",
            "note": "one & two\nthree",
            "url": f"{SITE_URL}/tickets/42/",
        },
    )


def test_styles_are_inlined_where_mail_programs_look_for_them(mail: Rendered) -> None:
    for element in ("<h1", '<td class="btn"', '<a class="btna"', "<p", "<li", "<th"):
        tags = re.findall(rf"{re.escape(element)}[^>]*>", mail.html)
        assert tags
        assert all("style=" in tag for tag in tags), element


def test_rules_that_cannot_be_inlined_stay_in_the_head(mail: Rendered) -> None:
    head = mail.html.split("</head>")[0]
    assert "@media (max-width: 480px)" in head
    assert "@media (prefers-color-scheme: dark)" in head
    assert "[data-ogsc] .h1" in head
    assert "[if mso]" in head


def test_what_people_wrote_in_a_table_can_be_read_in_the_dark(mail: Rendered) -> None:
    dark = mail.html.split("@media (prefers-color-scheme: dark)")[1]
    bright = re.search(r"([^}]*)\{ color: #eceff2 !important; \}", dark)
    assert bright
    assert {".md th", ".md td"} <= {one.strip() for one in bright[1].split(",")}


def test_nothing_is_loaded_and_every_link_leads_to_the_site(mail: Rendered) -> None:
    assert "src=" not in mail.html
    assert "url(" not in mail.html
    assert "<link" not in mail.html
    links = re.findall(r'href="([^"]*)"', mail.html)
    assert links
    assert all(link.startswith(SITE_URL) for link in links)


def test_the_page_says_its_language_and_layout_tables_are_silent(
    mail: Rendered,
) -> None:
    assert re.search(r'<html lang="en" dir="ltr"', mail.html)
    tables = re.findall("<table[^>]*>", mail.html)
    loud = [table for table in tables if 'role="presentation"' not in table]
    assert len(loud) == 1  # the one that somebody wrote


def test_text_is_escaped_in_html_and_left_alone_in_text(mail: Rendered) -> None:
    assert "<b>VPN</b>" not in mail.html
    assert "&lt;b&gt;VPN&lt;/b&gt; &amp; “Wi-Fi”" in mail.html
    assert "one &amp; two<br" in mail.html
    assert "<b>VPN</b> & “Wi-Fi”" in mail.text
    assert mail.subject == "[#42] <b>VPN</b> & “Wi-Fi”"


def test_the_foot_says_why_one_got_it_and_from_whom(mail: Rendered) -> None:
    for part in (mail.text, mail.html):
        assert "You get this because you opened ticket #42." in part
        assert "Larkfield" in part
        assert SITE_URL in part


def test_the_button_shows_its_bare_address_when_asked(mail: Rendered) -> None:
    assert f">{SITE_URL}/tickets/42/</a>" in mail.html


def test_links_are_of_a_class_so_that_they_can_be_read_in_the_dark(
    settings: LazySettings,
) -> None:
    mails = list((settings.BASE_DIR / "templates").glob("**/mail/*.html"))
    assert mails
    plain = [
        mail.name for mail in mails if re.search(r"<a (?!class=)", mail.read_text())
    ]
    assert plain == []
