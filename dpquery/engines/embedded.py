"""Runs a priced plan on this machine: DuckDB streams filtered rows, the kernels bound and add them up."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dpquery.engines import render
from dpquery.engines.columns import value_column
from dpquery.engines.exact import ExactTable
from dpquery.engines.groups import ExactGroups, GroupIndex, occurring
from dpquery.engines.one_owner import one_owner
from dpquery.engines.scan import ScanColumn
from dpquery.engines.two_owners import two_owners
from dpquery.plan.query import CountNumbers
from dpquery.plan.relations import has_lot
from dpquery.privacy.bound import ContributionBounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dpquery.engines.scan import Batch, RowSource
    from dpquery.privacy.calibrate import PrivacyPlan

STATE_BYTES = 2**30
"""Memory for the slots that two-owner bounding keeps for each number and cell; more cells take more passes."""


def execute(plan: PrivacyPlan, source: RowSource, *, state_bytes: int = STATE_BYTES) -> ExactTable:
    """Exact, bounded integers for every measurement of `plan`: arrays (cells, width). Secret."""
    scan = _Scan(plan, source)
    if plan.bounded.rule == "one-owner":
        return ExactTable(one_owner(plan, scan))
    return ExactTable(two_owners(plan, scan, state_bytes))


def execute_selection(plan: PrivacyPlan, source: RowSource) -> ExactGroups:
    """The groups that rows have, and the exact numbers in each: what groups are selected by. Secret.

    Each number is in at most min(max_groups, max_rows) groups, by its own lots, and counts once in each. A group that
    bounding leaves empty is not there: who has many groups would otherwise be seen in more than that number of them.
    """
    bounded = plan.bounded
    groups = occurring(bounded.logical, source)
    most = min(bounded.bounds.max_groups, bounded.bounds.max_rows)
    counting = replace(
        plan,
        bounded=replace(
            bounded, logical=replace(bounded.logical, groups=groups), bounds=ContributionBounds(most, most, 1)
        ),
        parts=plan.parts[:1],
    )
    counts = one_owner(counting, _Scan(counting, source))[0] if groups else np.zeros((0, 1), np.int64)
    present = counts[:, 0] > 0
    return ExactGroups(tuple(itertools.compress(groups, present.tolist())), counts[present])


@dataclass(slots=True)
class _Scan:
    """The columns a plan streams; each call of `batches` reads the rows again."""

    plan: PrivacyPlan
    source: RowSource
    columns: list[ScanColumn] = field(init=False)
    where: render.Sql = field(init=False)
    index: GroupIndex | None = field(init=False)
    """Where groups were selected: which cell a row is in."""

    def __post_init__(self) -> None:
        logical = self.plan.bounded.logical
        self.columns = [ScanColumn("place", render.identifier("place"))]
        self.columns += [ScanColumn(f"party{i}", render.identifier(p)) for i, p in enumerate(self.plan.bounded.parties)]
        if has_lot(logical.relation):
            self.columns.append(ScanColumn("lot", render.identifier("lot")))
        by_rows = any(isinstance(a, CountNumbers) and a.by_rows for a in logical.aggregates)
        self.index = GroupIndex.of(logical) if logical.selects_groups else None
        if self.index is None:
            self.columns.append(ScanColumn("cell", render.cell(() if by_rows else logical.bounded_keys)))
        else:
            keys = zip(logical.keys, self.index.listed, strict=True)
            for i, (key, listed) in enumerate(keys):
                self.columns.append(ScanColumn(f"key{i}", render.key_value(key.expression), listed))
        for index, part in enumerate(self.plan.parts):
            column = value_column(part.measurement)
            if column is not None:
                self.columns.append(ScanColumn(f"value{index}", column))
        self.where = render.condition(logical.where)

    def batches(self) -> Iterator[Batch]:
        index, keys = self.index, len(self.plan.bounded.logical.keys)
        for batch in self.source.batches(self.plan.bounded.logical.relation, self.columns, self.where):
            yield batch if index is None else batch | {"cell": index.cells_of([batch[f"key{i}"] for i in range(keys)])}

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
