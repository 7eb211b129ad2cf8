"""The most that may ever be lost in one block of the dataset: what its privacy filters allow, and what was spent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from dpquery.accounting import ATTO, NANO, NOTHING, PICO, admits
from dpquery.describe import upwards
from dpquery.documents import Bound
from dpquery.noise.conversion import epsilon_of
from dpquery.reports.amounts import right_guesses, up

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dpquery.accounting import Cap, Loss
    from dpquery.ledger import Usage
    from dpquery.policy import Policy

Pure = tuple[float | None, float]
"""Epsilon and delta; no epsilon: not bounded."""


@dataclass(frozen=True, slots=True)
class Ever:
    """Bounds on everything that was and will be released about one block, whichever it is."""

    promised: Bound
    """Whatever a steward decides: no cap goes above its ceiling."""
    unless_raised: Bound
    """As long as the caps in force stay."""


def ever_released(policy: Policy, usage: Usage) -> Ever:
    """The bounds, over blocks that are in use and those to come.

    Within a ceiling the two filters hold, so that it is the bound. A restore that was adopted may have spent more, and
    a lowered cap takes nothing back: then the bound is what was spent, by the filter that says less.
    """
    held = [each for each in (*usage.balances, *usage.each_block) if each.scope.kind == "dataset"]
    delta = policy.limits.delta_release
    if not held:  # without a grant nothing is released
        budget = policy.budgets.dataset
        return Ever(_bound(budget.ceiling or budget.epsilon, budget.delta), _bound(budget.epsilon, budget.delta))
    ceilings = [usage.ceilings.get((each.scope, each.block)) for each in held]
    return Ever(
        promised=_weakest(_within(limit, each.spent, delta) for limit, each in zip(ceilings, held, strict=True)),
        unless_raised=_weakest(_within(each.cap, each.spent, delta) for each in held),
    )


def _weakest(found: Iterable[Pure]) -> Bound:
    every = list(found)
    epsilons = [epsilon for epsilon, _ in every if epsilon is not None]
    delta = min(1.0, max(delta for _, delta in every))
    return _bound(max(epsilons) if len(epsilons) == len(every) else None, delta)


def _bound(epsilon: float | None, delta: float) -> Bound:
    return Bound(
        epsilon=None if epsilon is None else up(epsilon),
        delta=up(delta),
        rho=None,
        epsilon_converted=None,
        delta_converted=None,
        right_guesses=None if epsilon is None else right_guesses(up(epsilon), up(delta)),
    )


def _within(limit: Cap | None, spent: Loss, delta: float) -> Pure:
    """What holds for a block whose filters have `limit`, which the spending may have passed; `delta` converts rho."""
    if limit is None:
        return _lost(spent, delta)
    allowed = (_up(limit.epsilon, NANO), _up(limit.delta, ATTO))
    if admits(limit, spent, NOTHING):
        return allowed
    epsilon, chance = _lost(spent, limit.delta_conversion / ATTO or delta)
    return (None if epsilon is None else max(epsilon, allowed[0])), max(chance, allowed[1])


def _lost(spent: Loss, delta: float) -> Pure:
    """What was spent, by the filter that says less. Both filters may have used the delta of releases, as in a cap."""
    of_releases = _up(2 * spent.delta, ATTO)
    found: list[tuple[float, float]] = []
    if spent.epsilon is not None:
        found.append((_up(spent.epsilon, NANO), of_releases))
    if spent.rho is not None:
        found.append((epsilon_of(_up(spent.rho, PICO), delta), of_releases + delta))
    return min(found) if found else (None, of_releases)


def _up(units: int, scale: int) -> float:
    return upwards(Decimal(units) / scale)
