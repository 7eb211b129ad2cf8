"""Lists as people have them, line by line: each line is an entry, or has a fault that says why it is none."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple, TypeAlias, get_args

from dpquery.consent.records import EXPIRED, GIVEN, LIFTED, REFUSED, STATUSES
from dpquery.consent.wording import fault_of
from dpquery.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

ListFormat: TypeAlias = Literal["ftc-full", "ftc-change", "e164", "csv", "dpquery"]
FORMATS: Final[tuple[str, ...]] = get_args(ListFormat)

FIELDS: Final = (
    "phone", "purpose", "status", "basis", "effective_at", "expires_at", "source", "notice_version", "method",
)  # fmt: skip
"""The header of the format `dpquery`, and what the columns of a CSV can be mapped to."""

LINE_LENGTH_MAX: Final = 65_536
_PEEK: Final = 65_536
_DELIMITERS: Final = (",", ";", "\t", "|")
_ANSWERS: Final = {"opt-in": GIVEN, "opt-out": REFUSED, **{status: status for status in STATUSES}}
_FTC_FULL: Final = re.compile(r'\s*"?(\d{3})"?\s*,\s*"?(\d{7})"?\s*|\s*"?(\d{10})"?\s*')
_FLAGS: Final = {"A": REFUSED, "ADDED": REFUSED, "D": LIFTED, "DELETED": LIFTED}

BAD_ROW: Final = "bad_row"
"""A line that is no record of the format."""
BAD_VALUE: Final = "bad_value"
BAD_TIME: Final = "bad_time"
UNPARSED: Final = "unparsed_number"
WITHHELD: Final = "withheld"
"""A list names people, and a number that was not shown names nobody."""
REASONS: Final = (UNPARSED, WITHHELD, BAD_ROW, BAD_VALUE, BAD_TIME)
"""Why a line goes to quarantine."""


class Said(NamedTuple):
    """What a line says about its number. None: as the import says."""

    purpose: str | None = None
    status: str | None = None
    basis: str | None = None
    notice_version: str | None = None
    source: str | None = None
    method: str | None = None
    effective_at: datetime | None = None
    expires_at: datetime | None = None


class Entry(NamedTuple):
    """One line. It holds a number in the clear: it is never shown, and written to the quarantine only."""

    line: int
    """From 1."""
    text: str
    """As it came."""
    spelling: str
    said: Said
    fault: tuple[str, str] | None
    """One of REASONS, and about what."""


NOTHING_MORE: Final = Said()


@dataclass(frozen=True, slots=True)
class Shape:
    """How a list is read."""

    format: ListFormat
    columns: Mapping[str, str]
    """Of a CSV: our field and the file's column."""

    @classmethod
    def of(cls, form: str, columns: Mapping[str, str] | None) -> Shape:
        """UsageError for a format or a field that does not exist, or a map that does not fit the format."""
        if form not in FORMATS:
            raise UsageError("DPQ-002", f"there is no format {form[:20]!r}", fix="one of: " + ", ".join(FORMATS))
        if form != "csv" and columns:
            raise UsageError("DPQ-002", f"the columns of {form} are what they are", fix="--format csv")
        if form == "csv":
            unknown = [field for field in columns or {} if field not in FIELDS]
            if unknown or "phone" not in (columns or {}):
                why = f"{unknown[0][:20]!r} is no field of a statement" if unknown else "no column has the number"
                fix = "--map phone=COLUMN, and as far as there are columns: " + ", ".join(FIELDS[1:])
                raise UsageError("DPQ-002", why, fix=fix)
        return cls(form, dict(columns or {}))  # type: ignore[arg-type]  # it is one of FORMATS


