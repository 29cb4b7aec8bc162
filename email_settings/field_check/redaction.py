"""Takes out of AWS's words whatever says whose account it is."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

# In this order: what is longer first.
_PATTERNS: list[tuple[re.Pattern[str], str]] = [
    # arn:aws:ses:eu-west-1:123456789012:identity/example.com keeps its shape only
    (
        re.compile(r"(arn:[\w-]+:[\w-]+:[\w-]*:)[^:\s]*:([a-z-]+)[/:][^\s'`\",;)]+"),
        r"\1<account>:\2/<name>",
    ),
    (
        re.compile(r"arn:([\w-]+):([\w-]+):([\w-]*):(?!<account>)[^\s'`\",;)]+"),
        r"arn:\1:\2:\3:<name>",
    ),
    (re.compile(r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{4,}\b"), "<key id>"),
    (re.compile(r"[^\s<>'\"`(),;:]+@[^\s<>'\"`(),;:]+"), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{18,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"[A-Za-z0-9/+=_-]{32,}"), "<token>"),
    (re.compile(r"(?<![\w-])\d{12}(?![\w-])"), "<account>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<ip>"),
]
_HOST = re.compile(r"\b(?:[\w-]+\.)+[a-z]{2,}\b", re.IGNORECASE)
_OF_AWS = (".amazonaws.com", ".amazonses.com", ".amazonaws.com.cn", ".amazonaws.eu")
# Words that AWS chooses, like PENDING or MESSAGE_REJECTED
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]{1,40}")


class Redactor:
    """Masks values that are known, and then all that looks like such a value."""

    def __init__(self, known: Iterable[str]) -> None:
        """`known` are names, addresses and keys of this installation; "" is none."""
        # The longest first: a domain is part of its address.
        values = sorted({value for value in known if len(value) > 2}, key=len)
        self._known = [
            re.compile(re.escape(value), re.IGNORECASE) for value in reversed(values)
        ]

    def words(self, text: str) -> str:
        """Return a sentence of AWS's without what is private in it."""
        for pattern, mask in _PATTERNS:
            text = pattern.sub(mask, text)
        for known in self._known:
            text = known.sub("<private>", text)
        return _HOST.sub(_host, text)

    def shape(self, value: Any) -> Any:
        """Return an answer with its names, numbers and constants; no other text."""
        if isinstance(value, dict):
            return {str(name): self.shape(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.shape(part) for part in value[:1]]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return value
        if isinstance(value, datetime):
            return "<time>"
        is_known = any(known.fullmatch(str(value)) for known in self._known)
        if _CONSTANT.fullmatch(str(value)) and not is_known:
            return self.words(str(value))
        return "<text>" if value else ""


def _host(found: re.Match[str]) -> str:
    return found[0] if found[0].endswith(_OF_AWS) else "<domain>"
