"""Amounts round against the asker: losses up, caps down."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpquery.accounting import (
    ATTO,
    ATTO_DIGITS,
    NANO,
    NANO_DIGITS,
    NOTHING,
    PICO,
    SATURATED,
    Cap,
    Loss,
    exact_text,
    shown_left,
    shown_spent,
    split_delta,
)
from dpquery.errors import InternalError

amounts = st.fractions(min_value=0, max_value=10**6)
probabilities = st.fractions(min_value=0, max_value=1)
units = st.none() | st.integers(0, SATURATED)
losses = st.builds(Loss, units, units, st.integers(0, SATURATED))


@given(amounts, amounts, probabilities)
def test_losses_round_up_by_less_than_a_unit(epsilon: Fraction, rho: Fraction, delta: Fraction) -> None:
    loss = Loss.of(epsilon, rho=rho, delta=delta)
    assert loss.epsilon is not None
    assert loss.rho is not None
    for held, exact, unit in ((loss.epsilon, epsilon, NANO), (loss.rho, rho, PICO), (loss.delta, delta, ATTO)):
        assert 0 <= Fraction(held, unit) - exact < Fraction(1, unit)


def test_whole_numbers_and_decimals_mean_what_they_say() -> None:
    assert Loss.of(1, rho=Decimal("0.5"), delta=Decimal("1e-6")) == Loss(NANO, PICO // 2, 10**12)
    assert Loss.pure(2) == Loss(2 * NANO, 2 * PICO, 0)
    assert Loss.of(None) == Loss(None, None, 0)


@pytest.mark.parametrize("bad", [0.5, -1, Fraction(-1, 3)])
def test_floats_and_negative_amounts_are_bugs(bad: Fraction) -> None:
    with pytest.raises(InternalError):
        Loss.of(bad)
    with pytest.raises(InternalError):
        Loss(1, 1, -1)


@given(losses, losses, losses)
def test_losses_add_in_any_order(one: Loss, two: Loss, three: Loss) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + NOTHING == one


@given(losses, losses)
def test_a_sum_is_exact_or_infinite(one: Loss, two: Loss) -> None:
    total = one + two
    for got, a, b in ((total.epsilon, one.epsilon, two.epsilon), (total.rho, one.rho, two.rho)):
        exact = None if a is None or b is None else a + b
        assert got == (exact if exact is not None and exact <= SATURATED else None)
    assert total.delta == min(one.delta + two.delta, SATURATED)


def test_too_much_is_infinite() -> None:
    assert Loss.of(10**12).epsilon is None
    assert Loss.pure(10**4) == Loss(10**4 * NANO, None, 0)


@given(probabilities, st.booleans())
def test_delta_is_split_without_rest(delta: Fraction, thresholds: bool) -> None:
    selection, conversion = split_delta(delta, thresholds)
    assert 2 * selection + conversion == delta
    assert (selection, conversion) == ((delta / 4, delta / 2) if thresholds else (0, delta))


@given(amounts, probabilities, st.booleans(), amounts)
def test_caps_round_down(epsilon: Fraction, delta: Fraction, thresholds: bool, rho: Fraction) -> None:
    asked: list[tuple[Fraction, Fraction]] = []

    def rho_within(e: Fraction, d: Fraction) -> Fraction:
        asked.append((e, d))
        return rho

    cap = Cap.of(epsilon, delta, thresholds=thresholds, rho_within=rho_within)
    assert 0 <= epsilon - Fraction(cap.epsilon, NANO) < Fraction(1, NANO)
    assert 0 <= delta - Fraction(cap.delta, ATTO) < Fraction(1, ATTO)
    assert 2 * cap.delta_selection + cap.delta_conversion <= cap.delta
    if asked:
        assert asked == [(Fraction(cap.epsilon, NANO), Fraction(cap.delta_conversion, ATTO))]
        assert cap.rho == min(math.floor(rho * PICO), SATURATED)
    else:
        assert cap.rho == 0


@given(st.integers(0, SATURATED), st.sampled_from([NANO_DIGITS, ATTO_DIGITS]), st.integers(0, 18))
def test_spent_is_shown_rounded_up_and_left_rounded_down(amount: int, digits: int, places: int) -> None:
    exact = Fraction(amount, 10**digits)
    spent, left = shown_spent(amount, digits, places=places), shown_left(amount, digits, places=places)
    assert spent is not None
    assert Fraction(left) <= exact <= Fraction(spent)
    assert Fraction(spent) - Fraction(left) <= Fraction(1, 10**places)
    assert Fraction(exact_text(amount, digits)) == exact
