"""One-owner bounds: equal to their plain statement, within their norms, and even over time, batch and place."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bounding_reference import NOBODY, Ints, i32, i64, norms, one_owner_kept, prf, u32
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from dpquery.bounding.one_owner import KeptRows, OneOwnerRows, Values
from dpquery.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Bounds = tuple[int | None, int | None, int | None]

BOUNDS: list[Bounds] = [
    (3, 2, 2),
    (5, 3, 2),
    (4, 4, 1),
    (7, 2, 5),
    (1, 1, 1),
    (6, None, None),
    (None, 2, None),
    (None, None, 2),
    (None, 3, 2),
    (50, 50, 50),
]


class Table:
    """Rows of few numbers in few cells; each row knows its lot, value and mask, so that removal changes nothing."""

    def __init__(self, seed: int, *, numbers: int = 7, cells: int = 5, rows: int = 90, lots: int = 2**32) -> None:
        rng = np.random.default_rng(seed)
        self.numbers, self.cells = numbers, cells
        self.owner = rng.integers(-1, numbers, rows, dtype=np.int32)
        self.cell = rng.choice(cells + 1, rows, p=_skewed(cells + 1)).astype(np.int32) - np.int32(1)
        self.lot = rng.integers(0, lots, rows, dtype=np.uint32)
        self.value = rng.integers(-4, 8, rows)
        self.valid = rng.random(rows) < 0.8
        self.mask = rng.random(rows) < 0.6

    def only(self, rows: npt.NDArray[np.bool_]) -> Table:
        part = Table.__new__(Table)
        part.numbers, part.cells = self.numbers, self.cells
        for name in ("owner", "cell", "lot", "value", "valid", "mask"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    def collect(self, cuts: Sequence[int] = ()) -> OneOwnerRows:
        rows = OneOwnerRows(self.numbers, self.cells, columns=2, masks=1)
        edges = [0, *sorted(cuts), len(self.owner)]
        for low, high in itertools.pairwise(edges):
            part = slice(low, high)
            values = [Values(self.value[part], self.valid[part]), Values(self.value[part])]
            rows.add(self.owner[part], self.cell[part], self.lot[part], values, [self.mask[part]])
        return rows

    def bound(self, bounds: Bounds, cuts: Sequence[int] = ()) -> KeptRows:
        return self.collect(cuts).bound(*bounds)

    def exceeds(self, bounds: Bounds) -> bool:
        """Some number has more rows, groups, or rows in a group than its bound."""
        counts = np.zeros((self.numbers, self.cells), np.int64)
        inside = (self.owner >= 0) & (self.cell >= 0)
        np.add.at(counts, (self.owner[inside], self.cell[inside]), 1)
        largest = (counts.sum(axis=1).max(), (counts > 0).sum(axis=1).max(), counts.max())
        return any(bound is not None and most > bound for most, bound in zip(largest, bounds, strict=True))

    def kept(self, bounds: Bounds) -> npt.NDArray[np.bool_]:
        columns = (self.owner.tolist(), self.cell.tolist(), self.lot.tolist())
        return np.array(one_owner_kept(*columns, bounds))


def _skewed(cells: int) -> npt.NDArray[np.float64]:
    weights = 1.0 / np.arange(cells, 0, -1, dtype=np.float64)
    return np.asarray(weights / weights.sum(), np.float64)


def per_cell(table: Table, rows: npt.NDArray[np.bool_], weight: Ints | None = None) -> Ints:
    totals = np.zeros(table.cells, np.int64)
    np.add.at(totals, table.cell[rows], 1 if weight is None else weight[rows])
    return totals


def clamped_reference(table: Table, kept: npt.NDArray[np.bool_], low: int, high: int) -> Ints:
    totals = np.zeros(table.cells, np.int64)
    sums: dict[tuple[int, int], int] = {}
    for i in np.flatnonzero(kept & table.valid).tolist():
        owner = int(table.owner[i]) if table.owner[i] >= 0 else -1 - i
        key = (owner, int(table.cell[i]))
        sums[key] = sums.get(key, 0) + int(table.value[i])
    for (_, cell), value in sums.items():
        totals[cell] += min(max(value, low), high)
    return totals


def same_as_reference(table: Table, bounds: Bounds, cuts: Sequence[int] = ()) -> None:
    kept = table.kept(bounds)
    found = table.bound(bounds, cuts)
    assert np.array_equal(found.kept, kept[table.cell >= 0])
    assert np.array_equal(found.counts(), per_cell(table, kept))
    assert np.array_equal(found.counts(mask=0), per_cell(table, kept & table.mask))
    assert np.array_equal(found.sums(0), per_cell(table, kept & table.valid, table.value))
    assert np.array_equal(found.sums(1), per_cell(table, kept, table.value))
    for mask, rows in ((None, kept), (0, kept & table.mask)):
        owned = rows & (table.owner >= 0)
        pairs = set(zip(table.owner[owned].tolist(), table.cell[owned].tolist(), strict=True))
        expected = np.bincount(i64(cell for _, cell in pairs), minlength=table.cells)
        assert np.array_equal(found.distinct_owners(mask), expected)
    assert np.array_equal(found.sum_clamped(0, -3, 6), clamped_reference(table, kept, -3, 6))
    histogram = found.histogram(0, 5)
    for bucket in range(5):
        assert np.array_equal(histogram[:, bucket], per_cell(table, kept & table.valid & (table.value == bucket)))


@pytest.mark.parametrize("bounds", BOUNDS)
def test_equals_the_plain_statement(bounds: Bounds) -> None:
    bound_somebody = 0
    for seed in range(30):
        table = Table(seed, lots=2**32 if seed % 2 else 16)
        bound_somebody += table.exceeds(bounds)
        same_as_reference(table, bounds, cuts=(0, 3, 3, 50))
    assert bound_somebody == (0 if bounds == (50, 50, 50) else 30)


@pytest.mark.slow
@pytest.mark.parametrize("bounds", BOUNDS)
def test_equals_the_plain_statement_everywhere(bounds: Bounds) -> None:
    for seed in range(1000, 1400):
        same_as_reference(Table(seed, rows=seed % 200 + 1, cells=seed % 9 + 1), bounds)


@pytest.mark.parametrize("bounds", [(5, None, None), (5, 1, 3), (None, 1, 2)])
def test_ungrouped(bounds: Bounds) -> None:
    table = Table(3, cells=1)
    assert table.exceeds(bounds)
    same_as_reference(table, bounds)


def test_wide_cells_and_values() -> None:
    table = Table(4, cells=70_000, rows=300)
    table.cell = (table.cell % 7 + 69_990).astype(np.int32)
    same_as_reference(table, (4, 3, 2))
    table.value = np.where(table.value > 0, 2**31, -(2**31)).astype(np.int64)
    same_as_reference(table, (4, 3, 2))


def test_null_values_may_be_anything() -> None:
    table = Table(5)
    rows = OneOwnerRows(table.numbers, table.cells, columns=1)
    values = np.where(table.valid, table.value, 2**62)
    rows.add(table.owner, table.cell, table.lot, [Values(values, table.valid)])
    assert np.array_equal(rows.bound(3, 2, 2).sums(0), table.bound((3, 2, 2)).sums(0))


def test_threads_and_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(6, numbers=60, rows=3000)
    results = []
    for threads, scratch in ((1, 2**28), (2, 2**28), (3, 20_000), (1, 1000)):
        monkeypatch.setattr("dpquery.bounding.one_owner.THREADS", threads)
        monkeypatch.setattr("dpquery.bounding.one_owner.SCRATCH_BYTES", scratch)
        kept = table.bound((9, 3, 4), cuts=range(0, 3000, 100))
        results.append(np.concatenate((kept.kept, kept.distinct_owners(), kept.sum_clamped(0, -3, 6))))
    assert all(np.array_equal(result, results[0]) for result in results)


def test_clamped_sums_drop_no_row_inside_a_group() -> None:
    rows = OneOwnerRows(1, 3, columns=1)
    values = Values(i64([5, 6, 7, 100, 9, -50]))
    rows.add(i32([0, 0, 0, 0, 0, NOBODY]), i32([0, 0, 1, 1, 2, 2]), u32([5, 6, 1, 9, 7, 0]), [values])
    # Groups by smallest lot: 1, then 0, then 2.
    assert list(rows.sum_clamped_per_group(0, -20, 40, 2)) == [11, 40, -20]
    assert list(rows.sum_clamped_per_group(0, -20, 40, 1)) == [0, 40, -20]
    assert list(rows.sum_clamped_per_group(0, -20, 400, None)) == [11, 107, -11]


# Sensitivity: every number leaves, with all its rows -----------------------------------------------------------------


def claimed(bounds: tuple[int, int, int]) -> tuple[int, float, int]:
    """L1, L2 and Linf of counts, from the bounds alone."""
    max_rows, max_groups, max_in_group = bounds
    l1 = min(max_rows, max_groups * max_in_group)
    full, rest = divmod(l1, max_in_group)
    return l1, math.sqrt(full * max_in_group**2 + rest**2), min(max_rows, max_in_group)


def changes_within(table: Table, bounds: tuple[int, int, int]) -> None:
    assert table.exceeds(bounds), "some number is above its bound"
    l1, l2, linf = claimed(bounds)
    groups = min(bounds[0], bounds[1])
    whole = table.bound(bounds)
    clamped = table.collect().sum_clamped_per_group(0, -3, 6, bounds[1])
    once = table.bound((bounds[0], bounds[1], 1)).distinct_owners()
    for v in range(table.numbers):
        left = table.only(table.owner != v)
        rest = left.bound(bounds)
        for change, size in ((whole.counts() - rest.counts(), 1), (whole.sums(0) - rest.sums(0), 7)):
            found = norms(change)
            assert found[0] <= size * l1
            assert found[1] <= size * l2 + 1e-9
            assert found[2] <= size * linf
        assert ((whole.counts() - rest.counts()) >= 0).all()
        change = whole.distinct_owners() - rest.distinct_owners()
        assert norms(change)[0] <= groups
        assert norms(change)[2] <= 1
        change = once - left.bound((bounds[0], bounds[1], 1)).distinct_owners()
        assert norms(change)[0] <= groups
        change = clamped - left.collect().sum_clamped_per_group(0, -3, 6, bounds[1])
        assert norms(change)[0] <= 6 * bounds[1]
        assert norms(change)[1] <= 6 * math.sqrt(bounds[1]) + 1e-9
        assert norms(change)[2] <= 6


@pytest.mark.parametrize("bounds", [(3, 2, 2), (5, 3, 2), (4, 4, 1), (7, 2, 5), (1, 1, 1)])
def test_no_number_moves_the_totals_further_than_claimed(bounds: tuple[int, int, int]) -> None:
    for seed in range(8):
        changes_within(Table(seed), bounds)


@pytest.mark.slow
@pytest.mark.parametrize("bounds", [(3, 2, 2), (5, 3, 2), (4, 4, 1), (7, 2, 5), (1, 1, 1)])
def test_no_number_moves_the_totals_further_in_a_long_search(bounds: tuple[int, int, int]) -> None:
    for seed in range(5000, 5500):
        changes_within(Table(seed), bounds)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3), st.integers(-4, 7)), max_size=40),
    bounds=st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4)),
)
def test_no_table_breaks_the_claim(rows: list[tuple[int, int, int]], bounds: tuple[int, int, int]) -> None:
    rows = [*rows, *((0, i % 4, i) for i in range(7))]
    table = Table(0, numbers=4, cells=4, rows=len(rows))
    table.owner, table.cell = i32(row[0] for row in rows), i32(row[1] for row in rows)
    table.value = i64(row[2] for row in rows)
    changes_within(table, bounds)


@pytest.mark.parametrize("bounds", [(100, 12, 25), (10, 4, 3), (5, 9, 2), (7, 2, 50), (3, 1, 1)])
def test_the_claimed_norms_are_attained(bounds: tuple[int, int, int]) -> None:
    max_rows, max_groups, max_in_group = bounds
    cells = max_groups + 3
    # The number's rows come group by group in order of lot, more of each than may stay.
    cell = i32(np.repeat(np.arange(cells), max_in_group + 2))
    lot = u32(range(len(cell)))
    rows = OneOwnerRows(1, cells, columns=1)
    rows.add(i32([0] * len(cell)), cell, lot, [Values(i64([-9] * len(cell)))])
    assert len(cell) > max_rows
    counts = rows.bound(*bounds).counts()
    l1, l2, linf = claimed(bounds)
    assert norms(counts) == pytest.approx((l1, l2, linf))
    assert norms(rows.bound(*bounds).sums(0)) == pytest.approx((9 * l1, 9 * l2, 9 * linf))
    clamped = norms(rows.sum_clamped_per_group(0, -8, 3, max_groups))
    assert clamped == pytest.approx((8 * max_groups, 8 * math.sqrt(max_groups), 8))
    distinct = rows.bound(max_rows, max_groups, 1).distinct_owners()
    assert norms(distinct)[0] == min(max_rows, max_groups)


# Even lot -------------------------------------------------------------------------------------------------------------

MONTHS = 12
PER_MONTH = 250


def kept_by_month(key: int, bounds: Bounds, cells: int, place: Sequence[int]) -> Ints:
    """Kept rows per month of a caller with as many rows every month; rows stand in the file in order of `place`."""
    month = np.repeat(np.arange(MONTHS), PER_MONTH)
    # Content is the row's own number, whatever its place; its group has nothing to do with its month.
    group = np.array([prf("group", key, i) % cells for i in range(len(month))])
    lot = np.array([prf("lot", key, i) for i in range(len(month))])
    order = np.array(place)
    rows = OneOwnerRows(1, cells)
    for part in np.array_split(order, 7):
        rows.add(i32([0] * len(part)), i32(group[part]), u32(lot[part]))
    kept = rows.bound(*bounds).kept
    return np.bincount(month[order][kept], minlength=MONTHS)


@pytest.mark.parametrize(
    ("bounds", "cells"), [((300, None, None), 1), ((300, 4, 100), 9), ((None, 4, 50), 9), ((None, 3, None), 9)]
)
def test_each_row_has_the_same_chance_whatever_its_month(bounds: Bounds, cells: int) -> None:
    in_order = range(MONTHS * PER_MONTH)
    kept = np.sum([kept_by_month(key, bounds, cells, in_order) for key in range(6)], axis=0)
    assert 0 < kept.sum() < 6 * len(in_order) / 2
    assert chisquare(kept).pvalue > 0.001


def test_first_rows_by_place_would_not_be_even() -> None:
    kept = np.bincount(np.repeat(np.arange(MONTHS), PER_MONTH)[:300], minlength=MONTHS)
    assert chisquare(kept).pvalue < 1e-9


@pytest.mark.parametrize("bounds", [(300, None, None), (300, 4, 100), (None, 4, 50)])
def test_place_in_the_file_does_not_matter(bounds: Bounds) -> None:
    rows = MONTHS * PER_MONTH
    cells = 1 if bounds[1] is None else 9
    shuffled = np.random.default_rng(1).permutation(rows).tolist()
    expected = kept_by_month(1, bounds, cells, range(rows))
    assert np.array_equal(kept_by_month(1, bounds, cells, shuffled), expected)
    assert np.array_equal(kept_by_month(1, bounds, cells, range(rows - 1, -1, -1)), expected)


def test_other_numbers_do_not_matter() -> None:
    table = Table(8, numbers=9, rows=400)
    whole = table.bound((6, 3, 3)).kept
    inside = table.only(table.cell >= 0)
    for v in range(9):
        others = inside.owner != v
        assert np.array_equal(inside.only(others).bound((6, 3, 3)).kept, whole[others])


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "cell", "lot"),
    [
        (i64([0, 1]), i32([0, 0]), u32([1, 2])),
        (i32([0, 2]), i32([0, 0]), u32([1, 2])),
        (i32([0, 1]), i32([0, 3]), u32([1, 2])),
        (i32([0, 1]), i32([0, 0]), i32([1, 2])),
        (i32([0, 1]), i32([0, 0]), u32([1])),
        (i32([0]), i32([0, 0]), u32([1, 2])),
        ([0, 1], i32([0, 0]), u32([1, 2])),
    ],
)
def test_refuses_what_it_cannot_bound(owner: Ints, cell: Ints, lot: Ints) -> None:
    rows = OneOwnerRows(2, 3)
    with pytest.raises(InternalError):
        rows.add(owner, cell, lot)  # type: ignore[arg-type]
    assert rows.rows == 0


def test_refuses_other_columns_and_bounds() -> None:
    good = i32([0, 1]), i32([0, 0]), u32([1, 2])
    rows = OneOwnerRows(2, 3, columns=1)
    for values in (
        [],
        [Values(i64([1]))],
        [Values(i64([1, 2**31 + 1]))],
        [Values(i64([-(2**63), 1]))],
        [Values(i64([1, 2]), np.ones(1, np.bool_))],
    ):
        with pytest.raises(InternalError):
            rows.add(*good, values)
    with pytest.raises(InternalError):
        rows.add(*good, [Values(i64([1, 2]))], [np.ones(2, np.bool_)])
    for bounds in ((0, None, None), (None, 0, None), (None, None, -1), (2**31, None, None)):
        with pytest.raises(InternalError):
            rows.bound(*bounds)
    with pytest.raises(InternalError):
        rows.sum_clamped_per_group(0, 5, 4, 1)
    with pytest.raises(InternalError):
        rows.add(*good, [Values(i64([1, 2]))])


def test_no_rows() -> None:
    rows = OneOwnerRows(0, 2, columns=1)
    rows.add(i32([NOBODY] * 3), i32([0, NOBODY, 1]), u32([1, 2, 3]), [Values(i64([4, 5, 6]))])
    assert list(rows.bound(1, 1, 1).sums(0)) == [4, 6]
    assert list(rows.bound(1, 1, 1).distinct_owners()) == [0, 0]
    assert list(OneOwnerRows(3, 2).bound(1, 1, 1).counts()) == [0, 0]


def test_the_compiler_loads_with_the_first_kernel() -> None:
    code = (
        "import sys, dpquery.bounding.one_owner, dpquery.bounding.dual_greedy as d; d.DualGreedyCount(1, 1, 1);"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
