"""Rows on their way to quarantine that name an erased number somewhere: they leave no trace there either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from dpquery.ingest.text_columns import as_text, text_objects
from dpquery.numbers.in_text import Readings
from dpquery.numbers.scheme import scheme_of
from dpquery.store.tombstones import Tombstones

if TYPE_CHECKING:
    from dpquery.ingest.batches import BadLine, SourceBatch
    from dpquery.ingest.verdicts import Verdicts
    from dpquery.store import Store

Flags = np.ndarray[Any, np.dtype[np.bool_]]


class ErasedNumbers:
    """Finds the erased numbers of a store in rows as they came, whose parties may not have been readable."""

    def __init__(self, store: Store, region: str | None, region_column: str | None) -> None:
        """`region`: of numbers whose row names none; `region_column`: the file's, if it has one."""
        self.tombstones = Tombstones.of(store)
        self._scheme = scheme_of(store.policy)
        self._region = region
        self._region_column = region_column
        self._countries = pc.unique(store.numbers().column("country")).to_pylist() if len(self.tombstones) else []

    def leave_out(self, batch: SourceBatch, verdicts: Verdicts) -> None:
        """Keep the rows of `batch` out of the quarantine that name one in any column."""
        indices, _ = verdicts.bad()
        if not len(self.tombstones) or not len(indices):
            return
        named: Flags = np.zeros(len(batch), np.bool_)
        readings = self._readings(batch)
        for column in batch.columns.values():
            values = text_objects(as_text(column.take(indices)))
            named[indices] |= np.fromiter((self._names(value, readings) for value in values), np.bool_, len(indices))
        verdicts.leave_out(named, "erased")

    def others(self, lines: tuple[BadLine, ...]) -> tuple[BadLine, ...]:
        """Those of damaged lines that name none."""
        if not len(self.tombstones):
            return lines
        readings = self._readings(None)
        return tuple(line for line in lines if not self._names(line.text, readings))

    def _readings(self, batch: SourceBatch | None) -> Readings:
        rows = (
            []
            if batch is None or self._region_column is None
            else text_objects(pc.unique(as_text(batch.columns[self._region_column])))
        )
        return Readings(self._scheme, (self._region, *self._countries, *(row.strip().upper() for row in rows)))

    def _names(self, text: str, readings: Readings) -> bool:
        return any(self.tombstones.covers_any(found) for found in readings.in_text(text))
