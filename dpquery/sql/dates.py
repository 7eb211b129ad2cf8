"""Dates, times and intervals. An interval is part of a sum with a time, never a value of its own."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, NoReturn

from sqlglot import exp

from dpquery.plan.expressions import Arithmetic, Expression, Function, TimeTruncation, TimeUnit, Value
from dpquery.plan.functions import SHIFTS
from dpquery.sql.constants import YEAR_FIRST, YEAR_LAST, at_midnight, later, start_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import ArithmeticOperator, ValueType
    from dpquery.sql.row_expressions import RowResolver

TIMES: frozenset[ValueType] = frozenset({"date", "timestamp"})

TRUNCATIONS: Mapping[str, TimeUnit] = {
    "hour": "hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "quarter": "quarter",
    "year": "year",
}
"""Units of date_trunc."""

_STEPS = {
    "year": ("months", 12),
    "quarter": ("months", 3),
    "month": ("months", 1),
    "week": ("days", 7),
    "day": ("days", 1),
    "hour": ("seconds", 3600),
    "minute": ("seconds", 60),
    "second": ("seconds", 1),
}
"""What an interval's unit is made of."""

_EXAMPLE = "start_ts + INTERVAL 7 DAY"
_SPELLED = re.compile(r"\s*([+-]?[0-9]{1,12})\s+([a-z]+)", re.IGNORECASE | re.ASCII)


def unit_named(name: str) -> str:
    """A unit in small letters, one of it: `DAYS` is `day`."""
    word = name.lower()
    return word[:-1] if word.endswith("s") and word != "s" else word


def interval_in(node: exp.Expr) -> exp.Interval | None:
    """The interval that `node` is, within its parentheses."""
    inner = node.unnest()
    return inner if isinstance(inner, exp.Interval) else None


def with_interval(rows: RowResolver, node: exp.Binary, operator: ArithmeticOperator) -> Expression | None:
    """`t + INTERVAL ...`, `INTERVAL ... + t` or `t - INTERVAL ...`; None where no side is an interval."""
    left, right = interval_in(node.left), interval_in(node.right)
    if left is None and right is None:
        return None
    if operator == "+" and left is not None and right is None:
        return shifted(rows, rows.value(node.right), left, 1, node)
    if operator in {"+", "-"} and right is not None and left is None:
        return shifted(rows, rows.value(node.left), right, 1 if operator == "+" else -1, node)
    raise rows.text.refuse("DPQ-112", "an interval is added to a time, or taken from one", _EXAMPLE, node)


def shifted(rows: RowResolver, item: Expression, interval: exp.Interval, sign: int, node: exp.Expr) -> Expression:
    """A time moved by an interval: a timestamp, as in DuckDB also where a date is moved."""
    item = as_time(rows, item, node)
    if item.type not in TIMES:
        raise rows.text.refuse("DPQ-112", f"an interval is added to a time, this is {item.type}", _EXAMPLE, node)
    steps = _steps(rows, interval, sign, node)
    # The engine adds months before days, and days before seconds, in whatever order they are written.
    for unit, count in sorted(steps, key=lambda step: list(SHIFTS).index(step[0])):
        item = _moved(rows, item, unit, count, node)
    return item


def moved_by_unit(rows: RowResolver, item: Expression, name: str, count: Expression, node: exp.Expr) -> Expression:
    """`dateadd('day', count, item)`."""
    item = as_time(rows, item, node)
    if item.type not in TIMES or unit_named(name) not in _STEPS:
        _refuse_interval(rows, node)
    unit, many = _STEPS[unit_named(name)]
    return _moved(rows, item, unit, _times(rows, count, many, node), node)


def time_arithmetic(
    rows: RowResolver, operator: ArithmeticOperator, left: Expression, right: Expression, node: exp.Expr
) -> Expression:
    """Of dates: d + n, n + d, d - n (days later or earlier) and d - e (days between)."""
    if left.type == right.type == "date" and operator == "-":
        if isinstance(left, Value) and isinstance(right, Value):
            return _days_between(left, right)
        return Function("days_between", (left, right), "integer")
    if operator == "+" and left.type == "integer" and right.type == "date":
        left, right = right, left
    if operator in {"+", "-"} and left.type == "date" and right.type == "integer":
        return _days_later(rows, left, right if operator == "+" else _negative(right), node)
    if left.type in TIMES and right.type in TIMES and operator == "-":
        fix = "date_diff('second', first, second)"
    else:
        fix = _EXAMPLE
    raise rows.text.refuse("DPQ-112", f"{left.type} {operator} {right.type} is not defined", fix, node)


def truncated(unit: TimeUnit, item: Expression, kind: ValueType) -> Expression:
    """The start of a unit that a time falls in."""
    if isinstance(item, Value) and isinstance(item.value, date):
        start = start_of(unit, item.value)
        return Value(start.date() if kind == "date" else start, kind)
    return TimeTruncation(unit, item, kind)


