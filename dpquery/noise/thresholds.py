"""Thresholds above which a group shows although nobody declared it, and the delta that they cost.

A group that only one number is in is there or not with that number. Its count, 1 plus noise, passes a threshold T with
a chance p; a number is in at most g such groups, so the chance that any of them shows is at most 1 - (1 - p)^g: the
delta of the selection (Wilson et al., "Differentially Private SQL with Bounded User Contribution", PoPETs 2020, section
3.5; Desfontaines, Voss, Gipson, Mandayam, PoPETs 2022). Counts must be strictly above T: OpenDP's mechanisms also
release those equal to it, which their delta leaves out, so only the map of these mechanisms is used, never they.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from dpquery.errors import BudgetRefused, ensure
from dpquery.noise.tails import chance_above

if TYPE_CHECKING:
    from dpquery.noise.allowlist import MechanismName

THRESHOLD_MAX = 2**56
"""No threshold is searched for above it: noisy counts stay far within 64 bits."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A group shows if its noisy count of numbers is strictly more than `value`; `delta` is never too small."""

    value: int
    delta: Fraction


def delta_of(mechanism: MechanismName, scale: float, groups: int, threshold: int) -> Fraction:
    """Delta of showing groups with noisy counts strictly above `threshold`, for a number in at most `groups` groups.

    The larger of what OpenDP's map says of the threshold and of our own sum over the tail, with room for its rounding.
    """
    from dpquery.noise.allowlist import threshold_delta

    own = Fraction(chance_above(mechanism, scale, threshold - 1)) * groups * (1 + Fraction(1, 10**9))
    return min(Fraction(1), max(Fraction(threshold_delta(mechanism, scale, groups, threshold)), own))


@functools.lru_cache(maxsize=1024)
def threshold_of(mechanism: MechanismName, scale: float, groups: int, delta: float, least: int) -> Threshold:
    """The least threshold, from `least` on, whose delta over `groups` groups is at most `delta`. By bisection.

    BudgetRefused where there is none: OpenDP's map says no less than 2^-53 for each group.
    """
    ensure(groups >= 1, "a number is in a group")
    ensure(0.0 < delta < 1.0, "delta is a probability")
    low, high = max(1, least), max(1, least)
    while delta_of(mechanism, scale, groups, high) > delta:
        low, high = high, high * 2
        if high > THRESHOLD_MAX:
            raise BudgetRefused(
                "DPQ-204",
                f"no threshold keeps {groups:,} groups of a number within a delta of {delta:g} at noise of this scale",
                fix="ask for more epsilon, or let the policy bound max_groups lower or delta_selection higher",
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if delta_of(mechanism, scale, groups, middle) <= delta else (middle, high)
    return Threshold(high, delta_of(mechanism, scale, groups, high))
