"""Texts to integers, decimals and times, one compiled loop each: total, the same on every machine.

Each loop reads the bytes between neighbours in `offsets` and writes a value and a status; spaces around a value do
not count. Nothing here knows columns or policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

OK: Final = 0
OK_UTC: Final = 1
"""A time that named its offset; the value is in UTC."""
NULL: Final = 2
BAD: Final = 3
SLOW: Final = 4
"""A decimal that this loop leaves to others."""

_EXACT_DIGITS: Final = 15
_EXACT_POWER: Final = 22
_DAY_US: Final = 86_400_000_000
_YEAR_FIRST, _YEAR_LAST = 1900, 2999


def _integers_loop(data: Any, offsets: Any, values: Any, status: Any) -> None:
    """`[+-]digits[.000]` within 64 bits."""
    for index in range(len(offsets) - 1):
        place, end = offsets[index], offsets[index + 1]
        while place < end and (data[place] == 32 or data[place] == 9):
            place += 1
        while end > place and (data[end - 1] == 32 or data[end - 1] == 9):
            end -= 1
        values[index] = 0
        if place == end:
            status[index] = NULL
            continue
        negative = data[place] == 45
        if data[place] == 45 or data[place] == 43:
            place += 1
        value = np.int64(0)
        digits = 0
        fits: Any = True
        while place < end and 48 <= data[place] <= 57:
            digit = np.int64(data[place]) - 48
            fits = fits and value <= (9223372036854775807 - digit) // 10
            if fits:
                value = value * 10 + digit
            digits += 1
            place += 1
        if place < end and data[place] == 46:
            place += 1
            while place < end and data[place] == 48:
                place += 1
        if place == end and digits > 0 and fits:
            values[index] = -value if negative else value
            status[index] = OK
        else:
            status[index] = BAD


def _decimals_loop(data: Any, offsets: Any, values: Any, status: Any) -> None:
    """Decimals of at most 15 digits and small powers of ten, for which one division is exact; others are SLOW."""
    for index in range(len(offsets) - 1):
        place, end = offsets[index], offsets[index + 1]
        while place < end and (data[place] == 32 or data[place] == 9):
            place += 1
        while end > place and (data[end - 1] == 32 or data[end - 1] == 9):
            end -= 1
        values[index] = 0.0
        if place == end:
            status[index] = NULL
            continue
        negative = data[place] == 45
        if data[place] == 45 or data[place] == 43:
            place += 1
        value = np.int64(0)
        digits = 0
        decimals = 0
        point = False
        while place < end and ((48 <= data[place] <= 57) or (data[place] == 46 and not point)):
            if data[place] == 46:
                point = True
            else:
                digits += 1
                if digits <= _EXACT_DIGITS:
                    value = value * 10 + (np.int64(data[place]) - 48)
                if point:
                    decimals += 1
            place += 1
        if place == end and 0 < digits <= _EXACT_DIGITS and decimals <= _EXACT_POWER:
            scale = 1.0
            for _ in range(decimals):
                scale *= 10.0
            result = float(value) / scale
            values[index] = -result if negative else result
            status[index] = OK
        else:
            status[index] = SLOW


def _digits(data: Any, place: Any, end: Any, count: Any) -> Any:
    """The number in `count` digits at `place`, or -1."""
    if place + count > end:
        return -1
    value = 0
    for index in range(place, place + count):
        if data[index] < 48 or data[index] > 57:
            return -1
        value = value * 10 + (data[index] - 48)
    return value


def _days(year: Any, month: Any, day: Any) -> Any:
    """Days from 1970-01-01, or a very negative number where there is no such day (H. Hinnant, days_from_civil)."""
    if not (_YEAR_FIRST <= year <= _YEAR_LAST and 1 <= month <= 12 and 1 <= day <= 31):
        return -(10**9)
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    longest = 31
    if month == 4 or month == 6 or month == 9 or month == 11:  # noqa: PLR1714 - numba compiles this to less
        longest = 30
    elif month == 2:
        longest = 29 if leap else 28
    if day > longest:
        return -(10**9)
    shifted = year - 1 if month <= 2 else year
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


def _iso_times_loop(data: Any, offsets: Any, values: Any, status: Any) -> None:
    """ISO 8601: `2026-01-31[T| ][HH:MM[:SS[.f]]][Z|+HH[[:]MM]]`, in microseconds since 1970, years 1900 to 2999."""
    for index in range(len(offsets) - 1):
        place, end = offsets[index], offsets[index + 1]
        while place < end and (data[place] == 32 or data[place] == 9):
            place += 1
        while end > place and (data[end - 1] == 32 or data[end - 1] == 9):
            end -= 1
        values[index] = 0
        status[index] = NULL if place == end else BAD
        if end - place < 10 or data[place + 4] != 45 or data[place + 7] != 45:
            continue
        days = _days_of(
            _digits_at(data, place, end, 4), _digits_at(data, place + 5, end, 2), _digits_at(data, place + 8, end, 2)
        )
        if days < -(10**8):
            continue
        place += 10
        micros = np.int64(0)
        if place < end and (data[place] == 84 or data[place] == 116 or data[place] == 32):
            hour = _digits_at(data, place + 1, end, 2)
            minute = _digits_at(data, place + 4, end, 2)
            if not (0 <= hour <= 23 and 0 <= minute <= 59) or data[place + 3] != 58:
                continue
            place += 6
            micros = (np.int64(hour) * 3600 + np.int64(minute) * 60) * 1_000_000
            if place < end and data[place] == 58:
                second = _digits_at(data, place + 1, end, 2)
                if not 0 <= second <= 60:
                    continue
                micros += np.int64(second) * 1_000_000
                place += 3
                if place < end and (data[place] == 46 or data[place] == 44):
                    place += 1
                    first = place
                    unit = np.int64(100_000)
                    while place < end and 48 <= data[place] <= 57:
                        micros += (np.int64(data[place]) - 48) * unit
                        unit //= 10
                        place += 1
                    if place == first:
                        continue
        moment = np.int64(days) * _DAY_US + micros
        if place == end:
            values[index] = moment
            status[index] = OK
            continue
        while place < end and data[place] == 32:
            place += 1
        if end - place == 1 and (data[place] == 90 or data[place] == 122):
            values[index] = moment
            status[index] = OK_UTC
            continue
        if end - place == 3 and data[place] == 85 and data[place + 1] == 84 and data[place + 2] == 67:
            values[index] = moment
            status[index] = OK_UTC
            continue
        if data[place] != 43 and data[place] != 45:
            continue
        sign = -1 if data[place] == 45 else 1
        hours = _digits_at(data, place + 1, end, 2)
        minutes = 0
        place += 3
        if place < end:
            if data[place] == 58:
                place += 1
            minutes = _digits_at(data, place, end, 2)
            place += 2
        if place == end and 0 <= hours <= 18 and 0 <= minutes <= 59:
            values[index] = moment - sign * (np.int64(hours) * 3600 + np.int64(minutes) * 60) * 1_000_000
            status[index] = OK_UTC


_digits_at: Callable[..., int] = njit(cache=True, nogil=True)(_digits)
_days_of: Callable[..., int] = njit(cache=True, nogil=True)(_days)
read_integers: Callable[..., None] = njit(cache=True, nogil=True)(_integers_loop)
read_decimals: Callable[..., None] = njit(cache=True, nogil=True)(_decimals_loop)
read_iso_times: Callable[..., None] = njit(cache=True, nogil=True)(_iso_times_loop)
