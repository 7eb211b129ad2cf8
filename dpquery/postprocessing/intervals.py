"""Intervals that cover the noise: for integers, their multiples, and ratios of weighted sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpquery.noise.tails import deviations

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Confidence of every interval, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """A value per cell with its interval, all float64 or all int64, shape (cells,)."""

    value: NDArray[np.float64] | NDArray[np.int64]
    low: NDArray[np.float64] | NDArray[np.int64]
    high: NDArray[np.float64] | NDArray[np.int64]

    def times(self, factor: float) -> Estimates:
        """In another unit; `factor` is positive."""
        return Estimates(*((part * factor).astype(np.float64) for part in (self.value, self.low, self.high)))

    def plus(self, shift: float) -> Estimates:
        """Moved by `shift`."""
        return Estimates(*((part + shift).astype(np.float64) for part in (self.value, self.low, self.high)))

    def within(self, other: Estimates) -> Estimates:
        """These values in the intervals of `other`, which are stretched where they do not hold them."""
        return Estimates(self.value, np.minimum(other.low, self.value), np.maximum(other.high, self.value))

    @property
    def useful(self) -> NDArray[np.bool_]:
        """Whether the interval reaches at most half the value to either side."""
        reach = np.maximum(self.value - self.low, self.high - self.value)
        useful: NDArray[np.bool_] = reach <= 0.5 * np.abs(self.value)
        return useful


def around(noisy: NDArray[np.int64], half_width: int) -> Estimates:
    """Noisy +/- half_width."""
    return Estimates(noisy, noisy - half_width, noisy + half_width)


def ratio(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    variance_numerator: NDArray[np.float64] | float,
    variance_denominator: NDArray[np.float64] | float,
    covariance: NDArray[np.float64] | float,
    limits: tuple[float, float],
    confidence: float = CONFIDENCE,
) -> Estimates:
    """Numerator / denominator with Fieller's interval, within `limits`.

    The interval holds every r with (A - r B)^2 <= z^2 Var(A - r B): a quadratic in r (Fieller, JRSS B 16, 1954).
    Where the denominator does not stand out from its noise, it is the whole of `limits` and the value their middle.
    """
    sure, least, most = fieller(
        numerator,
        denominator,
        variance_numerator=variance_numerator,
        variance_denominator=variance_denominator,
        covariance=covariance,
        confidence=confidence,
    )
    clear = (denominator > 0) & sure
    low, high = limits
    middle = np.full_like(denominator, (low + high) / 2.0)
    value = np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), middle)
    value = np.clip(np.where(clear, value, middle), low, high)
    return Estimates(
        value,
        np.minimum(np.where(clear, np.clip(least, low, high), low), value),
        np.maximum(np.where(clear, np.clip(most, low, high), high), value),
    )


def fieller(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    *,
    variance_numerator: NDArray[np.float64] | float,
    variance_denominator: NDArray[np.float64] | float,
    covariance: NDArray[np.float64] | float,
    confidence: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Where the denominator stands out from its noise, and there the least and the most that the ratio can be."""
    square = deviations(confidence) ** 2
    a = denominator**2 - square * variance_denominator
    b = numerator * denominator - square * covariance
    c = numerator**2 - square * variance_numerator
    clear = a > 0
    safe = np.where(clear, a, 1.0)
    # With a > 0 the quadratic is not positive at the ratio itself, so it has roots: below 0 is rounding.
    root = np.sqrt(np.where(clear, np.maximum(b**2 - a * c, 0.0), 0.0))
    return clear, (b - root) / safe, (b + root) / safe
