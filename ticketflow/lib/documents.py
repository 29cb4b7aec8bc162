"""The product's own documents as pages: with anchors, contents, and links that work."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ticketflow.lib.markdown import TAGS

# Lines are broken in the file where they get long, and mean nothing by it.
_parser = MarkdownIt("js-default", {"linkify": True, "breaks": False})
_CONTENTS = {"h2", "h3"}


@dataclass(frozen=True)
class Heading:
    """A line of the contents."""

    level: int  # 2 or 3
    text: str
    anchor: str


@dataclass(frozen=True)
class Document:
    """A document, rendered."""

    title: str
    html: SafeString
    headings: tuple[Heading, ...]


def render_document(text: str, *, address_of: Callable[[str], str]) -> Document:
    """Render a document of ours; its text is trusted, and cleaned all the same.

    `address_of` gives the address of another document by its file name without ".md",
    or "" for one that can't be read here: a link to that one becomes plain text.
    """
    tokens = _parser.parse(text)
    title, headings = "", []
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        words = _words_of(inline)
        if opening.tag == "h1":
            title = words
        opening.attrSet("id", anchor_of(words))
        if opening.tag in _CONTENTS:
            headings.append(Heading(int(opening.tag[1]), words, anchor_of(words)))
    if tokens and tokens[0].tag == "h1":
        del tokens[:3]  # the page shows the title itself
    for token in tokens:
        if token.children:
            token.children = list(_with_links(token.children, address_of))
    html = nh3.clean(
        _parser.renderer.render(tokens, _parser.options, {}),
        tags=TAGS,
        attributes={
            "a": {"href", "title"},
            "ol": {"start"},
            **{f"h{level}": {"id"} for level in range(1, 7)},
        },
        url_schemes={"http", "https", "mailto"},
        url_relative="pass_through",
        link_rel="noreferrer",
    )
    # A block that scrolls sideways must be reachable by keyboard, and a heading of no
    # words says nothing to a screen reader.
    html = html.replace("<pre>", '<pre tabindex="0">').replace("<th></th>", "<td></td>")
    return Document(title, mark_safe(html), tuple(headings))  # noqa: S308 - cleaned


def anchor_of(heading: str) -> str:
    """Return the anchor that a forge gives to a heading, and these pages too."""
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


def _words_of(inline: Token) -> str:
    return "".join(part.content for part in inline.children or [])


def _with_links(
    parts: list[Token], address_of: Callable[[str], str]
) -> Iterator[Token]:
    """Yield the parts with links that work here; others keep their words only."""
    is_dropped = False
    for part in parts:
        if part.type == "link_open":
            target = _target(str(part.attrGet("href") or ""), address_of)
            is_dropped = not target
            part.attrSet("href", target)
        elif part.type == "link_close" and is_dropped:
            is_dropped = False
            continue
        if part.type != "link_open" or not is_dropped:
            yield part


def _target(href: str, address_of: Callable[[str], str]) -> str:
    if "://" in href or href.startswith(("#", "mailto:")):
        return href
    path, hash_, anchor = href.partition("#")
    folder, _, name = path.rpartition("/")
    address = "" if folder else address_of(name.removesuffix(".md"))
    return f"{address}{hash_}{anchor}" if address else ""
