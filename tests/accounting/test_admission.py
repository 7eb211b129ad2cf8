"""A charge is admitted while one of two filters holds, and never beyond both."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpquery.accounting import NOTHING, Cap, Filters, Loss, admits, filters, largest_that_fits

small = st.integers(0, 40)
losses = st.builds(Loss, st.none() | small, st.none() | small, st.integers(0, 8))
caps = st.builds(lambda e, r, s, c: Cap(e, 2 * s + c, s, c, r), st.integers(0, 100), st.integers(0, 100), small, small)


def finite(amount: int | None) -> float:
    return float("inf") if amount is None else amount


@given(caps, st.lists(losses, max_size=30))
def test_what_is_admitted_stays_within_one_filter_and_the_delta(cap: Cap, asked: list[Loss]) -> None:
    spent = NOTHING
    for charge in asked:
        if admits(cap, spent, charge):
            spent = spent + charge
        assert spent.delta <= cap.delta_selection
        assert finite(spent.epsilon) <= cap.epsilon or finite(spent.rho) <= cap.rho


@given(caps, losses, losses)
def test_it_is_the_rule_of_the_design(cap: Cap, spent: Loss, charge: Loss) -> None:
    pure = finite(spent.epsilon) + finite(charge.epsilon) <= cap.epsilon
    zcdp = finite(spent.rho) + finite(charge.rho) <= cap.rho
    assert admits(cap, spent, charge) == (spent.delta + charge.delta <= cap.delta_selection and (pure or zcdp))


@given(caps, losses, losses, losses)
def test_less_spent_or_a_larger_cap_never_refuses_more(cap: Cap, spent: Loss, charge: Loss, more: Loss) -> None:
    if admits(cap, spent + more, charge) or admits(cap, spent, charge + more):
        assert admits(cap, spent, charge)
    if admits(cap, spent, charge):
        larger = replace(cap, epsilon=cap.epsilon + 1, rho=cap.rho + 1)
        assert cap.is_within(larger)
        assert admits(larger, spent, charge)


@given(caps, caps, losses, losses)
def test_a_cap_within_another_admits_no_more(cap: Cap, ceiling: Cap, spent: Loss, charge: Loss) -> None:
    if cap.is_within(ceiling) and admits(cap, spent, charge):
        assert admits(ceiling, spent, charge)


amounts = st.integers(0, 10**12)


@given(amounts, amounts, amounts, amounts)
def test_the_largest_that_fits_fits_and_one_more_does_not(epsilon: int, rho: int, spent_e: int, spent_r: int) -> None:
    cap = Cap(epsilon, 0, 0, 0, rho)
    spent = Loss(spent_e, spent_r, 0)
    fits = largest_that_fits(cap, spent)
    assert not admits(cap, spent, pure(fits.epsilon + 1))
    assert not admits(cap, spent, gaussian(fits.rho + 1))
    if admits(cap, spent, NOTHING):
        assert admits(cap, spent, pure(fits.epsilon))
    if spent_r <= rho:
        assert admits(cap, spent, gaussian(fits.rho))


def pure(nano: int) -> Loss:
    """A pure release and its epsilon^2 / 2 in pico-rho, rounded up."""
    return Loss(nano, -(-nano * nano // 2_000_000), 0)


def gaussian(pico: int) -> Loss:
    return Loss(None, pico, 0)


def test_a_gaussian_closes_the_pure_filter_and_nothing_opens_it_again() -> None:
    cap = Cap(10, 0, 0, 0, 10)
    spent = gaussian(4)
    state: Filters = filters(cap, spent)
    assert not state.pure.open
    assert state.pure.left == 0
    assert state.zcdp.left == 6
    assert not admits(cap, spent, Loss(1, 7, 0))
    assert admits(cap, spent, Loss(100, 6, 0))


@pytest.mark.parametrize("spent", [NOTHING, Loss(5, 5, 0)])
def test_delta_binds_both_filters(spent: Loss) -> None:
    cap = Cap(10, 8, 2, 4, 10)
    assert admits(cap, spent, Loss(1, 1, 2))
    assert not admits(cap, spent, Loss(1, 1, 3))
    assert filters(cap, spent).delta_left == 2
    assert largest_that_fits(cap, Loss(0, 0, 3)).epsilon == 0
