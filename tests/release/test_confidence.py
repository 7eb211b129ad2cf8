"""Intervals at any confidence hold what they say, for every kind of value, and every face says which it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args, get_type_hints

import numpy as np
import pytest
from releases import plenty, redrawn
from scipy import optimize, stats

from dpquery.errors import UsageError
from dpquery.noise.sampler import add_noise
from dpquery.noise.tails import deviations, standard_deviation
from dpquery.privacy.measure import Reading

if TYPE_CHECKING:
    from dpquery.release import Release
    from dpquery.session import Session

CONFIDENCES = (0.5, 0.7, 0.8, 0.9, 0.907, 0.95, 0.99, 0.999, 0.9999)

QUERIES = {
    "count": "SELECT COUNT(*) AS v FROM calls",
    "sum": "SELECT SUM(cost) AS v FROM calls",
    "distinct": "SELECT COUNT(DISTINCT caller) AS v FROM calls",
    "mean": "SELECT AVG(talk_s) AS v FROM calls WHERE direction = 'inbound'",
    "histogram mean": "SELECT AVG(talk_s) AS v FROM calls",
    "variance": "SELECT VAR_SAMP(talk_s) AS v FROM calls WHERE direction = 'inbound'",
    "histogram variance": "SELECT VAR_SAMP(talk_s) AS v FROM calls",
    "quantile": "SELECT MEDIAN(talk_s) AS v FROM calls",
    "selected quantile": "SELECT MEDIAN(talk_s) AS v FROM calls WHERE direction = 'inbound'",
    "values": "SELECT COUNT(DISTINCT service) AS v FROM calls",
    "expression": "SELECT SUM(talk_s) / COUNT(*) AS v FROM calls",
}


def test_every_reading_is_asked_for_here() -> None:
    """So that a kind that forgets its confidence is noticed by the next test."""
    kinds = set(get_args(get_type_hints(Reading)["kind"]))
    assert kinds <= set(QUERIES), "add a query for the new kind"


@pytest.mark.parametrize("kind", QUERIES)
def test_more_confidence_is_a_wider_interval_around_the_same_value(session: Session, kind: str) -> None:
    asked = session.sql(QUERIES[kind]).run(epsilon=50)
    for release in (plenty(asked, "r-1"), asked):  # with values that stand out from their noise, and as they come
        rows = [release.interval(confidence).rows()[0] for confidence in (0.5, 0.9, 0.99, 0.9999)]
        assert len({row["v"] for row in rows}) == 1
        if None not in rows[-1].values():
            widths = [row["v_high"] - row["v_low"] for row in rows]
            assert widths == sorted(widths), kind
            assert all(row["v_low"] <= row["v"] <= row["v_high"] for row in rows)
        if release is not asked and kind not in {
            "quantile",
            "selected quantile",
            "values",
        }:  # whose ends are ends of bins, or whole numbers
            assert len(set(widths)) == 4
        assert release.interval(0.95).rows() == release.rows()


def quantile(confidence: float, laplace: list[tuple[float, int]], gaussian: float) -> float:
    """The multiple of the standard deviation that holds `confidence` of a sum of independent noises.

    `laplace` has each one's share of the variance, and how many there are; `gaussian` is the Gaussian's share. The
    characteristic function is inverted numerically.
    """
    t = np.linspace(1e-9, 200.0, 40_001)
    phi = np.exp(-gaussian * t * t / 2)
    for share, count in laplace:
        phi /= (1 + share * t * t / 2) ** count

    def beyond(z: float) -> float:
        return float(2 / np.pi * np.trapezoid(phi * np.sin(z * t) / t, t)) - confidence

    return float(optimize.brentq(beyond, 0.05, 12.0, xtol=1e-6))


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_no_weighted_sum_of_noises_needs_more_deviations(confidence: float) -> None:
    """Neither equal weights nor uneven ones, nor with Gaussian noise in between."""
    mixes: list[tuple[list[tuple[float, int]], float]] = []
    for count in (1, 2, 3, 5, 16):
        mixes += [([(share / count, count)], 1.0 - share) for share in (0.1, 0.4, 0.7, 0.9, 1.0)]
        mixes += [([(share, 1), ((1 - share) / count, count)], 0.0) for share in (0.2, 0.5, 0.8, 0.95)]
    needed = max(quantile(confidence, laplace, gaussian) for laplace, gaussian in mixes)
    assert needed <= deviations(confidence) * (1 + 2e-4)  # the inversion's own error
    least = max(math.log(1 / (1 - confidence)) / math.sqrt(2), stats.norm.ppf((1 + confidence) / 2))
    assert deviations(confidence) <= least * 1.002 + 1e-4


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99])
def test_sums_of_our_own_noise_are_within_their_deviations(confidence: float) -> None:
    draws = 40_000
    zeros = np.zeros(draws, np.int64)
    for terms in ([("laplace", 20.0, 1)], [("laplace", 20.0, 3), ("laplace", 9.0, -2)], [("gaussian", 20.0, 2)] * 3):
        total, variance = np.zeros(draws), 0.0
        for mechanism, scale, weight in terms:
            total += weight * add_noise(mechanism, scale, zeros)  # type: ignore[arg-type]
            variance += (weight * standard_deviation(mechanism, scale)) ** 2
        covered = float(np.mean(np.abs(total) <= deviations(confidence) * math.sqrt(variance)))
        assert covered >= confidence - 5 * math.sqrt(confidence * (1 - confidence) / draws)


@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.99])
def test_released_intervals_cover_the_truth(session: Session, confidence: float) -> None:
    """Counts, sums, means, ratios written in SQL: over 1,416 groups of our making, with the session's own noise."""
    sql = (
        "SELECT day, local_hour, COUNT(*) AS n, SUM(talk_s) AS s, SUM(talk_s) / COUNT(*) AS r FROM calls "
        "WHERE direction = 'inbound' GROUP BY day, local_hour"
    )
    asked = session.sql(sql).run(epsilon=100)
    cells = asked.plan.bounded.cells
    exact = [
        np.full((cells, part.measurement.width), 10**7 if i else 3 * 10**6) for i, part in enumerate(asked.plan.parts)
    ]
    n, s = (asked.plan.readings[i].parts[0] for i in (0, 1))
    truth = {"n": float(exact[n][0, 0]), "s": float(exact[s][0, 0]), "r": exact[s][0, 0] / exact[n][0, 0]}
    rows = redrawn(asked, exact, "r-1").interval(confidence).rows()
    for name, true in truth.items():
        covered = np.mean([row[f"{name}_low"] <= true <= row[f"{name}_high"] for row in rows])
        assert covered >= confidence - 5 * math.sqrt(confidence * (1 - confidence) / cells), name


def test_every_face_says_its_confidence(small: Release) -> None:
    sure = small.interval(0.999)
    assert sure.confidence == 0.999
    assert sure.document().interval.confidence == 0.999
    assert sure.release_id == small.release_id
    for text in (str(sure), sure._repr_html_(), sure.cite(), sure.plot().text):
        assert "99.9 %" in text
        assert "95 %" not in text
    assert "95 %" in str(small)


@pytest.mark.parametrize("confidence", [0.0, 0.49, 0.99991, 1.0, float("nan"), "0.9", True])
def test_other_confidences_are_refused(small: Release, confidence: float) -> None:
    with pytest.raises(UsageError) as caught:
        small.interval(confidence)
    assert caught.value.code == "DPQ-002"
