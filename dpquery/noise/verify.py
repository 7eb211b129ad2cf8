"""The planned loss, found a second time by OpenDP's own maps."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, assert_never

from dpquery.accounting import ATTO
from dpquery.errors import ensure
from dpquery.noise.allowlist import integer_noise, least_score
from dpquery.noise.thresholds import delta_of
from dpquery.privacy.calibrate import NANO, PICO, l2_upwards
from dpquery.privacy.measure import SELECTING

if TYPE_CHECKING:
    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan


def _mapped(part: CalibratedMeasurement) -> Fraction:
    """What OpenDP's map gives for the part: epsilon of pure mechanisms, rho of the others.

    A selection is mapped per unit of distance, and losses add over cells: epsilons as the distances (L1), rhos as their
    squares (L2).
    """
    found, scale = part.sensitivity, part.scale
    match part.mechanism:
        case "laplace":
            return Fraction(float(integer_noise("laplace", scale).map(float(found.l1))))
        case "gaussian":
            return Fraction(float(integer_noise("gaussian", scale).map(l2_upwards(found))))
        case "permute-and-flip":
            return Fraction(float(least_score("permute-and-flip", scale).map(found.l1)))
        case "exponential":
            return Fraction(float(least_score("exponential", scale).map(1))) * found.l2_squared
        case _:
            assert_never(part.mechanism)


def _verify_selection(plan: PrivacyPlan) -> None:
    """Groups that are not declared have a threshold, and its delta was planned; nothing else costs delta."""
    first, *others = plan.parts
    ensure((plan.selection is not None) == plan.bounded.logical.selects_groups, "groups are declared or selected")
    ensure(all(part.loss.delta == 0 for part in others), "only a selection costs delta")
    if plan.selection is None:
        ensure(first.loss.delta == 0, "only a selection costs delta")
        return
    ensure(first.measurement == SELECTING, "groups are selected by their numbers")
    ensure(plan.bounded.rule == "one-owner", "groups are selected where rows have one owner")
    needed = delta_of(plan.mechanism, first.scale, first.sensitivity.l1, plan.selection.threshold)
    ensure(needed <= Fraction(first.loss.delta, ATTO), "delta as planned")


def verify(plan: PrivacyPlan) -> PrivacyPlan:
    """The same plan, or InternalError if any part would lose more than its planned share."""
    spent_epsilon = spent_rho = Fraction(0)
    for part in plan.parts:
        mapped = _mapped(part)
        if plan.mechanism == "laplace":
            ensure(part.loss.epsilon is not None and mapped <= Fraction(part.loss.epsilon, NANO), "epsilon as planned")
            spent_epsilon += mapped
        else:
            ensure(part.loss.rho is not None and mapped <= Fraction(part.loss.rho, PICO), "rho as planned")
            spent_rho += mapped
        ensure(math.isfinite(part.scale), "scales are finite")
    _verify_selection(plan)
    if plan.mechanism == "laplace":
        ensure(spent_epsilon <= Fraction(plan.asked_epsilon, NANO), "the parts stay within the asked epsilon")
    else:
        from dpquery.noise.conversion import epsilon_of

        reached = epsilon_of(float(spent_rho), plan.delta_release)
        ensure(Fraction(reached) <= Fraction(plan.asked_epsilon, NANO), "the Gaussian stays within the asked epsilon")
    return plan
