"""What a question costs: the loss that is asked for, the plans at that loss, and whether the budgets admit them."""

from __future__ import annotations

import functools
import operator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from dpquery import arguments
from dpquery.accounting import admits
from dpquery.budget import left_for, share_used
from dpquery.errors import BudgetRefused, UsageError
from dpquery.noise.conversion import rho_within
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.plan.auto_bounds import is_bounds_request
from dpquery.plan.query import shown
from dpquery.postprocessing.expected import expected_half_width
from dpquery.privacy.calibrate import NANO, Thresholds, calibrate
from dpquery.sql.outputs import OUTPUTS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dpquery.accounting import Loss
    from dpquery.asking.query import Query
    from dpquery.documents import Left
    from dpquery.errors import Span
    from dpquery.ledger import Scope, Standing
    from dpquery.policy.model import Limits
    from dpquery.privacy.bound import BoundedPlan
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.session import Session

LEAST_NANO = 3 * OUTPUTS_MAX
"""The least loss that can be shared out: a variance over one-owner rows takes three measurements, and each has at least
a billionth of epsilon."""


def epsilon_nano(limits: Limits, epsilon: float | None, place: Span | None = None, source: str | None = None) -> int:
    """The asked loss in nano-epsilon, rounded down; BudgetRefused outside what one query may spend."""
    asked = limits.epsilon_default if epsilon is None else arguments.number(epsilon, "epsilon", example="epsilon=0.5")
    most = limits.epsilon_max
    if not 0.0 < asked <= most:  # also refuses NaN
        raise BudgetRefused(
            "DPQ-204",
            f"epsilon = {asked:g} is not between 0 and the policy's {most:g} for one query",
            fix=f"{'--epsilon' if place is None else 'epsilon ='} {most:g}, or less",
            where=place,
            source=source,
        )
    # Decimal text, so that 0.1 means a tenth and not the float just above it.
    nano = int(Fraction(Decimal(repr(float(asked)))) * NANO)
    if nano < LEAST_NANO:
        raise BudgetRefused(
            "DPQ-204",
            f"epsilon = {asked:g} is too little to share out",
            fix=f"--epsilon {LEAST_NANO / NANO:g}",
            where=place,
            source=source,
        )
    return nano


def asked_price(query: Query, epsilon: float | None, within: float | None) -> tuple[int, float | None]:
    """The loss in nano-epsilon that call, OPTIONS and session ask for, and the reach that it is to give."""
    if epsilon is not None:
        epsilon = arguments.number(epsilon, "epsilon", example="epsilon=0.5")
    if within is not None:
        within = arguments.number(within, "within", example="within=100")
    epsilon, within = query.terms.price(epsilon, within)
    if within is None:
        return query.session.check_epsilon(epsilon), None
    if query.logical.chooses_bounds:
        raise UsageError(
            "DPQ-002", "the error is not known before the bounds are chosen", fix="epsilon = 0.5, or give the bounds"
        )
    return _least_nano_within(query, within), within


def bounding_loss_nano(query: Query, epsilon: float | None) -> int:
    """The loss of a query's bounding loss: that of the call, else the epsilon that OPTIONS or the session name."""
    if epsilon is None:
        epsilon, within = query.terms.price(None, None)
        if within is not None:
            raise UsageError("DPQ-002", "a bounding loss is priced by its epsilon", fix="epsilon=0.1")
    return query.session.check_epsilon(epsilon)


def calibrated(query: Query, nano: int, bounded: BoundedPlan | None = None) -> tuple[PrivacyPlan, ...]:
    """A plan per mechanism at this loss, the one that errs least first; not yet verified."""
    limits, terms = query.session.store.policy.limits, query.terms
    delta = limits.delta_release if terms.delta is None else terms.delta
    # A Gaussian that chooses bounds would close the pure filter for the answer that comes after.
    gaussian = limits.gaussian and delta > 0.0 and not terms.laplace and not is_bounds_request(query.logical)
    return calibrate(
        bounded or query.bounded(),
        nano,
        delta_release=delta or limits.delta_release,
        gaussian_allowed=gaussian,
        rho_within=rho_within,
        thresholds=Thresholds(min(limits.delta_selection, delta), limits.min_people, threshold_of)
        if limits.min_people is not None
        else None,
    )


