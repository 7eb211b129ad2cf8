"""Bounds that look right and are not: each broken by a small family, while the capped greedy keeps its bound on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
from bounding_reference import greedy, greedy_count, i32, i64, prf

from dpquery.bounding.dual_greedy import DualGreedyCount, DualGreedyDistinct, DualGreedySum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Pair = tuple[int, int]


def without(rows: Sequence[Pair], v: int) -> list[Pair]:
    return [row for row in rows if v not in row]


def numbers_in(rows: Sequence[Pair]) -> int:
    return 1 + max(max(row) for row in rows)


def count(rows: Sequence[Pair], k: int, cell: Callable[[Pair], int] = lambda _: 0) -> int:
    kernel = DualGreedyCount(5000, 1, k)
    kernel.add(i32(a for a, _ in rows), i32(b for _, b in rows), i32(cell(row) for row in rows))
    return int(kernel.totals()[0])


def keeps_its_bound(rows: Sequence[Pair], k: int) -> None:
    whole = count(rows, k)
    assert all(0 <= whole - count(without(rows, v), k) <= k for v in range(numbers_in(rows)))


def above(rows: Sequence[Pair], k: int) -> bool:
    """Some number has more than k rows, so that a bound has something to do."""
    return max(Counter(owner for row in rows for owner in set(row)).values()) > k


def stars_of_stars(spokes: int, k: int) -> list[Pair]:
    """Number 0 is called once by each spoke, and then each spoke calls k leaves of its own."""
    first = [(spoke, 0) for spoke in range(1, spokes + 1)]
    rest = [(spoke, 1 + spokes + k * (spoke - 1) + leaf) for spoke in range(1, spokes + 1) for leaf in range(k)]
    return first + rest


def path(rows: int) -> list[Pair]:
    return [(i, i + 1) for i in range(rows)]


def test_capping_callers_only() -> None:
    k, callers = 3, 20
    rows = [(caller, 0) for caller in range(1, callers + 1) for _ in range(k)]

    def capped(table: Sequence[Pair]) -> int:
        return sum(min(k, n) for n in Counter(a for a, _ in table).values())

    assert above(rows, k)
    assert capped(rows) - capped(without(rows, 0)) == callers * k
    keeps_its_bound(rows, k)


def test_dropping_heavy_numbers() -> None:
    k, spokes = 3, 50
    rows = stars_of_stars(spokes, k)

    def dropped(table: Sequence[Pair]) -> int:
        degree = Counter(owner for row in table for owner in set(row))
        return sum(degree[a] <= k and degree[b] <= k for a, b in table)

    assert above(rows, k)
    assert dropped(without(rows, 0)) - dropped(rows) == spokes * k
    keeps_its_bound(rows, k)


def test_ranks_up_to_k_at_both_ends() -> None:
    k, spokes = 3, 50
    rows = stars_of_stars(spokes, k)

    def ranked(table: Sequence[Pair]) -> int:
        seen: dict[int, int] = defaultdict(int)
        kept = 0
        for row in table:
            for owner in set(row):
                seen[owner] += 1
            kept += all(seen[owner] <= k for owner in row)
        return kept

    assert above(rows, k)
    assert ranked(without(rows, 0)) - ranked(rows) == spokes - k
    keeps_its_bound(rows, k)


def test_greedy_and_then_a_filter() -> None:
    length = 1000
    rows = path(length)

    def even(row: Pair) -> bool:
        return row[0] % 2 == 0

    def filtered_after(table: Sequence[Pair]) -> int:
        return sum(keep and even(row) for row, keep in zip(table, greedy(table, 1), strict=True))

    assert above(rows, 1)
    assert filtered_after(rows) - filtered_after(without(rows, 0)) == length // 2

    def filtered_before(table: Sequence[Pair]) -> int:
        return count(table, 1, lambda row: 0 if even(row) else -1)

    changes = [filtered_before(rows) - filtered_before(without(rows, v)) for v in range(0, length + 1, 3)]
    assert set(changes) <= {0, 1}


def test_greedy_in_order_of_a_hash_and_then_a_sum() -> None:
    length, value_max = 1000, 100
    rows = path(length)

    def value(row: Pair) -> int:
        return value_max if row[0] % 2 == 0 else 1

    def in_store_order(table: Sequence[Pair]) -> int:
        return sum(value(row) for row, keep in zip(table, greedy(table, 1), strict=True) if keep)

    def by_falling_value(table: Sequence[Pair]) -> int:
        kernel = DualGreedySum(length + 1, 1, 1, value_max=value_max)
        zeros = i32(0 for _ in table)
        kernel.add(i32(a for a, _ in table), i32(b for _, b in table), zeros, i64(value(row) for row in table))
        return int(kernel.totals()[0])

    assert above(rows, 1)
    assert in_store_order(rows) - in_store_order(without(rows, 0)) == length // 2 * (value_max - 1)
    changes = [by_falling_value(rows) - by_falling_value(without(rows, v)) for v in range(0, length + 1, 3)]
    assert min(changes) >= 0
    assert max(changes) <= value_max


def test_three_owners_on_a_row() -> None:
    depth = 9
    conferences = [(node, 2 * node + 1, 2 * node + 2) for node in range(2 ** (depth + 1) - 1)]

    def greedy_of_three(table: Sequence[tuple[int, ...]]) -> int:
        used: set[int] = set()
        kept = 0
        for owners in table:
            if used.isdisjoint(owners):
                used.update(owners)
                kept += 1
        return kept

    left = [row for row in conferences if 0 not in row]
    assert (greedy_of_three(conferences), greedy_of_three(left)) == (341, 682)
    legs = [leg for a, b, c in conferences for leg in ((a, b), (a, c))]
    assert above(legs, 1)
    whole = count(legs, 1)
    assert all(0 <= whole - count(without(legs, v), 1) <= 1 for v in range(0, 2000, 37))


def role_chain(numbers: int) -> list[Pair]:
    """Even numbers call their successor, which takes a slot of both; then a path whose other slots alternate."""
    return [(x, x + 1) for x in range(0, numbers - 1, 2)] + path(numbers - 1)


def test_one_capacity_for_both_roles_of_a_distinct_caller() -> None:
    k, numbers = 2, 1000
    rows = role_chain(numbers)

    def callers(table: Sequence[Pair]) -> int:
        return len({a for (a, _), keep in zip(table, greedy(table, k), strict=True) if keep})

    def by_role(table: Sequence[Pair]) -> int:
        kernel = DualGreedyDistinct(numbers, 1, k)
        kernel.add(i32(a for a, _ in table), i32(b for _, b in table), i32(0 for _ in table))
        return int(kernel.totals()[0])

    assert above(rows, k)
    assert callers(without(rows, 0)) - callers(rows) > numbers // 2 - 5
    changes = [by_role(rows) - by_role(without(rows, v)) for v in range(numbers)]
    assert min(changes) >= 0
    assert max(changes) <= 1 + k


def test_a_shuffle_of_positions() -> None:
    rows = path(200)

    def shuffled(table: Sequence[Pair], seed: int) -> int:
        order = np.random.default_rng(seed).permutation(len(table))
        return greedy_count([table[i] for i in order], 1)

    assert above(rows, 1)
    changes = [shuffled(rows, seed) - shuffled(without(rows, 0), seed) for seed in range(20)]
    assert min(changes) < 0
    assert max(changes) > 1
    keeps_its_bound(sorted(rows, key=prf), 1)


def test_order_by_dense_code() -> None:
    # Number 0's calls give every other number its code: in reverse of the path with them, along the path without.
    tail = 100
    calls = [(0, x) for x in np.random.default_rng(2).permutation(np.arange(1, tail)).tolist()]
    rows = calls + path(tail)[1:]

    def by_code(table: Sequence[Pair]) -> int:
        code: dict[int, int] = {}
        for row in table:
            for owner in row:
                code.setdefault(owner, len(code))
        return greedy_count(sorted(table, key=lambda row: sorted(code[owner] for owner in row)), 1)

    assert above(rows, 1)
    changes = [by_code(rows) - by_code(without(rows, v)) for v in range(tail + 1)]
    assert min(changes) < 0 or max(changes) > 1
    keeps_its_bound(sorted(rows, key=prf), 1)
