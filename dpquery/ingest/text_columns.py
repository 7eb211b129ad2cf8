"""Arrow columns of any source type as text, and text as the bytes that compiled loops read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.errors import DataError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Ints = np.ndarray[Any, np.dtype[np.int32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def is_text(column: pa.Array) -> bool:
    """Whether the column came as text (a CSV always does)."""
    return bool(pa.types.is_string(column.type))


def as_text(column: pa.Array) -> pa.Array:
    """Every value as a CSV would hold it; NULL becomes the empty text."""
    kind = column.type
    if pa.types.is_string(kind):
        text = column
    elif pa.types.is_floating(kind):
        text = _floats_as_text(column)
    else:
        text = pc.cast(column, pa.string())
    return pc.fill_null(text, "")


def plain(column: pa.Array, name: str) -> tuple[pa.Array, Flags | None]:
    r"""`column` as text or as a simple Arrow type, and which values were not UTF-8 (None: all were).

    Damaged text is kept readable, with its damaged bytes written as `\xNN`. DataError DPQ-507 for lists and the like.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_null(kind):
        return pa.array([""] * len(column), pa.string()), None
    if _is_texty(kind):
        return _checked_text(column)
    if pa.types.is_nested(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind):
        raise DataError(
            "DPQ-507", f"the column {name} holds values of type {kind}, which is not text, a number or a time"
        )
    return column, None


def text_bytes(text: pa.Array) -> tuple[Bytes, Ints]:
    """The bytes of a text column without NULLs and the offsets of its values."""
    _, offsets, data = text.buffers()
    count = len(text)
    if offsets is None or count == 0:
        return np.empty(0, np.uint8), np.zeros(count + 1, np.int32)
    bounds = np.frombuffer(offsets, np.int32)[text.offset : text.offset + count + 1]
    content = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return content, bounds


def text_objects(text: pa.Array) -> list[Any]:
    """The values as Python text."""
    objects: list[Any] = text.to_numpy(zero_copy_only=False).tolist()
    return objects


def _is_texty(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def _checked_text(column: pa.Array) -> tuple[pa.Array, Flags | None]:
    # Text columns of Parquet and Arrow files are not checked by their readers either.
    raw = pc.cast(column, pa.binary())
    try:
        return pc.cast(raw, pa.string()), None
    except pa.ArrowInvalid:
        values = raw.to_pylist()
    texts, damaged = [], np.zeros(len(values), np.bool_)
    for index, value in enumerate(values):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(value.decode("utf-8", "backslashreplace"))
            damaged[index] = True
    return pa.array(texts, pa.string()), damaged


def _floats_as_text(column: pa.Array) -> pa.Array:
    # Programs that have no NULL for integers hold them as floats; "447700900123.0" and "4.477e+11" are no numbers.
    values = pc.cast(column, pa.float64()).to_pylist()
    return pa.array([None if v is None or math.isnan(v) else _float_as_text(v) for v in values], pa.string())


def _float_as_text(value: float) -> str:
    return str(int(value)) if abs(value) < 2**63 and value == int(value) else repr(value)
