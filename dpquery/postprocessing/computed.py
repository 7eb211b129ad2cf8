"""Expressions over released values, with intervals. Postprocessing: nothing but what was released is read."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dpquery.errors import broken
from dpquery.plan.expressions import (
    And,
    Arithmetic,
    Case,
    Coalesce,
    ColumnRef,
    Comparison,
    Expression,
    InList,
    IsNull,
    Not,
    Or,
    Value,
)
from dpquery.plan.released import released_columns
from dpquery.postprocessing import linear_forms
from dpquery.postprocessing.intervals import CONFIDENCE, Estimates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from dpquery.postprocessing.linear_forms import NoisyValue

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Box:
    """A number per cell between two ends, NaN for NULL; shape (cells,)."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def computed(
    expression: Expression,
    values: Mapping[str, Estimates],
    keys: Mapping[str, Sequence[Any]],
    *,
    noisy: Mapping[str, NoisyValue],
    at: Callable[[float], Mapping[str, Estimates]],
    confidence: float = CONFIDENCE,
) -> Estimates:
    """The expression in every cell, with an interval that holds its true value at `confidence`.

    `values` and `keys` hold the released columns by the names that the expression reads, `noisy` those that are the
    truth plus one noise, and `at` gives all values with their intervals at another confidence. Sums of noises, and one
    over another, have the interval of `linear_forms`. Of others it is the least and the most they can be while each
    value is within its interval; with k values these are taken at 1 - (1 - confidence) / k, so that all hold at once
    at `confidence` (Bonferroni). NULL (a division by zero), and an interval without end, come out as NaN.
    """
    read = [name for name in released_columns(expression) if name in values]
    cells = len(next(iter(values.values())).value)
    wider = values if len(read) < 2 else at(1.0 - (1.0 - confidence) / len(read))
    boxes = {name: _boxed(values[name], wider[name]) for name in read}
    box = _box(expression, boxes, _Cells(cells, values, keys))
    exact = linear_forms.interval(expression, noisy, keys, confidence) if set(read) <= noisy.keys() else None
    if exact is not None:
        known = ~np.isnan(box.value)
        box = Box(box.value, *(np.where(known, end, np.nan) for end in (exact.low, exact.high)))
    endless = ~(np.isfinite(box.low) & np.isfinite(box.high))
    low, high = np.where(endless, np.nan, box.low), np.where(endless, np.nan, box.high)
    return Estimates(box.value, np.minimum(low, box.value), np.maximum(high, box.value))