def affordable(query: Query, nano: int) -> PrivacyPlan:
    """The verified plan with the least error among those that the budgets still admit.

    Where the zCDP filter is used up only Laplace fits, and where the pure one is, a Gaussian costs least. If
    nothing fits, the plan with the least error is what the refusal is about.
    """
    plans = calibrated(query, nano)
    return verify(next((plan for plan in plans if fits(query.session, plan)), plans[0]))


def fits(session: Session, plan: PrivacyPlan, before: Iterable[Loss] = ()) -> bool:
    """Whether every scope and block that would pay still admits the plan's loss, and those `before` it."""
    standings = paying(session, plan)
    loss = functools.reduce(operator.add, before, plan.loss)
    return all(admits(s.cap, s.spent, loss) for s in standings if s.cap is not None)


def scopes_of(session: Session, plan: PrivacyPlan) -> tuple[tuple[Scope, str], ...]:
    """Every scope that pays for the plan, in each of its blocks; the ledger adds the analyst's groups."""
    return tuple((scope, block) for scope in session.scopes() for block in plan.bounded.blocks)


def paying(session: Session, plan: PrivacyPlan) -> tuple[Standing, ...]:
    """Where everybody stands who would be charged for the plan, groups among them."""
    return session.ledger.paying(scopes_of(session, plan), session.members())


def left(session: Session, plan: PrivacyPlan) -> Left | None:
    """What is left, described at the policy's own delta whatever delta a query asks for."""
    described = replace(plan, delta_release=session.store.policy.limits.delta_release)
    return left_for(paying(session, plan), described)


def share_of_own_cap(session: Session, plan: PrivacyPlan, losses: Sequence[Loss]) -> float | None:
    """Share of the asker's own cap that these losses would use, in the block of `plan` where it is most."""
    own = [pair for pair in scopes_of(session, plan) if pair[0].kind == "analyst"]
    loss = functools.reduce(operator.add, losses)
    return max((share_used(s.cap, loss) for s in session.ledger.standing(own) if s.cap is not None), default=None)


def check_reach(query: Query, plan: PrivacyPlan, within: float | None) -> None:
    """BudgetRefused if only a mechanism with a larger error still fits the budgets."""
    if within is not None and (reach := _reach(query, plan)) > within:
        raise BudgetRefused(
            "DPQ-201",
            f"± {within:g} needs a mechanism that the budgets no longer allow",
            fix=f"--within {reach:.6g}",
        )


def _least_nano_within(query: Query, within: float) -> int:
    """The least loss whose expected half-widths all reach at most `within`, by bisection."""
    largest = query.session.check_epsilon(query.session.store.policy.limits.epsilon_max)
    if not within > 0.0 or _reach_at(query, largest) > within:
        reach = _reach_at(query, largest)
        raise BudgetRefused(
            "DPQ-204",
            f"± {within:g} needs more than the policy's epsilon for one query, which gives ± {reach:.6g}",
            fix=f"--within {reach:.6g}",
        )
    low, high = LEAST_NANO, largest
    while high - low > max(1, high // 1000):
        middle = (low + high) // 2
        low, high = (low, middle) if _reach_at(query, middle) <= within else (middle, high)
    return high


def _reach_at(query: Query, nano: int) -> float:
    return _reach(query, calibrated(query, nano)[0])


def _reach(query: Query, plan: PrivacyPlan) -> float:
    """The longest expected reach of the answer's values; UsageError where one is not known."""
    known: list[float] = []
    for output in shown(query.logical):
        reach = expected_half_width(plan, output, query.terms.confidence)
        if output.is_value and reach is None:
            raise UsageError(
                "DPQ-002",
                f"how far the interval of {output.name} reaches is not known before rows are read: within and "
                "target_error take counts, sums, averages, variances, and sums of their multiples",
                fix="epsilon = 0.5",
            )
        known += [] if reach is None else [reach]
    return max(known)