class Digested(io.RawIOBase):
    """A stream that knows the digest of what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(memoryview(buffer)))
        if not isinstance(data, bytes):
            raise UsageError("DPQ-002", "a list is read from a stream of bytes", fix='open("list.txt", "rb")')
        self._hash.update(data)
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def digest(self) -> bytes:
        return self._hash.digest()


def entries(stream: io.RawIOBase, shape: Shape) -> Iterator[Entry]:
    """Every line that is not blank. DataError DPQ-505 for a column that is not there, DPQ-507 for what is no text."""
    buffered = io.BufferedReader(stream, _PEEK)
    text = io.TextIOWrapper(buffered, encoding=_encoding(buffered.peek(_PEEK)), errors="replace", newline=None)
    lines = _lines(text)
    match shape.format:
        case "ftc-full":
            yield from (_ftc_full(line, written) for line, written in lines)
        case "ftc-change":
            yield from (_ftc_change(line, written) for line, written in lines)
        case "e164":
            yield from (Entry(line, written, written.strip(), NOTHING_MORE, None) for line, written in lines)
        case _:
            yield from _separated(lines, shape)


def _encoding(start: bytes) -> str:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be cut off; anything before it is none of UTF-8's.
        if len(start) - error.start > 3:
            return "cp1252"
    return "utf-8-sig"


def _lines(text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    number = 0
    while line := text.readline(LINE_LENGTH_MAX + 1):
        number += 1
        if len(line) > LINE_LENGTH_MAX:
            raise DataError(
                "DPQ-507", f"line {number} is longer than {LINE_LENGTH_MAX} characters", fix="is it a list?"
            )
        if number == 1 and line.lstrip().startswith("<"):
            raise DataError(
                "DPQ-507", "that is XML, not lines of text", fix="the registry offers the list as text, too"
            )
        if line.strip():
            yield number, line.rstrip("\n")


def _faulty(line: int, written: str, reason: str, about: str) -> Entry:
    return Entry(line, written, "", NOTHING_MORE, (reason, about))


def _ftc_full(line: int, written: str) -> Entry:
    found = _FTC_FULL.fullmatch(written)
    if found is None:
        return _faulty(line, written, BAD_ROW, "not an area code and seven digits")
    area, local, whole = found.groups()
    return Entry(line, written, f"+1{whole or area + local}", NOTHING_MORE, None)


def _ftc_change(line: int, written: str) -> Entry:
    cells = [cell.strip().strip('"') for cell in written.split(",")]
    if len(cells) != 4 or not re.fullmatch(r"\d{3}", cells[0]) or not re.fullmatch(r"\d{7}", cells[1]):
        return _faulty(line, written, BAD_ROW, "not an area code, seven digits, a time and a flag")
    # Files differ in which of the two comes first.
    flag, when = (cells[2], cells[3]) if cells[2].upper() in _FLAGS else (cells[3], cells[2])
    status = _FLAGS.get(flag.upper())
    if status is None:
        return _faulty(line, written, BAD_VALUE, "neither added (A) nor deleted (D)")
    at = moment(when)
    if at is None:
        return _faulty(line, written, BAD_TIME, "the time of the change")
    return Entry(line, written, f"+1{cells[0]}{cells[1]}", Said(status=status, effective_at=at), None)


def moment(written: str) -> datetime | None:
    """A time as ISO 8601 writes it, in UTC where it names no zone; None if it is none."""
    try:
        found = datetime.fromisoformat(written.strip())
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _separated(lines: Iterator[tuple[int, str]], shape: Shape) -> Iterator[Entry]:
    first = next(lines, None)
    if first is None:
        return
    delimiter, place = _header(first[1], shape)
    width = len(_cells(first[1], delimiter) or ())
    read = _row_reader(place)
    for line, written in lines:
        cells = _cells(written, delimiter)
        if cells is None or len(cells) != width:
            yield _faulty(line, written, BAD_ROW, "not a record of the file's columns")
        else:
            yield read(line, written, cells)


def _cells(written: str, delimiter: str) -> list[str] | None:
    """The cells of one line; None for a quote that does not end: it must not swallow the lines behind it."""
    try:
        return next(csv.reader([written], delimiter=delimiter, strict=True), None)
    except csv.Error:
        return None


def _header(written: str, shape: Shape) -> tuple[str, dict[str, int]]:
    """The delimiter under which the header has every wanted column, and where each field stands."""
    best: tuple[int, str] = (-1, "")
    for delimiter in _DELIMITERS:
        names = [name.strip() for name in _cells(written, delimiter) or ()]
        wanted = shape.columns or {name: name for name in dict.fromkeys(("phone", *names))}
        missing = [column for column in wanted.values() if names.count(column) != 1]
        unknown = [] if shape.columns else [name for name in names if name not in FIELDS]
        if not missing and not unknown:
            return delimiter, {field: names.index(column) for field, column in wanted.items()}
        if len(names) > best[0]:
            best = (len(names), missing[0] if missing and shape.columns else "")
    if shape.columns:
        why = f"the file has no column {best[1]!r}, or has it twice"
        raise DataError("DPQ-505", why, fix="name the columns of its first line: --map phone=COLUMN,...")
    why = "the first line is not the header of this format, or names a column that it has not"
    raise DataError("DPQ-505", why, fix=",".join(FIELDS))


def _row_reader(place: Mapping[str, int]) -> Callable[[int, str, list[str]], Entry]:
    phone = place["phone"]
    words = [(field, place[field]) for field in ("basis", "notice_version", "source", "method") if field in place]
    times = [(field, place[field]) for field in ("effective_at", "expires_at") if field in place]
    purpose_at, status_at = place.get("purpose"), place.get("status")

    def read(line: int, written: str, cells: list[str]) -> Entry:
        purpose, status = None, None
        if purpose_at is not None:
            purpose = cells[purpose_at].strip()
            if not purpose:
                return _faulty(line, written, BAD_VALUE, "no purpose")
        if status_at is not None:
            status = _ANSWERS.get(cells[status_at].strip().lower())
            if status is None:
                return _faulty(line, written, BAD_VALUE, "status")
        found: dict[str, str | None] = {}
        for field, at in words:
            found[field] = cells[at].strip() or None
            if found[field] is not None and fault_of(found[field] or "") is not None:
                return _faulty(line, written, BAD_VALUE, field)
        moments: dict[str, datetime | None] = {}
        for field, at in times:
            moments[field] = moment(cells[at]) if cells[at].strip() else None
            if moments[field] is None and cells[at].strip():
                return _faulty(line, written, BAD_TIME, field)
        if moments.get("expires_at") is not None and status in {LIFTED, EXPIRED}:
            return _faulty(line, written, BAD_VALUE, "what says nothing does not expire")
        return Entry(line, written, cells[phone], Said(purpose, status, **found, **moments), None)  # type: ignore[arg-type]

    return read
