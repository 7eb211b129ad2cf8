"""Bounds on rows, groups and rows per group of each number, where a row belongs to at most one protected number.

Per number at most `max_rows` rows stay, in at most `max_groups` groups, at most `max_rows_per_group` in each. Rows
without an owner always stay.

**Which rows stay** is a function of that number's own rows. They are taken in the order of their *lot*, a keyed
pseudo-random number that depends on the row's content, and a row is admitted while the total is below `max_rows`, its
group is open already or fewer than `max_groups` are open, and its group has fewer than `max_rows_per_group` rows. So
each row of the number has the same chance whatever its time, batch or place in the file; "the first rows by time" would
bias every answer about time.

**Why that is private.** Removing a number removes its own kept rows and changes nothing else: no other number's rows
are looked at when choosing. So the counts per cell change by c_g, one non-negative integer per group, with
c_g <= max_rows_per_group, sum c_g <= max_rows, at most max_groups of them positive. With K, G, Kg for the bounds,
L1 = min(K, G*Kg), Linf = min(K, Kg), and L2 is largest where the rows are spread least: q = floor(L1 / Kg) full groups
and one of r = L1 - q*Kg, sqrt(q*Kg^2 + r^2). Values clamped per row multiply these by the largest size of a value.
Values summed and then clamped per number and group change G cells by at most m each: Linf = m, L1 = G*m,
L2 = sqrt(G)*m. (This is the classic bounded-contribution argument for user-level neighbours by addition or removal;
see Wilson et al., "Differentially Private SQL with Bounded User Contribution", PoPETs 2020.)
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from dpquery.bounding.codes import CODES_MAX, ROWS_MAX, VALUE_MAX, by_rows, codes, column, count_of, within
from dpquery.errors import ensure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from dpquery.bounding.codes import Codes, Flags, Integers, Lots

_CellType: TypeAlias = type[np.uint16 | np.uint32]
_Scalar = TypeVar("_Scalar", bound=np.generic)

SCRATCH_BYTES = 256 * 2**20
"""Memory for rows being sorted; more of them are taken in several passes over ranges of numbers."""
PLACED_BYTES = 20
"""Memory per row being sorted: lot, row, cell, and its key in the heap."""
THREADS = min(4, os.cpu_count() or 1)
"""Threads over ranges of numbers. The result does not depend on it."""


@dataclass(frozen=True, slots=True)
class Values:
    """A column of values on an integer grid; where `valid` is false the value is NULL and contributes nothing."""

    values: Integers
    valid: Flags | None = None


class OneOwnerRows:
    """Collect the rows of a query batch by batch, then choose which stay.

    `columns` values and `masks` conditions come with each batch; aggregates name them by position. Rows in no cell
    (negative) are dropped on arrival.
    """

    def __init__(self, numbers: int, cells: int, *, columns: int = 0, masks: int = 0) -> None:
        self._columns = count_of(columns, 0, "columns")
        self._masks = count_of(masks, 0, "masks")
        self._collected = _Rows(count_of(numbers, 0, "numbers"), count_of(cells, 1, "cells"))

    @property
    def rows(self) -> int:
        """Rows collected so far, without those in no cell. Private."""
        return self._collected.count

    def add(
        self, owner: Codes, cell: Codes, lot: Lots, values: Sequence[Values] = (), masks: Sequence[Flags] = ()
    ) -> None:
        """Take the next batch, in the order of the store."""
        from dpquery.bounding import kernels  # numba loads when a kernel is first used

        collected, rows = self._collected, len(cell)
        ensure(not collected.complete, "no batch comes after rows were chosen")
        owner = codes(owner, collected.numbers, rows, "owner")
        cell = codes(cell, collected.cells, rows, "cell")
        lot = column(lot, np.uint32, rows, "lot")
        ensure(len(values) == self._columns, "a batch has every value column")
        ensure(len(masks) == self._masks, "a batch has every mask")
        checked = [_checked(each, rows) for each in values]
        masks = [column(mask, np.bool_, rows, "mask") for mask in masks]
        inside = None if rows == 0 or int(cell.min()) >= 0 else np.flatnonzero(cell >= 0)
        batch = _Batch(
            collected.count,
            _own(owner, inside, np.int32),
            _own(cell, inside, collected.cell_type),
            _own(lot, inside, np.uint32),
            tuple(_own(each.values, inside, _narrow(each.values)) for each in checked),
            tuple(_NO_FLAGS if each.valid is None else _own(each.valid, inside, np.bool_) for each in checked),
            tuple(_own(mask, inside, np.bool_) for mask in masks),
        )
        ensure(collected.count + batch.rows <= ROWS_MAX, f"at most {ROWS_MAX} rows in one query")
        if batch.rows == 0:
            return
        kernels.count_rows(batch.owner, collected.rows_of)
        collected.batches.append(batch)
        collected.count += batch.rows

    def bound(self, max_rows: int | None, max_groups: int | None, max_rows_per_group: int | None) -> KeptRows:
        """Choose the rows that stay; one kept set serves all aggregates of a query. None is no bound of that kind."""
        collected = self._collected
        collected.complete = True
        limit_rows = _limit(max_rows, "max_rows")
        limit_groups = _limit(max_groups, "max_groups")
        limit_in_group = _limit(max_rows_per_group, "max_rows_per_group")
        kept = np.ones(collected.count, np.bool_)
        safe = min(limit_rows, limit_in_group, limit_groups if collected.cells > 1 else CODES_MAX)
        collected.over_ranges(
            np.where(collected.rows_of > safe, collected.rows_of, 0),
            lambda low, lengths: self._choose(low, lengths, (limit_rows, limit_groups, limit_in_group), kept),
        )
        return KeptRows(collected, kept)

    def sum_clamped_per_group(self, value_column: int, low: int, high: int, max_groups: int | None) -> Integers:
        """Sum, per cell, each number's sum of values clamped to [low, high], over its first `max_groups` groups by lot.

        All rows of the number in those groups count. A row without an owner is a contribution of its own.
        """
        return self.bound(None, max_groups, None).sum_clamped(value_column, low, high)

    def _choose(self, first: int, lengths: Integers, limits: tuple[int, int, int], kept: Flags) -> None:
        from dpquery.bounding import kernels

        collected = self._collected
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        cursor = np.where(lengths > 0, starts[:-1], -1)
        total = int(starts[-1])
        placed_row = np.empty(total, np.uint32)
        placed_cell = np.empty(total, collected.cell_type)
        placed_lot = np.empty(total, np.uint32)
        for batch in collected.batches:
            kernels.place_rows(
                batch.owner, batch.cell, batch.lot, batch.base, first, cursor, placed_row, placed_cell, placed_lot
            )
        kernels.choose_rows(starts, placed_row, placed_cell, placed_lot, collected.cells, *limits, kept)


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows of a query that stay, and exact totals over them, one per cell. Private, as are the totals."""

    collected: _Rows = field(repr=False)
    kept: Flags = field(repr=False)
    """One flag per collected row, in order of arrival."""

    def counts(self, mask: int | None = None) -> Integers:
        """Count kept rows; with `mask`, only those where it holds."""
        return self._count(lambda batch: _NO_FLAGS if mask is None else batch.masks[mask])

    def sums(self, value_column: int) -> Integers:
        """Sum the values of kept rows; NULL contributes nothing."""
        from dpquery.bounding import kernels

        totals = np.zeros(self.collected.cells, np.int64)
        for batch in self.collected.batches:
            value, valid = batch.values[value_column], batch.valid[value_column]
            kernels.add_values(batch.cell, self.kept, value, valid, batch.base, totals)
        return totals

    def histogram(self, value_column: int, buckets: int) -> Integers:
        """Count kept rows per cell and bucket, the value column being a bucket's index; others count nowhere."""
        from dpquery.bounding import kernels

        cells = self.collected.cells
        totals = np.zeros(cells * count_of(buckets, 1, "buckets"), np.int64)
        for batch in self.collected.batches:
            value, valid = batch.values[value_column], batch.valid[value_column]
            kernels.add_histogram(batch.cell, self.kept, value, valid, batch.base, buckets, totals)
        return totals.reshape(cells, buckets)

    def distinct_owners(self, mask: int | None = None, *, at_least: int = 1) -> Integers:
        """Count the numbers with `at_least` kept rows in each cell; with `mask`, rows where it holds.

        A row without an owner counts nobody. A number changes at most max_rows / at_least cells, and max_groups, by 1.
        """
        from dpquery.bounding import kernels

        rows = self.collected

        def count(first: int, lengths: Integers) -> Integers:
            starts = np.cumsum(lengths) - lengths
            ends = starts.copy()
            placed_cell = np.empty(int(lengths.sum()), rows.cell_type)
            for batch in rows.batches:
                chosen = _NO_FLAGS if mask is None else batch.masks[mask]
                kernels.place_kept(batch.owner, batch.cell, self.kept, chosen, batch.base, first, ends, placed_cell)
            part = np.zeros(rows.cells, np.int64)
            kernels.count_owners(ends, placed_cell, starts, at_least, part)
            return part

        count_of(at_least, 1, "at_least")
        return self._per_number(count)

    def numbers_by_rows(self, most: int) -> Integers:
        """Count the numbers with 1, 2, ... kept rows; the last of the `most` counts those with more, too.

        A number is in one place, so it changes that one, by 1.
        """
        from dpquery.bounding import kernels

        rows_of = np.zeros(self.collected.numbers, np.int32)
        for batch in self.collected.batches:
            kernels.count_rows(batch.owner[self.kept[batch.base : batch.base + batch.rows]], rows_of)
        return by_rows(rows_of, most)

    def sum_clamped(self, value_column: int, low: int, high: int) -> Integers:
        """Sum, per cell, each number's sum of kept values clamped to [low, high]; a row without an owner alone."""
        from dpquery.bounding import kernels

        ensure(low <= high, "the lower clamp is not above the upper")
        ensure(within((abs(low), abs(high)), VALUE_MAX), f"clamps lie within {VALUE_MAX}")
        rows = self.collected

        def add(first: int, lengths: Integers) -> Integers:
            starts = np.cumsum(lengths) - lengths
            ends = starts.copy()
            placed_cell = np.empty(int(lengths.sum()), rows.cell_type)
            placed_value = np.empty(len(placed_cell), np.int64)
            for batch in rows.batches:
                value, valid = batch.values[value_column], batch.valid[value_column]
                kernels.place_values(
                    batch.owner, batch.cell, self.kept, value, valid, batch.base, first, ends, placed_cell, placed_value
                )
            part = np.zeros(rows.cells, np.int64)
            kernels.sum_clamped(ends, placed_cell, placed_value, starts, low, high, part)
            return part

        totals = self._per_number(add)
        for batch in rows.batches:
            value, valid = batch.values[value_column], batch.valid[value_column]
            kernels.add_clamped(batch.owner, batch.cell, value, valid, low, high, totals)
        return totals

    def _count(self, chosen: Callable[[_Batch], Flags]) -> Integers:
        from dpquery.bounding import kernels

        totals = np.zeros(self.collected.cells, np.int64)
        for batch in self.collected.batches:
            kernels.add_counts(batch.cell, self.kept, chosen(batch), batch.base, totals)
        return totals

    def _per_number(self, part: Callable[[int, Integers], Integers]) -> Integers:
        parts: list[Integers] = [np.zeros(self.collected.cells, np.int64)]
        self.collected.over_ranges(self.collected.rows_of, lambda first, lengths: parts.append(part(first, lengths)))
        totals: Integers = np.stack(parts).sum(axis=0, dtype=np.int64)
        return totals


