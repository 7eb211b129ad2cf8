"""Arithmetic on constants, worked out while the query is read: ends of time ranges are read from constants."""

from __future__ import annotations

import math
from calendar import monthrange
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, assert_never

from dpquery.plan.expressions import NUMERIC, ArithmeticOperator, TimeUnit, Value

if TYPE_CHECKING:
    from dpquery.plan.expressions import ValueType

YEAR_FIRST, YEAR_LAST = 1900, 2999
"""Years that constants may name: far from the ends of the calendar, so that adding a day cannot overflow."""

WHOLE_MAX = 2**53
"""Beyond it the engine's double precision and Python's whole numbers part."""


def folded(operator: ArithmeticOperator, left: Value, right: Value, kind: ValueType) -> Value | None:
    """`left operator right` as the engine would compute it, NULL where it would; None where that is not certain."""
    if left.value is None or right.value is None:
        return Value(None, kind)
    if {left.type, right.type} - NUMERIC:
        return None
    if any(isinstance(value, int) and abs(value) > WHOLE_MAX for value in (left.value, right.value)):
        return None
    x, y = float(left.value), float(right.value)  # type: ignore[arg-type]
    match operator:
        case "+":
            found = x + y
        case "-":
            found = x - y
        case "*":
            found = x * y
        case "/":
            found = math.nan if y == 0.0 else x / y
        case _:
            assert_never(operator)
    if not math.isfinite(found):
        return Value(None, kind)
    if kind != "integer":
        return Value(found, kind)
    return Value(int(found), kind) if abs(found) <= WHOLE_MAX else None


def later(moment: date, unit: str, count: int) -> datetime | None:
    """`moment` moved by `count` months, days or seconds; None outside the years of constants.

    A day that a month does not have becomes the month's last, as in the engine.
    """
    start = at_midnight(moment)
    try:
        if unit == "months":
            year, month = divmod(start.year * 12 + start.month - 1 + count, 12)
            if not YEAR_FIRST <= year <= YEAR_LAST:
                return None
            found = start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))
        else:
            found = start + timedelta(**{unit: count})
    except OverflowError:
        return None
    return found if YEAR_FIRST <= found.year <= YEAR_LAST else None


def at_midnight(moment: date) -> datetime:
    """A date as the time it starts at; a time as it is. UTC, without a zone."""
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time())


def start_of(unit: TimeUnit, moment: date) -> datetime:
    """Start of the hour, day, ISO week, month, quarter or year that `moment` falls in."""
    start = at_midnight(moment).replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return start
    day = start.replace(hour=0)
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            assert_never(unit)
