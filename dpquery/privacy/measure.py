"""What is counted or summed, exactly and in integers, and how answers are read off it.

A measurement is a table of integers: `width` of them for each cell. Noise is added to these integers and to nothing
else; every answer is computed from noisy integers.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from dpquery.errors import ensure
from dpquery.plan.expressions import nullable
from dpquery.plan.query import Average, CountDistinct, CountRows, Sum

if TYPE_CHECKING:
    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import Aggregate
    from dpquery.plan.ranges import ValueRange
    from dpquery.privacy.bound import BoundedPlan

HISTOGRAM_BINS = 16
"""Bins of the histogram that averages over two-owner tables are read from."""


@dataclass(frozen=True, slots=True)
class CountMeasurement:
    """Rows per cell; with `present`, rows where it is not NULL."""

    present: Expression | None

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class SumMeasurement:
    """Sum per cell of round(argument / grid), clamped to [low, high], less `centre` (all in grid steps)."""

    argument: Expression
    grid: float
    low: int
    high: int
    centre: int
    per_group: bool

    @property
    def width(self) -> int:
        return 1

    @property
    def largest(self) -> int:
        """Most that one contribution can add or take away, in grid steps."""
        return max(abs(self.low - self.centre), abs(self.high - self.centre))


@dataclass(frozen=True, slots=True)
class DistinctMeasurement:
    """Different protected numbers in the role `party`, per cell."""

    party: str

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class HistogramMeasurement:
    """Rows per cell and bin of round(argument / grid), clamped to [edges[0], edges[-1] - 1].

    Bin i holds the grid steps from edges[i] up to, not including, edges[i + 1]; `capacity` is the rows that one
    number may have in each bin of each cell; `representatives` are the values that stand for the bins.
    """

    argument: Expression
    grid: float
    edges: tuple[int, ...]
    capacity: int
    representatives: tuple[float, ...]

    def __post_init__(self) -> None:
        ensure(all(a < b for a, b in itertools.pairwise(self.edges)), "bin edges rise")
        ensure(len(self.representatives) == len(self.edges) - 1, "each bin has a representative")

    @property
    def width(self) -> int:
        return len(self.edges) - 1


Measurement: TypeAlias = CountMeasurement | SumMeasurement | DistinctMeasurement | HistogramMeasurement


@dataclass(frozen=True, slots=True)
class Reading:
    """How an aggregate is read off measurements: indexes into the plan's list."""

    kind: Literal["count", "sum", "distinct", "mean", "histogram mean"]
    parts: tuple[int, ...]


def measure(plan: BoundedPlan) -> tuple[tuple[Measurement, ...], tuple[Reading, ...]]:
    """The measurements that answer every aggregate of the plan, shared where equal, and one reading per aggregate."""
    measurements: list[Measurement] = []

    def place(measurement: Measurement) -> int:
        if measurement not in measurements:
            measurements.append(measurement)
        return measurements.index(measurement)

    readings = tuple(_reading(aggregate, plan, place) for aggregate in plan.logical.aggregates)
    return tuple(measurements), readings


def _reading(aggregate: Aggregate, plan: BoundedPlan, place: _Place) -> Reading:
    match aggregate:
        case CountRows(present=present):
            return Reading("count", (place(CountMeasurement(present)),))
        case CountDistinct(party=party):
            return Reading("distinct", (place(DistinctMeasurement(party)),))
        case Sum(argument=argument, clamp=clamp, per_group=per_group):
            low, high = grid_bounds(clamp)
            return Reading("sum", (place(SumMeasurement(argument, clamp.step, low, high, 0, per_group)),))
        case Average(argument=argument, clamp=clamp, bins=bins):
            if plan.rule == "dual-greedy":
                return Reading("histogram mean", (place(_histogram(argument, clamp, bins, plan)),))
            low, high = grid_bounds(clamp)
            centred = SumMeasurement(argument, clamp.step, low, high, (low + high) // 2, per_group=False)
            count = CountMeasurement(argument if nullable(argument) else None)
            return Reading("mean", (place(centred), place(count)))


def grid_bounds(clamp: ValueRange) -> tuple[int, int]:
    """The clamp in grid steps, rounded inwards; the policy's check and the resolver see to it that two lie within."""
    low, high = clamp.steps
    ensure(low < high, "two steps of the grid lie within the bounds")
    return low, high


def _histogram(
    argument: Expression, clamp: ValueRange, bins: Literal["log", "linear"], plan: BoundedPlan
) -> HistogramMeasurement:
    """The histogram a two-owner mean is read from: exact bins for few values, else log or linear spacing.

    A number's rows spread over the bins, so each bin's capacity is a share of the cell's: 2.4 times the cell's
    capacity over all bins together, and never more than the cell's in one bin.
    """
    low, high = grid_bounds(clamp)
    if high - low < HISTOGRAM_BINS:
        edges = tuple(range(low, high + 2))
    elif bins == "log" and low >= 0:
        edges = _log_edges(low, high)
    else:
        edges = tuple(round(low + (high + 1 - low) * i / HISTOGRAM_BINS) for i in range(HISTOGRAM_BINS + 1))
    width = len(edges) - 1
    k = plan.bounds.max_rows_per_group
    capacity = min(k, max(1, math.ceil(2.4 * k / width)))
    representatives = tuple(_representative(a, b, bins) * clamp.step for a, b in itertools.pairwise(edges))
    return HistogramMeasurement(argument, clamp.step, edges, capacity, representatives)


def _log_edges(low: int, high: int) -> tuple[int, ...]:
    """A bin for the lowest value alone (often 0: not answered), then bins of equal ratio."""
    span = high + 1 - low
    count = HISTOGRAM_BINS - 1
    edges = {low, low + 1, high + 1}
    edges |= {low + max(1, round(span ** (i / count))) for i in range(1, count)}
    return tuple(sorted(edges))


def _representative(first: int, end: int, bins: Literal["log", "linear"]) -> float:
    """The value, in grid steps, that stands for the steps from `first` up to, not including, `end`.

    The mean of a density that falls as 1/x within the bin when bins are logarithmic, the midpoint otherwise.
    """
    last = end - 1
    if first == last or bins == "linear" or first <= 0:
        return (first + last) / 2
    return (last - first) / math.log(last / first)


class _Place(Protocol):
    """Type of the function that shares equal measurements."""

    def __call__(self, measurement: Measurement) -> int: ...
