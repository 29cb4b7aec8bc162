"""Looks for a secret in everything that was left behind, however it was written down."""

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connection


def encodings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield the ways in which the secret may have been written, with their names."""
    plain = secret.encode()
    yield "plain", plain
    for shift in range(3):
        yield f"base64 at {shift}", _inside(base64.b64encode, plain, shift)
        yield f"base64url at {shift}", _inside(base64.urlsafe_b64encode, plain, shift)
    yield "URL", quote(secret, safe="").encode()
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    yield "JSON", json.dumps(secret)[1:-1].replace("/", r"\/").encode()
    yield "JSON by number", "".join(f"\\u{ord(one):04x}" for one in secret).encode()
    yield "reversed", plain[::-1]


def _inside(encode: Any, plain: bytes, shift: int) -> bytes:
    """Return the characters that depend on the secret alone, so many bytes behind others."""
    begin = -(-shift * 8 // 6)
    end = (shift + len(plain)) * 8 // 6
    encoded: bytes = encode(bytes(shift) + plain)
    return encoded[begin:end]


class Traces:
    """All that was seen, as bytes, with where."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, bytes]] = []

    def add(self, where: str, what: object) -> None:
        content = what if isinstance(what, bytes) else str(what).encode()
        self._seen.append((where, content))

    def places_of(self, secret: str) -> set[str]:
        """Return where the secret is, and how it is written there."""
        wanted = list(encodings(secret))
        return {
            f"{where} ({name})"
            for where, content in self._seen
            for name, needle in wanted
            if needle in content
        }

    def add_database(self) -> None:
        """See every value of every column, and the files of SQLite."""
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  # a table of ours
                for row in cursor.fetchall():
                    for value in row:
                        self.add(f"table {table}", _as_bytes(value))
        if connection.vendor == "sqlite":
            name = str(connection.settings_dict["NAME"])
            for path in Path(name).parent.glob(f"{Path(name).name}*"):
                self.add(f"file {path.suffix}", path.read_bytes())


def _as_bytes(value: object) -> object:
    return bytes(value) if isinstance(value, bytes | memoryview) else value


class TraceHandler(logging.Handler):
    """Sees every line of the log as it would be written, with its traceback."""

    def __init__(self, traces: Traces) -> None:
        super().__init__(logging.DEBUG)
        self.traces = traces
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.traces.add(f"log {record.name}", self.format(record))
        self.traces.add(f"arguments of log {record.name}", repr(record.args))
