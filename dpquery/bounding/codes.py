"""Batches of integer codes: what a bounding kernel accepts, checked before any compiled loop runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from dpquery.errors import ensure

if TYPE_CHECKING:
    from collections.abc import Iterable

Codes: TypeAlias = npt.NDArray[np.int32]
"""Owners: a protected number's dense code, or negative for nobody. Cells: a group key's index, or negative for none."""
Lots: TypeAlias = npt.NDArray[np.uint32]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

CODES_MAX = 2**31 - 1
"""Largest count of numbers or cells: codes are int32."""
ROWS_MAX = 2**31 - 1
"""Most rows in one query: with values below 2**31 in size every total stays within 2**62."""
VALUE_MAX = 2**31
"""Largest size of a value on its integer grid."""


def column(array: npt.NDArray[Scalar], dtype: type[Scalar], rows: int, name: str) -> npt.NDArray[Scalar]:
    """Give `array` as one aligned, contiguous, read-only column of `rows` values, without copying where it is one.

    Read-only, because Arrow hands out read-only memory and a kernel then needs compiling for that type alone.
    """
    ensure(isinstance(array, np.ndarray), f"{name} is a numpy array")
    ensure(array.dtype == np.dtype(dtype), f"{name} has type {np.dtype(dtype)}")
    ensure(array.shape == (rows,), f"{name} has one value per row")
    plain = np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"]).view()
    plain.flags.writeable = False
    return plain


def codes(array: Codes, count: int, rows: int, name: str) -> Codes:
    """Give `array` as a column of codes below `count`; negative codes mean nobody or no cell."""
    plain = column(array, np.int32, rows, name)
    ensure(rows == 0 or int(plain.max()) < count, f"{name} codes are below their count")
    return plain


def count_of(value: int, least: int, name: str) -> int:
    ensure(isinstance(value, int), f"{name} is an integer")
    ensure(least <= value <= CODES_MAX, f"{name} lies between {least} and {CODES_MAX}")
    return value


def within(parts: Iterable[int], whole: int) -> bool:
    return all(0 <= part <= whole for part in parts)


def by_rows(rows_of: npt.NDArray[np.integer[Any]], most: int) -> Integers:
    """How many of the numbers have 1, 2, ... rows; the last of the `most` counts those with more, too."""
    found = np.bincount(np.minimum(rows_of, count_of(most, 1, "most")), minlength=most + 1)[1:]
    return found.astype(np.int64, copy=False)
