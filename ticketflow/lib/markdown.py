"""Markdown as people write it, to HTML that is safe to show to anybody."""

import re
from html import escape

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

# Longer texts are shown as they were typed: parsing gets slower than the text gets long.
MAX_LENGTH = 50_000  # characters
MAX_NESTING = 20

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "a"),
    *("ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}

# Finding bare addresses takes 12 s for 50,000 characters without a blank.
_TOO_LONG_FOR_LINKS = re.compile(r"\S{2000}")


def _make_parser(*, finds_links: bool) -> MarkdownIt:
    options = {"linkify": finds_links, "breaks": True, "maxNesting": MAX_NESTING}
    # An image would be fetched from wherever its author says, and tell him who reads.
    return MarkdownIt("js-default", options).disable("image")


_parser = _make_parser(finds_links=True)
_parser_without_links = _make_parser(finds_links=False)


def to_html(text: str) -> SafeString:
    """Render Markdown. No raw HTML, no images; links go to http, https or mailto only."""
    if len(text) > MAX_LENGTH:
        return mark_safe(f"<pre>{escape(text)}</pre>")  # noqa: S308 - escaped
    return mark_safe(  # noqa: S308 - nh3 lets through what is listed here, nothing else
        nh3.clean(
            _parser_for(text).render(text),
            tags=TAGS,
            attributes={"a": {"href", "title"}, "ol": {"start"}},
            url_schemes={"http", "https", "mailto"},
            url_relative="deny",
            link_rel="nofollow noopener noreferrer",
        )
    )


def to_text(text: str) -> str:
    """Return what a reader of the rendered Markdown reads, a line per paragraph."""
    if len(text) > MAX_LENGTH:
        return text
    lines = []
    for block in _parser_without_links.parse(text):
        if block.type in {"fence", "code_block"}:
            lines.append(block.content.strip())
        elif block.type == "inline":
            lines.append(
                "".join(
                    "\n" if part.type in {"softbreak", "hardbreak"} else part.content
                    for part in block.children or []
                )
            )
    return "\n".join(lines)


def _parser_for(text: str) -> MarkdownIt:
    return _parser_without_links if _TOO_LONG_FOR_LINKS.search(text) else _parser
