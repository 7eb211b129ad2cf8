"""Plain Python statements of the bounding rules, random tables, and norms, to compare the compiled loops with."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Ints: TypeAlias = npt.NDArray[np.int64]
NOBODY = -1


def prf(*content: object) -> int:
    """A keyed 32-bit number that depends on a row's content only."""
    return int.from_bytes(hashlib.blake2b(repr(content).encode(), digest_size=4, key=b"test").digest(), "big")


def i32(values: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.fromiter(values, np.int32)


def u32(values: Iterable[int]) -> npt.NDArray[np.uint32]:
    return np.fromiter(values, np.uint32)


def i64(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def owners_of(a: int, b: int) -> set[int]:
    return {owner for owner in (a, b) if owner >= 0}


def greedy(rows: Iterable[tuple[int, int]], k: int) -> list[bool]:
    """Which rows the capped greedy keeps, in the order given."""
    used: dict[int, int] = defaultdict(int)
    kept = []
    for a, b in rows:
        owners = owners_of(a, b)
        keep = all(used[owner] < k for owner in owners)
        for owner in owners:
            used[owner] += keep
        kept.append(keep)
    return kept


def greedy_count(rows: Sequence[tuple[int, int]], k: int) -> int:
    return sum(greedy(rows, k))


def greedy_sum(rows: Sequence[tuple[int, int, int]], k: int) -> int:
    """Sum over kept rows, taken by falling value (rows are owner, owner, value)."""
    ordered = sorted(rows, key=lambda row: -row[2])
    kept = greedy([(a, b) for a, b, _ in ordered], k)
    return sum(value for (_, _, value), keep in zip(ordered, kept, strict=True) if keep)


def greedy_participants(rows: Sequence[tuple[int, int]], k: int, at_least: int = 1) -> int:
    degree: dict[int, int] = defaultdict(int)
    for (a, b), keep in zip(rows, greedy(rows, k), strict=True):
        for owner in owners_of(a, b):
            degree[owner] += keep
    return sum(rows_kept >= at_least for rows_kept in degree.values())


def greedy_distinct(rows: Iterable[tuple[int, int]], k: int) -> int:
    """Distinct counted numbers, with one slot as counted party and k as other party."""
    counted_used: set[int] = set()
    other_used: dict[int, int] = defaultdict(int)
    for counted, other in rows:
        if counted < 0 or counted in counted_used:
            continue
        if other < 0 or other_used[other] < k:
            counted_used.add(counted)
            other_used[other] += 1
    return len(counted_used)


def one_owner_kept(
    owner: Sequence[int], cell: Sequence[int], lot: Sequence[int], bounds: tuple[int | None, int | None, int | None]
) -> list[bool]:
    """Which rows in a cell stay, by greedy admission in order of lot, ties by arrival; rows in no cell are False."""
    max_rows, max_groups, max_in_group = (10**9 if bound is None else bound for bound in bounds)
    total: dict[int, int] = defaultdict(int)
    groups: dict[int, dict[int, int]] = defaultdict(dict)
    kept = [c >= 0 for c in cell]
    for i in sorted(range(len(owner)), key=lambda i: (lot[i], i)):
        v, c = owner[i], cell[i]
        if v < 0 or c < 0:
            continue
        mine = groups[v]
        kept[i] = total[v] < max_rows and (c in mine or len(mine) < max_groups) and mine.get(c, 0) < max_in_group
        if kept[i]:
            total[v] += 1
            mine[c] = mine.get(c, 0) + 1
    return kept


@dataclass(frozen=True, slots=True)
class Graphs:
    """Many random multigraphs over the same few numbers, one per cell, their rows shuffled together."""

    numbers: int
    cells: int
    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    cell: npt.NDArray[np.int32]
    value: Ints

    def without(self, v: int) -> Graphs:
        """The same tables without every row that v owns."""
        return self.only((self.first != v) & (self.second != v))

    def only(self, rows: npt.NDArray[np.bool_]) -> Graphs:
        return Graphs(self.numbers, self.cells, self.first[rows], self.second[rows], self.cell[rows], self.value[rows])

    def degrees(self) -> Ints:
        """Rows per cell and number, a self-call once."""
        degrees = np.zeros((self.cells, self.numbers), np.int64)
        for ends, counts in (
            (self.first, self.first >= 0),
            (self.second, (self.second >= 0) & (self.second != self.first)),
        ):
            inside = counts & (self.cell >= 0)
            np.add.at(degrees, (self.cell[inside], ends[inside]), 1)
        return degrees

    def rows_by_cell(self) -> list[list[tuple[int, int, int]]]:
        rows: list[list[tuple[int, int, int]]] = [[] for _ in range(self.cells)]
        columns = (self.first.tolist(), self.second.tolist(), self.cell.tolist(), self.value.tolist())
        for a, b, c, x in zip(*columns, strict=True):
            if c >= 0:
                rows[c].append((a, b, x))
        return rows


def random_graphs(seed: int, cells: int, *, numbers: int = 6, rows_per_cell: int = 12, value_max: int = 5) -> Graphs:
    """Few numbers and many rows: self-calls, repeated pairs, rows with one owner or none, rows in no cell."""
    rng = np.random.default_rng(seed)
    rows = cells * rows_per_cell
    weights = 1.0 / np.arange(1, numbers + 1) ** rng.uniform(0, 1.5)
    draw = rng.choice(numbers, (2, rows), p=weights / weights.sum()).astype(np.int32)
    draw[rng.random((2, rows)) < rng.choice([0.0, 0.15])] = NOBODY
    cell = rng.integers(0, cells, rows, dtype=np.int32)
    cell[rng.random(rows) < 0.02] = NOBODY
    return Graphs(numbers, cells, draw[0], draw[1], cell, rng.integers(0, value_max + 1, rows))


def norms(change: Ints) -> tuple[int, float, int]:
    """L1, L2 and Linf of a change of all cells."""
    return int(np.abs(change).sum()), float(np.sqrt(np.square(change).sum())), int(np.abs(change).max(initial=0))
