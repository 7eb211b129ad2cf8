"""The capped greedy: equal to its plain statement, and never further than its theorem when a number leaves."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bounding_reference import (
    NOBODY,
    Graphs,
    Ints,
    greedy_count,
    greedy_distinct,
    greedy_participants,
    greedy_sum,
    i32,
    i64,
    norms,
    random_graphs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dpquery.bounding.dual_greedy import (
    DualGreedyCount,
    DualGreedyDistinct,
    DualGreedyParticipants,
    DualGreedySignedSum,
    DualGreedySum,
    cell_partitions,
)
from dpquery.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def batches(graphs: Graphs, cuts: tuple[int, ...] = ()) -> Iterator[Graphs]:
    edges = [0, *sorted(cuts), len(graphs.cell)]
    rows = np.arange(len(graphs.cell))
    for low, high in itertools.pairwise(edges):
        yield graphs.only((rows >= low) & (rows < high))


def count(graphs: Graphs, k: int, cuts: tuple[int, ...] = (), partition: range | None = None) -> Ints:
    kernel = DualGreedyCount(graphs.numbers, graphs.cells, k, partition=partition)
    for part in batches(graphs, cuts):
        kernel.add(part.first, part.second, part.cell)
    return kernel.totals()


def distinct(graphs: Graphs, k: int, cuts: tuple[int, ...] = (), partition: range | None = None) -> Ints:
    kernel = DualGreedyDistinct(graphs.numbers, graphs.cells, k, partition=partition)
    for part in batches(graphs, cuts):
        kernel.add(part.first, part.second, part.cell)
    return kernel.totals()


def participants(graphs: Graphs, k: int, cuts: tuple[int, ...] = (), partition: range | None = None) -> Ints:
    kernel = DualGreedyParticipants(graphs.numbers, graphs.cells, k, partition=partition)
    for part in batches(graphs, cuts):
        kernel.add(part.first, part.second, part.cell)
    return kernel.totals()


def at_least_two(graphs: Graphs, k: int) -> Ints:
    kernel = DualGreedyParticipants(graphs.numbers, graphs.cells, k)
    kernel.add(graphs.first, graphs.second, graphs.cell)
    return kernel.totals(at_least=2)


def total(graphs: Graphs, k: int, cuts: tuple[int, ...] = (), partition: range | None = None) -> Ints:
    kernel = DualGreedySum(graphs.numbers, graphs.cells, k, partition=partition)
    for part in batches(graphs, cuts):
        kernel.add(part.first, part.second, part.cell, part.value)
    return kernel.totals()


SHIFT = 2
"""Signed values are the values 0..5 less this: B- = 2, B+ = 3."""


def signed(graphs: Graphs, k: int, cuts: tuple[int, ...] = (), partition: range | None = None) -> Ints:
    kernel = DualGreedySignedSum(
        graphs.numbers, graphs.cells, k, value_min=-SHIFT, value_max=5 - SHIFT, partition=partition
    )
    for part in batches(graphs, cuts):
        kernel.add(part.first, part.second, part.cell, part.value - SHIFT)
    return kernel.totals()


def signed_reference(rows: list[tuple[int, int, int]], k: int) -> int:
    positive = [(a, b, x - SHIFT) for a, b, x in rows if x > SHIFT]
    negative = [(a, b, SHIFT - x) for a, b, x in rows if x < SHIFT]
    return greedy_sum(positive, k) - greedy_sum(negative, k)


def pairs(rows: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return [(a, b) for a, b, _ in rows]


KERNELS: dict[str, tuple[Callable[..., Ints], Callable[[list[tuple[int, int, int]], int], int]]] = {
    "count": (count, lambda rows, k: greedy_count(pairs(rows), k)),
    "distinct": (distinct, lambda rows, k: greedy_distinct(pairs(rows), k)),
    "participants": (participants, lambda rows, k: greedy_participants(pairs(rows), k)),
    "sum": (total, greedy_sum),
    "signed": (signed, signed_reference),
}


def equal_to_reference(name: str, graphs: Graphs, k: int) -> None:
    kernel, reference = KERNELS[name]
    expected = i64(reference(rows, k) for rows in graphs.rows_by_cell())
    assert np.array_equal(kernel(graphs, k), expected)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_plain_statement(name: str, seed: int) -> None:
    for k in (1, 2, 3):
        equal_to_reference(name, random_graphs(seed, 400), k)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("seed", range(100, 105))
def test_equals_the_plain_statement_everywhere(name: str, seed: int) -> None:
    for numbers, rows in ((3, 8), (6, 14), (12, 30)):
        for k in (1, 2, 3, 5):
            equal_to_reference(name, random_graphs(seed, 2000, numbers=numbers, rows_per_cell=rows), k)


@pytest.mark.parametrize("name", KERNELS)
def test_batches_and_partitions_change_nothing(name: str) -> None:
    graphs = random_graphs(7, 300)
    kernel, _ = KERNELS[name]
    whole = kernel(graphs, 2)
    assert np.array_equal(kernel(graphs, 2, cuts=(0, 1, 17, 17, 900, 2001)), whole)
    parts = cell_partitions(graphs.numbers, graphs.cells, 2, state_bytes=7 * graphs.numbers)
    assert len(parts) > 40
    assert [c for part in parts for c in part] == list(range(graphs.cells))
    assert np.array_equal(np.concatenate([kernel(graphs, 2, partition=part) for part in parts]), whole)


def test_read_only_and_strided_columns_are_taken() -> None:
    graphs = random_graphs(8, 50)
    kernel = DualGreedyCount(graphs.numbers, graphs.cells, 2)
    first = np.repeat(graphs.first, 2)[::2]
    first.flags.writeable = False
    kernel.add(first, graphs.second, graphs.cell)
    assert np.array_equal(kernel.totals(), count(graphs, 2))


def test_null_and_zero_values_add_nothing_and_take_no_slot() -> None:
    graphs = random_graphs(9, 300)
    valid = np.random.default_rng(9).random(len(graphs.cell)) < 0.7
    kernel = DualGreedySum(graphs.numbers, graphs.cells, 2, value_max=5)
    kernel.add(graphs.first, graphs.second, graphs.cell, np.where(valid, graphs.value, 10**12), valid)
    assert np.array_equal(kernel.totals(), total(graphs.only(valid), 2))
    assert np.array_equal(total(graphs.only(graphs.value > 0), 2), total(graphs, 2))


@pytest.mark.parametrize("value_max", [1, 4095, 4096, 10**6, 2**31])
def test_sums_of_any_width_are_exact(value_max: int) -> None:
    graphs = random_graphs(10, 60, value_max=value_max)
    equal_to_reference("sum", graphs, 2)


@pytest.mark.parametrize("capacity", [255, 256, 70_000])
def test_wide_slots(capacity: int) -> None:
    rows = capacity + 3
    star = Graphs(2, 1, i32([0] * rows), i32([1] * rows), i32([0] * rows), i64([2] * rows))
    assert count(star, capacity) == [capacity]
    assert total(star, capacity) == [2 * capacity]
    assert distinct(star, capacity) == [1]
    assert participants(star, capacity) == [2]


def test_sums_in_many_ranges_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = random_graphs(11, 200)
    whole = total(graphs, 2)
    monkeypatch.setattr("dpquery.bounding.dual_greedy.SCRATCH_BYTES", 2000)
    assert np.array_equal(total(graphs, 2), whole)


# Sensitivity: every number leaves, with all its rows -----------------------------------------------------------------

BOUNDS: dict[str, tuple[Callable[[Graphs, int], Ints], Callable[[int], tuple[int, int]]]] = {
    "count": (count, lambda k: (0, k)),
    "sum": (total, lambda k: (0, 5 * k)),
    "signed": (signed, lambda k: (-SHIFT * k, (5 - SHIFT) * k)),
    "distinct": (distinct, lambda k: (0, 1 + k)),
    "participants": (participants, lambda k: (-k - 1, k + 1)),
    "at least two": (at_least_two, lambda k: (-k - 1, k + 1)),
}
"""What f(D) - f(D - v) may be in one cell."""
ATTAINED_BOTH_ENDS = {"count", "sum", "signed", "distinct"}


def bound_holds(name: str, graphs: Graphs, k: int) -> tuple[int, int]:
    assert (graphs.degrees() > k).any(), "some number is above its bound"
    kernel, allowed = BOUNDS[name]
    least, largest = allowed(k)
    whole = kernel(graphs, k)
    changes = np.stack([whole - kernel(graphs.without(v), k) for v in range(graphs.numbers)])
    assert changes.min() >= least
    assert changes.max() <= largest
    return int(changes.min()), int(changes.max())


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_no_number_moves_a_cell_further_than_the_theorem(name: str, k: int) -> None:
    seen = [
        bound_holds(name, random_graphs(seed, 2000, numbers=numbers, rows_per_cell=rows), k)
        for seed in range(8)
        for numbers, rows in ((4, 10), (7, 16), (10, 24))
    ]
    least, largest = BOUNDS[name][1](k)
    if name in ATTAINED_BOTH_ENDS:
        assert (min(low for low, _ in seen), max(high for _, high in seen)) == (least, largest)
    if name == "participants" and k > 1:
        assert min(low for low, _ in seen) < 0, "chains can bring more numbers in than the one that leaves"


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("seed", range(1000, 1004))
def test_no_number_moves_a_cell_further_in_a_long_search(name: str, seed: int) -> None:
    for k in (1, 2, 3, 4):
        for numbers, rows in ((3, 9), (5, 14), (8, 24), (14, 40)):
            bound_holds(name, random_graphs(seed, 10_000, numbers=numbers, rows_per_cell=rows), k)


ends = st.integers(NOBODY, 4)
tables = st.lists(st.tuples(ends, ends, st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=30)


@pytest.mark.parametrize("name", BOUNDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=tables, hub=st.integers(0, 4), k=st.integers(1, 3))
def test_no_table_breaks_the_theorem(name: str, rows: list[tuple[int, int, int, int]], hub: int, k: int) -> None:
    rows = rows + [(hub, (hub + i) % 5, 0, 1 + i) for i in range(k + 1)]
    columns = list(zip(*rows, strict=True))
    graphs = Graphs(5, 3, i32(columns[0]), i32(columns[1]), i32(columns[2]), i64(columns[3]))
    bound_holds(name, graphs, k)


def star(arms: int, cells: int = 1, value: int = 1) -> Graphs:
    """Number 0 calls numbers 1..arms once each, in every cell."""
    second = np.tile(np.arange(1, arms + 1, dtype=np.int32), cells)
    cell = np.repeat(np.arange(cells, dtype=np.int32), arms)
    return Graphs(arms + 1, cells, np.zeros_like(second), second, cell, np.full(len(cell), value, np.int64))


def test_attained_by_a_star() -> None:
    k, cells, value = 3, 4, 5
    graphs = star(k + 2, cells, value)
    assert (graphs.degrees() > k).any()
    change = count(graphs, k) - count(graphs.without(0), k)
    assert norms(change) == (k * cells, k * np.sqrt(cells), k)
    change = total(graphs, k) - total(graphs.without(0), k)
    assert norms(change) == (k * value * cells, k * value * np.sqrt(cells), k * value)
    assert list(participants(graphs, k) - participants(graphs.without(0), k)) == [k + 1] * cells
    # Callers 1..k+2 call number 0, and number 0 calls one that takes no other call.
    callers = Graphs(
        k + 3, 1, i32([*range(1, k + 3), 0]), i32([0] * (k + 2) + [1]), i32([0] * (k + 3)), i64([1] * (k + 3))
    )
    assert list(distinct(callers, k) - distinct(callers.without(0), k)) == [k + 1]


@pytest.mark.parametrize("sign", [1, -1])
def test_signed_sums_attain_the_larger_side(sign: int) -> None:
    k, cells = 2, 3
    graphs = star(k + 2, cells)
    values = np.full(len(graphs.cell), 7 if sign > 0 else -4, np.int64)

    def run(table: Graphs, value: Ints) -> Ints:
        kernel = DualGreedySignedSum(table.numbers, cells, k, value_min=-4, value_max=7)
        kernel.add(table.first, table.second, table.cell, value)
        return kernel.totals()

    change = run(graphs, values) - run(graphs.without(0), values[graphs.first != 0])
    assert list(change) == [k * (7 if sign > 0 else -4)] * cells


CAPACITIES = (2, 1, 3)


def buckets(graphs: Graphs) -> Ints:
    """Counts per cell and bucket, each of which is a cell with a capacity of its own."""
    width = len(CAPACITIES)
    kernel = DualGreedyCount(graphs.numbers, graphs.cells * width, CAPACITIES * graphs.cells)
    bucket = (graphs.value - 1).clip(-1, 2)
    inside = (graphs.cell >= 0) & (bucket >= 0)
    kernel.add(graphs.first, graphs.second, np.where(inside, graphs.cell * width + bucket, -1).astype(np.int32))
    return kernel.totals().reshape(-1, width)


def test_buckets_are_counts_of_their_own() -> None:
    graphs = random_graphs(12, 500, rows_per_cell=30)
    found = buckets(graphs)
    for bucket, k in enumerate(CAPACITIES):
        chosen = graphs.only((graphs.value - 1).clip(-1, 2) == bucket)
        assert np.array_equal(found[:, bucket], count(chosen, k))


def test_buckets_move_by_the_sum_of_their_capacities() -> None:
    graphs = random_graphs(13, 2000, rows_per_cell=40)
    whole = buckets(graphs)
    assert (whole < buckets_unbounded(graphs)).any(), "some number is above its bound"
    most = 0
    for v in range(graphs.numbers):
        change = whole - buckets(graphs.without(v))
        assert (change >= 0).all()
        assert (change <= CAPACITIES).all()
        assert (change.sum(axis=1) <= sum(CAPACITIES)).all()
        assert (np.square(change).sum(axis=1) <= sum(k * k for k in CAPACITIES)).all()
        most = max(most, int(change.sum(axis=1).max()))
    assert most == sum(CAPACITIES)


def buckets_unbounded(graphs: Graphs) -> Ints:
    counts = np.zeros((graphs.cells, len(CAPACITIES)), np.int64)
    bucket = (graphs.value - 1).clip(-1, 2)
    inside = (graphs.cell >= 0) & (bucket >= 0)
    np.add.at(counts, (graphs.cell[inside], bucket[inside]), 1)
    return counts


@pytest.mark.parametrize("name", ["count", "sum"])
def test_grows_with_the_capacity_and_is_exact_at_the_largest_degree(name: str) -> None:
    graphs = random_graphs(14, 800, rows_per_cell=20)
    kernel, _ = KERNELS[name]
    largest = int(graphs.degrees().max())
    assert largest > 5
    by_capacity = [kernel(graphs, k) for k in range(1, largest + 1)]
    assert all((low <= high).all() for low, high in itertools.pairwise(by_capacity))
    exact = i64(sum(1 if name == "count" else x for _, _, x in rows) for rows in graphs.rows_by_cell())
    assert np.array_equal(by_capacity[-1], exact)
    assert not np.array_equal(by_capacity[0], exact)


def test_nobody_is_never_counted_and_never_bounded() -> None:
    rows = 9
    nobody = Graphs(3, 1, i32([NOBODY] * rows), i32([NOBODY] * rows), i32([0] * rows), i64([4] * rows))
    assert count(nobody, 1) == [rows]
    assert total(nobody, 1) == [4 * rows]
    assert distinct(nobody, 1) == [0]
    assert participants(nobody, 1) == [0]
    empty = Graphs(0, 1, i32([NOBODY]), i32([NOBODY]), i32([0]), i64([4]))
    assert [int(kernel(empty, 1)[0]) for kernel in (count, total, participants, distinct)] == [1, 4, 0, 0]


# Refusals -------------------------------------------------------------------------------------------------------------

GOOD = (i32([0, 1]), i32([1, NOBODY]), i32([0, 1]))


@pytest.mark.parametrize(
    "rows",
    [
        (i64([0, 1]), GOOD[1], GOOD[2]),
        (GOOD[0].astype(np.uint32), GOOD[1], GOOD[2]),
        (i32([0, 2]), GOOD[1], GOOD[2]),
        (GOOD[0], i32([1, 2]), GOOD[2]),
        (GOOD[0], GOOD[1], i32([0, 2])),
        (i32([0]), GOOD[1], GOOD[2]),
        (GOOD[0].reshape(1, 2), GOOD[1], GOOD[2]),
        ([0, 1], GOOD[1], GOOD[2]),
    ],
)
def test_refuses_what_it_cannot_bound(rows: tuple[Ints, Ints, Ints]) -> None:
    for kernel in (DualGreedyCount(2, 2, 1), DualGreedyParticipants(2, 2, 1), DualGreedyDistinct(2, 2, 1)):
        with pytest.raises(InternalError):
            kernel.add(*rows)  # type: ignore[arg-type]
        assert list(kernel.totals()) == [0, 0]
    with pytest.raises(InternalError):
        DualGreedySum(2, 2, 1).add(*rows, i64([1, 1]))  # type: ignore[arg-type]


def test_refuses_values_outside_their_bounds() -> None:
    bounded = DualGreedySum(2, 2, 1, value_max=10)
    for values in (i64([11, 0]), i64([0, -1])):
        with pytest.raises(InternalError):
            bounded.add(*GOOD, values)
    for wrong in (np.array([1.0, 2.0]), i64([1])):
        with pytest.raises(InternalError):
            bounded.add(*GOOD, wrong)
    with pytest.raises(InternalError):
        DualGreedySignedSum(2, 2, 1, value_min=-3, value_max=3).add(*GOOD, i64([-4, 0]))


@pytest.mark.parametrize("capacity", [0, -1, 2**31, 1.5])
def test_refuses_a_capacity_that_bounds_nothing(capacity: int) -> None:
    with pytest.raises((InternalError, TypeError)):
        DualGreedyCount(2, 2, capacity)
    with pytest.raises((InternalError, TypeError)):
        DualGreedySum(2, 2, capacity)


def test_refuses_other_partitions_and_capacities() -> None:
    for partition in (range(2, 2), range(1, 4), range(0, 3, 2), range(-1, 2)):
        with pytest.raises(InternalError):
            DualGreedyCount(2, 3, 1, partition=partition)
    with pytest.raises(InternalError):
        DualGreedyCount(2, 3, [1, 1])
    with pytest.raises(InternalError):
        cell_partitions(2, 3, 1, state_bytes=0)


def test_partitions_fit_the_state() -> None:
    for numbers, cells, capacity, size in ((10**5, 50, 20, 1), (10**6, 5000, 300, 2), (7, 3, 70_000, 4)):
        parts = cell_partitions(numbers, cells, capacity, 2**28)
        assert [c for part in parts for c in part] == list(range(cells))
        assert max(len(part) for part in parts) * numbers * size <= 2**28
    assert len(cell_partitions(10**6, 5, 1, 10)) == 5
