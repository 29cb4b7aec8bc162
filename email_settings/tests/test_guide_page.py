"""The guide inside the product."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from email_settings.guide import GUIDE, OTHERS, read_document
from email_settings.readiness.lines import LINES, Line
from ticketflow.lib.documents import render_document

GUIDE_URL = "/admin-panel/email-settings/guide/"


def document(text: str) -> str:
    found = render_document(
        text, address_of=lambda name: f"/{name}/" if name == "a" else ""
    )
    return str(found.html)


def test_headings_get_anchors_and_make_the_contents() -> None:
    found = render_document(
        "# Guide\n\n## One `two`\n\n### Three: four?\n", address_of=lambda name: ""
    )
    assert found.title == "Guide"
    assert [(h.level, h.text, h.anchor) for h in found.headings] == [
        (2, "One two", "one-two"),
        (3, "Three: four?", "three-four"),
    ]
    assert '<h2 id="one-two">' in found.html
    assert "<h1" not in found.html


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[b](a.md)", '<a href="/a/"'),
        ("[b](a.md#part)", '<a href="/a/#part"'),
        ("[b](#part)", '<a href="#part"'),
        ("[b](https://aws.example/)", '<a href="https://aws.example/"'),
        ("[**b** c](other.md)", "<p><strong>b</strong> c</p>"),
        ("[b](decisions/a.md)", "<p>b</p>"),
        ("[b](../README.md)", "<p>b</p>"),
        ("[b](javascript:alert)", "<p>[b](javascript:alert)</p>"),
        ("<script>x</script>", "&lt;script&gt;"),
        ("    wide", '<pre tabindex="0">'),
        ("| | b |\n| - | - |\n| c | d |", "<td></td>\n<th>b</th>"),
    ],
)
def test_links_lead_somewhere_or_are_words(written: str, shown: str) -> None:
    assert shown in document(written)


def test_lines_of_the_file_are_no_lines_of_the_page() -> None:
    assert document("one\ntwo") == "<p>one\ntwo</p>\n"


@pytest.mark.parametrize("name", [GUIDE, *OTHERS])
def test_every_anchor_within_a_document_is_there(name: str) -> None:
    found = read_document(name)
    assert found
    ids = re.findall(r'id="([^"]+)"', found.html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', found.html)) <= set(ids)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.key)
def test_every_line_of_the_checklist_has_its_place_in_the_guide(line: Line) -> None:
    found = read_document(GUIDE)
    assert found
    assert line.anchor in {heading.anchor for heading in found.headings}


def test_the_guide_says_nothing_of_a_line_that_is_not_there() -> None:
    found = read_document(GUIDE)
    assert found
    part = found.headings
    begin = [h.anchor for h in part].index("the-checklist-line-by-line") + 1
    end = [h.anchor for h in part].index("if-something-is-refused")
    explained = [heading.anchor for heading in part[begin:end]]
    assert explained == list(dict.fromkeys(line.anchor for line in LINES))


@pytest.mark.django_db
def test_admins_read_the_guide_and_what_it_refers_to(panel: Client) -> None:
    page = panel.get(GUIDE_URL).content.decode()
    assert "<h1>Set up Amazon SES</h1>" in page
    assert f'href="{GUIDE_URL}operations/#mail-is-held"' in page
    for name in OTHERS:
        assert panel.get(f"{GUIDE_URL}{name}/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["nothing", "ses-setup-2", "benchmarks", "security"])
def test_nothing_else_can_be_read(panel: Client, name: str) -> None:
    url = reverse("email_settings:guide-document", args=[name])
    assert panel.get(url).status_code == 404


@pytest.mark.django_db
def test_the_settings_page_leads_to_guide_and_rights(panel: Client) -> None:
    page = panel.get(reverse("email_settings:settings")).content.decode()
    assert f'href="{GUIDE_URL}"' in page
    assert f'href="{reverse("email_settings:rights")}"' in page
