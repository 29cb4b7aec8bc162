"""The static files are light, complete, and point at nobody else's server."""

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings

STATIC = settings.BASE_DIR / "static"
TEMPLATES = settings.BASE_DIR / "templates"
SYMBOLS = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))

# The first page is to stay under 60 kB; what is left is for its own HTML.
BUDGET_OF_SHARED_FILES = 30_000  # bytes, compressed
BUDGET_OF_SCRIPTS = 6_000


def pages() -> list[Path]:
    return [
        path
        for path in sorted(TEMPLATES.rglob("*.html"))
        if "mail" not in path.relative_to(TEMPLATES).parts
    ]


def compressed(path: Path) -> int:
    return len(gzip.compress(path.read_bytes()))


def test_shared_files_are_light() -> None:
    names = ["ticketflow.css", "app.js", "theme.js", "icons.svg", "favicon.svg"]
    sizes = {name: compressed(STATIC / name) for name in names}
    assert sum(sizes.values()) < BUDGET_OF_SHARED_FILES, sizes
    assert sizes["app.js"] + sizes["theme.js"] < BUDGET_OF_SCRIPTS


def test_every_icon_that_templates_name_is_in_the_file() -> None:
    named = {
        name
        for path in pages()
        for name in re.findall(r'{% icon "([^"]+)"', path.read_text())
    }
    assert named <= SYMBOLS


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.name))
def test_templates_have_no_inline_style_or_script(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|javascript:|hx-on", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


def test_nothing_comes_from_another_server() -> None:
    foreign = re.compile(
        r'(?:\ssrc=|<link[^>]*\shref=|url\()\s*["\']?(?:https?:)?//[^"\'\s>)]+'
    )
    files = [path for path in STATIC.iterdir() if path.is_file()]
    found = [
        hit for path in [*files, *pages()] for hit in foreign.findall(path.read_text())
    ]
    assert found == []


def test_the_stylesheet_embeds_nothing() -> None:
    """A data: address would need a hole in the content security policy."""
    text = (STATIC / "ticketflow.css").read_text()
    assert "data:" not in text
    assert "@import" not in text


def test_files_that_the_stylesheet_names_exist() -> None:
    text = (STATIC / "ticketflow.css").read_text()
    for name in re.findall(r'url\("([^"]+)"\)', text):
        assert (STATIC / name).is_file()
