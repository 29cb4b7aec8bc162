"""Markdown as people write it is safe to show, and quick to render, whatever it is."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketflow.lib import markdown


class Tags(HTMLParser):
    """Collects each tag with its attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    for tag, attributes in tags.seen:
        assert tag in markdown.TAGS
        assert set(attributes) <= {"href", "title", "rel", "start"}
        if href := attributes.get("href"):
            assert href.startswith(("http://", "https://", "mailto:"))
            assert attributes["rel"] == "nofollow noopener noreferrer"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** _c_ ~~d~~", "<p>a <strong>b</strong> <em>c</em> <s>d</s></p>"),
        ("one\ntwo", "<p>one<br>\ntwo</p>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. a", '<ol start="3">\n<li>a</li>\n</ol>'),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>"),
        ("```python\na < b\n```", "<pre><code>a &lt; b\n</code></pre>"),
        ("<b>a</b> & c", "<p>&lt;b&gt;a&lt;/b&gt; &amp; c</p>"),
    ],
)
def test_people_get_what_they_wrote(text: str, html: str) -> None:
    assert markdown.to_html(text).strip() == html


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("[a](https://example.com/?x=1&y=2)", "https://example.com/?x=1&amp;y=2"),
        ("see https://example.com/a.", "https://example.com/a"),
        ("www.example.com", "http://www.example.com"),
        ("write to help@example.com", "mailto:help@example.com"),
    ],
)
def test_links_lead_out_without_telling_where_from(text: str, href: str) -> None:
    html = markdown.to_html(text)
    assert f'<a href="{href}" rel="nofollow noopener noreferrer">' in html


@pytest.mark.parametrize(
    "text",
    [
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](java\nscript:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](\x01javascript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](vbscript:x)",
        "[a](file:///etc/passwd)",
        "[a](/admin-panel/)",
        "[a](//evil.example/)",
        "<javascript:alert(1)>",
        "[a]: javascript:alert(1)\n\n[a]",
        '[a](https://b.example "onmouseover=alert(1)")',
        '[a](https://b.example/" onmouseover="alert(1))',
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "![a](https://tracker.example/a.png)",
        "![a](data:image/png;base64,AAAA)",
        "[![a](https://tracker.example/a.png)](javascript:alert(1))",
        '```"><script>alert(1)</script>\n```',
        "`<script>`",
        "<!--><script>alert(1)</script>-->",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    ],
)
def test_attacks_come_out_as_text(text: str) -> None:
    assert_harmless(markdown.to_html(text))


def test_an_image_is_a_link_to_it() -> None:
    html = markdown.to_html("![plan](https://example.com/plan.png)")
    assert "<img" not in html
    assert '<a href="https://example.com/plan.png"' in html


MARKUP = st.sampled_from(
    ["<script>", "javascript:", "](", "[", "![", "`", "```", "*", "_", "<", ">", '"', "'",
     "onerror=", "<a href=", "\n", "\n\n", "> ", "- ", "|", "&#x6a;", "https://", "&", "\\",
     "<img src=x ", "data:text/html,", "\t", "\x00", ")", "]:"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(MARKUP, st.text(max_size=8)), max_size=40).map("".join))
def test_nothing_anybody_writes_can_run(text: str) -> None:
    assert_harmless(markdown.to_html(text))
    markdown.to_text(text)


def fill(pattern: str) -> str:
    return (pattern * (markdown.MAX_LENGTH // len(pattern)))[: markdown.MAX_LENGTH]


@pytest.mark.parametrize(
    "pattern",
    ["[", "![", "[[a]", "*a_", "> ", "- ", "<", "`a", "|a|b|\n|-|-|\n", "http://a.",
     "https://a.b/(", "http://a. ", "a@b.", "((", "[a](", "&#", "~~a", "\\", "*a **a "],
)  # fmt: skip
def test_no_text_takes_long(pattern: str) -> None:
    text = fill(pattern)
    start = time.process_time()
    html = markdown.to_html(text)
    assert time.process_time() - start < 3
    assert_harmless(html)


def test_what_is_too_long_is_shown_as_it_is() -> None:
    text = "<b>" * markdown.MAX_LENGTH
    html = markdown.to_html(text)
    assert html.startswith("<pre>&lt;b&gt;")
    assert_harmless(html)
    assert markdown.to_text(text) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("# Hi\n\n**a** [b](https://c.example)", "Hi\na b"),
        ("- a\n- b", "a\nb"),
        ("a  \nb\nc", "a\nb\nc"),
        ("```\ncode\n```", "code"),
        ("`x < y` & <b>", "x < y & <b>"),
        ("", ""),
    ],
)
def test_plain_text_is_what_a_reader_reads(text: str, plain: str) -> None:
    assert markdown.to_text(text) == plain
