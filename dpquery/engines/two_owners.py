"""Measurements over rows with two owners: each has a greedy of its own in each of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dpquery.bounding.codes import CODES_MAX
from dpquery.bounding.dual_greedy import (
    DualGreedyCount,
    DualGreedyDistinct,
    DualGreedyPairs,
    DualGreedyParticipants,
    DualGreedySignedSum,
    DualGreedySum,
    cell_partitions,
)
from dpquery.engines import columns
from dpquery.errors import broken, ensure
from dpquery.privacy.measure import (
    VALUE_CAPACITY,
    CountMeasurement,
    DistinctMeasurement,
    HistogramMeasurement,
    KeptMeasurement,
    NumbersMeasurement,
    PairsMeasurement,
    SumMeasurement,
    ValuesMeasurement,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.engines.columns import RowScan
    from dpquery.engines.scan import Batch
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.privacy.measure import Measurement


def two_owners(plan: PrivacyPlan, scan: RowScan, state_bytes: int) -> tuple[NDArray[np.int64], ...]:
    """Exact totals (cells, width) of every part; cells that do not fit `state_bytes` take further passes."""
    share = max(1, state_bytes // len(plan.parts))
    numbers = scan.source.numbers
    ranges = [_partitions(plan, part.measurement, numbers, share) for part in plan.parts]
    totals = [np.zeros(_integers(plan, part.measurement), np.int64) for part in plan.parts]
    for turn in range(max(len(parts) for parts in ranges)):
        running: list[tuple[int, range, _Bounded]] = []
        for index, parts in enumerate(ranges):
            if turn < len(parts):
                running.append((index, parts[turn], _bounded(plan, index, numbers, parts[turn])))
        for batch in scan.batches():
            first, second = scan.parties(batch)
            for _, _, greedy in running:
                greedy.add(batch, first, second)
        for index, cells, greedy in running:
            found = greedy.totals()
            totals[index][cells.start : cells.start + len(found)] = found
    return tuple(_table(part.measurement, found) for part, found in zip(plan.parts, totals, strict=True))


def _integers(plan: PrivacyPlan, measurement: Measurement) -> int:
    """How many totals the greedies of a measurement give together."""
    if isinstance(measurement, KeptMeasurement):
        return measurement.groups
    return plan.bounded.cells * measurement.width


def _table(measurement: Measurement, totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Totals as cells and widths; kept rows of all groups are added up."""
    if isinstance(measurement, KeptMeasurement):
        totals = totals.sum(keepdims=True, dtype=np.int64)
    return totals.reshape(-1, measurement.width)


def _greedy_cells(plan: PrivacyPlan, measurement: Measurement) -> int:
    """How many greedies a measurement runs: one for each of its integers, but one alone for numbers by their rows."""
    if isinstance(measurement, NumbersMeasurement) and measurement.by_rows:
        return 1
    cells = _integers(plan, measurement)
    ensure(cells <= CODES_MAX, f"at most {CODES_MAX} cells")
    return cells


def _capacity(plan: PrivacyPlan, measurement: Measurement) -> int:
    match measurement:
        case HistogramMeasurement(capacity=capacity):
            return capacity
        case ValuesMeasurement():
            return VALUE_CAPACITY
        case KeptMeasurement(bounds=own):
            return own.max_rows_per_group
        case _:
            return plan.bounded.bounds.max_rows_per_group


def _partitions(plan: PrivacyPlan, measurement: Measurement, numbers: int, share: int) -> Sequence[range]:
    roles = 2 if isinstance(measurement, DistinctMeasurement) else 1
    return cell_partitions(roles * numbers, _greedy_cells(plan, measurement), _capacity(plan, measurement), share)


class _Bounded(Protocol):
    """One measurement's greedy over one range of its cells."""

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None: ...

    def totals(self) -> NDArray[np.int64]: ...


def _bounded(plan: PrivacyPlan, index: int, numbers: int, cells: range) -> _Bounded:
    measurement = plan.parts[index].measurement
    count, capacity = _greedy_cells(plan, measurement), _capacity(plan, measurement)
    match measurement:
        case CountMeasurement() | KeptMeasurement():
            return _Rows(DualGreedyCount(numbers, count, capacity, partition=cells), measurement, index)
        case PairsMeasurement():
            return _Rows(DualGreedyPairs(numbers, count, capacity, partition=cells), measurement, index)
        case NumbersMeasurement(at_least=at_least, by_rows=by_rows):
            most = plan.bounded.cells if by_rows else None
            greedy = DualGreedyParticipants(numbers, count, capacity, partition=cells)
            return _Numbers(greedy, at_least, most)
        case DistinctMeasurement(party=party):
            counted = plan.bounded.parties.index(party)
            roles = DualGreedyDistinct(numbers, count, capacity, partition=cells)
            return _Distinct(roles, measurement, index, counted)
        case SumMeasurement(low=low, high=high) if low < 0:
            high = max(high, 0)
            signed = DualGreedySignedSum(numbers, count, capacity, value_min=low, value_max=high, partition=cells)
            return _Sum(signed, measurement, index)
        case SumMeasurement(high=high):
            return _Sum(DualGreedySum(numbers, count, capacity, value_max=high, partition=cells), measurement, index)
        case HistogramMeasurement() | ValuesMeasurement():
            return _Places(DualGreedyCount(numbers, count, capacity, partition=cells), measurement, index)
        case _:
            broken("a measurement over rows with two owners has a greedy")


@dataclass(slots=True)
class _Rows:
    """Rows, or pairs."""

    greedy: DualGreedyCount
    measurement: Measurement
    index: int

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        self.greedy.add(first, second, columns.cells(self.measurement, batch, self.index))

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()


@dataclass(slots=True)
class _Numbers:
    greedy: DualGreedyParticipants
    at_least: int
    by_rows_up_to: int | None

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        self.greedy.add(first, second, batch["cell"].astype(np.int32, copy=False))

    def totals(self) -> NDArray[np.int64]:
        if self.by_rows_up_to is not None:
            return self.greedy.by_rows(self.by_rows_up_to)
        return self.greedy.totals(self.at_least)


@dataclass(slots=True)
class _Distinct:
    greedy: DualGreedyDistinct
    measurement: DistinctMeasurement
    index: int
    counted: int

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        counted, other = (first, second) if self.counted == 0 else (second, first)
        self.greedy.add(counted, other, columns.cells(self.measurement, batch, self.index))

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()


@dataclass(slots=True)
class _Sum:
    greedy: DualGreedySum | DualGreedySignedSum
    measurement: SumMeasurement
    index: int

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        # Without the centre: the greedy needs values as they are, which bounds of two owners never shift.
        ensure(self.measurement.centre == 0, "sums over rows with two owners are not centred")
        found = columns.values(self.measurement, batch, self.index)
        self.greedy.add(first, second, batch["cell"].astype(np.int32, copy=False), found.values, found.valid)

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()


@dataclass(slots=True)
class _Places:
    """Rows by bin, or by declared value: each place of each cell has a greedy of its own."""

    greedy: DualGreedyCount
    measurement: HistogramMeasurement | ValuesMeasurement
    index: int

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        cell = batch["cell"].astype(np.int32, copy=False)
        place = columns.places(self.measurement, batch, self.index)
        inside = (cell >= 0) & (place >= 0)
        flat = np.where(inside, cell * np.int32(self.measurement.width) + place, np.int32(-1))
        self.greedy.add(first, second, flat)

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()
