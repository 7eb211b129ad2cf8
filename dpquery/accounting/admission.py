"""Whether one more charge fits under a cap.

Two privacy filters with limits fixed in advance run side by side, and a charge is admitted while either holds (design,
section 5): transcripts are split by whether the pure filter held to the end, each part is bounded by its own filter
(Rogers, Roth, Ullman, Vadhan, NeurIPS 2016; Feldman, Zrnic, NeurIPS 2021 for rho), and the deltas of both parts add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpquery.accounting.loss import NANO, PICO
from dpquery.errors import ensure

if TYPE_CHECKING:
    from dpquery.accounting.cap import Cap
    from dpquery.accounting.loss import Loss


@dataclass(frozen=True, slots=True)
class FilterState:
    """One of the two filters, in its own unit: nano-epsilon or pico-rho."""

    open: bool
    """Whether it can still hold: what was spent is finite and within its cap, and delta within its own."""
    spent: int | None
    cap: int

    @property
    def left(self) -> int:
        """What could still be spent under this filter; 0 if it is not open."""
        return self.cap - self.spent if self.open and self.spent is not None else 0


@dataclass(frozen=True, slots=True)
class Filters:
    """Both filters. A charge must fit one of them, and `delta_left` besides."""

    pure: FilterState
    zcdp: FilterState
    delta_left: int
    """Atto of delta that releases may still spend."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """The largest losses that still fit, each on its own."""

    epsilon: int
    """Nano-epsilon of a pure release (whose rho is at most epsilon^2 / 2)."""
    rho: int
    """Pico-rho of a release of infinite pure epsilon."""


def admits(cap: Cap, spent: Loss, charge: Loss) -> bool:
    """Whether `cap` still holds once `charge` is added to `spent`."""
    after = spent + charge
    if after.delta > cap.delta_selection:
        return False
    return _holds(after.epsilon, cap.epsilon) or _holds(after.rho, cap.rho)


def filters(cap: Cap, spent: Loss) -> Filters:
    """Where the filters of `cap` stand after `spent`.

    Where more delta is spent than a lowered cap allows, nothing is admitted, so both are closed.
    """
    within = spent.delta <= cap.delta_selection
    return Filters(
        pure=FilterState(within and _holds(spent.epsilon, cap.epsilon), spent.epsilon, cap.epsilon),
        zcdp=FilterState(within and _holds(spent.rho, cap.rho), spent.rho, cap.rho),
        delta_left=max(0, cap.delta_selection - spent.delta),
    )


def largest_that_fits(cap: Cap, spent: Loss) -> Fitting:
    """The largest pure epsilon, and the largest rho, of one release without delta that `cap` admits after `spent`."""
    state = filters(cap, spent)
    return Fitting(max(state.pure.left, _epsilon_of_rho(state.zcdp.left)), state.zcdp.left)


def _holds(amount: int | None, limit: int) -> bool:
    return amount is not None and amount <= limit


def _epsilon_of_rho(rho: int) -> int:
    """Largest nano-epsilon whose epsilon^2 / 2, rounded up, is at most `rho` pico."""
    units = 2 * NANO * NANO // PICO
    epsilon = math.isqrt(units * rho)
    ensure(-(-epsilon * epsilon // units) <= rho, "epsilon^2 / 2 stays within rho")
    return epsilon
