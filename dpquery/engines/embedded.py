"""Runs a priced plan on this machine: DuckDB streams filtered rows, the kernels bound and add them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dpquery.bounding.codes import VALUE_MAX
from dpquery.bounding.dual_greedy import (
    DualGreedyBuckets,
    DualGreedyCount,
    DualGreedyDistinct,
    DualGreedySignedSum,
    DualGreedySum,
    cell_partitions,
)
from dpquery.bounding.one_owner import OneOwnerRows, Values
from dpquery.engines import render
from dpquery.engines.exact import ExactTable
from dpquery.engines.scan import ScanColumn
from dpquery.errors import broken, ensure
from dpquery.plan.query import CountNumbers
from dpquery.plan.relations import has_lot
from dpquery.privacy.measure import CountMeasurement, DistinctMeasurement, HistogramMeasurement, SumMeasurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dpquery.engines.scan import RowSource
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.privacy.measure import Measurement

STATE_BYTES = 2**30
"""Memory for the slots that two-owner bounding keeps for each number and cell; more cells take more passes."""

Batch = dict[str, "NDArray[Any]"]


def execute(plan: PrivacyPlan, source: RowSource, *, state_bytes: int = STATE_BYTES) -> ExactTable:
    """Exact, bounded integers for every measurement of `plan`: arrays (cells, width). Secret."""
    scan = _Scan(plan, source)
    if plan.bounded.rule == "one-owner":
        return ExactTable(_one_owner(plan, scan))
    return ExactTable(_dual_greedy(plan, scan, state_bytes))


@dataclass(slots=True)
class _Scan:
    """The columns a plan streams; each call of `batches` reads the rows again."""

    plan: PrivacyPlan
    source: RowSource
    columns: list[ScanColumn] = field(init=False)
    where: render.Sql = field(init=False)

    def __post_init__(self) -> None:
        logical = self.plan.bounded.logical
        self.columns = [ScanColumn("place", render.identifier("place"))]
        self.columns += [ScanColumn(f"party{i}", render.identifier(p)) for i, p in enumerate(self.plan.bounded.parties)]
        if has_lot(logical.relation):
            self.columns.append(ScanColumn("lot", render.identifier("lot")))
        by_rows = any(isinstance(a, CountNumbers) and a.by_rows for a in logical.aggregates)
        self.columns.append(ScanColumn("cell", render.cell(() if by_rows else logical.keys)))
        for index, part in enumerate(self.plan.parts):
            column = _value_column(part.measurement)
            if column is not None:
                self.columns.append(ScanColumn(f"value{index}", column))
        self.where = render.condition(logical.where)

    def batches(self) -> Iterator[Batch]:
        yield from self.source.batches(self.plan.bounded.logical.relation, self.columns, self.where)

    def lots(self, batch: Batch) -> NDArray[np.uint32]:
        """What decides which rows of a number stay: 32 bits of the row's keyed hash, or of a per-number row's own."""
        if "lot" in batch:
            return batch["lot"].astype(np.uint32, copy=False)
        place = batch["place"].astype(np.uint64, copy=False)
        return ((place >> np.uint64(8)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)

    def parties(self, batch: Batch) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Codes of both parties; a table with one party has nobody on the other side."""
        first = batch["party0"]
        second = batch["party1"] if len(self.plan.bounded.parties) > 1 else np.full(len(first), -1, np.int32)
        return first.astype(np.int32, copy=False), second.astype(np.int32, copy=False)


def _value_column(measurement: Measurement) -> render.Sql | None:
    match measurement:
        case CountMeasurement(present=None) | DistinctMeasurement():
            return None
        case CountMeasurement(present=present) if present is not None:
            return render.sql("({} IS NOT NULL)::UTINYINT", render.render(present))
        case SumMeasurement(argument=argument, grid=grid, per_group=True):
            # The clamp is on a number's total, so its rows keep their values, as far as the kernel takes them.
            return render.grid_steps(argument, grid, 1 - VALUE_MAX, VALUE_MAX - 1)
        case SumMeasurement(argument=argument, grid=grid, low=low, high=high):
            return render.grid_steps(argument, grid, low, high)
        case HistogramMeasurement(argument=argument, grid=grid, edges=edges):
            return render.grid_steps(argument, grid, edges[0], edges[-1] - 1)
        case _:
            broken("a measurement has a rendering")


