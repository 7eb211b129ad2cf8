"""The policy's budgets as the first grants of a ledger, and whether they were edited since."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from dpquery.accounting import ATTO, NANO, Cap
from dpquery.budget import budgets_of
from dpquery.ledger import EACH_BLOCK, Grant
from dpquery.noise.conversion import rho_within

if TYPE_CHECKING:
    from dpquery.ledger import Caps, Scope
    from dpquery.policy import Policy
    from dpquery.policy.model import Budget

INIT = "init"
"""The actor of first grants."""


def first_grants(policy: Policy) -> tuple[Grant, ...]:
    """The policy's budgets as grants, each for every block; where a budget has a ceiling, that goes first.

    A scope's first cap is the limit of its privacy filter for good, so a cap that may rise starts with its ceiling.
    """
    thresholds = policy.limits.min_people is not None
    return tuple(
        Grant(scope, EACH_BLOCK, cap_of(epsilon, budget.delta, thresholds=thresholds), reason, INIT)
        for scope, budget in budgets_of(policy)
        for epsilon, reason in first_epsilons(budget)
    )


def first_epsilons(budget: Budget) -> tuple[tuple[float, str], ...]:
    """The epsilon of each first grant of a budget, with the reason that the ledger gives."""
    cap = (budget.epsilon, "policy")
    if budget.ceiling is None or budget.ceiling == budget.epsilon:
        return (cap,)
    return ((budget.ceiling, "ceiling of the policy"), cap)


def cap_of(epsilon: float, delta: float | Fraction, *, thresholds: bool) -> Cap:
    """A budget with its delta split once and its rho_B, the largest rho within epsilon at the conversion's delta."""
    return Cap.of(
        exact(epsilon),
        exact(delta),
        thresholds=thresholds,
        rho_within=lambda epsilon, delta: Fraction(rho_within(_below(epsilon), _below(delta))),
    )


def edited_budgets(policy: Policy, caps: Caps) -> tuple[str, ...]:
    """Scopes whose budget in the policy is neither what `init` granted nor the cap in force, a sentence about them."""
    found = [str(scope) for scope, budget in budgets_of(policy) if not _is_granted(scope, budget, caps)]
    if not found:
        return ()
    said = (
        f"the policy's budget of {', '.join(found)} is not in force: "
        "the policy's budgets are the first grants; caps are changed with grant and raise"
    )
    return (said,)


def _is_granted(scope: Scope, budget: Budget, caps: Caps) -> bool:
    wanted = [_units(epsilon, budget.delta) for epsilon, _ in first_epsilons(budget)]
    granted = [(cap.epsilon, cap.delta) for cap in caps.granted(scope, EACH_BLOCK)]
    return granted[: len(wanted)] == wanted or granted[-1:] == wanted[-1:]


def _units(epsilon: float, delta: float) -> tuple[int, int]:
    return math.floor(exact(epsilon) * NANO), math.floor(exact(delta) * ATTO)


def exact(amount: float | Fraction) -> Fraction:
    """A float as the decimal text it prints as: 0.1 means a tenth."""
    return amount if isinstance(amount, Fraction) else Fraction(str(amount))


def _below(exact: Fraction) -> float:
    """The largest float that is not above `exact`."""
    near = float(exact)
    return near if Fraction(near) <= exact else math.nextafter(near, -math.inf)
