"""What is counted or summed, exactly and in integers, and how answers are read off it.

A measurement is a table of integers: `width` of them for each cell. Noise is added to these integers and to nothing
else; every answer is computed from noisy integers.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, assert_never

from dpquery.errors import QueryRefused, ensure
from dpquery.plan.canonical import sort_key
from dpquery.plan.expressions import nullable
from dpquery.plan.query import (
    Average,
    CountDistinct,
    CountKept,
    CountNumbers,
    CountPairs,
    CountRows,
    CountValues,
    Quantile,
    Sum,
    Variance,
    combinations,
)
from dpquery.privacy.bins import bin_capacity, bin_count, bin_edges, moments

if TYPE_CHECKING:
    from dpquery.plan.expressions import Constant, Expression
    from dpquery.plan.keys import GroupKey
    from dpquery.plan.query import Aggregate, Bins
    from dpquery.plan.ranges import ValueRange
    from dpquery.privacy.bound import BoundedPlan, ContributionBounds

EXTREMES = {0.0: 0.005, 1.0: 0.995}
"""What the least and the largest value are read as: exact extremes are one number's values."""

SQUARE_MAX = 2**31
"""Largest square of one row's value, in grid steps: what the kernels add up exactly."""

INTEGERS_MAX = 2**25
"""Most integers of one measurement: cells times bins, or times declared values."""

VALUE_CAPACITY = 1
"""Rows of each declared value that a number may have where rows have two owners.

One is enough to show that a value occurs. With k, at most 2k times as many rows are kept (each has an owner among those
of the rows kept with one), mostly far fewer, and the noise grows k times.
"""


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
class SquaresMeasurement:
    """Sum per cell of the squares of what a SumMeasurement of the same fields adds up."""

    argument: Expression
    grid: float
    low: int
    high: int
    centre: int

    def __post_init__(self) -> None:
        ensure(self.largest <= SQUARE_MAX, "squares stay within what kernels add up")

    @property
    def width(self) -> int:
        return 1

    @property
    def largest(self) -> int:
        """Most that one row can add, in squared grid steps."""
        return max(self.low - self.centre, self.high - self.centre, key=abs) ** 2


@dataclass(frozen=True, slots=True)
class DistinctMeasurement:
    """Different protected numbers in the role `party`, per cell; with `present`, on rows where it is not NULL."""

    party: str
    present: Expression | None = None

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class HistogramMeasurement:
    """Rows per cell and bin of round(argument / grid), clamped to [edges[0], edges[-1] - 1].

    Bin i holds the grid steps from edges[i] up to, not including, edges[i + 1]; `capacity` is the rows that one
    number may have in each bin of each cell.
    """

    argument: Expression
    grid: float
    edges: tuple[int, ...]
    capacity: int
    spacing: Bins

    def __post_init__(self) -> None:
        ensure(all(a < b for a, b in itertools.pairwise(self.edges)), "bin edges rise")

    @property
    def width(self) -> int:
        return len(self.edges) - 1

    @property
    def representatives(self) -> tuple[float, ...]:
        """The values that stand for the bins, in the unit of the argument."""
        return tuple(mean * self.grid for mean, _ in moments(self.edges, self.spacing))

    @property
    def representative_squares(self) -> tuple[float, ...]:
        """The mean squares that stand for the bins, in the squared unit of the argument."""
        return tuple(square * self.grid**2 for _, square in moments(self.edges, self.spacing))


