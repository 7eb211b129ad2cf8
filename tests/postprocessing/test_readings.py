"""Variances, quantiles and different values off noisy integers: close to numpy, and intervals that cover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import POLICY, asking, priced, priced_plan, small_catalog

from dpquery.describe import caveats, columns
from dpquery.documents import ValueColumn
from dpquery.engines.one_owner import scores
from dpquery.measuring import with_noise
from dpquery.plan.expressions import ColumnRef
from dpquery.plan.query import Aggregate, Average, CountPairs, CountRows, CountValues, Quantile, Variance
from dpquery.plan.ranges import ValueRange
from dpquery.policy import parse_policy
from dpquery.postprocessing import histograms
from dpquery.postprocessing.estimates import estimates, values_threshold
from dpquery.postprocessing.expected import expected_half_width
from dpquery.privacy.measure import (
    EXTREMES,
    CountMeasurement,
    HistogramMeasurement,
    QuantileMeasurement,
    SquaresMeasurement,
    SumMeasurement,
    ValuesMeasurement,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpquery.plan.query import Bins
    from dpquery.postprocessing.intervals import Estimates
    from dpquery.privacy.calibrate import PrivacyPlan

CATALOG = small_catalog(parse_policy(POLICY.replace("ungrouped = { max_rows = 3 }", "ungrouped = { max_rows = 10 }")))
ALL = "SELECT COUNT(*) FROM calls"
INBOUND = "SELECT COUNT(*) FROM calls WHERE direction <> 'p2p'"
TALK, RANGE = ColumnRef("talk_s", "integer"), ValueRange(0, 7200, 1.0)
FEW = ValueRange(0, 9, 1.0)
VALUES = tuple(f"C{i}" for i in range(40))


def plan_of(sql: str, *aggregates: Aggregate, epsilon: float = 1.0, gaussian: bool = True) -> PrivacyPlan:
    return priced_plan(asking(sql, CATALOG, *aggregates), CATALOG, epsilon=epsilon, gaussian=gaussian)


def exact_parts(plan: PrivacyPlan, talk: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """What kernels would give for these values where no bound bites, in one cell."""
    found = []
    for part in plan.parts:
        match part.measurement:
            case HistogramMeasurement(edges=edges):
                exact = np.histogram(np.clip(talk, edges[0], edges[-1] - 1), np.array(edges))[0]
            case QuantileMeasurement(edges=edges):
                rows = np.histogram(np.clip(talk, edges[0], edges[-1] - 1), np.array(edges))[0]
                exact = scores(rows[None, :], part.measurement)[0]
            case SumMeasurement(centre=centre):
                exact = np.array([(talk - centre).sum()])
            case SquaresMeasurement(centre=centre):
                exact = np.array([((talk - centre) ** 2).sum()])
            case CountMeasurement():
                exact = np.array([len(talk)])
            case _:
                raise AssertionError(part.measurement)
        found.append(exact.astype(np.int64)[None, :])
    return found


def calls(rows: int, seed: int = 1) -> NDArray[np.int64]:
    """Call lengths as people make them: a fifth not answered, few very long."""
    rng = np.random.default_rng(seed)
    talk = np.minimum(rng.lognormal(4.2, 1.2, rows), 7200).astype(np.int64)
    talk[rng.random(rows) < 0.2] = 0
    return talk


def released(plan: PrivacyPlan, exact: list[NDArray[np.int64]], draws: int) -> list[NDArray[np.int64]]:
    """Noisy parts, with a cell for each of many independent releases."""
    return [with_noise(part, np.repeat(array, draws, axis=0)) for part, array in zip(plan.parts, exact, strict=True)]


VARIANCES = [Variance(TALK, RANGE, "log", sample, root) for sample in (False, True) for root in (False, True)]
FRACTIONS = [0.05, 0.25, 0.5, 0.9, 0.99]


# --- close to numpy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 3, 50, 4000])
def test_one_owner_variances_equal_numpy_without_noise(rows: int) -> None:
    talk = calls(rows) + np.arange(rows) % 3
    plan = plan_of(INBOUND, *VARIANCES)
    quiet = replace(plan, parts=tuple(replace(part, scale=1e-9) for part in plan.parts))
    found = estimates(quiet, exact_parts(plan, talk))
    for aggregate, estimate in zip(VARIANCES, found, strict=True):
        variance = talk.var(ddof=1 if aggregate.sample else 0)
        expected = np.sqrt(variance) if aggregate.root else variance
        assert estimate.value[0] == pytest.approx(expected, rel=1e-9)
        assert estimate.low[0] == pytest.approx(expected, rel=1e-6)
        assert estimate.high[0] == pytest.approx(expected, rel=1e-6)


def test_histogram_readings_are_close_to_numpy_without_noise() -> None:
    talk = calls(50_000)
    for sql, near in ((ALL, 0.15), (INBOUND, 0.05)):
        plan = plan_of(sql, *(Quantile(TALK, RANGE, fraction, "log") for fraction in FRACTIONS))
        for fraction, estimate in zip(FRACTIONS, estimates(plan, exact_parts(plan, talk)), strict=True):
            true = float(np.quantile(talk, fraction))
            assert estimate.value[0] == pytest.approx(true, rel=near)
            assert estimate.low[0] <= true <= estimate.high[0]
    plan = plan_of(ALL, Average(TALK, RANGE, "log"), *VARIANCES)
    mean, *variances = estimates(plan, exact_parts(plan, talk))
    assert mean.value[0] == pytest.approx(talk.mean(), rel=0.05)
    for aggregate, estimate in zip(VARIANCES, variances, strict=True):
        assert estimate.value[0] == pytest.approx(talk.std() if aggregate.root else talk.var(), rel=0.1)


def test_few_values_have_a_bin_each_and_exact_quantiles() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 10, 1001) ** 2 // 9
    for sql in (ALL, INBOUND):
        aggregates = [Quantile(TALK, FEW, fraction) for fraction in (0.0, 0.1, 0.5, 0.77, 1.0)]
        plan = plan_of(sql, *aggregates, Variance(TALK, FEW))
        found = estimates(plan, exact_parts(plan, scores))
        for aggregate, estimate in zip(aggregates, found, strict=False):
            asked = EXTREMES.get(aggregate.fraction, aggregate.fraction)
            assert estimate.value[0] == np.quantile(scores, asked, method="inverted_cdf")
        assert found[-1].value[0] == pytest.approx(scores.var(), rel=1e-9)


# --- intervals ------------------------------------------------------------------------------------------------------

DRAWS = 1500


def covered(estimate: Estimates, true: float) -> float:
    return float(((estimate.low <= true + 1e-9) & (true - 1e-9 <= estimate.high)).mean())


def slack(confidence: float) -> float:
    """Four standard deviations of a share of DRAWS."""
    return 4.0 * float(np.sqrt(confidence * (1.0 - confidence) / DRAWS))


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("gaussian", [True, False])
@pytest.mark.parametrize(("rows", "epsilon"), [(300, 0.5), (3000, 0.5), (3000, 2.0), (100_000, 1.0)])
def test_intervals_of_quantiles_hold_the_quantile(
    rows: int, epsilon: float, confidence: float, *, gaussian: bool
) -> None:
    """The quantile of the values themselves, not of their bins."""
    talk = calls(rows)
    for sql in (ALL, INBOUND):
        aggregates = [Quantile(TALK, RANGE, fraction, "log") for fraction in (0.0, 0.1, 0.5, 0.9, 1.0)]
        plan = plan_of(sql, *aggregates, epsilon=epsilon, gaussian=gaussian)
        found = estimates(plan, released(plan, exact_parts(plan, talk), DRAWS), confidence)
        for aggregate, estimate in zip(aggregates, found, strict=True):
            true = float(np.quantile(talk, EXTREMES.get(aggregate.fraction, aggregate.fraction)))
            assert covered(estimate, true) >= confidence - slack(confidence)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize(("rows", "epsilon"), [(300, 0.5), (3000, 2.0), (100_000, 1.0), (2_000_000, 2.0)])
def test_intervals_of_variances_hold_the_noise(rows: int, epsilon: float, confidence: float) -> None:
    """One owner: the variance of the rows. Two owners: what the same bins say without noise."""
    talk = calls(rows)
    for sql in (ALL, INBOUND):
        plan = plan_of(sql, *VARIANCES, epsilon=epsilon)
        exact = exact_parts(plan, talk)
        quiet = replace(plan, parts=tuple(replace(part, scale=1e-9) for part in plan.parts))
        truths = estimates(quiet, exact)
        found = estimates(plan, released(plan, exact, DRAWS), confidence)
        for true, estimate in zip(truths, found, strict=True):
            assert covered(estimate, float(true.value[0])) >= confidence - slack(confidence)


def test_intervals_get_narrow_where_rows_are_many() -> None:
    talk = calls(2_000_000)
    for sql in (ALL, INBOUND):
        plan = plan_of(sql, Quantile(TALK, RANGE, 0.5, "log"), Variance(TALK, RANGE, "log"))
        for estimate in estimates(plan, released(plan, exact_parts(plan, talk), 50)):
            assert estimate.useful.all()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data(), confidence=st.sampled_from([0.5, 0.95, 0.9999]))
def test_any_integers_have_a_reading_within_the_limits(data: st.DataObject, confidence: float) -> None:
    """Noise can make anything: no reading is NaN, negative where it cannot be, or outside its interval."""
    sql = data.draw(st.sampled_from([ALL, INBOUND]))
    clamp = data.draw(st.sampled_from([RANGE, FEW, ValueRange(-8, 5, 1.0), ValueRange(-3, 9000, 0.25)]))
    spacings: list[Bins] = ["log", "linear"]
    bins = data.draw(st.sampled_from(spacings))
    aggregates: list[Aggregate] = [
        *(Variance(TALK, clamp, bins, sample, root) for sample in (False, True) for root in (False, True)),
        *(Quantile(TALK, clamp, fraction, bins) for fraction in (0.0, 0.3, 1.0)),
        CountValues(ColumnRef("cell_id", "text"), VALUES),
    ]
    plan = plan_of(sql, *aggregates)
    whole = st.one_of(st.integers(-3, 3), st.integers(-(10**4), 10**4), st.integers(-(2**62), 2**62))
    noisy = [
        np.array([data.draw(st.lists(whole, min_size=w, max_size=w))], np.int64)
        for w in (part.measurement.width for part in plan.parts)
    ]
    width = clamp.high - clamp.low
    limits = [(0.0, width**2 / 4), (0.0, width / 2), (0.0, width**2 / 2), (0.0, width / 2**0.5)]
    limits += [(clamp.low, clamp.high)] * 3 + [(0, len(VALUES))]
    for (least, most), estimate in zip(limits, estimates(plan, noisy, confidence), strict=True):
        low, value, high = estimate.low[0], estimate.value[0], estimate.high[0]
        assert least <= low <= value <= high <= most * (1 + 1e-12)


def test_consistent_rows_are_the_nearest_that_are_not_negative() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(3.0, 10.0, (200, 12))
    found = histograms.consistent(rows)
    total = np.maximum(rows.sum(axis=1), 0.0)
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(total, abs=1e-9)
    for _ in range(50):  # no other rows of that kind are nearer
        other = rng.exponential(1.0, rows.shape)
        other *= (total / other.sum(axis=1))[:, None]
        mixed = 0.9 * found + 0.1 * other
        assert (((rows - mixed) ** 2).sum(axis=1) >= ((rows - found) ** 2).sum(axis=1) - 1e-9).all()


# --- different values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaussian", [True, False])
def test_noise_alone_makes_a_value_count_in_one_release_of_twenty(*, gaussian: bool) -> None:
    plan = plan_of(ALL, CountValues(ColumnRef("cell_id", "text"), VALUES), epsilon=0.3, gaussian=gaussian)
    draws = 6_000
    (found,) = estimates(plan, released(plan, [np.zeros((1, len(VALUES)), np.int64)], draws))
    share = float((found.value > 0).mean())
    assert share <= 0.05 + 4 * (0.05 * 0.95 / draws) ** 0.5
    assert share >= 0.02
    (surer,) = estimates(plan, released(plan, [np.zeros((1, len(VALUES)), np.int64)], draws), 0.99)
    assert float((surer.low > 0).mean()) <= 0.01 + 4 * (0.01 * 0.99 / draws) ** 0.5
    assert (surer.high == len(VALUES)).all()


def test_values_that_occur_often_are_counted() -> None:
    plan = plan_of(ALL, CountValues(ColumnRef("cell_id", "text"), VALUES))
    exact = np.where(np.arange(len(VALUES)) < 25, 4000, 0)[None, :].astype(np.int64)
    (found,) = estimates(plan, released(plan, [exact], 1000))
    assert float((found.value == 25).mean()) >= 0.93
    assert (found.low <= found.value).all()


# --- words ----------------------------------------------------------------------------------------------------------


def value_columns(plan: PrivacyPlan) -> list[ValueColumn]:
    return [column for column in columns(plan, expected=0.95) if isinstance(column, ValueColumn)]


@pytest.mark.parametrize("sql", [ALL, INBOUND])
def test_the_expected_error_is_given_where_it_can_be_known(sql: str) -> None:
    aggregates: list[Aggregate] = [
        Variance(TALK, RANGE),
        Variance(TALK, RANGE, root=True),
        Quantile(TALK, RANGE, 0.5),
        CountValues(ColumnRef("cell_id", "text"), VALUES),
        CountPairs(("caller", "callee")),
        CountRows(),
    ]
    plan = plan_of(sql, *aggregates, epsilon=2.0)
    found = value_columns(plan)
    assert [column.type for column in found] == ["number", "number", "number", "integer", "integer", "integer"]
    assert [column.expected_half_width is not None for column in found] == [True, False, False, False, True, True]
    assert [column.expected_if_rows for column in found] == [1000, None, None, None, None, None]
    reach = expected_half_width(plan, plan.bounded.logical.outputs[0])
    assert reach is not None
    assert 0 < reach <= 3600**2


def test_the_expected_error_of_a_variance_is_about_right() -> None:
    """A thousand rows around the clamp's middle: the noise on their variance is what was said before."""
    rng = np.random.default_rng(1)
    talk = np.clip(rng.normal(5, 2, 1000), 0, 9).astype(np.int64)
    for sql in (ALL, INBOUND):
        plan = plan_of(sql, Variance(TALK, FEW), epsilon=2.0)
        expected = expected_half_width(plan, plan.bounded.logical.outputs[0])
        (found,) = estimates(plan, released(plan, exact_parts(plan, talk), 4000))
        reach = float(np.quantile(np.abs(found.value - np.median(found.value)), 0.95))
        assert expected is not None
        assert 0.4 * expected <= reach <= 2.5 * expected


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT SUM(talk_s) / COUNT(*) AS mean FROM calls", ["mean"]),
        ("SELECT COUNT(*) AS n, 60.0 * SUM(talk_s) / COUNT(talk_s) - 1 AS m, COUNT(*) / 2 AS h FROM calls", ["m"]),
        ("SELECT 100 * COUNTIF(answered) / COUNT(*) AS share FROM calls", ["share"]),
        ("SELECT SUM(talk_s) - COUNT(*) AS d, SUM(talk_s) / 60 AS minutes FROM calls", []),
        ("SELECT AVG(talk_s) AS t FROM calls", []),
        # Over rows with one owner both keep the same rows.
        ("SELECT SUM(talk_s) / COUNT(*) AS mean FROM calls WHERE direction = 'inbound'", []),
    ],
)
def test_a_quotient_that_is_no_mean_is_said_to_be_none(sql: str, named: list[str]) -> None:
    catalog = small_catalog()
    found = [caveat for caveat in caveats(priced(sql, catalog), catalog.tables["calls"]) if "is no mean" in caveat]
    assert [caveat.split(" ", 1)[0] for caveat in found] == named
    assert all("AVG(x) is the mean" in caveat for caveat in found)


def test_caveats_say_what_a_reading_is() -> None:
    plan = plan_of(
        ALL,
        Average(TALK, RANGE, "log"),
        Quantile(TALK, RANGE, 0.0, "log"),
        Quantile(TALK, RANGE, 1.0, "log"),
        CountPairs(("caller", "callee")),
        CountValues(ColumnRef("cell_id", "text"), VALUES),
    )
    said = "\n".join(caveats(plan, small_catalog().tables["calls"]))
    assert "averages and quantiles over rows with two owners are read off a histogram of" in said
    assert "MIN is the 0.5% quantile" in said
    assert "MAX is the 99.5% quantile" in said
    assert "leaves out pairs with a withheld number" in said
    (values,) = [part for part in plan.parts if isinstance(part.measurement, ValuesMeasurement)]
    assert f"more than {values_threshold(values)} noisy rows" in said
