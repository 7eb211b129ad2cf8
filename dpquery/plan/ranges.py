"""What values an expression can take, from declared bounds alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpquery.plan.expressions import (
    NUMERIC,
    Arithmetic,
    Case,
    Coalesce,
    ColumnRef,
    Expression,
    Function,
    Lookup,
    Value,
    nullable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GRID_MIN = 2.0**-60
"""A finer grid is as good as none."""
DEFAULT_STEPS = 2**16
"""Grid steps across the range of an expression whose own grid is finer than any power of two."""


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Values lie in [low, high], in the unit of the column; `grid` is a power of two that divides them, or None."""

    low: float
    high: float
    grid: float | None

    @property
    def step(self) -> float:
        """The power of two that values are rounded to before they are summed."""
        width = max(self.high - self.low, abs(self.high), abs(self.low))
        if self.grid is not None and width / self.grid <= 2**31:
            return self.grid
        return 2.0 ** math.floor(math.log2(width / DEFAULT_STEPS)) if width > GRID_MIN else 1.0

    def united(self, other: ValueRange) -> ValueRange:
        """The least range that holds both, on a grid that divides both."""
        grid = None if self.grid is None or other.grid is None else min(self.grid, other.grid)
        return ValueRange(min(self.low, other.low), max(self.high, other.high), grid)

    @property
    def steps(self) -> tuple[int, int]:
        """The bounds in steps, rounded inwards; the first is not below the last where no two steps lie within."""
        return math.ceil(self.low / self.step), math.floor(self.high / self.step)


class Unbounded(Exception):  # noqa: N818 - a message to the resolver, never shown
    """`expression` can take any value; `column` is the one without bounds, if that is why."""

    def __init__(self, column: str | None) -> None:
        super().__init__()
        self.column = column


def value_range(expression: Expression, bounds: Mapping[str, ValueRange]) -> ValueRange:
    """Interval arithmetic over the declared bounds of columns; raises Unbounded where they do not suffice.

    A row may hold a value outside its column's bounds; the clamp that follows the expression then applies.
    """
    match expression:
        case ColumnRef(name=name):
            if name not in bounds:
                raise Unbounded(name)
            return bounds[name]
        case Value(value=bool()):
            raise Unbounded(None)
        case Value(value=int() | float() as value):
            whole = float(value).is_integer()
            return ValueRange(float(value), float(value), 1.0 if whole else _binary_grid(float(value)))
        case Arithmetic(operator=operator, left=left, right=right):
            return _arithmetic(operator, value_range(left, bounds), value_range(right, bounds))
        case Case(branches=branches, default=default):
            values = [value for _, value in branches] + ([] if default is None else [default])
            return _union([value_range(value, bounds) for value in values if not _is_null(value)])
        case Lookup(values=values, type=kind) if kind in NUMERIC:
            return _union([value_range(Value(value, kind), bounds) for value in values if value is not None])
        case Coalesce(items=items):
            return _union([value_range(item, bounds) for item in items if not _is_null(item)])
        case Function(name=name, arguments=arguments) if name in FIXED_RANGES:
            return FIXED_RANGES[name]
        case Function(name=name, arguments=(truth, *_)) if name.startswith("cast_") and truth.type == "boolean":
            return _whole(0, 1)
        case Function(name="least" | "greatest" as name, arguments=arguments):
            return _extreme(name, [(a, value_range(a, bounds)) for a in arguments if not _is_null(a)])
        case Function(name="round" | "trunc" as name, arguments=(number, *places)):
            return _to_places(value_range(number, bounds), places[0] if places else None)
        case Function(name=name, arguments=arguments) if name in FUNCTION_RANGES:
            return _bounded(FUNCTION_RANGES[name](*(value_range(item, bounds) for item in arguments[:2])))
        case _:
            raise Unbounded(None)


def _whole(low: float, high: float) -> ValueRange:
    return ValueRange(low, high, 1.0)


FIXED_RANGES: Mapping[str, ValueRange] = {
    "sign": _whole(-1, 1),
    "quarter": _whole(1, 4),
    "month": _whole(1, 12),
    "week": _whole(1, 53),
    "dayofyear": _whole(1, 366),
    "day": _whole(1, 31),
    "dayofweek": _whole(0, 6),
    "isodow": _whole(1, 7),
    "hour": _whole(0, 23),
    "minute": _whole(0, 59),
    "second": _whole(0, 59),
}
"""Ranges of functions that do not depend on their arguments."""


