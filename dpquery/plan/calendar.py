"""Parts of dates that can be keys, and the values that they take within a range of time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from dpquery.plan.expressions import ColumnRef, Function, TimeTruncation
from dpquery.plan.keys import days, truncated_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

    from dpquery.plan.expressions import Constant, Expression
    from dpquery.plan.keys import TimeRange

FROM_TIME = "time range"
"""Origin of keys that are times."""

# Spelled out, since those of `calendar` follow the locale of the machine.
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_DAY_PARTS: Mapping[str, Callable[[date], int]] = {
    "year": lambda d: d.year,
    "isoyear": lambda d: d.isocalendar().year,
    "quarter": lambda d: (d.month + 2) // 3,
    "month": lambda d: d.month,
    "week": lambda d: d.isocalendar().week,
    "dayofyear": lambda d: d.timetuple().tm_yday,
    "day": lambda d: d.day,
    "dayofweek": lambda d: d.isoweekday() % 7,
    "isodow": lambda d: d.isoweekday(),
    "dayname": lambda d: d.weekday(),
    "monthname": lambda d: d.month - 1,
}
"""Functions of `plan/functions.py` that read no more of a time than its day; names as places in their list."""

NAMES: Mapping[str, tuple[str, ...]] = {"dayname": DAY_NAMES, "monthname": MONTH_NAMES}
"""All values of the functions whose values are names."""

DAY_PARTS = frozenset(_DAY_PARTS)
CLOCK_PARTS = frozenset({"hour", "minute", "second"})


def parts_of(name: str, dates: Iterable[date]) -> tuple[Constant, ...]:
    """The values that the function `name`, one of DAY_PARTS, has on `dates`, in their order of the calendar."""
    part = _DAY_PARTS[name]
    found = sorted({part(day) for day in dates})
    return tuple(NAMES[name][value] for value in found) if name in NAMES else tuple(found)


def day_parts(name: str, time_range: TimeRange) -> tuple[Constant, ...]:
    """The values that `name`, one of DAY_PARTS, takes within the range."""
    return parts_of(name, days(time_range))


def clock_parts(name: str, time_range: TimeRange) -> tuple[Constant, ...]:
    """The values that `name`, one of CLOCK_PARTS, can take within the range: hours that it touches, else all."""
    if name != "hour":
        return tuple(range(60))
    return tuple(sorted({moment.hour for moment in islice(truncated_times(time_range, "hour"), 24)}))


def time_values(expression: Expression, time_range: TimeRange) -> tuple[Constant, ...] | None:
    """The values within the range of an expression over a time in it, or over the day it falls in.

    Those are truncations, days, and parts of dates and clocks; None for any other.
    """
    match expression:
        case TimeTruncation(item=item, unit=unit):
            if unit == "day" and isinstance(item, TimeTruncation):
                # The day that a longer stretch starts on, as in CAST(date_trunc('month', t) AS DATE).
                unit = "day" if item.unit == "hour" else item.unit
            starts = truncated_times(time_range, unit)
            return tuple(start.date() for start in starts) if expression.type == "date" else starts
        case Function(name=name, arguments=(_,)) if name in CLOCK_PARTS:
            return clock_parts(name, time_range)
        case Function(name=name, arguments=(_,)) if name in DAY_PARTS:
            return day_parts(name, time_range)
        case ColumnRef(type="date"):
            return days(time_range)
        case _:
            return None
