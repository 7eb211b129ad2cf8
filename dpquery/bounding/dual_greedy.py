"""Capped greedy bounding of tables whose rows belong to at most two protected numbers, each output cell by itself.

    free[number] = k for every number
    for row in rows by falling value, equal values in the store's order:
        if every owner of the row has free > 0:
            free[owner] -= 1 for each distinct owner;  total += value

This is the edge-addition projection of Day, Li and Lyu, "Publishing Graph Degree Distribution with Node Differential
Privacy", SIGMOD 2016, for tables of rows with repeated pairs, for one output cell, and extended to sums.

**Theorem.** For values in [0, B] (a count: 1), for every table D and every number v, 0 <= f(D) - f(D - v) <= k*B, where
D - v lacks every row that v owns.

**Proof, by a chain of vacancies.** Run the greedy once with the capacities c and once with one slot less for v, side by
side. *Claim: at any moment the free slots of the two runs differ for at most one number, and there by one.* At the
start the second run has one slot less at v. Say it has one less at x. The runs treat a row differently only if it is
owned by x, x has exactly one slot left in the first run (none in the second), and its other owner y, if any, has room:
the first run keeps the row and the second loses it. Then x is level, and the second run has one slot *more* at y. Say
it has one more at y. A row is treated differently only if y is full in the first run and its other owner z, if any, has
room: the second run gains it. Then y is level and the second run has one less at z. A row with one owner, or with the
same owner twice, ends the chain. So the differing rows form one chain, alternately lost and gained, and never two,
because a row has at most one *other* owner. (With three owners the chain branches and the theorem is false.)

Rows are taken by falling value, so values fall along the chain, and the change -x1 + x2 - x3 + ... lies in [-x1, 0].
Removing v is the same as setting its capacity to 0. Lower it slot by slot: each step's chain starts with v's last kept
row, and never meets v again, since v is full in both runs from there on. So the steps lose v's kept rows one by one, at
most k of them, each with a change in [-B, 0]. QED.

**What follows.** Each cell moves by 0..k*B, so over G declared cells Linf = k*B, L2 = k*B*sqrt(G), L1 = k*B*G. There is
no bound across cells: it would carry chains from cell to cell. Each step leaves the slots of at most one other number
changed by one, so the count of numbers with at least t kept rows changes by at most k + 1. A signed sum is that of the
positive parts less that of the negative parts; both fall together, so it changes by at most k*max(B+, B-). The totals
grow with k, for one slot more is a step backwards, and are exact from the largest number of rows of a number on.

Nothing may be read off *which* rows were kept: filter, group and join first, then bound. The order of rows must depend
on each row's own content and a secret only, never on positions or dense codes, which change when v leaves. A row of
three parties must not reach this module.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from dpquery.bounding.codes import ROWS_MAX, VALUE_MAX, by_rows, codes, column, count_of
from dpquery.bounding.pairs import PairTable, cell_of_pairs
from dpquery.errors import ensure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from dpquery.bounding.codes import Codes, Flags, Integers

    _Block = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.uint16 | np.uint32]]

STATE_BYTES = 2**30
"""Default memory for used slots; more cells than fit are bounded in several passes."""
SCRATCH_BYTES = 256 * 2**20
"""Memory for the rows of a sum being sorted; more are taken in several ranges of cells."""
PLACED_BYTES = 24
"""Memory per row being sorted: both owners and the value, twice."""


def cell_partitions(numbers: int, cells: int, capacity: int, state_bytes: int = STATE_BYTES) -> list[range]:
    """Split `cells` into ranges whose used slots fit `state_bytes`; one cell is the least that can be taken at a time.

    Cells are independent, so a pass over the rows for each range gives the same totals as one pass for all. For
    `DualGreedyDistinct`, which has a slot count per role, ask with twice the numbers.
    """
    count_of(numbers, 0, "numbers")
    count_of(cells, 1, "cells")
    ensure(state_bytes > 0, "state has some memory")
    per_cell = max(1, numbers) * _slot_type(count_of(capacity, 1, "capacity")).itemsize
    parts = -(-cells // max(1, state_bytes // per_cell))
    edges = [cells * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in itertools.pairwise(edges)]


class DualGreedyCount:
    """COUNT(*): each cell moves by 0..capacity when a number leaves with all its rows.

    `capacity` is one for all cells or one per cell. With `partition` only those cells are bounded and the rows of
    others are ignored. Partitions may run side by side on threads: the loop holds no lock.
    """

    def __init__(
        self, numbers: int, cells: int, capacity: int | Sequence[int], *, partition: range | None = None
    ) -> None:
        self._open(numbers, cells, capacity, partition, roles=1)

    def add(self, first: Codes, second: Codes, cell: Codes) -> None:
        """Take the next batch, in the order of the store; a row with the same number twice takes one slot."""
        self._add(first, second, cell)

    def totals(self) -> Integers:
        """Count the rows kept so far in each cell of the partition. Private."""
        return self._kept.copy()

    def _open(
        self, numbers: int, cells: int, capacity: int | Sequence[int], partition: range | None, *, roles: int
    ) -> None:
        self._numbers = count_of(numbers, 0, "numbers")
        self._cells = count_of(cells, 1, "cells")
        self._partition = _checked_partition(partition, cells)
        chosen = self._partition
        if isinstance(capacity, int):
            self._capacity = np.full(len(chosen), count_of(capacity, 1, "capacity"), np.int64)
        else:
            ensure(len(capacity) == cells, "there is one capacity per cell")
            each = [count_of(int(k), 1, "capacity") for k in capacity]
            self._capacity = np.array(each[chosen.start : chosen.stop], np.int64)
        self._vertices = max(1, roles * numbers)
        # Zeros cost no memory until they are touched, so slots are counted as used, not as free.
        self._used = np.zeros(self._vertices * len(chosen), _slot_type(int(self._capacity.max())))
        self._kept = np.zeros(len(chosen), np.int64)
        self._rows = 0

    def _add(self, first: Codes, second: Codes, cell: Codes) -> None:
        rows = len(cell)
        first = codes(first, self._numbers, rows, "first owner")
        second = codes(second, self._numbers, rows, "second owner")
        cell = codes(cell, self._cells, rows, "cell")
        self._rows = _more_rows(self._rows, rows)
        self._run(first, second, cell)

    def _run(self, first: Codes, second: Codes, cell: Codes) -> None:
        from dpquery.bounding import kernels  # numba loads when a kernel is first used

        low = self._partition.start
        kernels.greedy_rows(
            first, second, cell, low, 0, self._vertices, self._used, self._capacity, self._capacity, self._kept
        )


class DualGreedyParticipants(DualGreedyCount):
    """COUNT(DISTINCT number in any role): owners of kept rows. Each cell moves by at most capacity + 1, either way."""

    def totals(self, at_least: int = 1) -> Integers:
        """Count the numbers with at least `at_least` kept rows in each cell: again at most capacity + 1. Private."""
        from dpquery.bounding import kernels

        found = np.zeros(len(self._partition), np.int64)
        if self._numbers:
            kernels.count_used(self._used, self._vertices, count_of(at_least, 1, "at_least"), found)
        return found

    def by_rows(self, most: int) -> Integers:
        """Count the numbers with 1, 2, ... kept rows in the one cell; the last of the `most` also those with more.

        Removing a number takes it out of its bin and moves at most `capacity` others by one row each: L1 at most
        2*capacity + 1, no bin by more than capacity + 1, squares at most capacity^2 + (capacity + 1)^2. A greedy for
        each bin would have no such bound: which bin a row counts in depends on other rows. Private.
        """
        ensure(len(self._partition) == self._cells == 1, "numbers by their rows are counted over one cell")
        return by_rows(self._used[: self._numbers], most)


class DualGreedyDistinct(DualGreedyCount):
    """COUNT(DISTINCT counted party): each cell moves by 0..1 + other_capacity.

    A number has separate slots as the counted party (one, so that kept rows are distinct numbers) and as the other
    party (`other_capacity`): the graph has a vertex per role and number, and removing a number removes two vertices.
    One capacity over both roles would not do: along a chain, the callers of the lost rows may have other kept rows
    while each gained row brings a caller who had none, so one number's leaving could bring in any number of callers.
    """

    def __init__(self, numbers: int, cells: int, other_capacity: int, *, partition: range | None = None) -> None:
        self._open(numbers, cells, other_capacity, partition, roles=2)
        self._one = np.ones(len(self._partition), np.int64)

    def add(self, counted: Codes, other: Codes, cell: Codes) -> None:
        """Take the next batch, in the order of the store; rows whose counted party is nobody are skipped."""
        self._add(counted, other, cell)

    def _run(self, first: Codes, second: Codes, cell: Codes) -> None:
        from dpquery.bounding import kernels

        cell = column(np.where(first >= 0, cell, np.int32(-1)), np.int32, len(cell), "cell")
        low, offset = self._partition.start, self._numbers
        kernels.greedy_rows(
            first, second, cell, low, offset, self._vertices, self._used, self._one, self._capacity, self._kept
        )


class DualGreedyPairs(DualGreedyCount):
    """Different pairs: one row for each pair and cell, at the place of its first, then as COUNT: 0..capacity.

    Removing a number removes its pairs and no row of another pair, so the theorem holds for the rows that stand for
    pairs. Only pairs that were kept are remembered. A pair is refused when one of its owners is full, and that owner
    stays full, so each further row of the pair is refused without being known. So memory holds at most `capacity` pairs
    per number and cell, and the pairs of public numbers; never more than one for each row.
    """

    def __init__(
        self, numbers: int, cells: int, capacity: int | Sequence[int], *, partition: range | None = None
    ) -> None:
        self._open(numbers, cells, capacity, partition, roles=1)
        self._table = PairTable()

    def _run(self, first: Codes, second: Codes, cell: Codes) -> None:
        from dpquery.bounding import kernels

        low = self._partition.start
        pairs, cells_of = self._table.with_room_for(len(cell))
        self._table.held += kernels.greedy_pairs(
            first,
            second,
            cell_of_pairs(first, second, cell),
            low,
            self._vertices,
            self._used,
            self._capacity,
            pairs,
            cells_of,
            self._kept,
        )


class DualGreedySum:
    """SUM of values in [0, value_max]: each cell moves by 0..capacity*value_max when a number leaves with all its rows.

    Rows are taken by falling value, equal values in the store's order, so they are collected first. A row whose value
    is zero or NULL is not: it would come after all others, so it can take no slot from them, and it adds nothing. A row
    that nobody owns is never refused and is added at once.
    """

    def __init__(
        self,
        numbers: int,
        cells: int,
        capacity: int,
        *,
        value_max: int = VALUE_MAX,
        partition: range | None = None,
    ) -> None:
        self._sums = _SignedSums(numbers, cells, capacity, partition, (0, value_max))

    def add(self, first: Codes, second: Codes, cell: Codes, values: Integers, valid: Flags | None = None) -> None:
        """Take the next batch, in the order of the store; where `valid` is false the value is NULL."""
        self._sums.add(first, second, cell, values, valid)

    def totals(self) -> Integers:
        """Sum the kept values in each cell of the partition. Private."""
        return self._sums.totals(1)


class DualGreedySignedSum:
    """SUM of values in [value_min, value_max]: the positive and the negative parts are bounded apart.

    The release is their difference, one cell: both parts fall when a number leaves, so it moves by at most
    capacity*max(value_max, -value_min), either way.
    """

    def __init__(
        self,
        numbers: int,
        cells: int,
        capacity: int,
        *,
        value_min: int = -VALUE_MAX,
        value_max: int = VALUE_MAX,
        partition: range | None = None,
    ) -> None:
        self._sums = _SignedSums(numbers, cells, capacity, partition, (value_min, value_max))

    def add(self, first: Codes, second: Codes, cell: Codes, values: Integers, valid: Flags | None = None) -> None:
        """Take the next batch, in the order of the store; where `valid` is false the value is NULL."""
        self._sums.add(first, second, cell, values, valid)

    def totals(self) -> Integers:
        """Sum the kept positive values less the kept negative ones in each cell of the partition. Private."""
        return self._sums.totals(1) - self._sums.totals(-1)


class _SignedSums:
    """Collect the rows with a positive and with a negative value apart, and bound each part by falling size."""

    def __init__(
        self, numbers: int, cells: int, capacity: int, partition: range | None, bounds: tuple[int, int]
    ) -> None:
        value_min, value_max = bounds
        self._numbers = count_of(numbers, 0, "numbers")
        self._cells = count_of(cells, 1, "cells")
        self._capacity = count_of(capacity, 1, "capacity")
        ensure(-VALUE_MAX <= value_min <= 0 <= value_max <= VALUE_MAX, f"values lie within {VALUE_MAX}, around 0")
        self._value_min, self._value_max = value_min, value_max
        self._partition = _checked_partition(partition, cells)
        signs = (1, -1) if value_min < 0 else (1,)
        self._parts = {sign: _Part(len(self._partition)) for sign in signs}
        self._rows = 0

    def add(self, first: Codes, second: Codes, cell: Codes, values: Integers, valid: Flags | None) -> None:
        from dpquery.bounding import kernels

        rows = len(cell)
        first = codes(first, self._numbers, rows, "first owner")
        second = codes(second, self._numbers, rows, "second owner")
        cell = codes(cell, self._cells, rows, "cell")
        values = column(values, np.int64, rows, "values")
        given = column(
            np.empty(0, np.bool_) if valid is None else valid, np.bool_, 0 if valid is None else rows, "valid"
        )
        if rows == 0:
            return
        least, largest = kernels.value_range(values, given)
        ensure(least >= self._value_min, "no value is below its bound")
        ensure(largest <= self._value_max, "no value is above its bound")
        self._rows = _more_rows(self._rows, rows)
        for sign, part in self._parts.items():
            part.add((first, second, cell, values, given), sign, self._partition.start)

    def totals(self, sign: int) -> Integers:
        return self._parts[sign].totals(self._numbers, self._capacity)


class _Part:
    """Rows of one sign, packed: both owners in one integer, the value's size, the cell."""

    def __init__(self, cells: int) -> None:
        self._cell_type: type[np.uint16 | np.uint32] = np.uint16 if cells <= 2**16 else np.uint32
        self._blocks: list[_Block] = []
        self._rows_in = np.zeros(cells, np.int64)
        self._owned_by_nobody = np.zeros(cells, np.int64)

    def add(self, columns: tuple[Codes, Codes, Codes, Integers, Flags], sign: int, cell_low: int) -> None:
        from dpquery.bounding import kernels

        rows = len(columns[0])
        block: _Block = np.empty(rows, np.uint64), np.empty(rows, np.uint32), np.empty(rows, self._cell_type)
        size = kernels.pack_rows(*columns, sign, cell_low, *block, self._rows_in, self._owned_by_nobody)
        if size == rows:
            self._blocks.append(block)
        elif size:
            self._blocks.append((block[0][:size].copy(), block[1][:size].copy(), block[2][:size].copy()))

    def totals(self, numbers: int, capacity: int) -> Integers:
        from dpquery.bounding import kernels

        totals = self._owned_by_nobody.copy()
        used = np.zeros(max(1, numbers), _slot_type(capacity))
        for low, high in self._cell_ranges():
            starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(self._rows_in[low:high])))
            rows = int(starts[-1])
            cursor = starts[:-1].copy()
            ends, values = np.empty(rows, np.uint64), np.empty(rows, np.uint32)
            for block in self._blocks:
                kernels.place_by_cell(*block, low, cursor, ends, values)
            others = np.empty(rows, np.uint64), np.empty(rows, np.uint32)
            kernels.sum_cells(starts, ends, values, *others, used, capacity, totals[low:high])
        return totals

    def _cell_ranges(self) -> list[tuple[int, int]]:
        """Split the cells into ranges whose rows fit `SCRATCH_BYTES`, at least one cell each."""
        room = SCRATCH_BYTES // PLACED_BYTES
        ranges, low, rows = [], 0, 0
        for cell, more in enumerate(self._rows_in.tolist()):
            if rows and rows + more > room:
                ranges.append((low, cell))
                low, rows = cell, 0
            rows += more
        ranges.append((low, len(self._rows_in)))
        return ranges


def _slot_type(capacity: int) -> np.dtype[np.unsignedinteger]:
    """Give the smallest type that counts up to `capacity`."""
    return np.dtype(np.min_scalar_type(capacity))


def _checked_partition(partition: range | None, cells: int) -> range:
    if partition is None:
        return range(cells)
    ensure(partition.step == 1, "a partition is a run of cells")
    ensure(0 <= partition.start < partition.stop <= cells, "a partition lies within the cells")
    return partition


def _more_rows(rows: int, more: int) -> int:
    ensure(rows + more <= ROWS_MAX, f"at most {ROWS_MAX} rows in one query")
    return rows + more