@dataclass(frozen=True, slots=True)
class QuantileMeasurement:
    """Per cell the bin in which a quantile lies, selected among all by how far off each is in rows.

    Where lt of n rows lie in lower bins and le in these and the bin itself, its score is how far the quantile's share,
    part / whole of the rows, lies outside: max(0, whole lt - part n, part n - whole le). It is 0 where the quantile
    lies (after Smith, STOC 2011, whose score passes over bins that hold many rows). A row moves each of the two terms
    by part or by whole - part. Bins are as in a HistogramMeasurement.
    """

    argument: Expression
    grid: float
    edges: tuple[int, ...]
    part: int
    whole: int
    spacing: Bins

    @property
    def width(self) -> int:
        return 1

    @property
    def candidates(self) -> int:
        return len(self.edges) - 1

    @property
    def row_weight(self) -> int:
        """Most that one row can add to, or take from, any score."""
        return max(self.part, self.whole - self.part)

    @property
    def representatives(self) -> tuple[float, ...]:
        """The values that stand for the bins, in the unit of the argument."""
        return tuple(mean * self.grid for mean, _ in moments(self.edges, self.spacing))


@dataclass(frozen=True, slots=True)
class PairsMeasurement:
    """Different pairs of numbers per cell, without pairs of a withheld one; with `present`, where it is not NULL."""

    parties: tuple[str, ...]
    present: Expression | None

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class ValuesMeasurement:
    """Rows per cell and declared value of `argument`; with two owners a number keeps VALUE_CAPACITY of each value."""

    argument: Expression
    values: tuple[Constant, ...]

    @property
    def width(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class NumbersMeasurement:
    """Different protected numbers in any role, per cell, with at least `at_least` kept rows in it.

    With `by_rows`, cell i is no group of rows: it holds the numbers with i + 1 kept rows in all, the last one also
    those with more.
    """

    at_least: int
    by_rows: bool

    @property
    def width(self) -> int:
        return 1


SELECTING = NumbersMeasurement(1, by_rows=False)
"""What groups are selected by: different protected numbers. The first measurement of a plan that selects groups."""


@dataclass(frozen=True, slots=True)
class KeptMeasurement:
    """Rows that stay under `bounds` in all groups of `keys` together: one integer. With `present`, where not NULL."""

    keys: tuple[GroupKey, ...]
    bounds: ContributionBounds
    present: Expression | None = None

    @property
    def width(self) -> int:
        return 1

    @property
    def groups(self) -> int:
        """Groups in which rows are bounded."""
        return combinations(self.keys)


Measurement: TypeAlias = (
    CountMeasurement
    | SumMeasurement
    | SquaresMeasurement
    | DistinctMeasurement
    | HistogramMeasurement
    | QuantileMeasurement
    | PairsMeasurement
    | ValuesMeasurement
    | NumbersMeasurement
    | KeptMeasurement
)

ReadingKind = Literal[
    "count",
    "sum",
    "distinct",
    "mean",
    "histogram mean",
    "variance",
    "histogram variance",
    "quantile",
    "selected quantile",
    "values",
]


@dataclass(frozen=True, slots=True)
class Reading:
    """How an aggregate is read off measurements: indexes into the plan's list."""

    kind: ReadingKind
    parts: tuple[int, ...]


def measure(plan: BoundedPlan) -> tuple[tuple[Measurement, ...], tuple[Reading, ...]]:
    """The measurements that answer every aggregate of the plan, shared where equal, and one reading per aggregate.

    What groups are selected by comes first. QueryRefused where they are too many integers to release.
    """
    measurements: list[Measurement] = []

    def place(measurement: Measurement) -> int:
        if measurement not in measurements:
            measurements.append(measurement)
        return measurements.index(measurement)

    if plan.logical.selects_groups:
        place(SELECTING)
    readings = tuple(_reading(aggregate, plan, place) for aggregate in plan.logical.aggregates)
    # Groups that are selected hold enough numbers each, so that there are few for the rows that are read.
    widths = [m.candidates if isinstance(m, QuantileMeasurement) else m.width for m in measurements]
    most = 0 if plan.logical.selects_groups else plan.cells * max(widths)
    if most > INTEGERS_MAX:
        raise QueryRefused(
            "DPQ-114",
            f"this answer is read off {most:,} noisy integers; at most {INTEGERS_MAX:,} are released",
            fix="group by fewer or coarser keys, or narrow them in WHERE",
        )
    return tuple(measurements), readings


def _reading(aggregate: Aggregate, plan: BoundedPlan, place: _Place) -> Reading:
    match aggregate:
        case CountRows(present=present):
            return Reading("count", (place(CountMeasurement(present)),))
        case CountDistinct(party=party, present=None) if plan.logical.selects_groups and plan.parties == (party,):
            return Reading("distinct", (place(SELECTING),))
        case CountDistinct(party=party, present=present):
            return Reading("distinct", (place(DistinctMeasurement(party, present)),))
        case Sum(argument=argument, clamp=clamp, per_group=per_group):
            low, high = grid_bounds(clamp)
            return Reading("sum", (place(SumMeasurement(argument, clamp.step, low, high, 0, per_group)),))
        case Average(argument=argument, clamp=clamp, bins=bins):
            low, high = grid_bounds(clamp)
            if plan.rule == "dual-greedy" or _two_values(low, high):
                return Reading("histogram mean", (place(_histogram(argument, clamp, bins, plan)),))
            centred = SumMeasurement(argument, clamp.step, low, high, (low + high) // 2, per_group=False)
            return Reading("mean", (place(centred), place(_rows_with(argument))))
        case Variance(argument=argument, clamp=clamp, bins=bins):
            if plan.rule == "dual-greedy":
                return Reading("histogram variance", (place(_histogram(argument, clamp, bins, plan)),))
            squares = _squares(argument, clamp)
            centred = SumMeasurement(argument, squares.grid, squares.low, squares.high, squares.centre, per_group=False)
            return Reading("variance", (place(squares), place(centred), place(_rows_with(argument))))
        case Quantile(argument=argument, clamp=clamp, bins=bins):
            histogram = _histogram(argument, clamp, bins, plan)
            if _selects_quantiles(plan, aggregate, histogram):
                return Reading("selected quantile", (place(_selected(aggregate)), place(histogram)))
            return Reading("quantile", (place(histogram),))
        case CountPairs(parties=parties, present=present):
            ensure(set(parties) == set(plan.parties), "a pair is of both parties of a row")
            return Reading("count", (place(PairsMeasurement(plan.parties, present)),))
        case CountValues(argument=argument, values=values):
            ensure(None not in values, "NULL is no value")
            return Reading("values", (place(ValuesMeasurement(argument, values)),))
        case CountNumbers(at_least=at_least, by_rows=by_rows):
            if by_rows:
                _check_by_rows(plan)
            return Reading("count", (place(NumbersMeasurement(at_least, by_rows)),))
        case CountKept(keys=keys, times=times, present=present):
            ensure(
                not plan.logical.keys and keys == plan.logical.bounded_keys,
                "kept rows are counted over one set of keys",
            )
            return Reading("count", (place(KeptMeasurement(in_one_order(keys), plan.bounds_at(times), present)),))
        case _:
            assert_never(aggregate)


def _two_values(low: int, high: int) -> bool:
    """Whether a mean is a share of rows, as of CASE WHEN ... THEN 1 ELSE 0 END.

    A row is in one of two bins, so with one owner both together move by no more than a count does, while a sum beside a
    count moves twice as much. Two bins hold the mean exactly.
    """
    return high - low == 1


def in_one_order(keys: tuple[GroupKey, ...]) -> tuple[GroupKey, ...]:
    """Keys as they make the same groups however they were written."""
    return tuple(sorted((replace(key, origin="") for key in keys), key=sort_key))


def _rows_with(argument: Expression) -> CountMeasurement:
    """The rows that a mean or a variance divides by."""
    return CountMeasurement(argument if nullable(argument) else None)


def _check_by_rows(plan: BoundedPlan) -> None:
    """Numbers by their rows are one greedy, not one per key, so that nothing else shares their cells."""
    logical = plan.logical
    ensure(len(logical.aggregates) == 1, "numbers by their rows are counted alone")
    ensure(len(logical.keys) == 1, "numbers by their rows have one key")
    counts = logical.keys[0].values
    ensure(list(counts) == list(range(1, len(counts) + 1)), "the key of numbers by their rows is 1, 2, ...")


def grid_bounds(clamp: ValueRange) -> tuple[int, int]:
    """The clamp in grid steps, rounded inwards; the policy's check and the resolver see to it that two lie within."""
    low, high = clamp.steps
    ensure(low < high, "two steps of the grid lie within the bounds")
    return low, high


def _squares(argument: Expression, clamp: ValueRange) -> SquaresMeasurement:
    """Squares about the clamp's middle, on the finest grid, not finer than the clamp's own, that keeps them small."""
    grid = clamp.step
    low, high = grid_bounds(clamp)
    while ((high - low + 1) // 2) ** 2 > SQUARE_MAX:
        grid *= 2.0
        low, high = math.ceil(clamp.low / grid), math.floor(clamp.high / grid)
    return SquaresMeasurement(argument, grid, low, high, (low + high) // 2)


def _histogram(argument: Expression, clamp: ValueRange, spacing: Bins, plan: BoundedPlan) -> HistogramMeasurement:
    """The one histogram that everything is read off that needs one of this expression."""
    low, high = grid_bounds(clamp)
    k = plan.bounds.max_rows_per_group
    if plan.rule == "dual-greedy":
        edges = bin_edges(low, high, bin_count(None), spacing)
        return HistogramMeasurement(argument, clamp.step, edges, bin_capacity(k, len(edges) - 1), spacing)
    edges = bin_edges(low, high, bin_count(plan.bounds.max_rows), spacing)
    return HistogramMeasurement(argument, clamp.step, edges, k, spacing)


SELECTED_BINS = 256
"""Bins that a quantile is selected from: so many that their width does not show beside the noise."""

SELECTED_CELLS_MAX = 1000
"""Cells up to which quantiles are selected; each takes about a millisecond."""


def _selects_quantiles(plan: BoundedPlan, quantile: Quantile, histogram: HistogramMeasurement) -> bool:
    """Whether selecting this quantile errs less than reading it off `histogram`, as public facts tell.

    In rows, per unit of a count's noise: B bins err by sqrt(B f (1 - f)) at the fraction f; a selection by about 2 w
    for each of the q quantiles of this expression that share the loss, w = max(f, 1 - f) being a row's weight, and by w
    more for the share of the histogram, which intervals need. Checked on made-up calls (talk time in [0, 3600], 20 to
    100,000 rows, max_rows 1 to 100, both mechanisms): where this says so, selected medians erred up to 6 times less;
    with few bins, or far from the median, selections would have erred up to twice as much.
    """
    logical = plan.logical
    if quantile.bins == "doubling":
        return False  # every bin is of use there, not the one of a quantile
    if plan.rule == "dual-greedy" or logical.selects_groups or plan.cells > SELECTED_CELLS_MAX:
        return False
    alike = {a.fraction for a in logical.aggregates if isinstance(a, Quantile) and a.argument == quantile.argument}
    fraction = EXTREMES.get(quantile.fraction, quantile.fraction)
    weight = max(fraction, 1.0 - fraction)
    return (1 + 2 * len(alike)) * weight < math.sqrt(histogram.width * fraction * (1.0 - fraction))


def _selected(quantile: Quantile) -> QuantileMeasurement:
    low, high = grid_bounds(quantile.clamp)
    fraction = Fraction(EXTREMES.get(quantile.fraction, quantile.fraction)).limit_denominator(1000)
    edges = bin_edges(low, high, SELECTED_BINS, quantile.bins)
    return QuantileMeasurement(
        quantile.argument, quantile.clamp.step, edges, fraction.numerator, fraction.denominator, quantile.bins
    )


class _Place(Protocol):
    """Type of the function that shares equal measurements."""

    def __call__(self, measurement: Measurement) -> int: ...
