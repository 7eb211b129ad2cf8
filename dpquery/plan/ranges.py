"""What values an expression can take, from declared bounds alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpquery.plan.expressions import Arithmetic, Case, Coalesce, ColumnRef, Expression, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        case Coalesce(items=items):
            return _union([value_range(item, bounds) for item in items if not _is_null(item)])
        case _:
            raise Unbounded(None)


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
