"""How far one number can move a measurement, in each norm, in exact integers.

Neighbours differ by one protected number together with every row it owns (add or remove).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from dpquery.privacy.measure import CountMeasurement, DistinctMeasurement, HistogramMeasurement, SumMeasurement

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
    r rows in one more, L2^2 = q Kg^2 + r^2.
    """
    match measurement:
        case CountMeasurement():
            return _rows(bounds)
        case SumMeasurement(per_group=True):
            groups = bounds.max_groups
            return Sensitivity(groups, groups, 1).scaled(measurement.largest)
        case SumMeasurement():
            return _rows(bounds).scaled(measurement.largest)
        case DistinctMeasurement():
            groups = min(bounds.max_rows, bounds.max_groups)
            return Sensitivity(groups, groups, 1)
        case HistogramMeasurement():
            return _rows(bounds)
        case _:
            assert_never(measurement)


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
    Histogram: each bin is a cell with its own capacity.
    """
    match measurement:
        case CountMeasurement():
            each = capacity
        case SumMeasurement():
            each = capacity * max(measurement.high, -measurement.low, 0)
        case DistinctMeasurement():
            each = 1 + capacity
        case HistogramMeasurement():
            each = measurement.capacity
        case _:
            assert_never(measurement)
    places = cells * measurement.width
    return Sensitivity(each * places, each * each * places, each)
