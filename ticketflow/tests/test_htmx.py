"""A page that asks for parts of itself brings the script that does it."""

import re
from pathlib import Path

import pytest
from django.conf import settings

TEMPLATES = Path(settings.BASE_DIR) / "templates"
INCLUDE = re.compile(r'{% include "([^"]+)"')
SCRIPT = "components/_htmx.html"
PAGES = [
    path.relative_to(TEMPLATES)
    for path in sorted(TEMPLATES.rglob("*.html"))
    if "{% extends" in path.read_text()
]


def parts_of(name: str) -> set[str]:
    """Return the template and all that it includes by name."""
    found, waiting = set(), {name}
    while waiting:
        part = waiting.pop()
        found.add(part)
        waiting |= set(INCLUDE.findall((TEMPLATES / part).read_text())) - found
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_with_htmx_brings_it(page: Path) -> None:
    parts = parts_of(str(page))
    asks = any(
        re.search(r"\shx-(get|post)=", (TEMPLATES / p).read_text()) for p in parts
    )
    assert not asks or SCRIPT in parts
