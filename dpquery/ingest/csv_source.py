"""CSV files as batches, in bounded memory."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from dpquery.errors import DataError
from dpquery.ingest.batches import BadLine, SourceBatch
from dpquery.ingest.csv_split import RECORD_BYTES_MAX, Records, gather, split
from dpquery.ingest.mapping import clean_name, places
from dpquery.ingest.text_columns import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DELIMITERS = (",", ";", "\t", "|")
BUFFER_BYTES = 1 << 25

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class CsvSource:
    """One CSV file with a header line."""

    path: Path
    wanted: tuple[str, ...]
    header: tuple[str, ...]
    delimiter: str
    body: int
    """Where the first line after the header begins, in bytes."""
    buffer_bytes: int = BUFFER_BYTES

    @classmethod
    def open(cls, path: Path, wanted: Sequence[str], *, buffer_bytes: int = BUFFER_BYTES) -> CsvSource:
        """Read and check the header. DataError DPQ-505: a wanted column is missing; DPQ-507: there is no header."""
        with path.open("rb") as file:
            line, body = _first_line(file, path.name)
        delimiter, header = _best_reading(line, wanted, path.name)
        places(wanted, header, path.name)
        return cls(path, tuple(wanted), tuple(header), delimiter, body, buffer_bytes)

    @property
    def name(self) -> str:
        return self.path.name

    def batches(self) -> Iterator[SourceBatch]:
        wanted = np.full(len(self.header), -1, np.int32)
        wanted[list(places(self.wanted, self.header, self.name))] = np.arange(len(self.wanted), dtype=np.int32)
        buffer = np.empty(max(self.buffer_bytes, 2 * RECORD_BYTES_MAX), np.uint8)
        kept, row = 0, 1
        with self.path.open("rb") as file:
            file.seek(self.body)
            while True:
                size = kept + file.readinto(memoryview(buffer)[kept:])  # type: ignore[arg-type]
                final = size == kept
                records = split(
                    buffer,
                    size,
                    final=final,
                    full=size == len(buffer),
                    delimiter=ord(self.delimiter),
                    wanted=wanted,
                    columns=len(self.wanted),
                    first_row=row,
                )
                found = len(records.rows) + len(records.bad_rows)
                if found:
                    yield self._batch(buffer, records)
                row += found
                if final:
                    return
                kept = size - records.consumed
                buffer[:kept] = buffer[records.consumed : size].copy()

    def _batch(self, buffer: np.ndarray[Any, np.dtype[np.uint8]], records: Records) -> SourceBatch:
        columns, damaged = {}, None
        for index, name in enumerate(self.wanted):
            offsets, data = gather(buffer, records, index)
            raw = pa.Array.from_buffers(
                pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
            )
            columns[name], faults = plain(raw, name)
            if faults is not None:
                damaged = faults if damaged is None else damaged | faults
        bad = tuple(
            BadLine(row, bytes(buffer[start:end]).decode("utf-8", "backslashreplace"))
            for row, (start, end) in zip(records.bad_rows.tolist(), records.bad.tolist(), strict=True)
        )
        return SourceBatch(columns, records.rows, damaged, bad)


def _first_line(file: BinaryIO, name: str) -> tuple[str, int]:
    start = file.read(RECORD_BYTES_MAX)
    if start[:2] in _UTF16_MARKS:
        raise DataError("DPQ-507", f"{name} is UTF-16, not UTF-8", fix=f"iconv -f UTF-16 -t UTF-8 {name}")
    begin = 3 if start[:3] == b"\xef\xbb\xbf" else 0
    while start[begin : begin + 1] in (b"\n", b"\r"):
        begin += 1
    ends = [end for end in (start.find(b"\n", begin), start.find(b"\r", begin)) if end >= 0]
    end = min(ends, default=len(start))
    line = start[begin:end]
    if not line or (not ends and len(start) == RECORD_BYTES_MAX):
        raise DataError("DPQ-507", f"{name} has no header line", fix="put the names of its columns on the first line")
    return line.decode("utf-8", "backslashreplace"), end


def _best_reading(line: str, wanted: Sequence[str], name: str) -> tuple[str, list[str]]:
    """The delimiter with which the header has most of the wanted columns; the comma, if it does as well as others."""
    readings = [(delimiter, _fields(line, delimiter, name)) for delimiter in DELIMITERS]
    return max(readings, key=lambda reading: len(set(wanted) & {clean_name(field) for field in reading[1]}))


def _fields(line: str, delimiter: str, name: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, StopIteration):
        raise DataError("DPQ-507", f"the header line of {name} cannot be read as CSV") from None
