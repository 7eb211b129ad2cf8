"""A budget as the two fixed filters it stands for, in integers, rounded down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from dpquery.accounting.loss import ATTO, NANO, PICO, SATURATED, Exact
from dpquery.errors import ensure

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Cap:
    """A budget (epsilon_B, delta_B) whose delta was split once: delta_B >= 2 delta_selection + delta_conversion.

    Both filters may use up delta_selection, and the zCDP filter spends delta_conversion on turning rho into epsilon.
    """

    epsilon: int
    """epsilon_B in nano, rounded down."""
    delta: int
    """The whole delta_B in atto, rounded down."""
    delta_selection: int
    """Limit on the sum of the deltas of releases, in atto."""
    delta_conversion: int
    """Delta at which rho was found, in atto."""
    rho: int
    """rho_B in pico, rounded down: the largest rho that implies (epsilon_B, delta_conversion)."""

    def __post_init__(self) -> None:
        for amount in (self.epsilon, self.delta, self.delta_selection, self.delta_conversion, self.rho):
            ensure(type(amount) is int and 0 <= amount <= SATURATED, "a cap holds small integers")
        ensure(self.delta <= ATTO, "delta_B is a probability")
        ensure(2 * self.delta_selection + self.delta_conversion <= self.delta, "the parts of delta_B fit in it")

    @classmethod
    def of(
        cls,
        epsilon: Exact,
        delta: Exact,
        *,
        thresholds: bool,
        rho_within: Callable[[Fraction, Fraction], Exact],
    ) -> Cap:
        """The cap of a budget, its delta split.

        `rho_within(epsilon, delta)` is the largest rho that implies (epsilon, delta)-DP, rounded down; it is asked
        about the amounts that the cap holds, not those they were rounded from.
        """
        ensure(epsilon >= 0, "epsilon_B is not negative")
        ensure(0 <= delta <= 1, "delta_B is a probability")
        selection, conversion = split_delta(Fraction(delta), thresholds)
        held_epsilon = min(math.floor(Fraction(epsilon) * NANO), SATURATED)
        held_conversion = math.floor(conversion * ATTO)
        rho = Fraction(0)
        if held_epsilon > 0 and held_conversion > 0:
            rho = Fraction(rho_within(Fraction(held_epsilon, NANO), Fraction(held_conversion, ATTO)))
        return cls(
            epsilon=held_epsilon,
            delta=math.floor(Fraction(delta) * ATTO),
            delta_selection=math.floor(selection * ATTO),
            delta_conversion=held_conversion,
            rho=min(math.floor(rho * PICO), SATURATED),
        )

    def is_within(self, ceiling: Cap) -> bool:
        """Whether everything this cap admits `ceiling` admits too, and it promises no larger delta."""
        return (
            self.epsilon <= ceiling.epsilon
            and self.delta <= ceiling.delta
            and self.delta_selection <= ceiling.delta_selection
            and self.rho <= ceiling.rho
        )

    def is_above(self, other: Cap) -> bool:
        """Whether this budget has more epsilon or more delta than `other`, and less of neither."""
        own, others = (self.epsilon, self.delta), (other.epsilon, other.delta)
        return own != others and all(one >= another for one, another in zip(own, others, strict=True))


def split_delta(delta: Fraction, thresholds: bool) -> tuple[Fraction, Fraction]:
    """(delta_selection, delta_conversion) with delta = 2 delta_selection + delta_conversion, exactly.

    A quarter and a half; all of it for the conversion where no threshold can ever spend delta.
    """
    ensure(0 <= delta <= 1, "delta_B is a probability")
    return (delta / 4, delta / 2) if thresholds else (Fraction(0), delta)