def _present(batch: Batch, index: int) -> NDArray[np.bool_]:
    return batch[f"value{index}"].astype(np.bool_)


def _values(batch: Batch, index: int, centre: int) -> Values:
    steps = batch[f"value{index}"].astype(np.int64, copy=False)
    valid = steps != render.NULL_VALUE
    return Values(np.where(valid, steps - centre, 0), valid)


def _one_owner(plan: PrivacyPlan, scan: _Scan) -> tuple[NDArray[np.int64], ...]:
    """One kept set serves every measurement; sums clamped per number and group keep whole groups instead."""
    sums = [i for i, part in enumerate(plan.parts) if isinstance(part.measurement, SumMeasurement)]
    masked = [
        i
        for i, part in enumerate(plan.parts)
        if isinstance(part.measurement, DistinctMeasurement)
        or (isinstance(part.measurement, CountMeasurement) and part.measurement.present is not None)
    ]
    rows = OneOwnerRows(scan.source.numbers, plan.bounded.cells, columns=len(sums), masks=len(masked))
    for batch in scan.batches():
        first, second = scan.parties(batch)
        owner = np.maximum(first, second)
        # Negative codes name numbers that nobody owns, so the larger code is the owner if there is one.
        ensure(not bool(np.any((first >= 0) & (second >= 0) & (first != second))), "each row has at most one owner")
        lot = scan.lots(batch)
        rows.add(
            owner,
            batch["cell"].astype(np.int32, copy=False),
            lot,
            [_values(batch, i, _centre(plan.parts[i].measurement)) for i in sums],
            [_mask(plan, batch, i) for i in masked],
        )
    bounds = plan.bounded.bounds
    kept = rows.bound(bounds.max_rows, bounds.max_groups, bounds.max_rows_per_group)
    totals = []
    for index, part in enumerate(plan.parts):
        match part.measurement:
            case CountMeasurement():
                found = kept.counts(masked.index(index) if index in masked else None)
            case DistinctMeasurement():
                found = kept.distinct_owners(masked.index(index))
            case SumMeasurement(per_group=True, low=low, high=high):
                found = rows.sum_clamped_per_group(sums.index(index), low, high, bounds.max_groups)
            case SumMeasurement():
                found = kept.sums(sums.index(index))
            case _:
                broken("one-owner tables have no histogram measurement")
        totals.append(found.reshape(plan.bounded.cells, 1))
    return tuple(totals)


def _centre(measurement: Measurement) -> int:
    return measurement.centre if isinstance(measurement, SumMeasurement) else 0


def _mask(plan: PrivacyPlan, batch: Batch, index: int) -> NDArray[np.bool_]:
    measurement = plan.parts[index].measurement
    if isinstance(measurement, DistinctMeasurement):
        party = plan.bounded.parties.index(measurement.party)
        owned: NDArray[np.bool_] = batch[f"party{party}"] >= 0
        return owned
    return _present(batch, index)


class _Bounded(Protocol):
    """One measurement's greedy over one range of cells."""

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None: ...

    def totals(self) -> NDArray[np.int64]: ...


