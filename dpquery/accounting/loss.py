"""The privacy loss of a release: pure epsilon, rho and delta as integers, rounded up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from dpquery.errors import ensure

NANO = 10**9
"""Units of epsilon in one."""
PICO = 10**12
"""Units of rho in one."""
ATTO = 10**18
"""Units of delta in one."""

SATURATED = 4 * 10**18
"""Largest amount that is held (it fits 64 bits with room to add); epsilon and rho above it are infinite."""

Exact = Fraction | Decimal | int


@dataclass(frozen=True, slots=True)
class Loss:
    """What releases cost. Losses add: each amount is the sum over releases (basic composition, and that of zCDP).

    Amounts never round down, so that a sum of losses is never below the sum of what they stand for.
    """

    epsilon: int | None
    """Pure epsilon in nano (1e-9). None: infinite, a Gaussian was used, or more than SATURATED."""
    rho: int | None
    """Zero-concentrated rho in pico (1e-12). None: infinite, or more than SATURATED."""
    delta: int
    """Delta in atto (1e-18). SATURATED: that much or more; no cap reaches it."""

    def __post_init__(self) -> None:
        for amount in (self.epsilon, self.rho, self.delta):
            ensure(amount is None or (type(amount) is int and 0 <= amount <= SATURATED), "a loss holds small integers")
        ensure(self.delta is not None, "delta is always finite")

    @classmethod
    def of(cls, epsilon: Exact | None, rho: Exact | None = None, delta: Exact = 0) -> Loss:
        """The loss of exact amounts (1 means one, not one nano), each rounded up. None is infinite."""
        return cls(_units(epsilon, NANO), _units(rho, PICO), min(_rounded_up(delta, ATTO), SATURATED))

    @classmethod
    def pure(cls, epsilon: Exact) -> Loss:
        """The loss of an epsilon-DP release, which is epsilon^2 / 2-zCDP (Bun, Steinke, TCC 2016, Prop. 1.4)."""
        exact = Fraction(epsilon)
        return cls.of(exact, rho=exact * exact / 2)

    def __add__(self, other: Loss) -> Loss:
        return Loss(
            _sum(self.epsilon, other.epsilon),
            _sum(self.rho, other.rho),
            min(self.delta + other.delta, SATURATED),
        )

    def beyond(self, before: Loss) -> Loss:
        """What is to be added to `before` for it to be no less than this. Infinite amounts stay infinite."""
        return Loss(
            _beyond(self.epsilon, before.epsilon),
            _beyond(self.rho, before.rho),
            max(0, self.delta - before.delta),
        )

    def is_within(self, most: Loss) -> bool:
        """Whether no amount is above that of `most`."""
        return self.beyond(most) == NOTHING

    @property
    def is_nothing(self) -> bool:
        return self == NOTHING


NOTHING = Loss(0, 0, 0)


def _units(value: Exact | None, unit: int) -> int | None:
    if value is None:
        return None
    amount = _rounded_up(value, unit)
    return amount if amount <= SATURATED else None


def _rounded_up(value: Exact, unit: int) -> int:
    ensure(isinstance(value, Fraction | Decimal | int), "amounts of loss are exact, never floats")
    ensure(value >= 0, "amounts of loss are not negative")
    return math.ceil(Fraction(value) * unit)


def _beyond(one: int | None, before: int | None) -> int | None:
    if before is None:
        return 0
    return None if one is None else max(0, one - before)


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return None
    return one + other if one + other <= SATURATED else None
