"""Keys, numbers and intervals as people read them."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

USELESS_MARK = "(?)"
"""Stands behind a value whose interval is too wide to be of use."""


def json_value(value: Any) -> Any:
    """A value as JSON has it: times as ISO text."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value


def key_text(value: Any) -> str:
    """A key for people: the start of a day or a month without its midnight."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes").removesuffix(" 00:00")
    return "NULL" if value is None else str(value)


def number_text(value: float | None) -> str:
    """A number for people: thousands set apart, and at most four figures after the point of a small one."""
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if size >= 100 else f"{value:.4g}"


def percent_text(confidence: float) -> str:
    """A confidence as people say it: `95 %`, `99.9 %`."""
    return f"{confidence * 100:.10g} %"


def value_text(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """A value and the longer reach of its interval, with as many figures as the interval bears out.

    Whole numbers stay whole. The reach of others is rounded up to two figures, and the value to the same place.
    """
    if value is None or low is None or high is None:
        return number_text(value), "unknown"
    reach = max(high - value, value - low)
    if isinstance(value, int):
        return f"{value:,}", f"{reach:,}"
    if not 0.0 < reach < math.inf:
        return number_text(value), number_text(reach)
    places = min(6, max(0, 1 - math.floor(math.log10(reach))))
    step = 10.0**-places
    return f"{value:,.{places}f}", f"{math.ceil(reach / step - 1e-9) * step:,.{places}f}"


def ends_text(value: float | None, low: float | None, high: float | None) -> str:
    """The two ends of an interval: `76,630 to 78,068`."""
    if value is None or low is None or high is None:
        return "no interval"
    if isinstance(value, int):
        return f"{low:,} to {high:,}"
    reach = max(high - value, value - low)
    if not 0.0 < reach < math.inf:
        return f"{number_text(low)} to {number_text(high)}"
    places = min(6, max(0, 1 - math.floor(math.log10(reach))))
    step = 10.0**-places
    # Outwards, so that what is printed covers what was computed.
    below = math.floor(low / step + 1e-9) * step
    above = math.ceil(high / step - 1e-9) * step
    return f"{below:,.{places}f} to {above:,.{places}f}"


def listed(items: tuple[str, ...] | list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]
