"""How far one number can move a measurement, in each norm, in exact integers.

Neighbours differ by one protected number together with every row it owns (add or remove).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from dpquery.errors import broken
from dpquery.privacy.measure import (
    VALUE_CAPACITY,
    CountMeasurement,
    DistinctMeasurement,
    HistogramMeasurement,
    KeptMeasurement,
    NumbersMeasurement,
    PairsMeasurement,
    QuantileMeasurement,
    SquaresMeasurement,
    SumMeasurement,
    ValuesMeasurement,
)

if TYPE_CHECKING:
    from dpquery.privacy.bound import BoundedPlan, ContributionBounds
    from dpquery.privacy.measure import Measurement


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Largest change of the whole integer vector: sum of sizes, sum of squares, largest size."""

    l1: int
    l2_squared: int
    linf: int

    def scaled(self, factor: int) -> Sensitivity:
        return Sensitivity(self.l1 * factor, self.l2_squared * factor * factor, self.linf * factor)


def sensitivity(measurement: Measurement, plan: BoundedPlan) -> Sensitivity:
    """Sensitivity of `measurement` under the plan's rule."""
    if plan.rule == "one-owner":
        return _one_owner(measurement, plan.bounds)
    return _dual_greedy(measurement, plan.bounds.max_rows_per_group, plan.cells)


def _one_owner(measurement: Measurement, bounds: ContributionBounds) -> Sensitivity:
    """A number owns its rows alone: the changes are its kept rows, c_g <= Kg in each of at most G groups, sum <= K.

    L1 = min(K, G Kg); Linf = min(K, Kg); the squares are largest when whole groups are full: with q full groups and
    r rows in one more, L2^2 = q Kg^2 + r^2. Bins and values part a group's rows without adding any, so the same holds
    over them; of pairs, as many are kept as of rows. Of a quantile's scores each moves by at most its weight per row;
    one of a cell is selected, so that norms are over the cells, each with its score that moves most.
    Numbers with at least t rows: the number itself, in each group where it has t, so in min(G, K / t) groups. Numbers
    by their rows: the number itself, once. Kept rows of all groups together, under bounds of their own: one integer,
    which moves by L1 of these bounds.
    """
    match measurement:
        case CountMeasurement() | HistogramMeasurement() | PairsMeasurement() | ValuesMeasurement():
            return _rows(bounds)
        case SumMeasurement(per_group=True):
            groups = bounds.max_groups
            return Sensitivity(groups, groups, 1).scaled(measurement.largest)
        case SumMeasurement() | SquaresMeasurement():
            return _rows(bounds).scaled(measurement.largest)
        case QuantileMeasurement():
            return _rows(bounds).scaled(measurement.row_weight)
        case DistinctMeasurement():
            groups = min(bounds.max_rows, bounds.max_groups)
            return Sensitivity(groups, groups, 1)
        case NumbersMeasurement(by_rows=True):
            return Sensitivity(1, 1, 1)
        case NumbersMeasurement(at_least=least):
            # Where t is above the rows that a number may keep, nothing is counted; no scale is zero, though.
            groups = max(1, min(bounds.max_rows // least, bounds.max_groups))
            return Sensitivity(groups, groups, 1)
        case KeptMeasurement(bounds=own):
            return _one_integer(_rows(own).l1)
        case _:
            assert_never(measurement)


def _one_integer(most: int) -> Sensitivity:
    return Sensitivity(most, most * most, most)


def _rows(bounds: ContributionBounds) -> Sensitivity:
    per_group = min(bounds.max_rows, bounds.max_rows_per_group)
    l1 = min(bounds.max_rows, bounds.max_groups * per_group)
    full, rest = divmod(l1, per_group)
    return Sensitivity(l1, full * per_group**2 + rest**2, per_group)


def _dual_greedy(measurement: Measurement, capacity: int, cells: int) -> Sensitivity:
    """Each cell runs its own greedy, so each moves by at most its own bound, and the bounds add over cells.

    Count and non-negative sum: 0 <= f(D) - f(D - v) <= k B (vacancy chain over rows in falling value; capped greedy
    is Day, Li, Lyu, SIGMOD'16). A signed sum releases the positive less the negative part: at most k max(B+, B-).
    Distinct numbers of one role, capacity 1 in that role and k in the other: at most 1 + k.
    Histogram: each bin is a cell with its own capacity; values: each value is one with capacity 1. Pairs: one row for
    each, then as a count.
    Numbers with at least t kept rows: the number that leaves, and by one slot one other number for each of its k kept
    rows: at most k + 1. Numbers by their kept rows, all rows in one greedy: the number leaves its bin, and k others
    move by one row each, from one bin to the next: L1 = 1 + 2k. No bin gains or loses more than k + 1, and the squares
    are largest where all k come from the bin of the number and go to the same next one: L2^2 = (k + 1)^2 + k^2.
    Kept rows of all groups together, under a capacity of their own: each group moves by 0 to that, and all the same
    way, so the one integer moves by at most the capacity times the groups.
    """
    match measurement:
        case CountMeasurement() | PairsMeasurement():
            each = capacity
        case SumMeasurement():
            each = capacity * max(measurement.high, -measurement.low, 0)
        case DistinctMeasurement() | NumbersMeasurement(by_rows=False):
            each = 1 + capacity
        case NumbersMeasurement():
            return Sensitivity(2 * capacity + 1, capacity**2 + (capacity + 1) ** 2, capacity + 1)
        case HistogramMeasurement():
            each = measurement.capacity
        case ValuesMeasurement():
            each = VALUE_CAPACITY
        case KeptMeasurement(bounds=own, groups=groups):
            return _one_integer(own.max_rows_per_group * groups)
        case SquaresMeasurement() | QuantileMeasurement():
            broken("rows with two owners have no sum of squares, and no selected quantiles")
        case _:
            assert_never(measurement)
    places = cells * measurement.width
    return Sensitivity(each * places, each * each * places, each)
