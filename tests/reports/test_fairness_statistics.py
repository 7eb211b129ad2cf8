"""Verdicts on groups: no more false ones than the nominal rate, and injected differences within the stated error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dpquery.reports.fairness_asking import parts_of
from dpquery.reports.fairness_statistics import (
    NOMINAL,
    Means,
    Verdict,
    compared,
    confidence_of_each,
    least_spread,
    means,
    spread_of,
)
from dpquery.reports.fairness_words import spread_warning

DRAWS = 3000
SIZES = {
    "one large": (200_000, 400, 300, 200, 200, 150, 150, 120, 100, 100, 80, 80, 60),
    "alike": (500, 480, 460, 440),
    "small": (60, 40, 25, 15, 8),
}
RATE = (0.0, 1.0)


def noise(rng: np.random.Generator, mechanism: str, deviation: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Whole noise of about that deviation, as releases have it."""
    if mechanism == "laplace":
        drawn = rng.laplace(0.0, deviation / math.sqrt(2.0), shape)
    else:
        drawn = rng.normal(0.0, deviation, shape)
    return np.rint(drawn)


def flagged(found: Means) -> dict[int, Verdict]:
    """Groups called higher or lower than the largest, which comes first."""
    told = {place: compared(found, place, 0).verdict for place in range(1, len(found.value))}
    return {place: verdict for place, verdict in told.items() if verdict != "not distinguishable"}


def share_flagged(
    totals: NDArray[np.float64],
    counts: NDArray[np.float64],
    deviations: tuple[float, float],
    clamp: tuple[float, float],
    *,
    chance: bool,
) -> float:
    """In how many of the draws, shape (draws, groups), any group is called different."""
    wrong = 0
    for total, count in zip(totals, counts, strict=True):
        found = means(
            total,
            count,
            deviation_total=deviations[0],
            deviation_count=deviations[1],
            clamp=clamp,
            confidence=confidence_of_each(len(count)),
            chance=chance,
        )
        wrong += bool(flagged(found))
    return wrong / len(totals)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("rate", [0.03, 0.4, 0.95])
def test_groups_with_equal_means_in_the_data_are_flagged_at_most_at_the_nominal_rate(
    mechanism: str, sizes: tuple[int, ...], rate: float
) -> None:
    rng = np.random.default_rng(7)
    size = np.array(sizes, np.float64)
    shape = (DRAWS, len(sizes))
    totals = size * (rate - 0.5) + noise(rng, mechanism, 4.0, shape)
    counts = size + noise(rng, mechanism, 8.0, shape)
    assert share_flagged(totals, counts, (4.0, 8.0), RATE, chance=False) <= NOMINAL


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("rate", [0.03, 0.4, 0.95])
def test_groups_drawn_at_equal_rates_are_flagged_beyond_chance_at_most_at_the_nominal_rate(
    mechanism: str, sizes: tuple[int, ...], rate: float
) -> None:
    rng = np.random.default_rng(8)
    size = np.array(sizes, np.float64)
    shape = (DRAWS, len(sizes))
    totals = rng.binomial(sizes, rate, shape) - size / 2.0 + noise(rng, mechanism, 2.0, shape)
    counts = size + noise(rng, mechanism, 4.0, shape)
    assert share_flagged(totals, counts, (2.0, 4.0), RATE, chance=True) <= NOMINAL


def test_skewed_values_are_flagged_beyond_chance_at_most_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(9)
    sizes, clamp = (400, 300, 60, 30), (0.0, 300.0)
    totals = np.array(
        [
            [float(np.minimum(rng.exponential(36.0, size), 300.0).sum()) - 150.0 * size for size in sizes]
            for _ in range(DRAWS)
        ]
    )
    totals += noise(rng, "laplace", 600.0, totals.shape)
    counts = np.array(sizes) + noise(rng, "laplace", 4.0, totals.shape)
    assert share_flagged(totals, counts, (600.0, 4.0), clamp, chance=True) <= NOMINAL


def test_chance_alone_makes_data_differ_so_that_noise_alone_does_not_say_beyond_chance() -> None:
    rng = np.random.default_rng(10)
    size = np.array(SIZES["alike"], np.float64)
    shape = (DRAWS, len(size))
    totals = rng.binomial(SIZES["alike"], 0.4, shape) - size / 2.0 + noise(rng, "laplace", 0.5, shape)
    counts = size + noise(rng, "laplace", 0.5, shape)
    assert share_flagged(totals, counts, (0.5, 0.5), RATE, chance=False) > 0.5
    assert share_flagged(totals, counts, (0.5, 0.5), RATE, chance=True) <= NOMINAL


