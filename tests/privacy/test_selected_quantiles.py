"""Quantiles that are selected: by scores that move no more than claimed, with the mechanism's own chances."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import prepare
from numpy.typing import NDArray
from planning import POLICY, asking, priced_plan, small_catalog
from small_calls import NUMBERS, alike, assert_claims_hold, call_rows, in_memory

from dpquery.engines.one_owner import scores
from dpquery.errors import InternalError
from dpquery.measuring import with_noise
from dpquery.noise.allowlist import SelectionName
from dpquery.noise.sampler import select_least
from dpquery.noise.verify import verify
from dpquery.plan.expressions import ColumnRef
from dpquery.plan.query import CountRows, Quantile
from dpquery.plan.ranges import ValueRange
from dpquery.policy import parse_policy
from dpquery.postprocessing.estimates import estimates
from dpquery.privacy.bins import bin_edges
from dpquery.privacy.calibrate import MechanismName, PrivacyPlan
from dpquery.privacy.measure import HistogramMeasurement, QuantileMeasurement

CATALOG = small_catalog()
TALK, RANGE, WIDE = ColumnRef("talk_s", "integer"), ValueRange(0, 60, 1.0), ValueRange(0, 7200, 1.0)
SCORE = ColumnRef("score", "integer")
INBOUND = "SELECT COUNT(*) FROM calls WHERE direction <> 'p2p'"
BY_SERVICE = "SELECT service, COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY service"
MECHANISMS = pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
QUANTILES = (
    Quantile(TALK, RANGE, 0.5, "log"),
    Quantile(TALK, RANGE, 0.6, "log"),
    Quantile(ColumnRef("cost", "decimal"), ValueRange(0, 40, 0.25), 0.3),
    Quantile(SCORE, ValueRange(-100, 100, 1.0), 0.4),
)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


def selected(plan: PrivacyPlan) -> list[QuantileMeasurement]:
    return [part.measurement for part in plan.parts if isinstance(part.measurement, QuantileMeasurement)]


# --- how far scores move --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(rows=call_rows(), number=st.integers(0, NUMBERS - 1), sql=st.sampled_from([INBOUND, BY_SERVICE]))
def test_no_score_moves_by_more_than_claimed(
    rows: list[dict[str, object]], number: int, sql: str, con: duckdb.DuckDBPyConnection
) -> None:
    plan = priced_plan(asking(sql, CATALOG, CountRows(), *QUANTILES), CATALOG)
    assert len(selected(plan)) == 4
    assert_claims_hold(plan, in_memory(con, rows), number)


def test_a_number_at_its_bounds_moves_a_score_as_far_as_claimed(con: duckdb.DuckDBPyConnection) -> None:
    """All of a number's rows on one side of most bins, so that the claim is no larger than it must be."""
    plan = priced_plan(asking(INBOUND, CATALOG, *QUANTILES), CATALOG)
    own = alike(8, 0, -5, direction="outbound", talk_s=0, score=-8, cost=0.0)
    others = alike(90, -5, -5, direction="inbound", talk_s=0, score=-8, cost=0.0)
    full = in_memory(con, own + [{**row, "place": 100 + i} for i, row in enumerate(others)])
    before, after = full.exact(plan), full.without(0, ("caller", "callee")).exact(plan)
    for part, one, other in zip(plan.parts, before, after, strict=True):
        if isinstance(part.measurement, QuantileMeasurement):
            assert np.abs(one - other).max() == 3 * (part.measurement.whole - part.measurement.part)
            assert part.sensitivity.l1 == 3 * part.measurement.row_weight


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(0, 40), max_size=30),
    fraction=st.sampled_from([(1, 2), (9, 10), (1, 200), (199, 200), (1, 3)]),
)
def test_scores_are_the_rows_that_a_bin_is_off(values: list[int], fraction: tuple[int, int]) -> None:
    edges = bin_edges(0, 40, 12, "log")
    measurement = QuantileMeasurement(TALK, 1.0, edges, *fraction, "log")
    rows = np.histogram(values, np.array(edges))[0].astype(np.int64)
    found = scores(rows[None, :], measurement)[0]
    part, whole = fraction
    for i, (first, end) in enumerate(itertools.pairwise(edges)):
        lower, upto = sum(v < first for v in values), sum(v < end for v in values)
        inside = range(whole * lower, whole * upto + 1)
        wanted = part * len(values)
        assert found[i] == (0 if wanted in inside else min(abs(wanted - inside[0]), abs(wanted - inside[-1])))


# --- the mechanisms -------------------------------------------------------------------------------------------------


def chances(mechanism: SelectionName, scale: float, given_scores: tuple[int, ...]) -> list[float]:
    """The chance of each candidate, from the definitions of both mechanisms."""
    weights = [math.exp(-(score - min(given_scores)) / scale) for score in given_scores]
    if mechanism == "exponential":
        return [weight / math.fsum(weights) for weight in weights]
    found = [0.0] * len(weights)
    orders = list(itertools.permutations(range(len(weights))))
    for order in orders:
        left = 1.0 / len(orders)
        for candidate in order:
            found[candidate] += left * weights[candidate]
            left *= 1.0 - weights[candidate]
    return found