def _abs(x: ValueRange) -> ValueRange:
    low = 0.0 if x.low <= 0.0 <= x.high else min(abs(x.low), abs(x.high))
    return ValueRange(low, max(abs(x.low), abs(x.high)), x.grid)


def _floor(x: ValueRange) -> ValueRange:
    return _whole(math.floor(x.low), math.floor(x.high))


def _ceil(x: ValueRange) -> ValueRange:
    return _whole(math.ceil(x.low), math.ceil(x.high))


def _sqrt(x: ValueRange) -> ValueRange:
    """Negative numbers have no root, so only the others matter."""
    return ValueRange(math.sqrt(max(x.low, 0.0)), math.sqrt(max(x.high, 0.0)), None)


def _cbrt(x: ValueRange) -> ValueRange:
    return _widened(math.copysign(abs(x.low) ** (1 / 3), x.low), math.copysign(abs(x.high) ** (1 / 3), x.high))


def _exp(x: ValueRange) -> ValueRange:
    if x.high > math.log(2.0**1000):
        raise Unbounded(None)
    return _widened(math.exp(x.low), math.exp(x.high))


def _logarithm(function: Callable[[float], float]) -> Callable[[ValueRange], ValueRange]:
    def rule(x: ValueRange) -> ValueRange:
        if x.low <= 0.0:
            raise Unbounded(None)
        return _widened(function(x.low), function(x.high))

    return rule


def _power(x: ValueRange, y: ValueRange) -> ValueRange:
    """Of numbers that are not negative, to a constant power that is not negative: that grows with them."""
    if x.low < 0.0 or y.low < 0.0 or y.low != y.high:
        raise Unbounded(None)
    try:
        low, high = x.low**y.low, x.high**y.low
    except OverflowError:
        raise Unbounded(None) from None
    if x.grid is None or not y.low.is_integer():
        return _widened(low, high)
    grid = x.grid**y.low
    return ValueRange(low, high, grid) if grid >= GRID_MIN else _widened(low, high)


def _mod(x: ValueRange, y: ValueRange) -> ValueRange:
    """The rest has the sign of x, is no larger than x, and smaller than y."""
    grid = _common_grid(x, y)
    size = max(max(abs(y.low), abs(y.high)) - (grid or 0.0), 0.0)
    return ValueRange(max(min(x.low, 0.0), -size), min(max(x.high, 0.0), size), grid)


def _integer_division(x: ValueRange, y: ValueRange) -> ValueRange:
    """The divisor is a whole number and not 0, so the quotient is no larger than x."""
    least = min(abs(y.low), abs(y.high)) if y.low > 0.0 or y.high < 0.0 else 1.0
    size = math.floor(max(abs(x.low), abs(x.high)) / max(least, 1.0))
    positive = x.low >= 0.0 and y.low >= 0.0
    return _whole(0 if positive else -size, size)


def _whole_between(low: int, high: int) -> Callable[[ValueRange], ValueRange]:
    """A cast to whole numbers, half to even; what does not fit is NULL."""

    def rule(x: ValueRange) -> ValueRange:
        first, last = max(math.floor(x.low), low), min(math.ceil(x.high), high)
        return _whole(min(first, last), max(first, last))

    return rule


def _cast_double(x: ValueRange) -> ValueRange:
    return x


def _cast_float(x: ValueRange) -> ValueRange:
    """Single precision moves a number by less than 2^-23 of itself."""
    return ValueRange(x.low - abs(x.low) * 2.0**-23, x.high + abs(x.high) * 2.0**-23, None)


def _cast_decimal(x: ValueRange, _digits: ValueRange) -> ValueRange:
    """Rounding to a place moves a number by half a whole at most, and no number across a whole one."""
    if x.grid is not None and x.grid >= 1.0:
        return x
    return ValueRange(math.floor(x.low), math.ceil(x.high), None)


