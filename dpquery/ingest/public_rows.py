"""Public tables: no numbers, one row per key, an ingest replaces them whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.errors import broken
from dpquery.ingest.values import ARROW_TYPES, read_column
from dpquery.ingest.verdicts import Verdicts

if TYPE_CHECKING:
    from dpquery.ingest.batches import SourceBatch
    from dpquery.ingest.mapping import Mapping
    from dpquery.ingest.times import TimeReader
    from dpquery.policy import Table

Flags = np.ndarray[Any, np.dtype[np.bool_]]


class PublicRows:
    """Gathers the rows of a public table; they are few, as analysts may know every one."""

    def __init__(self, table: Table, mapping: Mapping, times: TimeReader) -> None:
        if table.key is None:
            broken("a public table has a key")
        self._table, self._mapping, self._times, self._key = table, mapping, times, table.key
        self._seen: set[object] = set()
        self._batches: list[pa.RecordBatch] = []

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, ARROW_TYPES[column.type]) for name, column in self._table.columns.items()])

    def add(self, batch: SourceBatch) -> tuple[pa.RecordBatch, Verdicts]:
        """Keep the rows that are whole and have a key of their own; the first with a key wins."""
        verdicts = Verdicts(len(batch))
        if batch.damaged is not None:
            verdicts.mark(batch.damaged, "bad_row", "not UTF-8")
        columns = {}
        for name, source in self._mapping.columns:
            declared, grain = self._table.columns[name], self._table.stored_grain(name)
            read = read_column(batch.columns[source], declared, self._times, grain)
            verdicts.mark(read.bad, "bad_value", name)
            columns[name] = read.values
        empty: Flags = pc.is_null(columns[self._key]).to_numpy(zero_copy_only=False).astype(np.bool_)
        verdicts.mark(empty, "empty_key", self._key)
        verdicts.mark(self._twice(columns[self._key], verdicts.kept), "duplicate_key", self._key)
        kept = pa.array(verdicts.kept)
        rows = pa.RecordBatch.from_arrays([columns[n].filter(kept) for n in self.schema.names], schema=self.schema)
        self._batches.append(rows)
        return rows, verdicts

    def sorted(self) -> pa.Table:
        """All rows, by key."""
        return pa.Table.from_batches(self._batches, self.schema).sort_by(self._key)

    def _twice(self, keys: pa.Array, whole: Flags) -> Flags:
        twice = np.zeros(len(keys), np.bool_)
        for row in np.flatnonzero(whole).tolist():
            key = keys[row].as_py()
            twice[row] = key in self._seen
            self._seen.add(key)
        return twice
