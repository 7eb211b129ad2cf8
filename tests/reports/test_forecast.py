"""Dates of exhaustion: right often enough over simulated spending, and never later when more is spent."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpquery.accounting import NANO, NOTHING, Cap, Loss, admits
from dpquery.reports.forecast import HISTORY_DAYS_MIN, HORIZON_DAYS, Forecast, forecast, typical_charge

START = date(2026, 1, 1)

Charges = list[tuple[date, Loss]]


def cap(epsilon: float, rho: float, delta_selection: float = 0.0) -> Cap:
    exact = Fraction(str(epsilon))
    held = Cap.of(exact, Fraction(0), thresholds=False, rho_within=lambda *_: 0)
    delta = round(delta_selection * 10**18)
    return Cap(held.epsilon, 4 * delta, delta, 2 * delta, round(rho * 10**12))


def total(charges: Charges) -> Loss:
    spent = NOTHING
    for _, loss in charges:
        spent += loss
    return spent


def simulated(rng: np.random.Generator, limit: Cap, kinds: list[Loss], a_day: float, days: int) -> list[list[Loss]]:
    """What is charged on each of `days`, by admission: what does not fit is refused."""
    spent, found = NOTHING, []
    for _ in range(days):
        today = []
        for _ in range(rng.poisson(a_day)):
            loss = kinds[rng.integers(len(kinds))]
            if admits(limit, spent, loss):
                spent += loss
                today.append(loss)
        found.append(today)
    return found


def until(found: list[list[Loss]], days: int) -> Charges:
    return [(START + timedelta(days=day), loss) for day, today in enumerate(found[:days]) for loss in today]


PURE = [Loss.pure(Fraction(1, 5))]
SIZES = [Loss.pure(Fraction(1, 10)), Loss.pure(Fraction(1, 5)), Loss.pure(Fraction(1, 2))]
GAUSSIAN = [Loss.of(None, Fraction(1, 100)), Loss.pure(Fraction(1, 10))]


@pytest.mark.parametrize(
    ("kinds", "limit", "a_day"),
    [
        (PURE, cap(20.0, 0.0), 1.2),
        (PURE, cap(12.0, 0.0), 0.5),
        (SIZES, cap(40.0, 0.0), 1.5),
        (GAUSSIAN, cap(1.0, 0.6), 1.0),
        (SIZES, cap(1.0, 3.0), 0.6),
    ],
    ids=["one price", "few charges", "three prices", "gaussian", "the other filter"],
)
@pytest.mark.parametrize("observed", [21, 45])
def test_the_true_date_lies_where_the_dates_say(kinds: list[Loss], limit: Cap, a_day: float, observed: int) -> None:
    """A steady process: the true date is before the pessimistic one in about 5 %, before the median in about half."""
    rng = np.random.default_rng([observed, len(kinds), round(a_day * 10)])
    early_pessimistic = early_median = seen = 0
    while seen < 200:
        found = simulated(rng, limit, kinds, a_day, 300)
        charges = until(found, observed)
        whole = until(found, 300)
        if not charges:
            continue
        typical = typical_charge([loss for _, loss in charges])
        spent, ended = NOTHING, None
        for day, loss in whole:
            spent += loss
            if not admits(limit, spent, typical):
                ended = day
                break
        first = charges[0][0]
        today = START + timedelta(days=observed)
        if ended is None or ended < today or (today - first).days < HISTORY_DAYS_MIN:
            continue
        dates = forecast(limit, total(charges), charges, today=today)
        if dates.median is None or dates.pessimistic is None:
            continue
        seen += 1
        early_pessimistic += ended < dates.pessimistic
        early_median += ended < dates.median
    assert 0.015 <= early_pessimistic / seen <= 0.11
    assert 0.36 <= early_median / seen <= 0.64


histories = st.lists(st.integers(0, 3), min_size=7, max_size=40).filter(lambda days: sum(map(bool, days)) >= 2)
epsilons = st.integers(1, 20)


def charged(history: list[int], epsilon: int) -> Charges:
    loss = Loss.pure(Fraction(epsilon, 10))
    return [(START + timedelta(days=day), loss) for day, many in enumerate(history) for _ in range(many)]


def days_of(dates: Forecast) -> tuple[float, float]:
    never = date.max
    return ((dates.median or never).toordinal(), (dates.pessimistic or never).toordinal())


@given(histories, epsilons, st.integers(1, 400), st.integers(0, 10**10))
@settings(deadline=None, max_examples=60)
def test_who_has_spent_more_or_may_spend_less_never_runs_out_later(
    history: list[int], epsilon: int, limit: int, more: int
) -> None:
    charges = charged(history, epsilon)
    today = START + timedelta(days=len(history))
    spent = total(charges)
    had = forecast(cap(limit, limit), spent, charges, today=today)
    spends = forecast(cap(limit, limit), spent + Loss(more, more, 0), charges, today=today)
    lowered = forecast(cap(max(1, limit // 2), limit // 2), spent, charges, today=today)
    dearer = [(day, Loss.pure(Fraction(epsilon, 5))) for day, _ in charges]
    dear = forecast(cap(limit, limit), total(dearer), dearer, today=today)
    for other in (spends, lowered, dear):
        assert days_of(other)[0] <= days_of(had)[0]
        assert days_of(other)[1] <= days_of(had)[1]


@given(histories, epsilons, st.integers(1, 400))
@settings(deadline=None, max_examples=60)
def test_the_same_ledger_has_the_same_dates_in_order(history: list[int], epsilon: int, limit: int) -> None:
    charges = charged(history, epsilon)
    today = START + timedelta(days=len(history))
    first, second = (forecast(cap(limit, limit), total(charges), charges, today=today) for _ in range(2))
    assert first == second
    if first.standing == "dated":
        assert first.pessimistic is not None
        assert today <= first.pessimistic <= today + timedelta(days=HORIZON_DAYS)
        assert first.median is None or first.pessimistic <= first.median
    elif first.standing == "exhausted":
        assert first.median == first.pessimistic == charges[-1][0]
    else:
        assert first.median is first.pessimistic is None


def test_either_filter_keeps_a_budget_alive() -> None:
    """Equal charges of epsilon 0.1 (rho 0.005), one a day: each filter alone, and both."""
    charges = charged([1] * 10, 1)
    today = START + timedelta(days=10)
    spent = total(charges)
    pure, concentrated, both = (
        forecast(limit, spent, charges, today=today).median for limit in (cap(3.0, 0.0), cap(0.0, 0.2), cap(3.0, 0.2))
    )
    # 30 and 40 charges fit. The 10 were spent; the last one fits on day 19 or 29 from today, the first being day 0.
    assert pure == today + timedelta(days=19)
    assert concentrated == today + timedelta(days=29) == both


def test_a_gaussian_closes_the_pure_filter() -> None:
    charges = [*charged([1] * 10, 1), (START, Loss.of(None, Fraction(1, 1000)))]
    today = START + timedelta(days=10)
    assert forecast(cap(3.0, 0.0), total(charges), charges, today=today).standing == "exhausted"
    assert forecast(cap(3.0, 1.0), total(charges), charges, today=today).standing == "dated"


def test_spent_delta_ends_a_budget_that_has_epsilon_left() -> None:
    loss = Loss.of(Fraction(1, 100), Fraction(1, 20000), Fraction(1, 10**8))
    charges = [(START + timedelta(days=day), loss) for day in range(10)]
    today = START + timedelta(days=10)
    limit = cap(100.0, 0.0, delta_selection=2e-7)
    assert forecast(limit, total(charges), charges, today=today).median == today + timedelta(days=9)


def test_days_without_a_charge_count() -> None:
    every_day = charged([1] * 10, 1)
    now_and_then = charged([1, 0, 0, 1, 0, 0, 1, 0, 0, 1], 1)
    today = START + timedelta(days=10)
    spent = Loss.pure(Fraction(1))
    busy, quiet = (forecast(cap(4.0, 0.0), spent, found, today=today) for found in (every_day, now_and_then))
    later = forecast(cap(4.0, 0.0), spent, now_and_then, today=today + timedelta(days=20))
    assert busy.median is not None
    assert quiet.median is not None
    assert later.median is not None
    assert (quiet.median - today) > 2 * (busy.median - today)
    assert (later.median - today) > 2 * (quiet.median - today)


@pytest.mark.parametrize(
    ("history", "days", "standing"),
    [
        ([], 10, "too little history"),
        ([3], 10, "too little history"),
        ([1, 1, 1], 3, "too little history"),
        ([1, 0, 0, 0, 1], 5, "dated"),
        ([1, 0, 0, 0, 1], 4, "too little history"),
    ],
)
def test_short_histories_have_no_date(history: list[int], days: int, standing: str) -> None:
    charges = charged(history, 10)
    assert forecast(cap(9.0, 0.0), total(charges), charges, today=START + timedelta(days=days)).standing == standing


def test_what_lasts_beyond_two_years_has_no_date() -> None:
    charges = charged([1] * 10, 1)
    today = START + timedelta(days=10)
    assert forecast(cap(1000.0, 0.0), total(charges), charges, today=today).standing == "not within two years"
    edge = Cap(total(charges).epsilon or 0, 0, 0, 0, 0)
    last = Cap(edge.epsilon + (HORIZON_DAYS + 1) * NANO // 10, 0, 0, 0, 0)
    assert forecast(last, total(charges), charges, today=today).median == today + timedelta(days=HORIZON_DAYS)
    beyond = Cap(last.epsilon + NANO // 10, 0, 0, 0, 0)
    assert forecast(beyond, total(charges), charges, today=today).median is None
