"""Bounds that a release chooses: its histogram moves as claimed, and the choice errs little."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import prepare
from planning import POLICY, priced, priced_plan, small_catalog
from small_calls import alike, assert_claims_hold_for_all, call_rows, in_memory

from dpquery.asking.chosen_bounds import NoisyBins, choose, noisy_bins
from dpquery.errors import QueryRefused
from dpquery.noise.sampler import add_noise
from dpquery.noise.tails import half_width
from dpquery.plan.auto_bounds import SHARE, WIDEST, bounds_requests, with_bounds
from dpquery.plan.expressions import ColumnRef
from dpquery.plan.query import Average, Quantile, Sum
from dpquery.plan.ranges import ValueRange
from dpquery.policy import parse_policy
from dpquery.privacy.bins import bin_edges
from dpquery.privacy.measure import HistogramMeasurement
from dpquery.sql.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.privacy.calibrate import PrivacyPlan

CATALOG = small_catalog()
UNBOUNDED = small_catalog(
    parse_policy(
        POLICY.replace('unit = "s", bounds = [0, 60], bins = "log"', 'unit = "s"').replace(
            'unit = "GBP", bounds = [0, 4], grid = 0.25', 'unit = "GBP"'
        )
    )
)
TALK = ColumnRef("talk_s", "integer")
WIDE = WIDEST["integer"]

QUERIES = {
    "two owners": "SELECT SUM(talk_s, bounds => 'auto') FROM calls",
    "two owners by service": "SELECT service, AVG(score, bounds => 'auto') FROM calls GROUP BY service",
    "two owners, decimals": "SELECT MEDIAN(cost, bounds => 'auto') FROM calls",
    "one owner": "SELECT SUM(talk_s, bounds => 'auto') FROM calls WHERE direction <> 'p2p'",
    "one owner, some": "SELECT service, STDDEV(score, bounds => 'auto') FILTER (WHERE answered) FROM calls "
    "WHERE direction = 'inbound' GROUP BY service",
    "one owner, decimals": "SELECT SUM(cost, bounds => 'auto') FROM calls WHERE direction <> 'p2p'",
}


def plan_of(name: str) -> PrivacyPlan:
    [request] = bounds_requests(resolve(QUERIES[name], UNBOUNDED)).values()
    return priced_plan(request, UNBOUNDED, gaussian=False)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


@pytest.mark.parametrize("name", QUERIES)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_number_moves_the_bins_by_more_than_claimed(
    name: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan, rows = plan_of(name), in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


def test_the_claim_is_reached(con: duckdb.DuckDBPyConnection) -> None:
    plan = plan_of("one owner")
    rows = in_memory(con, alike(9, 0, -5, direction="inbound", talk_s=700))
    assert np.abs(rows.exact(plan)[0]).sum() == plan.parts[0].sensitivity.l1 == 3


@pytest.mark.parametrize(("low", "high"), [(0, 3600), (-8, 5), (-(2**30), 2**30), (10, 900), (-700, -3), (0, 1)])
def test_doubling_bins_part_the_whole_range(low: int, high: int) -> None:
    edges = bin_edges(low, high, 16, "doubling")
    assert list(edges) == sorted(set(edges))
    assert (edges[0], edges[-1]) == (low, high + 1)
    for first, end in itertools.pairwise(edges):
        sizes = sorted((abs(first), abs(end - 1)))
        assert sizes[1] <= max(1, 2 * sizes[0]), (first, end)
    assert len(edges) <= 2 * max(abs(low), abs(high)).bit_length() + 3


def test_values_land_in_their_bins(con: duckdb.DuckDBPyConnection) -> None:
    plan = plan_of("one owner")
    values = [0, 1, 3, 4, 7, 8, 10**12, -1, -2, -(10**12)]
    rows = [{**alike(1, i % 7, -5, direction="inbound", talk_s=v)[0], "place": i + 1} for i, v in enumerate(values)]
    part = plan.parts[0].measurement
    assert isinstance(part, HistogramMeasurement)
    found = dict(zip(part.edges, in_memory(con, rows).exact(plan)[0][0], strict=False))
    assert {edge: int(count) for edge, count in found.items() if count} == {
        part.edges[0]: 1, -3: 1, -1: 1, 0: 1, 1: 1, 2: 1, 4: 2, 8: 1, part.edges[-2]: 1,
    }  # fmt: skip


def test_empty_bins_count_as_seldom_as_promised() -> None:
    """A threshold of half the noise, or noise of another scale, would fail either way."""
    plan = plan_of("one owner")
    part = plan.parts[0]
    bins = part.measurement.width
    threshold = noisy_bins(plan, [np.zeros((1, bins), np.int64)]).threshold
    assert threshold == half_width("laplace", part.scale, 1 - 2 * 0.01 / bins)
    drawn = add_noise("laplace", part.scale, np.zeros((8_000, bins), np.int64))
    false = int((drawn > threshold).any(axis=1).sum())
    assert 40 <= false <= 120  # 1 % of 8,000 is 80, with deviation 9
    assert int((drawn > threshold // 2).any(axis=1).sum()) > 400


def bins_of(values: np.ndarray, epsilon: float, threshold: int = 0) -> NoisyBins:
    edges = bin_edges(-(2**30), 2**30, 0, "doubling")
    counts = np.histogram(values, np.array(edges, np.float64))[0].astype(np.float64)
    return NoisyBins(edges, 1.0, counts, threshold, epsilon)


@pytest.mark.parametrize("tail", [1.3, 2.0, 4.0])
@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("rows", [10, 1000])
def test_sums_err_little_more_than_under_the_best_doubling_bound(tail: float, epsilon: float, rows: int) -> None:
    values = np.floor(60.0 * np.random.default_rng(3).pareto(tail, 50_000) + 1.0)
    answered = epsilon * (SHARE[1] - SHARE[0]) / SHARE[0]

    def error(high: float) -> float:
        return float(np.maximum(values - high, 0.0).sum()) + rows / answered * high

    low, high, clear = choose(bins_of(values, epsilon), Sum(TALK, WIDE, auto=True), rows)
    assert (low, clear) == (0.0, True)
    assert error(high) <= 1.3 * min(error(2.0**i) for i in range(31))


def test_bounds_follow_the_values_whatever_their_sign() -> None:
    rng = np.random.default_rng(4)
    cases = {
        (0.0, 64.0): rng.integers(0, 61, 5000),
        (-63.0, 0.0): -rng.integers(1, 61, 5000),
        (-63.0, 1024.0): np.concatenate([rng.integers(-60, 0, 5000), rng.integers(0, 1000, 5000)]),
    }
    for expected, values in cases.items():
        low, high, _ = choose(bins_of(values, 1.0), Sum(TALK, WIDE, auto=True), 0.01)
        assert low <= expected[0]
        assert high >= expected[1]
        assert max(-low, high) <= 2 * max(-expected[0], expected[1])
    narrow = choose(bins_of(rng.integers(1000, 1100, 5000), 1.0), Average(TALK, WIDE, auto=True), 10)
    assert narrow[0] == 512.0
    assert narrow[1] in {1024.0, 2048.0}


def test_small_values_are_not_lifted_because_no_bin_of_them_stands_out() -> None:
    """Each bin below the threshold, most values in them: a mean clamped to the one bin above it would be far off."""
    small = np.concatenate([np.full(900, 2**i) for i in range(9)])
    values = np.concatenate([small, np.full(2000, 700)])
    low, high, _ = choose(bins_of(values, 1.0, threshold=1000), Average(TALK, WIDE, auto=True), 1)
    assert low <= 8.0
    assert high == 1024.0


def test_a_quantile_is_never_cut_off_and_noise_alone_decides_nothing() -> None:
    values = np.concatenate([np.full(10_000, 5), np.full(50, 900)])
    quantile = Quantile(TALK, WIDE, 1.0, auto=True)
    assert choose(bins_of(values, 0.001), quantile, 10**6)[1] == 1024.0
    assert choose(bins_of(values, 0.001), Sum(TALK, WIDE, auto=True), 10**6)[1] < 1024.0
    assert choose(bins_of(values, 1.0, threshold=60), quantile, 1)[1] == 8.0
    assert choose(bins_of(values, 1.0, threshold=10**6), quantile, 1) == (0.0, 7.0, False)
    declared = ValueRange(0, 60, 1.0)
    edges = bin_edges(0, 60, 0, "doubling")
    nothing = NoisyBins(edges, 1.0, np.zeros(len(edges) - 1), 10, 1.0)
    assert choose(nothing, Quantile(TALK, declared, 0.5, auto=True), 1) == (0.0, 60.0, False)


def test_one_release_serves_every_aggregate_and_key_of_the_same_rows() -> None:
    asked = [
        "SELECT SUM(talk_s, bounds => 'auto') FROM calls WHERE direction = 'inbound' AND service = 'voice'",
        "SELECT cell_id, MEDIAN(talk_s, bounds => 'AUTO') AS m FROM calls c WHERE c.service = 'voice' "
        "AND c.direction = 'inbound' GROUP BY cell_id HAVING AVG(talk_s, bounds => 'auto') > 3",
    ]
    requests = [bounds_requests(resolve(sql, UNBOUNDED)) for sql in asked]
    assert [len(each) for each in requests] == [1, 1]
    first, second = (priced_plan(each[TALK], UNBOUNDED, gaussian=False) for each in requests)
    assert first.parts == second.parts
    other = bounds_requests(resolve("SELECT SUM(talk_s + 1, bounds => 'auto') FROM calls", UNBOUNDED))
    assert TALK not in other


def test_declared_bounds_are_where_bounds_are_looked_for() -> None:
    aggregate = resolve("SELECT SUM(talk_s, bounds => 'auto') FROM calls", CATALOG).aggregates[0]
    assert isinstance(aggregate, Sum)
    assert (aggregate.clamp, aggregate.auto) == (ValueRange(0, 60, 1.0), True)
    wide = resolve("SELECT SUM(talk_s, bounds => 'auto') FROM calls", UNBOUNDED)
    assert wide.chooses_bounds
    decided = with_bounds(wide, {0: (0.0, 64.0)})
    assert not decided.chooses_bounds
    assert decided.aggregates == (Sum(TALK, ValueRange(0.0, 64.0, 1.0)),)
    given = "SELECT SUM(talk_s, contribution_bounds_per_row => (0, 64)) FROM calls"
    assert priced_plan(decided, UNBOUNDED).parts == priced(given, UNBOUNDED).parts


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(talk_s, bounds => 'auto') FROM calls",
        "SELECT SUM(talk_s, bounds => 'always') FROM calls",
        "SELECT SUM(talk_s, bounds => (0, 60)) FROM calls",
        "SELECT SUM(talk_s, contribution_bounds_per_group => 'auto') FROM calls",
        "SELECT SUM(free_text, bounds => 'auto') FROM calls",
        "SELECT SUM(caller, bounds => 'auto') FROM calls",
        "SELECT SUM(talk_s, bounds => 'auto', bounds => 'auto') FROM calls",
        "SELECT MEDIAN(n) FROM (SELECT caller, SUM(talk_s, bounds => 'auto') AS n FROM calls "
        "WHERE direction = 'inbound' GROUP BY caller)",
    ],
)
def test_bounds_that_cannot_be_chosen_are_refused(sql: str) -> None:
    with pytest.raises(QueryRefused):
        resolve(sql, UNBOUNDED)