FUNCTION_RANGES: Mapping[str, Callable[..., ValueRange]] = {
    "abs": _abs,
    "floor": _floor,
    "ceil": _ceil,
    "sqrt": _sqrt,
    "cbrt": _cbrt,
    "exp": _exp,
    "ln": _logarithm(math.log),
    "log10": _logarithm(math.log10),
    "log2": _logarithm(math.log2),
    "power": _power,
    "mod": _mod,
    "integer_division": _integer_division,
    "cast_tinyint": _whole_between(-(2**7), 2**7 - 1),
    "cast_smallint": _whole_between(-(2**15), 2**15 - 1),
    "cast_integer": _whole_between(-(2**31), 2**31 - 1),
    "cast_bigint": _whole_between(-(2**63), 2**63 - 1),
    "cast_utinyint": _whole_between(0, 2**8 - 1),
    "cast_usmallint": _whole_between(0, 2**16 - 1),
    "cast_uinteger": _whole_between(0, 2**32 - 1),
    "cast_double": _cast_double,
    "cast_float": _cast_float,
    "cast_decimal": _cast_decimal,
}
"""Ranges of functions from the ranges of their first two arguments; each may raise Unbounded."""

RANGED = frozenset({*FIXED_RANGES, *FUNCTION_RANGES, "least", "greatest", "round", "trunc"})
"""Every function whose range can follow from its arguments; the others are unbounded."""


def _extreme(name: str, parts: list[tuple[Expression, ValueRange]]) -> ValueRange:
    """`least` and `greatest` skip NULL: any value may be all there is, but one that is never NULL limits the others."""
    union = _union([found for _, found in parts])
    certain = [found for part, found in parts if not nullable(part)]
    if name == "least":
        return ValueRange(union.low, min([union.high, *(found.high for found in certain)]), union.grid)
    return ValueRange(max([union.low, *(found.low for found in certain)]), union.high, union.grid)


def _to_places(x: ValueRange, places: Expression | None) -> ValueRange:
    """Rounded or cut to decimal places: never beyond the next multiples of the last place."""
    count = places.value if isinstance(places, Value) and isinstance(places.value, int) else 0
    if count >= 0 and x.grid is not None and x.grid >= 1.0:
        return x
    if count == 0:
        return _whole(math.floor(x.low), math.ceil(x.high))
    place = 10.0**-count
    low, high = math.floor(x.low / place) * place, math.ceil(x.high / place) * place
    return ValueRange(low, high, 1.0) if count < 0 else _widened(low, high)


def _widened(low: float, high: float) -> ValueRange:
    """A range that holds also what other libraries round differently; they agree about 0, and about signs."""
    outwards = 1e-12
    return ValueRange(low - abs(low) * outwards, high + abs(high) * outwards, None)


def _bounded(found: ValueRange) -> ValueRange:
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        raise Unbounded(None)
    return found


def _common_grid(left: ValueRange, right: ValueRange) -> float | None:
    return None if left.grid is None or right.grid is None else min(left.grid, right.grid)


def _is_null(expression: Expression) -> bool:
    return isinstance(expression, Value) and expression.value is None


def _binary_grid(value: float) -> float | None:
    """The largest power of two, not below 2^-20, that divides `value`."""
    for exponent in range(21):
        grid = 2.0**-exponent
        if (value / grid).is_integer():
            return grid
    return None


def _union(ranges: list[ValueRange]) -> ValueRange:
    if not ranges:
        return ValueRange(0.0, 0.0, 1.0)
    grids = [r.grid for r in ranges]
    grid = None if None in grids else min(g for g in grids if g is not None)
    return ValueRange(min(r.low for r in ranges), max(r.high for r in ranges), grid)


def _arithmetic(operator: str, left: ValueRange, right: ValueRange) -> ValueRange:
    grid: float | None
    match operator:
        case "+":
            low, high = left.low + right.low, left.high + right.high
        case "-":
            low, high = left.low - right.high, left.high - right.low
        case "*":
            corners = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
            low, high = min(corners), max(corners)
        case _:
            if right.low <= 0.0 <= right.high:
                raise Unbounded(None)
            corners = [a / b for a in (left.low, left.high) for b in (right.low, right.high)]
            low, high = min(corners), max(corners)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Unbounded(None)
    if left.grid is None or right.grid is None or operator == "/":
        grid = None
    else:
        grid = left.grid * right.grid if operator == "*" else min(left.grid, right.grid)
        grid = grid if grid >= GRID_MIN else None
    return ValueRange(low, high, grid)
