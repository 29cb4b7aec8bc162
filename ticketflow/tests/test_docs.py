"""The documents say only what is there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import get_commands

from email_settings.forms import SettingsForm
from email_settings.gateway.errors import CATALOGUE
from email_settings.models import SesSettings
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import Feature, policy

ROOT: Path = settings.BASE_DIR
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Read by the SDKs and by Django itself, not by settings.py.
READ_ELSEWHERE = re.compile(r"AWS_|DJANGO_SUPERUSER_|HTTPS?_PROXY|NO_PROXY")


def anchors(document: Path) -> set[str]:
    """The addresses that a forge gives to the headings of a document."""
    prose = CODE.sub(
        lambda code: "" if "\n" in code[0] else code[0], document.read_text()
    )
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in HEADING.findall(prose)
    }


def code_in(*documents: Path) -> str:
    return "\n".join(
        code for document in documents for code in CODE.findall(document.read_text())
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_images_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def test_every_document_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        reached.add(document)
        for target in LINK.findall(document.read_text()):
            file = (document.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file not in reached and "://" not in target:
                waiting.append(file)
    assert set(DOCUMENTS) <= reached


def test_make_targets_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code_in(*DOCUMENTS)))
    assert named
    makefile = (ROOT / "Makefile").read_text()
    assert named <= set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def test_commands_exist() -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", code_in(*DOCUMENTS)))
    assert named
    assert named <= set(get_commands())


def test_the_table_of_the_environment_is_whole() -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("## Environment")[2]
    named = {
        name
        for name in re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)
        if not READ_ELSEWHERE.match(name)
    }
    source = (ROOT / "ticketflow/settings.py").read_text()
    read = set(re.findall(r"""\benv(?:\.\w+)?\(\s*"([A-Z_]+)\"""", source))
    start = (ROOT / "ticketflow/management/commands/start.py").read_text()
    read |= set(re.findall(r"""default=os.environ.get\("([A-Z_]+)\"""", start))
    assert named == read


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs/decisions/0007-dependencies.md").read_text()
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.split(r"[<>=~ ]", line)[0]
        assert f"| `{name}` |" in reasons, name


def test_the_guide_explains_every_problem() -> None:
    guide = (ROOT / "docs/ses-setup.md").read_text()
    table = guide.partition("## If something is refused")[2]
    explained = set(re.findall(r"\*\*([^*|]+)\*\*", table.partition("## Good")[0]))
    for problem in CATALOGUE.values():
        title = re.escape(problem.title.rstrip("."))
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", ".{0,1}", title))
        assert any(map(pattern.fullmatch, explained)), problem.title


def test_the_guide_and_the_page_ask_for_the_same_rights() -> None:
    guide = (ROOT / "docs/ses-setup.md").read_text()
    block = guide.partition("```json")[2].partition("```")[0]
    asked = policy(
        [Feature.SEND, Feature.READ, Feature.SUPPRESSION], Place.of(SesSettings())
    )
    assert actions(json.loads(block)) == actions(asked)


def actions(policy: dict[str, Any]) -> set[str]:
    return {
        action
        for statement in policy["Statement"]
        for action in statement["Action"]
        if statement["Effect"] == "Allow"
    }


def test_the_guide_names_every_field_as_the_form_does(db: None) -> None:
    guide = (ROOT / "docs/ses-setup.md").read_text()
    table = guide.partition("### 7.")[2].partition("### 8.")[0]
    named = re.findall(r"^ *\| \*\*([^*]+)\*\*", table, re.MULTILINE)
    fields = SettingsForm(stored=SesSettings()).visible_fields()
    assert named == [
        str(field.label) for field in fields if field.name != "save_anyway"
    ]
