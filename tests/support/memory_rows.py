"""Rows in memory, read through the same rendered SQL as a store's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.engines.embedded import execute
from dpquery.engines.relations import rows
from dpquery.engines.render import CLAMP_MACRO, Sql, sql
from dpquery.engines.scan import distinct_values, stream
from dpquery.plan.relations import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb
    from numpy.typing import NDArray

    from dpquery.engines.scan import Batch, ScanColumn
    from dpquery.plan.expressions import Constant
    from dpquery.plan.relations import Relation
    from dpquery.privacy.calibrate import PrivacyPlan


@dataclass(frozen=True, slots=True)
class MemoryRows:
    """A table as ingest leaves it: codes, declared and derived columns, in the order of `place`."""

    con: duckdb.DuckDBPyConnection
    table: pa.Table
    numbers: int
    others: Mapping[str, pa.Table] = field(default_factory=dict)
    """Further tables by name; `table` stands for every other name."""

    def batches(self, relation: Relation, columns: Sequence[ScanColumn], where: Sql) -> Iterator[Batch]:
        self.con.register("memory_rows", self.table)
        for name, other in self.others.items():
            self.con.register(f"memory_{name}", other)
        if isinstance(relation, Stored):
            yield from list(stream(self.con, self._table(relation.table), columns, where))
        else:
            source = sql("({})", rows(relation, self._table))
            yield from list(stream(self.con, source, columns, where, sort=True))

    def distinct(self, relation: Relation, values: Sequence[Sql], where: Sql) -> list[tuple[Constant, ...]]:
        for name, other in {"rows": self.table, **self.others}.items():
            self.con.register(f"memory_{name}", other)
        return distinct_values(self.con, sql("({})", rows(relation, self._table)), values, where)

    def _table(self, name: str) -> Sql:
        return Sql(f"memory_{name}" if name in self.others else "memory_rows")

    def without(self, number: int, parties: Sequence[str]) -> MemoryRows:
        """The same rows, in the same order, without those that `number` owns."""
        keep = np.ones(self.table.num_rows, np.bool_)
        for party in parties:
            keep &= self.table.column(party).to_numpy() != number
        others = {
            name: other.filter(pa.array(other.column("number").to_numpy() != number))
            for name, other in self.others.items()
        }
        return MemoryRows(self.con, self.table.filter(pa.array(keep)), self.numbers, others)

    def rows_of(self, number: int, parties: Sequence[str]) -> int:
        owned = np.zeros(self.table.num_rows, np.bool_)
        for party in parties:
            owned |= self.table.column(party).to_numpy() == number
        return int(owned.sum())

    def owners(self, parties: Sequence[str]) -> list[int]:
        """Every number that owns a row."""
        found = set()
        for party in parties:
            found |= set(pc.unique(self.table.column(party)).to_pylist())
        return sorted(code for code in found if code >= 0)

    def exact(self, plan: PrivacyPlan) -> list[NDArray[np.int64]]:
        """The exact, bounded integers of each part of a plan."""
        return list(execute(plan, self).open_for_noise())


def prepare(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    con.execute(CLAMP_MACRO)
    return con
