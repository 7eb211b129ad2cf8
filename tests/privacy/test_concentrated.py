"""Rho of Laplace noise and of pure selections, against Renyi divergences summed from the probabilities themselves."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dpquery.privacy.concentrated import rho_of_laplace, rho_of_pure
from dpquery.privacy.sensitivity import Sensitivity

ORDERS = [1 + 10**k for k in (-6, -3, -1)] + [1.5, 2, 3, 5, 10, 30, 100, 1000]
PRECISION = 80
DIGITS = Fraction(1, 10**50)
"""What sixty digits may be off by."""

scales = st.floats(0.05, 500)
steps = st.integers(1, 60)


def one_coordinate(moves: int) -> Sensitivity:
    return Sensitivity(moves, moves * moves, moves)


def log_probability(step: mpmath.mpf, at: int) -> mpmath.mpf:
    """Of integer Laplace noise: (1 - q) / (1 + q) * q^|at| with q = e^-step."""
    return mpmath.log(mpmath.tanh(step / 2)) - step * abs(at)


def renyi(scale: float, moves: int, order: float) -> mpmath.mpf:
    """Divergence of that order between the noise and itself, moved. Outside of both centres sums are geometric."""
    step, order_ = mpmath.mpf(1) / mpmath.mpf(scale), mpmath.mpf(order)
    tail = 1 / (1 - mpmath.exp(-step))

    def term(at: int) -> mpmath.mpf:
        here, moved = log_probability(step, at), log_probability(step, at - moves)
        return mpmath.exp(order_ * here + (1 - order_) * moved)

    between = mpmath.fsum(term(at) for at in range(1, moves))
    return mpmath.log((term(0) + term(moves)) * tail + between) / (order_ - 1)


@given(scales, steps)
@settings(max_examples=150, deadline=None)
@example(0.05, 60)
@example(1.0, 1)
@example(500.0, 1)
def test_no_renyi_divergence_of_laplace_is_above_its_rho(scale: float, moves: int) -> None:
    rho = rho_of_laplace(scale, one_coordinate(moves))
    with mpmath.workdps(PRECISION):
        claimed = mpmath.mpf(rho.numerator) / rho.denominator
        for order in ORDERS:
            assert renyi(scale, moves, order) <= order * claimed * (1 + mpmath.mpf(10) ** -40)


@given(scales, steps)
@settings(max_examples=100, deadline=None)
def test_the_rho_of_laplace_is_reached(scale: float, moves: int) -> None:
    """A rho that is smaller by a thousandth is refuted near order 1: the claim is no larger than it must be."""
    rho = rho_of_laplace(scale, one_coordinate(moves))
    with mpmath.workdps(PRECISION):
        smaller = mpmath.mpf(rho.numerator) / rho.denominator * (1 - mpmath.mpf(10) ** -3)
        order = 1 + mpmath.mpf(10) ** -9
        assert renyi(scale, moves, order) > order * smaller


@given(st.floats(0.01, 500), st.sampled_from(ORDERS))
@settings(max_examples=100, deadline=None)
def test_the_rho_of_pure_mechanisms_is_that_of_randomized_response(scale: float, order: float) -> None:
    """Every epsilon-DP mechanism is a postprocessing of it (Kairouz, Oh, Viswanath, ICML 2015)."""
    rho = rho_of_pure(scale, one_coordinate(1))
    with mpmath.workdps(PRECISION):
        epsilon = 1 / mpmath.mpf(scale)
        truth, lie = 1 / (1 + mpmath.exp(-epsilon)), 1 / (1 + mpmath.exp(epsilon))
        order_ = mpmath.mpf(order)
        divergence = mpmath.log(truth**order_ * lie ** (1 - order_) + lie**order_ * truth ** (1 - order_)) / (
            order_ - 1
        )
        claimed = mpmath.mpf(rho.numerator) / rho.denominator
        assert divergence <= order_ * claimed * (1 + mpmath.mpf(10) ** -40)
        if order - 1 < 1e-3:
            assert divergence >= order_ * claimed * (1 - 2 * (order_ - 1) / scale - mpmath.mpf(10) ** -3)


@given(st.floats(0.2, 200), st.lists(st.integers(1, 20), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
@pytest.mark.parametrize("rho_of", [rho_of_laplace, rho_of_pure])
def test_coordinates_add_up_to_no_more_than_the_vector(rho_of: object, scale: float, moves: list[int]) -> None:
    assert callable(rho_of)
    found = Sensitivity(sum(moves), sum(move * move for move in moves), max(moves))
    apart = sum((rho_of(scale, one_coordinate(move)) for move in moves), Fraction(0))
    whole = rho_of(scale, found)
    assert apart <= whole * (1 + Fraction(1, 10**30))
    if len(set(moves)) == 1:
        assert whole <= apart * (1 + Fraction(1, 10**30)), "equal moves: nothing is given away"


@given(scales, steps)
def test_less_noise_and_larger_moves_cost_more(scale: float, moves: int) -> None:
    for rho_of in (rho_of_laplace, rho_of_pure):
        rho = rho_of(scale, one_coordinate(moves))
        assert rho <= rho_of(scale, one_coordinate(moves + 1))
        assert rho <= rho_of(scale * 0.99, one_coordinate(moves))
        epsilon = Fraction(moves) / Fraction(scale)
        assert 0 < rho <= epsilon**2 / 2 + DIGITS, "Bun, Steinke, TCC 2016, Prop. 1.4"
    assert rho_of_laplace(scale, one_coordinate(moves)) <= rho_of_pure(scale, one_coordinate(moves)) + DIGITS


@given(st.floats(1e-6, 1e12), st.integers(1, 10**12))
def test_extreme_scales_and_moves_have_a_rho(scale: float, moves: int) -> None:
    assume(moves / scale < 10**9)
    for rho_of in (rho_of_laplace, rho_of_pure):
        epsilon = Fraction(moves) / Fraction(scale)
        assert 0 < rho_of(scale, one_coordinate(moves)) <= min(epsilon**2 / 2, epsilon) + DIGITS * (1 + epsilon)