@pytest.mark.parametrize("true_ratio", [0.6, 0.8, 1.5])
def test_an_injected_ratio_lies_in_the_stated_interval_and_is_found(true_ratio: float) -> None:
    rng = np.random.default_rng(11)
    sizes, rates = (9000, 7000, 2500), np.array([0.4, 0.4, 0.4 * true_ratio])
    outside = missed = wrong = 0
    for _ in range(1000):
        total = rng.binomial(sizes, rates) - np.array(sizes) / 2.0 + noise(rng, "laplace", 6.0, (3,))
        count = np.array(sizes) + noise(rng, "laplace", 12.0, (3,))
        found = means(
            total,
            count,
            deviation_total=6.0,
            deviation_count=12.0,
            clamp=RATE,
            confidence=confidence_of_each(3),
            chance=True,
        )
        told = compared(found, 2, 0)
        assert told.high is not None
        outside += not told.low <= true_ratio <= told.high
        missed += told.verdict != ("lower" if true_ratio < 1.0 else "higher")
        wrong += 1 in flagged(found)
    assert outside <= 50
    assert missed <= 10
    assert wrong <= 50


def test_without_noise_the_interval_of_a_share_is_wilsons() -> None:
    from dpquery.noise.tails import deviations

    rows, hits, confidence = 50.0, 3.0, 0.95
    found = means(
        np.array([hits - rows / 2.0]),
        np.array([rows]),
        deviation_total=0.0,
        deviation_count=0.0,
        clamp=RATE,
        confidence=confidence,
        chance=True,
    )
    z, share = deviations(confidence), hits / rows
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    reach = z / (1 + z**2 / rows) * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    assert found.low[0] == pytest.approx(middle - reach)
    assert found.high[0] == pytest.approx(middle + reach)
    assert found.value[0] == pytest.approx(share)


def test_a_group_that_noise_hides_is_never_told_apart() -> None:
    found = means(
        np.array([3000.0, 4.0, -3.0]),
        np.array([8000.0, 5.0, -2.0]),
        deviation_total=10.0,
        deviation_count=20.0,
        clamp=RATE,
        confidence=0.99,
        chance=False,
    )
    assert found.known.tolist() == [True, False, False]
    assert [(found.low[i], found.high[i]) for i in (1, 2)] == [(0.0, 1.0), (0.0, 1.0)]
    assert flagged(found) == {}


def test_a_zero_below_leaves_the_ratio_without_an_end() -> None:
    found = Means(np.array([0.1, 0.5]), np.array([0.0, 0.4]), np.array([0.2, 0.6]), np.array([True, True]))
    told = compared(found, 1, 0)
    assert told.verdict == "higher"
    assert told.low == pytest.approx(2.0)
    assert told.high is None


def test_spread_and_its_warning() -> None:
    even = spread_of([("a", 0.1), ("b", 0.2), ("c", 0.25)])
    assert (even.worst, even.best) == ("c", "a")
    assert even.times == pytest.approx(2.5)
    assert spread_warning("Counts", even, 3.0) is None
    assert "c" in (spread_warning("Counts", even, 2.0) or "")
    hidden = spread_of([("a", 0.1), ("b", None)])
    assert (hidden.worst, hidden.times) == ("b", None)
    assert "noise hides b" in (spread_warning("Counts", hidden, 3.0) or "")
    assert "every group" in (spread_warning("Counts", spread_of([("a", None)]), 3.0) or "")


@pytest.mark.parametrize("groups", [(10_000.0, 4_000.0, 1_000.0), (10_000.0,) * 20])
def test_the_least_spread_holds_at_the_nominal_rate(groups: tuple[float, ...]) -> None:
    rng = np.random.default_rng(12)
    sizes = np.array(groups)
    above = 0
    for _ in range(DRAWS):
        counts = sizes + noise(rng, "laplace", 150.0, sizes.shape)
        least = least_spread(counts, np.full(len(sizes), 150.0), confidence_of_each(len(sizes)))
        above += least is not None and least > max(groups) / min(groups)
    assert above / DRAWS <= NOMINAL


def test_parts_make_relative_errors_equal_and_never_exceed_the_whole() -> None:
    parts = parts_of([9000.0, 900.0, 90.0], 20.0, 1.0)
    assert sum(parts) <= 1.0
    errors = [1.0 / (part * size) for part, size in zip(parts, (9000.0, 900.0, 90.0), strict=True)]
    assert max(errors) / min(errors) == pytest.approx(1.0, abs=1e-3)
    # A count that is not above its noise may be nobody: it does not take what the others need.
    assert parts_of([9000.0, 900.0, -5.0], 20.0, 1.0) == parts_of([9000.0, 900.0, 900.0], 20.0, 1.0)
    assert parts_of([3.0, -5.0], 20.0, 1.0) == (0.5, 0.5)
