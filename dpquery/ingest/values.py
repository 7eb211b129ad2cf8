"""Declared columns: values of any source to the declared type. Total: what cannot be read is marked, never raised."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.ingest.coarse import coarsened
from dpquery.ingest.parse_loops import BAD, NULL, SLOW, read_decimals, read_integers
from dpquery.ingest.text_columns import as_text, text_bytes
from dpquery.ingest.zones import DAY_US

if TYPE_CHECKING:
    from dpquery.ingest.times import TimeReader
    from dpquery.policy import Column

Flags = np.ndarray[Any, np.dtype[np.bool_]]

TEXT_BYTES_MAX: Final = 1000
"""Longest text that is stored, in bytes. Texts are keys and labels; what is longer is content."""

ARROW_TYPES: Final = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
"""How each type of the policy is stored."""

_TRUE: Final = pa.array(["true", "t", "yes", "y", "1", "1.0"])
_FALSE: Final = pa.array(["false", "f", "no", "n", "0", "0.0"])
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)
"""Days that are read as dates."""
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Values:
    """A column of values; NULL where there was none, or where it was bad."""

    values: pa.Array
    bad: Flags


def read_column(column: pa.Array, declared: Column, times: TimeReader, grain: str | float | None) -> Values:
    """`column` as the declared type, at the grain that it is stored at; an empty text is NULL."""
    read = _read(column, declared, times)
    return Values(coarsened(read.values, grain), read.bad)


def _read(column: pa.Array, declared: Column, times: TimeReader) -> Values:
    match declared.type:
        case "text":
            return read_text(column)
        case "integer":
            return read_integer(column)
        case "decimal":
            return read_decimal(column)
        case "boolean":
            return read_boolean(column)
        case "date":
            return _read_date(column, times)
        case "timestamp":
            return _read_timestamp(column, times)
        case _:
            assert_never(declared.type)


def read_text(column: pa.Array) -> Values:
    """Text without spaces around it, on one line: a runaway quote in a CSV must not store other rows' numbers."""
    text = pc.utf8_trim_whitespace(as_text(column))
    bad = _flags(pc.greater(pc.binary_length(text), TEXT_BYTES_MAX))
    data, _ = text_bytes(text)
    if ((data < 32) | (data == 127)).any():  # look at each value only if some value has one
        bad |= _flags(pc.match_substring_regex(text, r"[\x00-\x1f\x7f]"))
    return _values(text, _flags(pc.equal(text, "")), bad)


def read_integer(column: pa.Array) -> Values:
    """64-bit integers; "3.0" is one, as programs without a NULL for integers write them."""
    kind = column.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return _values(pc.cast(column, pa.int64()), None, None)
    if pa.types.is_floating(kind):
        return _whole_floats(column)
    text = as_text(column)
    data, offsets = text_bytes(text)
    values, status = np.empty(len(text), np.int64), np.empty(len(text), np.uint8)
    read_integers(data, offsets, values, status)
    return _values(values, status == NULL, status == BAD)


def read_decimal(column: pa.Array) -> Values:
    """Double precision; what is not finite is NULL."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        numbers = pc.cast(column, pa.float64(), safe=False)
        values = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
        return _values(np.where(np.isfinite(values), values, 0.0), ~np.isfinite(values), None)
    text = as_text(column)
    data, offsets = text_bytes(text)
    values, status = np.empty(len(text), np.float64), np.empty(len(text), np.uint8)
    read_decimals(data, offsets, values, status)
    missing, bad = status == NULL, status == BAD
    for index in np.flatnonzero(status == SLOW).tolist():
        word = text[index].as_py().strip()
        if _DECIMAL.fullmatch(word) is not None and np.isfinite(float(word)):
            values[index] = float(word)
        else:
            known = _DECIMAL.fullmatch(word) is not None or _NOT_FINITE.fullmatch(word) is not None
            missing[index], bad[index] = known, not known
    return _values(values, missing, bad)


def read_boolean(column: pa.Array) -> Values:
    """True and false in the words that programs write."""
    if pa.types.is_boolean(column.type):
        return _values(column, None, None)
    text = pc.utf8_lower(pc.utf8_trim_whitespace(as_text(column)))
    true = _flags(pc.is_in(text, value_set=_TRUE))
    empty = _flags(pc.equal(text, ""))
    return _values(true, empty, ~(true | empty | _flags(pc.is_in(text, value_set=_FALSE))))


def _read_date(column: pa.Array, times: TimeReader) -> Values:
    if pa.types.is_date(column.type):
        days = pc.cast(column, pa.date32())
        # An engine cannot turn every date that a file can hold into a time, so the calendar ends where times do.
        known = pc.and_(pc.greater_equal(days, pa.scalar(FIRST_DAY)), pc.less_equal(days, pa.scalar(LAST_DAY)))
        return _values(days, None, _flags(pc.invert(pc.fill_null(known, True))))
    # A date is a day of the calendar and has no zone: read as if at midnight in UTC.
    read = times.read(column)
    whole = read.micros % DAY_US == 0
    days = (read.micros // DAY_US).astype(np.int32)
    return _values(pa.array(days, pa.int32()).cast(pa.date32()), read.missing, read.bad | ~whole)


def _read_timestamp(column: pa.Array, times: TimeReader) -> Values:
    read = times.read(column)
    return _values(pa.array(read.micros, pa.int64()).cast(pa.timestamp("us")), read.missing, read.bad)


def _whole_floats(column: pa.Array) -> Values:
    values = pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    fits = (np.abs(np.where(missing, 0.0, values)) < 2.0**63) & (np.floor(values) == values)
    return _values(np.where(fits, values, 0.0).astype(np.int64), missing, ~fits & ~missing)


def _values(values: Any, missing: Flags | None, bad: Flags | None) -> Values:
    """`values` with NULL where missing or bad."""
    count = len(values)
    bad = np.zeros(count, np.bool_) if bad is None else bad
    hidden = bad if missing is None else bad | missing
    array = values if isinstance(values, pa.Array) else pa.array(values)
    if hidden.any():
        array = pc.if_else(pa.array(hidden), pa.scalar(None, array.type), array)
    return Values(array, bad & ~missing if missing is not None else bad)


def _flags(column: pa.Array) -> Flags:
    flags: Flags = column.to_numpy(zero_copy_only=False).astype(np.bool_)
    return flags
