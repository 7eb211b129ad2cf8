"""What each measurement needs of a row, as a streamed integer column, and how kernels take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from dpquery.bounding.codes import VALUE_MAX
from dpquery.bounding.one_owner import Values
from dpquery.engines import render
from dpquery.errors import broken
from dpquery.plan.keys import GroupKey
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
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dpquery.engines.scan import Batch, RowSource
    from dpquery.plan.expressions import Expression
    from dpquery.privacy.measure import Measurement


class RowScan(Protocol):
    """The rows of a plan in batches, as often as they are asked for."""

    @property
    def source(self) -> RowSource: ...

    def batches(self) -> Iterator[Batch]: ...

    def lots(self, batch: Batch) -> NDArray[np.uint32]:
        """What decides which rows of a number stay."""

    def parties(self, batch: Batch) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Codes of both parties; negative for nobody who is protected."""


def value_column(measurement: Measurement) -> render.Sql | None:
    """SQL of the measurement's own column, None where it has none."""
    match measurement:
        case (
            CountMeasurement(present=present)
            | DistinctMeasurement(present=present)
            | PairsMeasurement(present=present)
            | KeptMeasurement(present=present)
        ):
            return None if present is None else render.sql("({} IS NOT NULL)::UTINYINT", render.render(present))
        case SumMeasurement(argument=argument, grid=grid, per_group=True):
            # The clamp is on a number's total, so its rows keep their values, as far as the kernel takes them.
            return render.grid_steps(argument, grid, 1 - VALUE_MAX, VALUE_MAX - 1)
        case SumMeasurement(argument=argument, grid=grid, low=low, high=high):
            return render.grid_steps(argument, grid, low, high)
        case SquaresMeasurement(argument=argument, grid=grid, low=low, high=high):
            return render.grid_steps(argument, grid, low, high)
        case (
            HistogramMeasurement(argument=argument, grid=grid, edges=edges)
            | QuantileMeasurement(argument=argument, grid=grid, edges=edges)
        ):
            return render.grid_steps(argument, grid, edges[0], edges[-1] - 1)
        case ValuesMeasurement(argument=argument, values=values):
            return render.cell((GroupKey(argument, values, ""),))
        case NumbersMeasurement():
            return None
        case _:
            broken("a measurement has a rendering")


def present_in(measurement: Measurement) -> Expression | None:
    """What must not be NULL for a row to count."""
    match measurement:
        case (
            CountMeasurement(present=present)
            | DistinctMeasurement(present=present)
            | PairsMeasurement(present=present)
            | KeptMeasurement(present=present)
        ):
            return present
        case _:
            return None


def cells(measurement: Measurement, batch: Batch, index: int) -> NDArray[np.int32]:
    """The cell of each row, -1 (no cell) where what part `index` counts is not present."""
    cell = batch["cell"].astype(np.int32, copy=False)
    if present_in(measurement) is None:
        return cell
    return np.where(batch[f"value{index}"].astype(np.bool_), cell, np.int32(-1))


def values(measurement: Measurement, batch: Batch, index: int) -> Values:
    """The value that each row adds to part `index`, in grid steps less the centre, or their square."""
    steps = batch[f"value{index}"].astype(np.int64, copy=False)
    valid = steps != render.NULL_VALUE
    centre = measurement.centre if isinstance(measurement, SumMeasurement | SquaresMeasurement) else 0
    centred = np.where(valid, steps - centre, 0)
    return Values(centred * centred if isinstance(measurement, SquaresMeasurement) else centred, valid)


def places(measurement: Measurement, batch: Batch, index: int) -> NDArray[np.int32]:
    """The bin, or the declared value, that each row of part `index` falls in; -1 for none."""
    found = batch[f"value{index}"]
    if isinstance(measurement, HistogramMeasurement | QuantileMeasurement):
        # NULL_VALUE lies below every edge, so it falls in bin -1: no bin.
        edges = np.array(measurement.edges, np.int64)
        return (np.searchsorted(edges, found.astype(np.int64, copy=False), side="right") - 1).astype(np.int32)
    return found.astype(np.int32, copy=False)
