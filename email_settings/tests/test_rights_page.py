"""Admin Panel → Email Settings → Rights: what to paste, for the features chosen."""

import html
import json
import re
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from email_settings.models import SesSettings
from email_settings.provisioning.policy import FEATURES, USUAL, Feature
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_settings

pytestmark = pytest.mark.django_db

SENDER = "help@larkfield.example"
HOSTILE = '"\'`$(id)`<script>alert(1)</script>"@larkfield.example'


def show(panel: Client, way: str = "policy", **chosen: object) -> str:
    query = urlencode({"way": way, **chosen}, doseq=True)
    response = panel.get(f"{reverse('email_settings:rights')}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def pasted(page: str) -> str:
    found = re.search(r'<pre[^>]*id="rights-text"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def test_the_usual_rights_stand_there_without_asking(panel: Client) -> None:
    row = make_settings()
    row.account_id = "123456789012"
    row.save()
    statements = json.loads(pasted(show(panel)))["Statement"]
    assert [s["Sid"] for s in statements] == [
        f"TicketFlow{feature.capitalize()}" for feature in USUAL
    ]
    assert "arn:aws:sqs:eu-west-1:123456789012:ticketflow-ses-" in pasted(show(panel))
    assert "help@larkfield.example" in pasted(show(panel))


def test_before_anything_is_saved_region_and_sender_are_asked_for(
    panel: Client,
) -> None:
    page = show(panel)
    assert "rights-text" not in page
    assert "Error: " not in page
    page = show(panel, feature="send", region="eu-west-1", from_email=SENDER)
    assert "TicketFlowSend" in pasted(page)
    assert "Come back when a key is saved" in page


@pytest.mark.parametrize("feature", Feature)
def test_each_right_can_be_chosen_alone(panel: Client, feature: Feature) -> None:
    page = show(panel, feature=feature.value, region="eu-west-2", from_email=SENDER)
    [statement] = json.loads(pasted(page))["Statement"]
    assert statement["Action"] == list(FEATURES[feature].actions)
    assert "eu-west-2" in page


def test_changing_its_own_key_carries_its_warning(panel: Client) -> None:
    make_settings()
    assert "A stolen key could then make keys" not in show(panel)
    chosen = ["send", "rotation"]
    page = show(panel, feature=chosen, region="eu-west-1", from_email=SENDER)
    assert "A stolen key could then make keys" in page
    assert html.escape(FEATURES[Feature.ROTATION].warning) in page


@pytest.mark.parametrize("way", ["script", "template", "policy", "nonsense"])
def test_every_way_says_that_the_key_needs_no_right_to_set_up(
    panel: Client, way: str
) -> None:
    make_settings()
    page = show(panel, way)
    assert "The running key never needs rights to set things up" in page
    assert pasted(page)


@pytest.mark.parametrize(
    "chosen",
    [
        {"feature": "everything", "region": "eu-west-1", "from_email": SENDER},
        {"region": "eu-west-1", "from_email": SENDER},
        {"feature": "send", "from_email": SENDER},
        {"feature": "send", "region": "eu-west-1"},
        {"feature": "send", "region": "xx-nowhere-1", "from_email": SENDER},
        {"feature": "send", "region": "eu-west-1'; rm -rf ~", "from_email": SENDER},
        {"feature": "send", "region": "eu-west-1", "from_email": "no address"},
    ],
)
def test_a_wrong_choice_gives_nothing_to_paste(
    panel: Client, chosen: dict[str, str]
) -> None:
    page = show(panel, **chosen)
    assert "rights-text" not in page
    assert "<title>Error: Rights in AWS" in page
    for name in ("rights-script", "rights-template"):
        url = reverse(f"email_settings:{name}")
        assert panel.get(f"{url}?{urlencode(chosen)}").status_code == 302


@pytest.mark.parametrize("way", ["script", "template", "policy"])
def test_a_hostile_sender_is_shown_as_text(panel: Client, way: str) -> None:
    make_settings(from_email=HOSTILE, from_name="</pre><script>alert(2)</script>")
    page = show(panel, way)
    assert "<script>alert" not in page
    assert "alert(2)" not in page
    typed = show(panel, way, feature="send", region="eu-west-1", from_email=HOSTILE)
    assert "<script>alert" not in typed


def test_no_key_is_in_any_of_it(panel: Client) -> None:
    make_settings()
    for way in ("script", "template", "policy"):
        page = show(panel, way)
        assert SECRET not in page
        assert ACCESS_KEY_ID not in page


def test_the_files_are_what_the_page_shows(panel: Client) -> None:
    chosen = {
        "feature": ["send", "events"],
        "region": "eu-west-3",
        "from_email": SENDER,
    }
    for name, way, file in (
        ("rights-script", "script", "ticketflow-ses.sh"),
        ("rights-template", "template", "ticketflow-ses.json"),
    ):
        url = reverse(f"email_settings:{name}")
        response = panel.get(f"{url}?{urlencode(chosen, doseq=True)}")
        assert response["Content-Disposition"] == f'attachment; filename="{file}"'
        text = response.content.decode()
        assert "eu-west-3" in text
        assert text.strip() == pasted(show(panel, way, **chosen)).strip()


def test_looking_changes_nothing(panel: Client) -> None:
    before = SesSettings.load().version
    show(panel, feature="send", region="eu-west-2", from_email="new@larkfield.example")
    after = SesSettings.load()
    assert (after.version, after.region, after.from_email) == (before, "", "")
