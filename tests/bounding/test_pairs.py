"""Pairs, numbers by their rows and numbers with several rows: equal to plain Python, within their bounds."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from bounding_reference import NOBODY, Graphs, Ints, greedy, greedy_count, i32, one_owner_kept, owners_of, random_graphs

from dpquery.bounding.dual_greedy import DualGreedyPairs, DualGreedyParticipants
from dpquery.bounding.one_owner import OneOwnerRows
from dpquery.bounding.pairs import FirstPairs, PairTable, pair_lots
from dpquery.errors import InternalError

PUBLIC = -7


def with_public(graphs: Graphs, seed: int) -> Graphs:
    """Some parties are public numbers, which nobody owns and which make pairs."""
    rng = np.random.default_rng(seed)
    first, second = graphs.first.copy(), graphs.second.copy()
    for ends in (first, second):
        ends[rng.random(len(ends)) < 0.2] = PUBLIC
        ends[rng.random(len(ends)) < 0.1] = PUBLIC - 1
    return Graphs(graphs.numbers, graphs.cells, first, second, graphs.cell, graphs.value)


def pairs_by_cell(graphs: Graphs) -> list[list[tuple[int, int]]]:
    """Each pair once, at the place of its first row; none with a withheld number."""
    return [list(dict.fromkeys((a, b) for a, b, _ in rows if NOBODY not in {a, b})) for rows in graphs.rows_by_cell()]


def kept_pairs(graphs: Graphs, k: int, cuts: tuple[int, ...] = (), partition: range | None = None) -> Ints:
    kernel = DualGreedyPairs(graphs.numbers, graphs.cells, k, partition=partition)
    edges = [0, *cuts, len(graphs.cell)]
    for low, high in itertools.pairwise(edges):
        kernel.add(graphs.first[low:high], graphs.second[low:high], graphs.cell[low:high])
    return kernel.totals()


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_pairs_equal_their_plain_statement(seed: int, k: int) -> None:
    graphs = with_public(random_graphs(seed, 200), seed)
    expected = [greedy_count(pairs, k) for pairs in pairs_by_cell(graphs)]
    assert kept_pairs(graphs, k).tolist() == expected
    assert kept_pairs(graphs, k, cuts=(1, 700, 701)).tolist() == expected
    parts = [kept_pairs(graphs, k, partition=part) for part in (range(3), range(3, 120), range(120, 200))]
    assert np.concatenate(parts).tolist() == expected


@pytest.mark.parametrize("k", [1, 3])
def test_removing_a_number_takes_at_most_its_capacity_of_pairs(k: int) -> None:
    graphs = with_public(random_graphs(11, 3000), 11)
    whole = kept_pairs(graphs, k)
    changes = [whole - kept_pairs(graphs.without(v), k) for v in range(graphs.numbers)]
    assert min(int(change.min()) for change in changes) >= 0
    assert max(int(change.max()) for change in changes) == k


def test_only_kept_pairs_are_remembered() -> None:
    """A thousand pairs of one number, of which three are kept: three are held."""
    kernel = DualGreedyPairs(1001, 1, 3)
    for _ in range(3):
        kernel.add(i32([0] * 1000), i32(range(1, 1001)), i32([0] * 1000))
    assert kernel.totals().tolist() == [3]
    assert kernel._table.held == 3


def test_the_table_grows_and_forgets_nothing() -> None:
    table = PairTable()
    assert len(table.with_room_for(10)[0]) == len(table.with_room_for(2000)[0])
    rng = np.random.default_rng(2)
    seen: set[tuple[int, int, int]] = set()
    first_pairs = FirstPairs(10_000, 3)
    for _ in range(5):
        first, second = rng.integers(-3, 10_000, (2, 20_000)).astype(np.int32) // 60
        cell = rng.integers(-1, 3, 20_000).astype(np.int32)
        new = first_pairs.add(first, second, cell)
        for row, flag in zip(zip(first.tolist(), second.tolist(), cell.tolist(), strict=True), new, strict=True):
            a, b, c = row
            assert flag == (c >= 0 and NOBODY not in {a, b} and row not in seen)
            if flag:
                seen.add(row)
    assert len(seen) > 20_000


def test_lots_of_pairs_are_as_good_as_new() -> None:
    lots = np.arange(2**16, dtype=np.uint32)  # the lowest ones: those of first rows
    mixed = pair_lots(lots)
    assert len(np.unique(mixed)) == len(lots)
    counts = np.bincount(mixed >> np.uint32(28), minlength=16)
    assert counts.min() > 0.9 * 2**12
    assert lots[5] == 5  # the caller's own array is not touched


@pytest.mark.parametrize("k", [1, 2, 4])
def test_numbers_by_their_rows_equal_their_plain_statement(k: int) -> None:
    for seed in range(30):
        graphs = random_graphs(seed, 1)
        kernel = DualGreedyParticipants(graphs.numbers, 1, k)
        kernel.add(graphs.first, graphs.second, graphs.cell)
        rows = [(a, b) for a, b, _ in graphs.rows_by_cell()[0]]
        degree: Counter[int] = Counter()
        for row, kept in zip(rows, greedy(rows, k), strict=True):
            degree.update({owner: int(kept) for owner in owners_of(*row)})
        exact = Counter(degree.values())
        assert kernel.by_rows(k).tolist() == [exact[n] for n in range(1, k + 1)]
        # The last place holds those with more.
        assert kernel.by_rows(1).tolist() == [sum(exact[n] for n in range(1, k + 1))]


@pytest.mark.parametrize("k", [1, 3])
def test_numbers_by_their_rows_keep_their_bound(k: int) -> None:
    attained = 0
    for seed in range(400):
        graphs = random_graphs(seed, 1)

        def counted(table: Graphs) -> Ints:
            kernel = DualGreedyParticipants(table.numbers, 1, k)
            kernel.add(table.first, table.second, table.cell)
            return kernel.by_rows(k)

        whole = counted(graphs)
        for v in range(graphs.numbers):
            change = np.abs(whole - counted(graphs.without(v)))
            assert change.sum() <= 2 * k + 1
            assert change.max() <= k + 1
            assert (change**2).sum() <= k**2 + (k + 1) ** 2
            attained = max(attained, int(change.sum()))
    assert attained >= k + 1


def test_numbers_by_their_rows_have_one_cell() -> None:
    with pytest.raises(InternalError):
        DualGreedyParticipants(5, 2, 3).by_rows(3)


@pytest.mark.parametrize("seed", range(6))
def test_owners_with_several_rows_equal_their_plain_statement(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner = rng.integers(-2, 8, 300).astype(np.int32)
    cell = rng.integers(-1, 4, 300).astype(np.int32)
    lot = rng.integers(0, 2**32, 300, dtype=np.uint32)
    bounds = [(10, 3, 4), (5, 2, 5), (500, 4, 500)][seed % 3]
    rows = OneOwnerRows(8, 4)
    for low, high in ((0, 120), (120, 300)):
        rows.add(owner[low:high], cell[low:high], lot[low:high])
    kept = rows.bound(*bounds)
    expected = one_owner_kept(owner.tolist(), cell.tolist(), lot.tolist(), bounds)
    in_cell = Counter(
        (o, c) for o, c, keep in zip(owner.tolist(), cell.tolist(), expected, strict=True) if keep and o >= 0
    )
    for at_least in (1, 2, 4):
        found = kept.distinct_owners(at_least=at_least).tolist()
        assert found == [sum(n >= at_least for (_, c), n in in_cell.items() if c == place) for place in range(4)]
    totals: Counter[int] = Counter()
    for (o, _), n in in_cell.items():
        totals[o] += n
    by_rows = kept.numbers_by_rows(5).tolist()
    assert by_rows == [sum(min(n, 5) == rows_of for n in totals.values()) for rows_of in range(1, 6)]