def cast_to_time(rows: RowResolver, inner: exp.Expr, kind: ValueType, node: exp.Expr) -> Expression:
    """CAST to date or timestamp: of a constant text, of the other kind of time, or of a text."""
    if isinstance(inner, exp.Literal) and inner.is_string:
        return rows.time_constant(inner.name, kind, node)
    value = rows.value(inner)
    if isinstance(value, Value) and isinstance(value.value, str):
        return rows.time_constant(value.value, kind, node)
    if value.type == kind:
        return value
    if kind == "date" and value.type == "timestamp":
        return truncated("day", value, "date")
    if isinstance(value, Value) and isinstance(value.value, date):
        return Value(at_midnight(value.value), "timestamp")
    if value.type in {"text", "date"} or (isinstance(value, Value) and value.value is None):
        return Function(f"cast_{kind}", (value,), kind)
    raise rows.text.refuse("DPQ-112", f"{value.type} cannot become a {kind}", "CAST(start_ts AS DATE)", node)


def as_time(rows: RowResolver, item: Expression, node: exp.Expr) -> Expression:
    """A constant text as the date or time it spells; anything else as it is."""
    if isinstance(item, Value) and isinstance(item.value, str):
        return rows.time_constant(item.value, "timestamp" if ":" in item.value else "date", node)
    return item


def _steps(rows: RowResolver, interval: exp.Interval, sign: int, node: exp.Expr) -> list[tuple[str, Expression]]:
    """Counts of months, days and seconds that an interval is made of."""
    amount, unit = interval.this, interval.args.get("unit")
    if unit is None:
        text = amount.name if isinstance(amount, exp.Literal) and amount.is_string else ""
        found = _SPELLED.findall(text)
        if not found or _SPELLED.sub("", text).strip():
            _refuse_interval(rows, node)
        return [_step(rows, name, Value(int(count) * sign, "integer"), node) for count, name in found]
    if not isinstance(unit, exp.Var) or amount is None:
        _refuse_interval(rows, node)
    if isinstance(amount, exp.Literal) and amount.is_string:
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,12}\s*", amount.name, re.ASCII):
            _refuse_interval(rows, node)
        count: Expression = Value(int(amount.name), "integer")
    else:
        count = rows.value(amount)
    return [_step(rows, unit.name, count if sign > 0 else _negative(count), node)]


def _step(rows: RowResolver, name: str, count: Expression, node: exp.Expr) -> tuple[str, Expression]:
    if unit_named(name) not in _STEPS:
        _refuse_interval(rows, node)
    unit, many = _STEPS[unit_named(name)]
    return unit, _times(rows, count, many, node)


def _times(rows: RowResolver, count: Expression, many: int, node: exp.Expr) -> Expression:
    if count.type != "integer":
        raise rows.text.refuse("DPQ-112", "an interval counts whole units", _EXAMPLE, node)
    if isinstance(count, Value) and isinstance(count.value, int):
        return Value(count.value * many, "integer")
    return count if many == 1 else Arithmetic("*", count, Value(many, "integer"), "integer")


def _moved(rows: RowResolver, item: Expression, unit: str, count: Expression, node: exp.Expr) -> Expression:
    if isinstance(count, Value) and isinstance(count.value, int):
        if abs(count.value) > SHIFTS[unit]:
            raise rows.text.refuse("DPQ-112", "this interval is longer than the calendar", _EXAMPLE, node)
        if isinstance(item, Value) and isinstance(item.value, date):
            return Value(_within_years(rows, later(item.value, unit, count.value), node), "timestamp")
    return Function("date_add", (item, Value(unit, "text"), count), "timestamp")


def _days_later(rows: RowResolver, item: Expression, count: Expression, node: exp.Expr) -> Expression:
    if isinstance(item, Value) and isinstance(count, Value):
        if not isinstance(item.value, date) or not isinstance(count.value, int):
            return Value(None, "date")
        return Value(_within_years(rows, later(item.value, "days", count.value), node).date(), "date")
    return Function("shift_days", (item, count), "date")


def _days_between(left: Value, right: Value) -> Value:
    if not isinstance(left.value, date) or not isinstance(right.value, date):
        return Value(None, "integer")
    return Value((left.value - right.value).days, "integer")


def _negative(count: Expression) -> Expression:
    if isinstance(count, Value) and isinstance(count.value, int):
        return Value(-count.value, "integer")
    return Arithmetic("-", Value(0, "integer"), count, count.type)


def _within_years(rows: RowResolver, moment: datetime | None, node: exp.Expr) -> datetime:
    if moment is None:
        why = f"this time lies outside the years {YEAR_FIRST} to {YEAR_LAST}"
        raise rows.text.refuse("DPQ-112", why, "DATE '2026-01-31' - INTERVAL 30 DAY", node)
    return moment


def _refuse_interval(rows: RowResolver, node: exp.Expr) -> NoReturn:
    units = ", ".join(_STEPS)
    raise rows.text.refuse(
        "DPQ-112", f"an interval is a whole number of one unit: {units}", "INTERVAL 7 DAY, or INTERVAL '7 days'", node
    )
