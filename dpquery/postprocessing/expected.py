"""How far intervals will reach, as far as that follows from the plan alone. No rows are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dpquery.plan.auto_bounds import waits_for_bounds
from dpquery.plan.expressions import Arithmetic, ColumnRef, Value
from dpquery.plan.query import Average, Quantile, Variance, aggregate_column
from dpquery.plan.released import released_columns
from dpquery.postprocessing import linear_forms
from dpquery.postprocessing.estimates import linear_noises, part_half_width
from dpquery.postprocessing.intervals import CONFIDENCE
from dpquery.privacy.measure import HistogramMeasurement, SquaresMeasurement, SumMeasurement, ValuesMeasurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import Output
    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan
    from dpquery.privacy.measure import Measurement

ASSUMED_ROWS = 1_000
"""Rows in a group for which the error of an average is stated, which depends on them."""


def expected_half_width(
    plan: PrivacyPlan, output: Output, confidence: float = CONFIDENCE, *, within_clamp: bool = True
) -> float | None:
    """Half-width of the noise on one value; for averages and variances, in a group of ASSUMED_ROWS rows.

    With `within_clamp`, no more than what is left between the bounds that an average is clamped to.

    None where it depends on more than the number of rows: for quantiles on how the values lie, for standard deviations
    on the variance, for different values on how often each occurs, for ratios and products on the values themselves,
    for values whose bounds are yet to be chosen on these.
    """
    if waits_for_bounds(plan.bounded.logical, output):
        return None
    if output.kind == "aggregate":
        return _of_aggregate(plan, output.index, confidence, within_clamp=within_clamp)
    if output.kind != "expression":
        return None
    expression = plan.bounded.logical.expressions[output.index]
    nothing = [np.zeros((1, part.measurement.width), np.int64) for part in plan.parts]
    noises = {aggregate_column(i): noise for i, noise in enumerate(linear_noises(plan, nothing)) if noise is not None}
    together = linear_forms.interval(expression, noises, {}, confidence)
    if together is not None:
        reach = float(together.high[()].max() - together.low[()].max()) / 2.0
        return None if math.isnan(reach) else reach
    names = {aggregate_column(index): index for index in range(len(plan.readings))}
    read = [name for name in released_columns(expression) if name in names]
    # As `computed` takes them, so that all hold at once as often as one did.
    each = 1.0 - (1.0 - confidence) / max(1, len(read))
    reaches = {name: _of_aggregate(plan, names[name], each, within_clamp=within_clamp) for name in read}
    found = _linear(expression, {name: reach for name, reach in reaches.items() if reach is not None})
    return None if found is None else found[0]


def depends_on_rows(plan: PrivacyPlan, output: Output) -> bool:
    """Whether the expected reach of a value is stated for a number of rows."""
    logical = plan.bounded.logical
    if output.kind == "aggregate":
        return isinstance(logical.aggregates[output.index], Average | Variance)
    read = released_columns(logical.expressions[output.index])
    averaged = (i for i, aggregate in enumerate(logical.aggregates) if isinstance(aggregate, Average | Variance))
    return any(aggregate_column(index) in read for index in averaged)


def _linear(expression: Expression, reaches: Mapping[str, float]) -> tuple[float, float | None] | None:
    """Reach of a sum of multiples, and its value if it is a constant; None for anything else.

    The same interval arithmetic as for the answer, in which every mention of a value adds its reach.
    """
    match expression:
        case Value(value=int() | float() as value):
            return 0.0, float(value)
        case ColumnRef(name=name) if name in reaches:
            return reaches[name], None
        case Arithmetic(operator=sign, left=left, right=right):
            a, b = _linear(left, reaches), _linear(right, reaches)
            if a is None or b is None:
                return None
            return _combined(sign, a, b)
        case _:
            return None


def _combined(
    sign: str, a: tuple[float, float | None], b: tuple[float, float | None]
) -> tuple[float, float | None] | None:
    if a[1] is not None and b[1] is not None:
        if sign == "/" and not b[1]:
            return None
        return 0.0, {"+": a[1] + b[1], "-": a[1] - b[1], "*": a[1] * b[1]}.get(sign, a[1] / (b[1] or 1.0))
    if sign in {"+", "-"}:
        return a[0] + b[0], None
    if sign == "*" and (factor := b[1] if a[1] is None else a[1]) is not None:
        return (a[0] + b[0]) * abs(factor), None
    if sign == "/" and b[1]:
        return a[0] / abs(b[1]), None
    return None


def step_unit(measurement: Measurement) -> float:
    """What one integer step of a measurement is worth in the answer's unit."""
    match measurement:
        case SumMeasurement(grid=grid):
            return grid
        case SquaresMeasurement(grid=grid):
            return grid**2
        case _:
            return 1.0


def _of_aggregate(plan: PrivacyPlan, index: int, confidence: float, *, within_clamp: bool) -> float | None:
    aggregate = plan.bounded.logical.aggregates[index]
    part = plan.parts[plan.readings[index].parts[0]]
    match aggregate:
        case Quantile() | Variance(root=True):
            return None
        case Average(clamp=clamp):
            found = _expected_off_mean(part, (clamp.low + clamp.high) / 2.0, 1, confidence)
            return min(clamp.high - clamp.low, found) if within_clamp else found
        case Variance(clamp=clamp):
            found = _expected_off_mean(part, (clamp.low + clamp.high) / 2.0, 2, confidence)
            return min((clamp.high - clamp.low) ** 2 / 4.0, found) if within_clamp else found
        case _:
            return (
                None
                if isinstance(part.measurement, ValuesMeasurement)
                else part_half_width(part, confidence) * step_unit(part.measurement)
            )


def _expected_off_mean(part: CalibratedMeasurement, middle: float, power: int, confidence: float) -> float:
    """Half-width of a mean, or a mean square, about the middle of the clamp over ASSUMED_ROWS rows."""
    spread = step_unit(part.measurement)
    if isinstance(part.measurement, HistogramMeasurement):
        spread = math.sqrt(math.fsum((value - middle) ** (2 * power) for value in part.measurement.representatives))
    return part_half_width(part, confidence) * spread / ASSUMED_ROWS
