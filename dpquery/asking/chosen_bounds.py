"""The bounds that a noisy histogram speaks for. Free: reads nothing but what was released."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from dpquery.describe import plain
from dpquery.documents import ValueBounds
from dpquery.errors import broken
from dpquery.faces.words import listed
from dpquery.noise.tails import half_width
from dpquery.plan.auto_bounds import SHARE, WIDEST, chosen_for, with_bounds
from dpquery.plan.query import Quantile, Sum, written
from dpquery.privacy.calibrate import NANO
from dpquery.privacy.measure import HistogramMeasurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dpquery.documents import Guarantee
    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import Average, LogicalPlan, Variance
    from dpquery.privacy.bound import BoundedPlan
    from dpquery.privacy.calibrate import PrivacyPlan

FALSE_BINS = 0.01
"""Chance that noise alone makes any empty bin count."""


@dataclass(frozen=True, slots=True)
class ChosenBounds:
    """What the values of one aggregate are clamped to, and the release that chose it."""

    aggregate: str
    """As the request wrote it."""
    low: float
    high: float
    clear: bool
    """Whether any bin stood out of its noise; if not, the bounds are those of the fullest bin: a guess."""
    release: str
    epsilon: float
    """What choosing them cost, when they were chosen."""
    new: bool
    """Whether they were chosen for this query."""

    def document(self) -> ValueBounds:
        """The bounds as an object that a release or a preview holds."""
        return ValueBounds(
            aggregate=self.aggregate,
            low=self.low,
            high=self.high,
            clear=self.clear,
            release=self.release,
            epsilon=self.epsilon,
            new=self.new,
        )

    def __str__(self) -> str:
        how = "chosen" if self.new else "stored bounds, chosen before"
        text = f"{self.aggregate} is clamped to {self.low:g} to {self.high:g}: {how} by {self.release}"
        text += f" for epsilon {self.epsilon:g}"
        return text if self.clear else f"{text}; no values stood out of the noise, so these bounds are a guess"


@dataclass(frozen=True, slots=True)
class NoisyBins:
    """The stored histogram of a bounds release."""

    edges: tuple[int, ...]
    grid: float
    rows: NDArray[np.float64]
    threshold: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class BoundsRelease:
    """A release that chooses bounds, new or stored."""

    bins: NoisyBins
    release: str
    new: bool


def decided(
    bounded: BoundedPlan, releases: Mapping[Expression, BoundsRelease]
) -> tuple[LogicalPlan, tuple[ChosenBounds, ...]]:
    """The request with its bounds, and what they are; `releases` holds one for each value."""
    logical, bounds = bounded.logical, bounded.bounds
    groups = bounds.max_groups if logical.selects_groups else logical.cells
    rows = groups * min(bounds.max_rows, bounds.max_groups * bounds.max_rows_per_group)
    found: dict[int, tuple[float, float]] = {}
    described: list[ChosenBounds] = []
    for index, aggregate in enumerate(map(chosen_for, logical.aggregates)):
        if aggregate is None:
            continue
        source = releases[aggregate.argument]
        low, high, clear = choose(source.bins, aggregate, rows / len(releases))
        found[index] = (low, high)
        text = written(logical, index)
        epsilon = source.bins.epsilon
        described.append(ChosenBounds(text, low, high, clear, source.release, epsilon, source.new))
    return with_bounds(logical, found), tuple(described)


def noisy_bins(plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]]) -> NoisyBins:
    """The bins of the release with this plan.

    A bin counts if it is strictly above the threshold that noise alone takes any of the B empty bins above with
    probability FALSE_BINS at most: each has a B-th of it, and noise goes up half the time, so the threshold is the
    half-width of an interval at 1 - 2 FALSE_BINS / B, from the noise's exact tail. (Wilson et al., PoPETs 2020,
    section 5.1.1, choose such a threshold for one bin.)
    """
    part = plan.parts[0]
    if not isinstance(part.measurement, HistogramMeasurement):
        broken("bounds are read off a histogram")
    bins = part.measurement.width
    return NoisyBins(
        part.measurement.edges,
        part.measurement.grid,
        noisy[0][0].astype(np.float64),
        half_width(part.mechanism, part.scale, 1.0 - 2.0 * FALSE_BINS / bins),
        plan.asked_epsilon / NANO,
    )


def choose(bins: NoisyBins, aggregate: Sum | Average | Variance | Quantile, rows: float) -> tuple[float, float, bool]:
    """Low, high, and whether any bin counted: the bounds with the least estimated error of the aggregate.

    `rows` is what one number may add to all groups together, times the groups, over the values that share the epsilon
    for bounds. With noise of scale rows / epsilon on all counts together, that on sums is as much in units of the
    larger bound, and on means in units of half the width. Epsilon is what the answer had when the bounds were chosen,
    so that bounds depend on the stored release and the question alone. The other part of the error is what the bounds
    cut off the values of the bins that count, and of those between them and 0. (Amin, Kulesza, Munoz Medina,
    Vassilvitskii, ICML 2019: the trade-off of bias and variance.) A quantile's error does not grow with its bounds, so
    nothing is cut off.

    If no bin counts, the bounds are all that was looked at where the values have declared bounds, else from 0 to the
    end of the fullest bin.
    """
    counted = bins.rows * (bins.rows > bins.threshold)
    clear = bool(counted.any())
    edges = np.array(bins.edges, np.float64)
    if not clear:
        fullest = int(bins.rows.argmax())
        low, high = min(0.0, edges[fullest]), max(1.0, edges[fullest + 1] - 1.0)
        declared = aggregate.clamp not in WIDEST.values()
        low, high = (edges[0], edges[-1] - 1.0) if declared else (low, high)
        return float(low) * bins.grid, float(high) * bins.grid, False
    first, last = edges[:-1], edges[1:] - 1.0
    # Small values lie between those that count and 0: too few to stand out, and together too many to be left out.
    between = (last >= min(0.0, first[counted > 0].min())) & (first <= max(0.0, last[counted > 0].max()))
    counted = np.where(between, np.maximum(bins.rows, 0.0), 0.0)
    middle = (first + last) / 2.0
    answered = bins.epsilon * (SHARE[1] - SHARE[0]) / SHARE[0]
    noise = 0.0 if isinstance(aggregate, Quantile) else rows / answered
    lows, highs = list(first), [*edges[1:-1], edges[-1] - 1.0]
    if isinstance(aggregate, Sum):
        # A sum that is clamped from below above 0, or from above below 0, would count small values as larger ones.
        lows = [low for low in lows if low <= 0.0] or lows[:1]
        highs = [high for high in highs if high >= 0.0] or highs[-1:]
    best: tuple[float, float, float, float] | None = None
    for low in lows:
        for high in highs:
            if high <= low:
                continue
            # Ends of the bins, where nothing is to be lost, else their middles.
            ends = np.maximum(last - high, 0.0) + np.maximum(low - first, 0.0)
            cut = ends if noise == 0.0 else np.maximum(middle - high, 0.0) + np.maximum(low - middle, 0.0)
            size = max(abs(low), abs(high)) if isinstance(aggregate, Sum) else (high - low) / 2.0
            error = (float(counted @ cut) + noise * size, high - low, abs(low), high)
            if best is None or error < best:
                best, chosen = error, (float(low), float(high))
    if best is None:
        broken("some bounds hold a bin")
    return chosen[0] * bins.grid, chosen[1] * bins.grid, True


def with_bounds_release(guarantee: Guarantee, chosen: Sequence[ChosenBounds]) -> Guarantee:
    """The promise of an answer, with that of the releases that chose its bounds: its values depend on both."""
    if not chosen:
        return guarantee
    paid = {each.release: each.epsilon for each in chosen}
    total = plain(Decimal(repr(math.fsum(paid.values()))))
    sentence = f"{guarantee.sentence} This holds given its value bounds, which {listed(list(paid))} chose"
    return guarantee.model_copy(update={"sentence": f"{sentence} at a further factor of at most e^{total}."})
