"""The samplers have the distribution they claim, and the tests would notice another scale."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from dpquery.noise.allowlist import MechanismName
from dpquery.noise.conversion import epsilon_of, rho_within
from dpquery.noise.sampler import SATURATION, add_noise
from dpquery.noise.tails import half_width, standard_deviation

DRAWS = 200_000
ALPHA = 1e-6
"""Chance that a sound sampler fails one test here."""

SCALES = [0.8, 3.0, 10.0, 41.5]


def probabilities(mechanism: MechanismName, scale: float) -> dict[int, float]:
    """Exact weights of the discrete distribution on the integers that matter."""
    reach = max(12, math.ceil(scale * (22 if mechanism == "laplace" else 8)))
    points = range(-reach, reach + 1)
    if mechanism == "laplace":
        weights = [math.exp(-abs(x) / scale) for x in points]
    else:
        weights = [math.exp(-x * x / (2.0 * scale * scale)) for x in points]
    total = math.fsum(weights)
    return {x: w / total for x, w in zip(points, weights, strict=True)}


def p_value(mechanism: MechanismName, drawn: np.ndarray, scale: float) -> float:
    """Chi-square test of draws against the distribution with `scale`, rare values pooled."""
    exact = probabilities(mechanism, scale)
    observed, expected = [], []
    pooled_observed = pooled_expected = 0.0
    values, counts = np.unique(drawn, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    for value, probability in exact.items():
        if probability * len(drawn) < 25:
            pooled_expected += probability * len(drawn)
            pooled_observed += found.pop(value, 0)
        else:
            expected.append(probability * len(drawn))
            observed.append(found.pop(value, 0))
    pooled_observed += sum(found.values())
    observed.append(pooled_observed)
    expected.append(max(pooled_expected, 1e-9))
    ratio = sum(observed) / sum(expected)
    return float(stats.chisquare(observed, [e * ratio for e in expected]).pvalue)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", SCALES)
def test_the_true_scale_is_accepted_and_others_are_rejected(mechanism: MechanismName, scale: float) -> None:
    drawn = add_noise(mechanism, scale, np.zeros(DRAWS, np.int64))
    assert p_value(mechanism, drawn, scale) > ALPHA
    assert p_value(mechanism, drawn, scale * 1.2) < ALPHA
    assert p_value(mechanism, drawn, scale * 0.8) < ALPHA


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", SCALES)
def test_half_widths_hold_what_they_claim_and_little_more(mechanism: MechanismName, scale: float) -> None:
    exact = probabilities(mechanism, scale)
    for confidence in (0.5, 0.95, 0.999):
        width = half_width(mechanism, scale, confidence)
        assert math.fsum(p for x, p in exact.items() if abs(x) <= width) >= confidence - 1e-12
        # One step less (two for the Gaussian's closed form) would not do.
        assert math.fsum(p for x, p in exact.items() if abs(x) <= width - 2) < confidence
    variance = math.fsum(p * x * x for x, p in exact.items())
    assert math.sqrt(variance) <= standard_deviation(mechanism, scale) * (1 + 1e-9)


def test_values_keep_their_place_and_extremes_saturate() -> None:
    exact = np.array([[0, 10**6], [-(2**63), 2**63 - 1]], np.int64)
    noisy = add_noise("laplace", 2.0, exact)
    assert noisy.shape == exact.shape
    assert abs(int(noisy[0, 1]) - 10**6) < 200
    assert abs(int(noisy[1, 0]) + SATURATION) < 200
    assert abs(int(noisy[1, 1]) - SATURATION) < 200
    assert exact[0, 0] == 0  # the caller's own array is not touched


def test_chunks_draw_apart() -> None:
    """Noise of a long vector, drawn in chunks on threads, does not repeat."""
    drawn = add_noise("gaussian", 1e9, np.zeros(100_000, np.int64))
    assert len(np.unique(drawn)) > 99_000


def test_read_only_values_are_copied() -> None:
    exact = np.zeros(10, np.int64)
    exact.flags.writeable = False
    assert add_noise("laplace", 1.0, exact).shape == (10,)


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 0.5, 2.0, 10.0, 300.0, 1e6])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_the_conversion_inverts_from_below(epsilon: float, delta: float) -> None:
    rho = rho_within(epsilon, delta)
    assert epsilon_of(rho, delta) <= epsilon
    assert epsilon_of(rho * 1.001, delta) > epsilon
    assert rho < epsilon * epsilon / 2 or epsilon < 1e-2 or delta >= 1e-3
    assert Fraction(epsilon_of(rho, delta)) <= Fraction(rho) + 2 * Fraction(math.sqrt(rho * math.log(1 / delta))) * (
        1 + Fraction(1, 10**9)
    )


def test_no_delta_means_no_gaussian() -> None:
    assert rho_within(1.0, 0.0) == 0.0
