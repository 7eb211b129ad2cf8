"""Whether groups differ: intervals of their means that cover noise and chance, and what these allow to say. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpquery.noise.tails import deviations
from dpquery.postprocessing.intervals import fieller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Verdict = Literal["higher", "lower", "not distinguishable", "compared with"]

NOMINAL = 0.05
"""Chance that a report calls any group higher or lower although in no outcome any group differs from another."""


@dataclass(frozen=True, slots=True)
class Means:
    """The mean of an outcome in each group, shape (groups,)."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    known: NDArray[np.bool_]
    """Whether anything is known: else the interval is the whole clamp, and the value its middle."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group's mean as a multiple of another's; None where it has no end or no value."""

    ratio: float | None
    low: float
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Spread:
    """The groups whose relative errors are largest and least, and how many times."""

    worst: str | None
    best: str | None
    times: float | None
    """None: noise hides the worst group, or every one."""
    at_least: float | None = None
    """Where it is known, the least that `times` can be."""


def means(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    *,
    deviation_total: float,
    deviation_count: float,
    clamp: tuple[float, float],
    confidence: float,
    chance: bool,
) -> Means:
    """Means of values within `clamp`, from noisy totals of the values less its middle, and noisy counts.

    With m the mean less the middle, h half the width of the clamp and n values, total - m count has mean 0 and at most
    the variance n (h^2 - m^2) + Var(noise of total) + m^2 Var(noise of count): n independent values between -h and h
    with mean m spread at most h^2 - m^2 (Bhatia and Davis, Amer. Math. Monthly 107, 2000). The interval holds every m
    at which total - m count is within z deviations of 0. That is Fieller's quadratic with n h^2 more variance above
    and n less below; without noise it is Wilson's interval of a share. n is taken from the count, at its upper end.
    Without `chance` the interval covers noise alone: it is about the numbers in the data, not about those to come.
    """
    z = deviations(confidence)
    low, high = clamp
    middle, half = (low + high) / 2.0, (high - low) / 2.0
    values = np.maximum(count, 0.0) + z * deviation_count if chance else np.zeros_like(count)
    clear, least, most = fieller(
        total,
        count,
        variance_numerator=deviation_total**2 + values * half**2,
        variance_denominator=deviation_count**2 - values,
        covariance=0.0,
        confidence=confidence,
    )
    least, most = np.clip(least, -half, half), np.clip(most, -half, half)
    # One end of the clamp alone is left where noise takes the whole interval beyond it: that says nothing.
    known = clear & (count > 0.0) & (least < most)
    centred = np.where(count > 0.0, total / np.where(count > 0.0, count, 1.0), 0.0)
    value = np.clip(np.where(known, centred, 0.0), -half, half)
    least = np.minimum(np.where(known, least, -half), value)
    most = np.maximum(np.where(known, most, half), value)
    return Means(value + middle, least + middle, most + middle, known)


def compared(found: Means, group: int, reference: int) -> Comparison:
    """`group` as a multiple of `reference`. If all intervals hold at once, so do all ratios made of their ends."""
    bottom = float(found.value[reference])
    ratio = float(found.value[group]) / bottom if bottom > 0.0 else None
    if group == reference:
        return Comparison(ratio, 1.0, 1.0, "compared with")
    low, high = float(found.low[group]), float(found.high[group])
    under, over = float(found.low[reference]), float(found.high[reference])
    verdict: Verdict = "higher" if low > over else "lower" if high < under else "not distinguishable"
    return Comparison(ratio, low / over if over > 0.0 else 0.0, high / under if under > 0.0 else None, verdict)


def confidence_of_each(intervals: int) -> float:
    """The confidence of one interval at which so many hold at once, with a chance of 1 - NOMINAL (Bonferroni)."""
    return 1.0 - NOMINAL / max(1, intervals)


def relative(value: float, low: float, high: float) -> float | None:
    """How far an interval reaches, as a share of its value; None where the value is not above 0."""
    return max(value - low, high - value) / value if value > 0.0 and math.isfinite(value) else None


def spread_of(errors: Sequence[tuple[str, float | None]], at_least: float | None = None) -> Spread:
    """Of the groups' relative errors; None is the error of a group that noise hides."""
    known = [(error, name) for name, error in errors if error is not None]
    hidden = [name for name, error in errors if error is None]
    if not known:
        return Spread(None, None, None)
    best = min(known)
    if hidden:
        return Spread(hidden[0], best[1], None)
    worst = max(known)
    return Spread(worst[1], best[1], worst[0] / best[0] if best[0] > 0.0 else 1.0, at_least)


def least_spread(counts: NDArray[np.float64], deviation: NDArray[np.float64], confidence: float) -> float | None:
    """The least that the largest count can be of the smallest, which is what relative errors differ by.

    None where the smallest may be nothing.
    """
    reach = deviations(confidence) * deviation
    largest, smallest = float(np.max(counts - reach)), float(np.min(counts + reach))
    return max(1.0, largest / smallest) if smallest > 0.0 else None
