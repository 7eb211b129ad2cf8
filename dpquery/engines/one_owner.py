"""Measurements over rows with one owner: one kept set serves them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dpquery.bounding.one_owner import OneOwnerRows, Values
from dpquery.bounding.pairs import FirstPairs, cell_of_pairs, pair_lots
from dpquery.engines import columns
from dpquery.errors import broken, ensure
from dpquery.privacy.measure import (
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
    from numpy.typing import NDArray

    from dpquery.bounding.one_owner import KeptRows
    from dpquery.engines.columns import RowScan
    from dpquery.engines.scan import Batch
    from dpquery.privacy.calibrate import PrivacyPlan


def one_owner(plan: PrivacyPlan, scan: RowScan) -> tuple[NDArray[np.int64], ...]:
    """Exact totals (cells, width) of every part.

    Sums clamped per number and group keep whole groups instead of rows; pairs are rows of their own, so they have a
    kept set of their own.
    """
    numbers = scan.source.numbers
    valued = [i for i, part in enumerate(plan.parts) if _has_value(plan, i)]
    masked = [i for i, part in enumerate(plan.parts) if _has_mask(plan, i)]
    pairs = [i for i, part in enumerate(plan.parts) if isinstance(part.measurement, PairsMeasurement)]
    # Numbers by their rows are no groups of rows: all of a number's rows are in one cell.
    cells = 1 if _by_rows(plan) else plan.bounded.logical.bounded_groups
    rows = OneOwnerRows(numbers, cells, columns=len(valued), masks=len(masked))
    pair_rows = {i: (FirstPairs(numbers, cells), OneOwnerRows(numbers, cells)) for i in pairs}
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
            [_values(plan, batch, i) for i in valued],
            [_mask(plan, batch, i) for i in masked],
        )
        for i, (seen, kept_pairs) in pair_rows.items():
            cell = columns.cells(plan.parts[i].measurement, batch, i)
            cell = np.where(seen.add(first, second, cell), cell_of_pairs(first, second, cell), np.int32(-1))
            kept_pairs.add(owner, cell, pair_lots(lot))
    bounds = plan.bounded.bounds
    kept = rows.bound(bounds.max_rows, bounds.max_groups, bounds.max_rows_per_group)
    totals = []
    for index, part in enumerate(plan.parts):
        match part.measurement:
            case PairsMeasurement():
                own = pair_rows[index][1]
                found = own.bound(bounds.max_rows, bounds.max_groups, bounds.max_rows_per_group).counts()
            case KeptMeasurement(bounds=wider):
                stay = rows.bound(wider.max_rows, wider.max_groups, wider.max_rows_per_group)
                found = stay.counts(masked.index(index) if index in masked else None).sum(dtype=np.int64)
            case SumMeasurement(per_group=True, low=low, high=high):
                found = rows.sum_clamped_per_group(valued.index(index), low, high, bounds.max_groups)
            case _:
                found = _total(plan, kept, index, valued, masked)
        if isinstance(part.measurement, QuantileMeasurement):
            found = scores(found, part.measurement)
        totals.append(found.reshape(plan.bounded.cells, -1))
    return tuple(totals)


def _total(plan: PrivacyPlan, kept: KeptRows, index: int, valued: list[int], masked: list[int]) -> NDArray[np.int64]:
    """One measurement over the rows that stay."""
    match plan.parts[index].measurement:
        case CountMeasurement():
            return kept.counts(masked.index(index) if index in masked else None)
        case DistinctMeasurement():
            return kept.distinct_owners(masked.index(index))
        case NumbersMeasurement(by_rows=True):
            return kept.numbers_by_rows(plan.bounded.cells)
        case NumbersMeasurement(at_least=at_least):
            return kept.distinct_owners(at_least=at_least)
        case SumMeasurement() | SquaresMeasurement():
            return kept.sums(valued.index(index))
        case HistogramMeasurement(width=width) | ValuesMeasurement(width=width):
            return kept.histogram(valued.index(index), width)
        case QuantileMeasurement(candidates=candidates):
            return kept.histogram(valued.index(index), candidates)
        case _:
            broken("a measurement over rows with one owner has a total")


def scores(rows: NDArray[np.int64], measurement: QuantileMeasurement) -> NDArray[np.int64]:
    """How far each bin is off the quantile, from the rows by cell and bin, as QuantileMeasurement has it."""
    upto = np.cumsum(rows, axis=1)
    wanted = measurement.part * upto[:, -1:]
    too_high = measurement.whole * (upto - rows) - wanted
    too_low = wanted - measurement.whole * upto
    off: NDArray[np.int64] = np.maximum(np.maximum(too_high, too_low), 0)
    return off


def _by_rows(plan: PrivacyPlan) -> bool:
    return any(isinstance(part.measurement, NumbersMeasurement) and part.measurement.by_rows for part in plan.parts)


def _has_value(plan: PrivacyPlan, index: int) -> bool:
    measurement = plan.parts[index].measurement
    return isinstance(
        measurement,
        SumMeasurement | SquaresMeasurement | HistogramMeasurement | QuantileMeasurement | ValuesMeasurement,
    )


def _has_mask(plan: PrivacyPlan, index: int) -> bool:
    measurement = plan.parts[index].measurement
    counts_some = isinstance(measurement, CountMeasurement | KeptMeasurement) and measurement.present is not None
    return counts_some or isinstance(measurement, DistinctMeasurement)


def _values(plan: PrivacyPlan, batch: Batch, index: int) -> Values:
    measurement = plan.parts[index].measurement
    if isinstance(measurement, HistogramMeasurement | QuantileMeasurement | ValuesMeasurement):
        return Values(columns.places(measurement, batch, index).astype(np.int64))
    return columns.values(measurement, batch, index)


def _mask(plan: PrivacyPlan, batch: Batch, index: int) -> NDArray[np.bool_]:
    """The rows that a part counts, of those in a cell."""
    measurement = plan.parts[index].measurement
    if not isinstance(measurement, DistinctMeasurement):
        return batch[f"value{index}"].astype(np.bool_)
    party = plan.bounded.parties.index(measurement.party)
    owned: NDArray[np.bool_] = batch[f"party{party}"] >= 0
    return owned if measurement.present is None else owned & batch[f"value{index}"].astype(np.bool_)
