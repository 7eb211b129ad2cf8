r"""Bytes of CSV to records and fields: total, so that no damage stops it and no byte of a record is lost.

RFC 4180, with `\n`, `\r\n` or `\r` as line ends; blank lines are no records. What is not a record with the right
number of fields costs its first line only: reading goes on at the next line, so that a stray quote swallows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD_BYTES_MAX: Final = 1 << 16
"""A record that is longer is damaged."""

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Ints = np.ndarray[Any, np.dtype[np.int32]]
Longs = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_LF, _CR, _QUOTE = 10, 13, 34


@dataclass(frozen=True, slots=True)
class Records:
    """Records found in a buffer. First index: the wanted column; second: the record."""

    starts: Ints
    ends: Ints
    escaped: Flags
    """Whether the field holds doubled quotes."""
    rows: Longs
    """Row number of each record, counted with the damaged ones."""
    bad: Ints
    """Start and end of each damaged line."""
    bad_rows: Longs
    consumed: int
    """Bytes of the buffer that need not be shown again."""


def split(
    buffer: Bytes, size: int, *, final: bool, full: bool, delimiter: int, wanted: Ints, columns: int, first_row: int
) -> Records:
    """Records in the first `size` bytes of `buffer`.

    `wanted`: for each field of the file, its column in the result or -1. `final`: the file ends here. `full`: the
    buffer cannot grow, so that what does not fit is damaged. The first record is row `first_row`.
    """
    part = buffer[:size]
    capacity = int(np.count_nonzero(part == _LF)) + int(np.count_nonzero(part == _CR)) + 1
    starts = np.empty((columns, capacity), np.int32)
    ends = np.empty((columns, capacity), np.int32)
    escaped = np.zeros((columns, capacity), np.bool_)
    rows = np.empty(capacity, np.int64)
    bad = np.empty((capacity, 2), np.int32)
    bad_rows = np.empty(capacity, np.int64)
    good, failed, consumed = _split(
        part, final, full, delimiter, wanted, first_row, starts, ends, escaped, rows, bad, bad_rows
    )
    return Records(
        starts[:, :good], ends[:, :good], escaped[:, :good], rows[:good], bad[:failed], bad_rows[:failed], consumed
    )


def gather(buffer: Bytes, records: Records, column: int) -> tuple[Ints, Bytes]:
    """The values of one column, as offsets and bytes, doubled quotes made single."""
    starts, ends = records.starts[column], records.ends[column]
    offsets = np.zeros(len(starts) + 1, np.int32)
    data = np.empty(int((ends - starts).sum()), np.uint8)
    size = _gather(buffer, starts, ends, records.escaped[column], offsets, data)
    return offsets, data[:size]


def _split_loop(  # noqa: PLR0917 - compiled loops take their arrays by position
    buffer: Any,
    final: Any,
    full: Any,
    delimiter: Any,
    wanted: Any,
    first_row: Any,
    starts: Any,
    ends: Any,
    escaped: Any,
    rows: Any,
    bad: Any,
    bad_rows: Any,
) -> Any:
    size = len(buffer)
    fields = len(wanted)
    row = first_row
    good = 0
    failed = 0
    position = 0
    while position < size:
        if buffer[position] == _LF or buffer[position] == _CR:
            position += 1
            continue
        begin = position
        place = position
        field = 0
        state = 0  # 0 reading, 1 whole, 2 damaged, 3 goes on behind the buffer
        while state == 0:
            doubled = False
            if place < size and buffer[place] == _QUOTE:
                start = place + 1
                end = start
                closed = False
                while end < size and end - begin <= RECORD_BYTES_MAX:
                    if buffer[end] == _QUOTE:
                        if end + 1 < size and buffer[end + 1] == _QUOTE:
                            doubled = True
                            end += 2
                            continue
                        closed = end + 1 < size or final
                        break
                    end += 1
                place = end + 1
                if not closed:
                    state = 3 if end - begin <= RECORD_BYTES_MAX and not final else 2
                elif place < size and buffer[place] != delimiter and buffer[place] != _LF and buffer[place] != _CR:
                    state = 2
            else:
                start = place
                while place < size and buffer[place] != delimiter and buffer[place] != _LF and buffer[place] != _CR:
                    place += 1
                end = place
                if place - begin > RECORD_BYTES_MAX:
                    state = 2
                elif place >= size and not final:
                    state = 3
            if state == 0:
                if field < fields and wanted[field] >= 0:
                    starts[wanted[field], good] = start
                    ends[wanted[field], good] = end
                    escaped[wanted[field], good] = doubled
                field += 1
                if place >= size or buffer[place] == _LF or buffer[place] == _CR:
                    state = 1 if field == fields else 2
                else:
                    place += 1
        if state == 3 and not (full and begin == 0):
            return good, failed, begin
        if state == 1:
            rows[good] = row
            good += 1
        else:
            place = begin
            while place < size and buffer[place] != _LF and buffer[place] != _CR:
                place += 1
            if place >= size and not final and not (full and begin == 0):
                return good, failed, begin
            bad[failed, 0] = begin
            bad[failed, 1] = place
            bad_rows[failed] = row
            failed += 1
        row += 1
        position = place
    return good, failed, size


def _gather_loop(  # noqa: PLR0917 - compiled loops take their arrays by position
    buffer: Any, starts: Any, ends: Any, escaped: Any, offsets: Any, data: Any
) -> Any:
    size = 0
    for index in range(len(starts)):
        place = starts[index]
        end = ends[index]
        if escaped[index]:
            while place < end:
                data[size] = buffer[place]
                size += 1
                place += 2 if buffer[place] == _QUOTE else 1
        else:
            for byte in range(place, end):
                data[size] = buffer[byte]
                size += 1
        offsets[index + 1] = size
    return size


_split: Callable[..., tuple[int, int, int]] = njit(cache=True, nogil=True)(_split_loop)
_gather: Callable[..., int] = njit(cache=True, nogil=True)(_gather_loop)
