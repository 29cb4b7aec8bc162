"""Suppression lists as people and AWS write them: pasted lines and CSV files. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from email_settings.models import Suppression
from email_settings.suppression.rules import is_simulator
from ticketflow.errors import DomainError

Reason = Suppression.Reason

LARGEST_FILE = 1024 * 1024  # bytes
MOST_ROWS = 10_000
LONGEST_ADDRESS = 254  # RFC 5321
LONGEST_DETAIL = 1_000
HEADERS = ("EmailAddress", "Reason", "LastUpdateTime", "Detail")  # AWS has the first 3

# What spreadsheets take for the beginning of a formula, and the mark that we put before
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_ADDRESS_HEADERS = {"emailaddress", "email", "address", "recipient", "mail"}
_REASONS = {
    "bounce": Reason.BOUNCED,
    "complaint": Reason.COMPLAINED,
    **{reason.value: reason for reason in Reason if reason is not Reason.FAILING},
}
_YEARS = range(2000, 2200)


class UnreadableFileError(DomainError):
    """It is no list that can be read."""


@dataclass(frozen=True)
class NewEntry:
    """An address that shall get no mail, and why."""

    address: str
    reason: Suppression.Reason
    detail: str = ""
    happened_at: datetime | None = None


@dataclass(frozen=True)
class Wrong:
    """A line that can't be used."""

    line: int
    text: str
    why: str


@dataclass
class Reading:
    """What a list turned out to have, each address once."""

    entries: dict[str, NewEntry] = field(default_factory=dict)  # by lower case
    wrong: list[Wrong] = field(default_factory=list)
    repeated: int = 0  # lines whose address stood there before

    def take(self, line: int, address: str, entry: NewEntry) -> None:
        """Keep an entry, or why it is none."""
        if why := why_no_address(address):
            self.wrong.append(Wrong(line, address[:100], why))
        elif address.lower() in self.entries:
            self.repeated += 1
        else:
            self.entries[address.lower()] = entry


def why_no_address(address: str) -> str:
    """Say what is wrong with an address, "" when nothing is."""
    if len(address) > LONGEST_ADDRESS:
        return f"It is longer than {LONGEST_ADDRESS} characters."
    if "@" not in address:
        return "It has no @."
    try:
        EmailValidator()(address)
    except ValidationError:
        return "It is not an e-mail address."
    if is_simulator(address):
        return "It is Amazon’s mailbox simulator, which is never suppressed."
    return ""


def read_lines(text: str, *, reason: Suppression.Reason, detail: str = "") -> Reading:
    """Read addresses that were pasted, a line each; commas and semicolons part them, too."""
    reading = Reading()
    for number, line in enumerate(text.splitlines(), start=1):
        for piece in re.split(r"[,;\s]+", line):
            if address := piece.strip("<>\"'\u200b\ufeff"):
                reading.take(number, address, NewEntry(address, reason, detail))
    return reading


def read_file(content: bytes) -> Reading:
    """Read a CSV file: AWS's export, our own, or one column of addresses.

    Raises UnreadableFileError.
    """
    if len(content) > LARGEST_FILE:
        raise UnreadableFileError("The file is larger than 1 MB. Split it.")
    text = _decoded(content)
    if said := re.match(r"sep=(.)\s*\n", text):
        text = text[said.end() :]  # Excel's note to itself
    delimiter = said[1] if said else _delimiter(text)
    reading, columns = Reading(), None
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in rows:
            cells = [cell.strip(" \u200b") for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = _columns(cells)
                if columns.is_header:
                    continue
            _take_row(reading, rows.line_num, columns, cells)
    except csv.Error as error:
        raise UnreadableFileError(
            f"It is no CSV file: {error}, near line {rows.line_num}."
        ) from error
    if not reading.entries and not reading.wrong:
        raise UnreadableFileError("There is no address in the file.")
    return reading


def write_file(entries: Iterable[NewEntry]) -> Iterator[str]:
    """Yield the lines of a CSV file that read_file() reads as the same entries.

    What a spreadsheet would take for a formula has a ' before it.
    """
    line = io.StringIO()
    writer = csv.writer(line)

    def written(cells: Iterable[str]) -> str:
        writer.writerow(cells)
        text = line.getvalue()
        line.seek(0)
        line.truncate()
        return text

    yield "\ufeff" + written(HEADERS)
    for entry in entries:
        at = entry.happened_at.isoformat() if entry.happened_at else ""
        cells = (entry.address, entry.reason.value, at, entry.detail)
        yield written(_harmless(cell) for cell in cells)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _meant(cell: str) -> str:
    """Undo _harmless()."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


def _decoded(content: bytes) -> str:
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            "The file is not in UTF-8. In Excel, save it as “CSV UTF-8”."
        ) from error
    if "\0" in text:
        raise UnreadableFileError("It is no text file. Save the list as CSV.")
    return text


def _delimiter(text: str) -> str:
    """Return what parts the columns: in many countries Excel takes ; for it."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)


@dataclass(frozen=True)
class _Columns:
    address: int
    others: Mapping[str, int] = field(default_factory=dict)
    is_header: bool = False


def _columns(first: list[str]) -> _Columns:
    names = [re.sub(r"[^a-z]", "", cell.lower()) for cell in first]
    for number, name in enumerate(names):
        if name in _ADDRESS_HEADERS:
            others = {name: at for at, name in enumerate(names)}
            return _Columns(number, others, is_header=True)
    with_at = (number for number, cell in enumerate(first) if "@" in cell)
    return _Columns(next(with_at, 0))


def _take_row(reading: Reading, line: int, columns: _Columns, row: list[str]) -> None:
    if len(reading.entries) + len(reading.wrong) + reading.repeated >= MOST_ROWS:
        raise UnreadableFileError(f"It has more than {MOST_ROWS:,} rows. Split it.")

    def cell(name: str) -> str:
        at = columns.others.get(name, -1)
        return _meant(row[at]) if 0 <= at < len(row) else ""

    address = _meant(row[columns.address]) if columns.address < len(row) else ""
    reason = _REASONS.get(cell("reason").lower(), Reason.IMPORTED)
    detail = cell("detail")[:LONGEST_DETAIL]
    entry = NewEntry(address, reason, detail, _moment(cell("lastupdatetime")))
    reading.take(line, address, entry)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in _YEARS else None