@pytest.mark.parametrize("mechanism", ["permute-and-flip", "exponential"])
def test_selections_have_the_chances_of_their_mechanism(mechanism: SelectionName) -> None:
    given_scores, scale, draws = (3, 0, 5, 12), 4.0, 20_000
    drawn = select_least(mechanism, scale, np.tile(np.array(given_scores, np.int64), (draws, 1)))
    shares = np.bincount(drawn[:, 0], minlength=4) / draws

    def distance(assumed: float) -> float:
        expected = np.array(chances(mechanism, assumed, given_scores))
        return float((draws * (shares - expected) ** 2 / expected).sum())

    assert distance(scale) < 21.1  # chi-squared with three degrees of freedom exceeds it once in 10,000
    assert distance(scale * 1.15) > 21.1
    assert distance(scale / 1.15) > 21.1


@MECHANISMS
def test_a_selection_that_loses_more_than_planned_stops(mechanism: MechanismName) -> None:
    plan = priced_plan(asking(BY_SERVICE, CATALOG, *QUANTILES), CATALOG, mechanism=mechanism)
    assert plan.parts[0].mechanism == {"laplace": "permute-and-flip", "gaussian": "exponential"}[mechanism]
    narrower = replace(plan, parts=(replace(plan.parts[0], scale=plan.parts[0].scale * 0.999), *plan.parts[1:]))
    with pytest.raises(InternalError):
        verify(narrower)
    verify(plan)


# --- what comes of it -----------------------------------------------------------------------------------------------


def calls(rows: int) -> NDArray[np.int64]:
    """Call lengths as people make them: a fifth not answered, few very long."""
    rng = np.random.default_rng(7)
    talk = np.minimum(rng.lognormal(4.2, 1.2, rows), 7200).astype(np.int64)
    talk[rng.random(rows) < 0.2] = 0
    return talk


def drawn_quantiles(plan: PrivacyPlan, talk: NDArray[np.int64], draws: int) -> list[NDArray[np.float64]]:
    """Values, lower and upper ends of many releases, for each aggregate."""
    arrays = []
    for part in plan.parts:
        assert isinstance(part.measurement, HistogramMeasurement | QuantileMeasurement)
        rows = np.histogram(talk, np.array(part.measurement.edges))[0].astype(np.int64)[None, :]
        exact = scores(rows, part.measurement) if isinstance(part.measurement, QuantileMeasurement) else rows
        arrays.append(with_noise(part, np.repeat(exact, draws, axis=0)))
    return [np.stack([found.value, found.low, found.high]) for found in estimates(plan, arrays)]


@MECHANISMS
@pytest.mark.parametrize(("rows", "fraction", "most"), [(300, 0.5, 0.85), (300, 0.8, 0.85), (3_000, 0.5, 2.0)])
def test_selected_quantiles_err_less_than_a_histogram_s_and_have_its_intervals(
    rows: int, fraction: float, most: float, mechanism: MechanismName
) -> None:
    """The whole loss for a histogram, as nine quantiles of one expression have it, errs more where noise matters.

    With many rows both err by less than a second, and places within a bin are all that is left.
    """
    talk, draws = calls(rows), 500
    true = float(np.quantile(talk, fraction, method="inverted_cdf"))
    one = priced_plan(asking(INBOUND, CATALOG, Quantile(TALK, WIDE, fraction, "log")), CATALOG, mechanism=mechanism)
    many = [Quantile(TALK, WIDE, f, "log") for f in (fraction, *np.linspace(0.1, 0.4, 8).tolist())]
    read = priced_plan(asking(INBOUND, CATALOG, *many), CATALOG, mechanism=mechanism)
    assert len(selected(one)) == 1
    assert not selected(read)
    assert len(read.parts) == 1
    (value, low, high), *_ = drawn_quantiles(one, talk, draws)
    (other, *_), *_ = drawn_quantiles(read, talk, draws)
    assert np.mean(np.minimum(np.abs(value - true), true)) < most * np.mean(np.minimum(np.abs(other - true), true))
    assert ((low <= true) & (true <= high)).mean() >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / draws)
    assert ((low <= value) & (value <= high)).all()


def test_quantiles_are_read_off_a_histogram_where_selecting_them_errs_more() -> None:
    """Over rows with two owners, with many cells, few bins, many quantiles, or far from the median."""
    few = [Quantile(TALK, WIDE, 0.5, "log")]
    assert selected(priced_plan(asking(INBOUND, CATALOG, *few), CATALOG))
    crowded = small_catalog(
        parse_policy(POLICY.replace("ungrouped = { max_rows = 3 }", "ungrouped = { max_rows = 90 }"))
    )
    for sql, catalog, aggregates in (
        ("SELECT COUNT(*) FROM calls", CATALOG, few),
        (INBOUND.replace("COUNT(*)", "day, local_hour, COUNT(*)") + " GROUP BY 1, 2", CATALOG, few),
        (INBOUND, CATALOG, [Quantile(TALK, WIDE, 1.0, "log")]),
        (INBOUND, crowded, [Quantile(TALK, WIDE, 0.9, "log")]),
        (INBOUND, crowded, [Quantile(TALK, WIDE, f, "log") for f in (0.4, 0.5)]),
    ):
        plan = priced_plan(asking(sql, catalog, *aggregates), catalog)
        assert not selected(plan)
        assert any(isinstance(part.measurement, HistogramMeasurement) for part in plan.parts)