class _Rows:
    """Rows in a cell, batch by batch in the order of the store."""

    def __init__(self, numbers: int, cells: int) -> None:
        self.numbers = numbers
        self.cells = cells
        self.cell_type: _CellType = np.uint16 if cells <= 2**16 else np.uint32
        self.rows_of = np.zeros(numbers, np.int32)
        self.batches: list[_Batch] = []
        self.count = 0
        self.complete = False

    def over_ranges(self, lengths: npt.NDArray[np.int32], work: Callable[[int, Integers], None]) -> None:
        """Run `work` on ranges of numbers that need about the same memory each, within `SCRATCH_BYTES` together.

        The rows of one number are always taken together.
        """
        ends = np.cumsum(lengths, dtype=np.int64)
        rows = int(ends[-1]) if len(ends) else 0
        if rows == 0:
            return
        room = max(1, SCRATCH_BYTES // (PLACED_BYTES * THREADS))
        parts = max(THREADS, -(-rows // room))
        cuts = np.unique(np.searchsorted(ends, np.arange(1, parts) * (rows / parts)) + 1)
        bounds = [0, *(int(cut) for cut in cuts if cut < len(ends)), len(ends)]
        ranges = list(itertools.pairwise(bounds))

        def run(span: tuple[int, int]) -> None:
            work(span[0], lengths[span[0] : span[1]].astype(np.int64))

        if len(ranges) == 1:
            run(ranges[0])
            return
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(run, ranges):
                pass


@dataclass(frozen=True, slots=True)
class _Batch:
    base: int
    owner: Codes
    cell: npt.NDArray[np.uint16 | np.uint32]
    lot: Lots
    values: tuple[npt.NDArray[np.int32 | np.int64], ...]
    valid: tuple[Flags, ...]
    masks: tuple[Flags, ...]

    @property
    def rows(self) -> int:
        return len(self.owner)


_NO_FLAGS: Flags = np.empty(0, np.bool_)
"""Stands for "every row" in a kernel."""


def _own(
    array: npt.NDArray[np.generic], inside: npt.NDArray[np.intp] | None, dtype: type[_Scalar]
) -> npt.NDArray[_Scalar]:
    """Copy the rows that lie inside, so that the batch they came in can go."""
    if inside is None:
        return array.astype(dtype, copy=True)
    return array.take(inside).astype(dtype, copy=False)


def _checked(column_of: Values, rows: int) -> Values:
    values = column(column_of.values, np.int64, rows, "values")
    valid = None if column_of.valid is None else column(column_of.valid, np.bool_, rows, "valid")
    if valid is not None and not _in_range(values):
        values = np.where(valid, values, 0)
    ensure(_in_range(values), f"values lie within {VALUE_MAX}")
    return Values(values, valid)


def _in_range(values: Integers) -> bool:
    return len(values) == 0 or (int(values.max()) <= VALUE_MAX and int(values.min()) >= -VALUE_MAX)


def _narrow(values: Integers) -> type[np.int32 | np.int64]:
    return np.int32 if len(values) == 0 or int(values.max()) < VALUE_MAX else np.int64


def _limit(bound: int | None, name: str) -> int:
    return CODES_MAX if bound is None else count_of(bound, 1, name)