def passes(
    condition: Expression, values: Mapping[str, Estimates], keys: Mapping[str, Sequence[Any]], cells: int
) -> list[int]:
    """The cells whose released values meet `condition`; unknown (NULL) does not."""
    table = _Cells(cells, values, keys)
    return [cell for cell in range(cells) if _scalar(condition, table.row(cell)) is True]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Released columns, read one cell at a time by conditions."""

    count: int
    values: Mapping[str, Estimates]
    keys: Mapping[str, Sequence[Any]]

    def row(self, cell: int) -> Mapping[str, Any]:
        found: dict[str, Any] = {name: column[cell] for name, column in self.keys.items()}
        for name, estimates in self.values.items():
            value = estimates.value[cell].item()
            found[name] = None if isinstance(value, float) and math.isnan(value) else value
        return found


def _boxed(own: Estimates, wider: Estimates) -> Box:
    """A value with its interval at another confidence: values stay what they are where intervals change."""
    held = own.within(wider)
    return Box(*(part.astype(np.float64) for part in (held.value, held.low, held.high)))


def _box(expression: Expression, boxes: Mapping[str, Box], cells: _Cells) -> Box:
    match expression:
        case Value(value=value):
            number = math.nan if value is None or isinstance(value, str) else float(value)  # type: ignore[arg-type]
            return Box(*(np.full(cells.count, number) for _ in range(3)))
        case ColumnRef(name=name) if name in boxes:
            return boxes[name]
        case ColumnRef(name=name):
            known = np.array([math.nan if key is None else float(key) for key in cells.keys[name]], np.float64)
            return Box(known, known, known)
        case Arithmetic(operator=sign, left=left, right=right):
            return _arithmetic(sign, _box(left, boxes, cells), _box(right, boxes, cells))
        case Case(branches=branches, default=default):
            nothing = Value(None, expression.type)
            chosen = _box(nothing if default is None else default, boxes, cells)
            for condition, end in reversed(branches):
                truth = np.array([_scalar(condition, cells.row(cell)) is True for cell in range(cells.count)])
                chosen = _where(truth, _box(end, boxes, cells), chosen)
            return chosen
        case Coalesce(items=items):
            chosen = _box(items[-1], boxes, cells)
            for item in reversed(items[:-1]):
                box = _box(item, boxes, cells)
                chosen = _where(~np.isnan(box.value), box, chosen)
            return chosen
        case _:
            broken("the resolver lets through what has an interval only")


def _where(truth: NDArray[np.bool_], left: Box, right: Box) -> Box:
    return Box(
        np.where(truth, left.value, right.value),
        np.where(truth, left.low, right.low),
        np.where(truth, left.high, right.high),
    )


def _arithmetic(sign: str, left: Box, right: Box) -> Box:
    with np.errstate(all="ignore"):
        match sign:
            case "+":
                return Box(left.value + right.value, left.low + right.low, left.high + right.high)
            case "-":
                return Box(left.value - right.value, left.low - right.high, left.high - right.low)
            case "*":
                corners = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
                return Box(left.value * right.value, np.minimum.reduce(corners), np.maximum.reduce(corners))
            case _:
                value = np.where(right.value == 0.0, np.nan, left.value / right.value)
                corners = [a / b for a in (left.low, left.high) for b in (right.low, right.high)]
                around_zero = (right.low <= 0.0) & (right.high >= 0.0)
                low = np.where(around_zero, -np.inf, np.minimum.reduce(corners))
                high = np.where(around_zero, np.inf, np.maximum.reduce(corners))
                return Box(value, low, high)


def _scalar(expression: Expression, row: Mapping[str, Any]) -> Any:
    """The value of an expression in one cell, None for NULL or unknown."""
    match expression:
        case Value(value=value):
            return value
        case ColumnRef(name=name):
            return row[name]
        case Arithmetic(operator=sign, left=left, right=right):
            return _scalar_arithmetic(sign, _scalar(left, row), _scalar(right, row))
        case Comparison(operator=sign, left=left, right=right):
            a, b = _scalar(left, row), _scalar(right, row)
            return None if a is None or b is None else _COMPARE[sign](a, b)
        case And(items=items):
            found = [_scalar(item, row) for item in items]
            return False if False in found else (None if None in found else True)
        case Or(items=items):
            found = [_scalar(item, row) for item in items]
            return True if True in found else (None if None in found else False)
        case Not(item=item):
            truth = _scalar(item, row)
            return None if truth is None else not truth
        case IsNull(item=item):
            return _scalar(item, row) is None
        case InList(item=item, values=values):
            own = _scalar(item, row)
            listed = [value.value for value in values]
            return None if own is None else True if own in listed else (None if None in listed else False)
        case Case(branches=branches, default=default):
            for condition, end in branches:
                if _scalar(condition, row) is True:
                    return _scalar(end, row)
            return None if default is None else _scalar(default, row)
        case Coalesce(items=items):
            return next((value for item in items if (value := _scalar(item, row)) is not None), None)
        case _:
            broken("the resolver lets through what can be computed only")


def _scalar_arithmetic(sign: str, a: float | None, b: float | None) -> float | None:
    if a is None or b is None or (sign == "/" and b == 0):
        return None
    match sign:
        case "+":
            result = float(a) + float(b)
        case "-":
            result = float(a) - float(b)
        case "*":
            result = float(a) * float(b)
        case _:
            result = float(a) / float(b)
    return result if math.isfinite(result) else None
