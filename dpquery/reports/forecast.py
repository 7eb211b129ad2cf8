"""When a budget runs out, if it goes on being spent as it was.

**Method.** The observed period runs from the day of the first charge to the day before today: whole days, those without
a charge too. A thousand futures are drawn. In each, days follow one another at random, with the chances that a Bayesian
bootstrap gives the observed days (Rubin, Annals of Statistics 9, 1981): chances of a future's own, exponential weights
divided by their sum. So the spread of the dates holds both the chance of the days to come and the uncertainty of a rate
that was learned from few days. Losses add up from what is spent now, in both filters as admission has them, and the
budget is exhausted on the first day after which neither takes one more charge like the typical one: the charge in the
middle of the past ones in the order of rho. The median of these dates is one answer, their 5 % quantile the pessimistic
other.

**Limits.** The past is taken as it was: a raise, a new analyst, a deadline, or questions that move on to newer blocks
are not foreseen. Days are drawn one by one, so that weekends are right on average and wrong from day to day. A day
whose charges do not all fit counts as the end, though a smaller charge might still fit. After less than two weeks the
dates say little.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpquery.accounting import NOTHING, admits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.accounting import Cap, Loss

HISTORY_DAYS_MIN = 5
"""Whole days from the first charge on that a forecast needs."""

SPENDING_DAYS_MIN = 2
"""How many of them must have a charge: one alone shows no rate."""

HISTORY_DAYS_MAX = 366
"""Older days are left out: a year holds every season once."""

HORIZON_DAYS = 730
"""Two years; what lasts longer has no date."""

FUTURES = 1000
PESSIMISTIC = 0.05

_SLACK = 1e-9
"""Relative: sums of floats must not exhaust a budget that exact sums would just fill."""

Standing = Literal["dated", "exhausted", "closed", "too little history", "not within two years"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Dates on which a budget runs out; None where there is no such date, and why."""

    median: date | None
    pessimistic: date | None
    """In 19 of 20 futures it lasts at least until then."""
    standing: Standing
    """`dated`: at least the pessimistic date lies within two years."""


def forecast(cap: Cap, spent: Loss, charges: Sequence[tuple[date, Loss]], *, today: date) -> Forecast:
    """When a scope with `cap` and `spent` takes no more charge like the typical one of `charges`.

    `charges` are the single prices it paid, with their days; `spent` may hold more than they add up to. The same
    arguments give the same dates.
    """
    if not charges:
        return Forecast(None, None, "too little history")
    typical = typical_charge([loss for _, loss in charges])
    if not admits(cap, spent, typical):
        ended = max(day for day, _ in charges)
        return Forecast(ended, ended, "exhausted")
    days = _daily(charges, today)
    if len(days) < HISTORY_DAYS_MIN or sum(day is not NOTHING for day in days) < SPENDING_DAYS_MIN:
        return Forecast(None, None, "too little history")
    lasting = _lasting(cap, spent, typical, days)
    pessimistic, median = (int(np.quantile(lasting, q, method="inverted_cdf")) for q in (PESSIMISTIC, 0.5))
    found = Forecast(_date(today, median), _date(today, pessimistic), "dated")
    return found if found.pessimistic is not None else Forecast(None, None, "not within two years")


def typical_charge(losses: Sequence[Loss]) -> Loss:
    """The one in the middle, the lower of two, in the order of rho, then of epsilon; infinite ones are the largest."""
    ordered = sorted(losses, key=lambda loss: (_size(loss.rho), _size(loss.epsilon), loss.delta))
    return ordered[(len(ordered) - 1) // 2]


def _size(amount: int | None) -> float:
    return math.inf if amount is None else amount


def _date(today: date, days: int) -> date | None:
    return today + timedelta(days=days) if days <= HORIZON_DAYS else None


def _daily(charges: Sequence[tuple[date, Loss]], today: date) -> list[Loss]:
    """What was spent on each whole day observed; NOTHING itself on days without a charge."""
    first = max(min(day for day, _ in charges), today - timedelta(days=HISTORY_DAYS_MAX))
    days = [NOTHING] * max(0, (today - first).days)
    for day, loss in charges:
        place = (day - first).days
        if 0 <= place < len(days):
            days[place] = loss if days[place] is NOTHING else days[place] + loss
    return days


def _lasting(cap: Cap, spent: Loss, typical: Loss, days: Sequence[Loss]) -> NDArray[np.int64]:
    """In each future, how many days from today the budget lasts; HORIZON_DAYS + 1 if it lasts longer."""
    drawn = _futures(len(days))
    pure = _exceeds(drawn, [d.epsilon for d in days], spent.epsilon, typical.epsilon, cap.epsilon)
    concentrated = _exceeds(drawn, [d.rho for d in days], spent.rho, typical.rho, cap.rho)
    delta = _exceeds(drawn, [d.delta for d in days], spent.delta, typical.delta, cap.delta_selection)
    exhausted = (pure & concentrated) | delta
    first = np.argmax(exhausted, axis=1)
    return np.where(exhausted.any(axis=1), first, HORIZON_DAYS + 1)


def _exceeds(
    drawn: NDArray[np.uint16], days: Sequence[int | None], spent: int | None, typical: int | None, limit: int
) -> NDArray[np.bool_]:
    """Whether, after each day of each future, `limit` takes no more `typical`; None is infinite."""
    amounts = np.array([_size(amount) for amount in days])
    after = _size(spent) + _size(typical) + np.cumsum(amounts[drawn], axis=1)
    return after > limit * (1.0 + _SLACK)


@functools.lru_cache(maxsize=16)
def _futures(observed: int) -> NDArray[np.uint16]:
    """Places of observed days, FUTURES x (HORIZON_DAYS + 1).

    The seed is the number of days observed: not the clock, and not the amounts, so that whoever spends more on the same
    days never runs out later.
    """
    random = np.random.default_rng(observed)
    edges = np.cumsum(random.exponential(size=(FUTURES, observed)), axis=1)
    edges /= edges[:, -1:]
    wanted = random.random((FUTURES, HORIZON_DAYS + 1))
    drawn = np.empty(wanted.shape, np.uint16)
    for future in range(FUTURES):
        drawn[future] = np.searchsorted(edges[future, :-1], wanted[future], side="right")
    return drawn
