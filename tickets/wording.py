"""What people may write, and how it is kept: checked, cleaned, shortened."""

import unicodedata

from ticketflow.errors import DomainError
from ticketflow.lib import markdown

MAX_SUBJECT_LENGTH = 150  # characters
MAX_BODY_LENGTH = 50_000  # characters
SNIPPET_LENGTH = 160  # characters


class WordingError(DomainError):
    """Words that can't be taken: too few or too many."""


def subject(text: str) -> str:
    """Return the subject as one line. Raises WordingError when empty or too long.

    Controls and line ends become blanks: a subject goes into mail headers.
    """
    line = one_line(text)
    if not line:
        raise WordingError("The summary is empty. Say in a few words what it is about.")
    if len(line) > MAX_SUBJECT_LENGTH:
        raise WordingError(
            f"The summary has {len(line)} characters, up to {MAX_SUBJECT_LENGTH} fit. "
            "Put the details into the text below it."
        )
    return line


def one_line(text: str) -> str:
    """Return the text with every control, line end and row of blanks as one blank."""
    return " ".join(
        "".join(" " if _breaks_lines(sign) else sign for sign in text).split()
    )


def body(text: str) -> str:
    """Return the text with plain line ends. Raises WordingError if empty or too long."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    clean = "".join(sign for sign in lines if sign in "\n\t" or not _breaks_lines(sign))
    # Blanks at the very beginning stay: they may mean code.
    clean = clean.rstrip().lstrip("\n")
    if not clean:
        raise WordingError("The text is empty. Write what there is to say.")
    if len(clean) > MAX_BODY_LENGTH:
        raise WordingError(
            f"The text has {len(clean):,} characters, up to {MAX_BODY_LENGTH:,} fit. "
            "Attach the long part as a file."
        )
    return clean


def snippet(text: str) -> str:
    """Return the beginning of the Markdown as one line of plain text."""
    line = " ".join(markdown.to_text(text[: SNIPPET_LENGTH * 10]).split())
    if len(line) <= SNIPPET_LENGTH:
        return line
    return line[: SNIPPET_LENGTH - 1].rstrip() + "…"


def _breaks_lines(sign: str) -> bool:
    """Controls (NUL among them), lone surrogates, line and paragraph separators."""
    return unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"}
