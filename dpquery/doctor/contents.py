"""What a file holds, as texts with their places: columns by their different values, anything else as it is written."""

from __future__ import annotations

import gzip
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpquery.numbers.in_text import DIGITS_MIN, E164_DIGITS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK: Final = 1 << 22
OVERLAP: Final = 256
"""Bytes that a chunk shares with the one before, so that nothing is cut in two."""
BATCH_ROWS: Final = 1 << 17
PACKED_MAX: Final = 1 << 30
"""Bytes that are unpacked of one file."""

SEALED: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "PDF",
}
"""First bytes of files whose text cannot be seen from outside, and what they are."""


@dataclass(frozen=True, slots=True)
class Text:
    """A stretch of a file's content."""

    text: str
    where: str
    """Column, or nothing for a file without."""
    row: Callable[[], int | None]
    """The first row with it, where rows are told; looked up only if it matters."""
    lines: int | None = None
    """Lines before it, in a file of lines."""


class Readable(Protocol):
    """Bytes to be read on."""

    def read(self, size: int, /) -> bytes: ...


class SealedError(Exception):
    """A file cannot be looked into; the text says why, and holds nothing of it."""


def texts_of(path: Path) -> Iterator[Text]:
    """Everything in the file at `path` that may be text. SealedError where that cannot be told."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        yield from parquet_texts(path)
    elif head.startswith(b"ARROW1"):
        with pa.memory_map(str(path)) as source:
            yield from _arrow_texts(pa.ipc.open_file(source).read_all())
    elif head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as unpacked:
            yield from stream_texts(unpacked)
    elif head.startswith(b"PK\x03\x04"):
        yield from _zip_texts(path)
    elif (kind := next((kind for start, kind in SEALED.items() if head.startswith(start)), None)) is not None:
        raise SealedError(f"it is {kind}")
    else:
        with path.open("rb") as file:
            yield from stream_texts(file)


def parquet_texts(path: Path, skipped: frozenset[str] = frozenset()) -> Iterator[Text]:
    """The different values of each column but those `skipped`, and what the file says of itself."""
    with pq.ParquetFile(path) as file:
        for key, value in (file.metadata.metadata or {}).items():
            yield Text(_decoded(key) + " " + _decoded(value), "metadata", _nowhere)
        for name in file.schema_arrow.names:
            yield Text(name, "the name of a column", _nowhere)
        for name in file.schema_arrow.names:
            if name not in skipped:
                batches = (batch.column(0) for batch in file.iter_batches(BATCH_ROWS, columns=[name]))
                yield from _column_texts(batches, name, partial(_row_in, path, name))


def _row_in(path: Path, name: str, found: pa.Scalar) -> int | None:
    before = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
            place = pc.index(batch.column(0), found).as_py()
            if place >= 0:
                return int(before + place + 1)
            before += batch.num_rows
    return None


def _row_among(column: pa.ChunkedArray, found: pa.Scalar) -> int | None:
    return int(pc.index(column, found).as_py()) + 1


def _arrow_texts(table: pa.Table) -> Iterator[Text]:
    for key, value in (table.schema.metadata or {}).items():
        yield Text(_decoded(key) + " " + _decoded(value), "metadata", _nowhere)
    for name in table.column_names:
        yield Text(name, "the name of a column", _nowhere)
        column = table.column(name)
        yield from _column_texts(iter(column.chunks), name, partial(_row_among, column))


def _column_texts(arrays: Iterator[pa.Array], name: str, row: Callable[[pa.Scalar], int | None]) -> Iterator[Text]:
    """The different values of a column that could be numbers."""
    known: pa.Array | None = None
    for array in arrays:
        values = _written(pc.unique(_flat(array)))
        if values is None:
            return
        values = values.filter(_promising(values))
        if known is not None and len(known):
            values = values.filter(pc.invert(pc.is_in(values, value_set=known)))
        known = values if known is None else pa.concat_arrays([known, values])
        for value in values:
            yield Text(_text(value), name, partial(_found, row, value))


def _found(row: Callable[[pa.Scalar], int | None], value: pa.Scalar) -> int | None:
    with suppress(pa.ArrowException):  # of nested values, and of those that were made text, the row is not told
        return row(value)
    return None


def _flat(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        array = array.flatten()
    if pa.types.is_struct(array.type) or pa.types.is_map(array.type):
        array = pa.array([str(value) for value in array.to_pylist()])
    return array


def _written(values: pa.Array) -> pa.Array | None:
    """Values that could stand for a number: texts, bytes, and whole numbers; None: none of their type can."""
    kind = values.type
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        values = values.cast(pa.float64())
        whole = pc.and_(pc.is_finite(values), pc.equal(values, pc.floor(values)))
        near = pc.less(pc.abs(values), float(10**E164_DIGITS_MAX))
        return values.filter(pc.fill_null(pc.and_(whole, near), fill_value=False)).cast(pa.int64())
    if any(is_one(kind) for is_one in _READABLE):
        return values
    return None


_READABLE: Final = (
    pa.types.is_integer,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
)


def _promising(values: pa.Array) -> pa.Array:
    """Which values have as many digits as numbers have."""
    if not pa.types.is_integer(values.type):
        return pc.is_valid(values)
    digits = pc.utf8_length(pc.utf8_ltrim(values.cast(pa.string()), "-"))
    fits = pc.and_(pc.greater_equal(digits, DIGITS_MIN), pc.less_equal(digits, E164_DIGITS_MAX))
    return pc.fill_null(fits, fill_value=False)


def _text(value: pa.Scalar) -> str:
    found = value.as_py()
    if isinstance(found, bytes):
        return _decoded(found)
    return str(abs(found)) if isinstance(found, int) else str(found)


def _nowhere() -> None:
    return None


def _zip_texts(path: Path) -> Iterator[Text]:
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > PACKED_MAX:
                raise SealedError("it unpacks to more than a gigabyte")
            for member in packed.infolist():
                yield Text(member.filename, "the name of a member", _nowhere)
                if not member.is_dir():
                    with packed.open(member) as file:
                        for text in stream_texts(file):
                            yield Text(text.text, "a member", _nowhere)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise SealedError(f"it cannot be unpacked ({type(error).__name__})") from None


def stream_texts(file: Readable) -> Iterator[Text]:
    """A stream of bytes as UTF-8, and as UTF-16 where it may be that."""
    tail, lines = b"", 0
    wide: bytes | None = None
    while chunk := file.read(CHUNK):
        wide = chunk[:2] if wide is None else wide
        data = tail + chunk
        if wide in {b"\xff\xfe", b"\xfe\xff"}:
            # It says that it is UTF-16. Chunks, and what they share, are whole pairs of bytes.
            kind = "utf-16-le" if wide == b"\xff\xfe" else "utf-16-be"
            yield Text(data.decode(kind, "replace"), "", _nowhere)
        yield Text(data.decode("utf-8", "replace"), "", _nowhere, lines - tail.count(b"\n"))
        if b"\0" in data:
            # Digits of UTF-16, from either end, with nothing between them.
            yield Text(data.replace(b"\0", b"").decode("latin-1"), "", _nowhere)
        lines += chunk.count(b"\n")
        tail = data[-OVERLAP:]


def _decoded(data: bytes) -> str:
    return data.decode("utf-8") if _is_utf8(data) else data.replace(b"\0", b"").decode("latin-1")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