def _dual_greedy(plan: PrivacyPlan, scan: _Scan, state_bytes: int) -> tuple[NDArray[np.int64], ...]:
    """Each measurement its own greedy in each of its cells; cells that do not fit in memory take further passes."""
    share = max(1, state_bytes // len(plan.parts))
    ranges = [_partitions(plan, part.measurement, scan.source.numbers, share) for part in plan.parts]
    totals = [np.zeros((plan.bounded.cells, part.measurement.width), np.int64) for part in plan.parts]
    for turn in range(max(len(parts) for parts in ranges)):
        running: list[tuple[int, range, _Bounded]] = []
        for index, parts in enumerate(ranges):
            if turn < len(parts):
                running.append((index, parts[turn], _bounded(plan, index, scan.source.numbers, parts[turn])))
        for batch in scan.batches():
            first, second = scan.parties(batch)
            for _, _, greedy in running:
                greedy.add(batch, first, second)
        for index, cells, greedy in running:
            totals[index][cells.start : cells.stop] = greedy.totals().reshape(len(cells), -1)
    return tuple(totals)


def _partitions(plan: PrivacyPlan, measurement: Measurement, numbers: int, share: int) -> Sequence[range]:
    cells, capacity = plan.bounded.cells, plan.bounded.bounds.max_rows_per_group
    match measurement:
        case DistinctMeasurement():
            return cell_partitions(2 * numbers, cells, capacity, share)
        case HistogramMeasurement(width=width):
            return cell_partitions(width * numbers, cells, measurement.capacity, share)
        case _:
            return cell_partitions(numbers, cells, capacity, share)


def _bounded(plan: PrivacyPlan, index: int, numbers: int, cells: range) -> _Bounded:
    measurement = plan.parts[index].measurement
    count, capacity = plan.bounded.cells, plan.bounded.bounds.max_rows_per_group
    match measurement:
        case CountMeasurement(present=present):
            return _Count(DualGreedyCount(numbers, count, capacity, partition=cells), index if present else None)
        case DistinctMeasurement(party=party):
            counted = plan.bounded.parties.index(party)
            return _Distinct(DualGreedyDistinct(numbers, count, capacity, partition=cells), counted)
        case SumMeasurement(low=low, high=high) if low < 0:
            high = max(high, 0)
            signed = DualGreedySignedSum(numbers, count, capacity, value_min=low, value_max=high, partition=cells)
            return _Sum(signed, index)
        case SumMeasurement(high=high):
            return _Sum(DualGreedySum(numbers, count, capacity, value_max=high, partition=cells), index)
        case HistogramMeasurement():
            capacities = [measurement.capacity] * measurement.width
            return _Histogram(DualGreedyBuckets(numbers, count, capacities, partition=cells), index, measurement)
        case _:
            broken("a measurement has a greedy")


@dataclass(slots=True)
class _Count:
    greedy: DualGreedyCount
    present: int | None

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        cell = batch["cell"].astype(np.int32, copy=False)
        if self.present is not None:
            cell = np.where(_present(batch, self.present), cell, np.int32(-1))
        self.greedy.add(first, second, cell)

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()


@dataclass(slots=True)
class _Distinct:
    greedy: DualGreedyDistinct
    counted: int

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        counted, other = (first, second) if self.counted == 0 else (second, first)
        self.greedy.add(counted, other, batch["cell"].astype(np.int32, copy=False))

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()


@dataclass(slots=True)
class _Sum:
    greedy: DualGreedySum | DualGreedySignedSum
    index: int

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        values = _values(batch, self.index, 0)
        self.greedy.add(first, second, batch["cell"].astype(np.int32, copy=False), values.values, values.valid)

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()


@dataclass(slots=True)
class _Histogram:
    greedy: DualGreedyBuckets
    index: int
    measurement: HistogramMeasurement

    def add(self, batch: Batch, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        steps = batch[f"value{self.index}"].astype(np.int64, copy=False)
        edges = np.array(self.measurement.edges, np.int64)
        bins = (np.searchsorted(edges, steps, side="right") - 1).astype(np.int32)
        # NULL_VALUE lies below every edge, so it falls in bin -1: no bin.
        self.greedy.add(first, second, batch["cell"].astype(np.int32, copy=False), bins)

    def totals(self) -> NDArray[np.int64]:
        return self.greedy.totals()
