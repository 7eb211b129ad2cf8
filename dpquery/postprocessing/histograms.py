"""Means, variances and quantiles off noisy histograms. Free: reads nothing but what was released."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpquery.noise.tails import deviations
from dpquery.postprocessing import intervals
from dpquery.postprocessing.intervals import Estimates
from dpquery.privacy.measure import EXTREMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpquery.privacy.measure import HistogramMeasurement, QuantileMeasurement


@dataclass(frozen=True, slots=True)
class NoisyHistogram:
    """Noisy rows by cell and bin, and the standard deviation of the noise on each."""

    measurement: HistogramMeasurement
    rows: NDArray[np.float64]
    deviation: float

    @property
    def values(self) -> NDArray[np.float64]:
        """What stands for each bin."""
        return np.array(self.measurement.representatives)

    @property
    def within(self) -> NDArray[np.float64]:
        """Variance inside each bin."""
        return np.maximum(np.array(self.measurement.representative_squares) - self.values**2, 0.0)

    @property
    def total(self) -> NDArray[np.float64]:
        """Noisy rows of each cell."""
        found: NDArray[np.float64] = self.rows.sum(axis=1)
        return found

    def total_half_width(self, confidence: float) -> float:
        """Half-width of an interval around `total`."""
        return deviations(confidence) * self.deviation * math.sqrt(self.rows.shape[1])


def mean(histogram: NoisyHistogram, limits: tuple[float, float], confidence: float) -> Estimates:
    """Mean of the bins' representatives weighted by their noisy rows, with Fieller's interval."""
    values, variance = histogram.values, histogram.deviation**2
    return intervals.ratio(
        histogram.rows @ values,
        histogram.total,
        variance_numerator=variance * float(values @ values),
        variance_denominator=variance * len(values),
        covariance=variance * float(values.sum()),
        limits=limits,
        confidence=confidence,
    )


def variance(histogram: NoisyHistogram, limits: tuple[float, float], confidence: float) -> Estimates:
    """Variance with divisor n: the mean square about the noisy mean, within bins and between them.

    For any a, Var = E(x - a)^2 - (E x - a)^2. With a the noisy mean, the interval takes the first term from Fieller's
    interval and the second from that of the mean; each has half of the room for error, so both hold together as often
    as asked. Where rows do not stand out from their noise it is everything from 0 to a quarter of the width squared
    (Popoviciu), and the value its middle.
    """
    each = 1.0 - (1.0 - confidence) / 2.0
    width = limits[1] - limits[0]
    centre = mean(histogram, limits, each)
    about: NDArray[np.float64] = centre.value.astype(np.float64)
    weights = (histogram.values[None, :] - about[:, None]) ** 2 + histogram.within[None, :]
    noise = histogram.deviation**2
    second = intervals.ratio(
        np.einsum("cb,cb->c", histogram.rows, weights),
        histogram.total,
        variance_numerator=noise * (weights**2).sum(axis=1),
        variance_denominator=noise * weights.shape[1],
        covariance=noise * weights.sum(axis=1),
        limits=(0.0, width**2),
        confidence=each,
    )
    shift = np.maximum((centre.low - about) ** 2, (centre.high - about) ** 2)
    most = width**2 / 4.0
    clear = histogram.total > histogram.total_half_width(each)
    low = np.where(clear, np.clip(second.low - shift, 0.0, most), 0.0)
    high = np.where(clear, np.clip(second.high, 0.0, most), most)
    value = np.where(clear, np.clip(second.value, low, high), most / 2.0)
    return Estimates(value, low, high)


def quantile(histogram: NoisyHistogram, fraction: float, confidence: float) -> Estimates:
    """The value below which `fraction` of the rows lie; for 0 and 1, what EXTREMES has instead.

    The value: noisy rows are made consistent (none negative, the same total), and the place where they add up to the
    fraction is found within its bin: along a straight line, or by ratio where bins are logarithmic.

    The interval: rows up to bin j, less the fraction of all rows, are a weighted sum T_j of bins, whose noise is known.
    The quantile lies in the bin j where T changes sign: T_(j-1) <= 1 and T_j >= -1 (one row, since it may lie between
    two). A bin is ruled out if its noisy T_j is below, or its noisy T_(j-1) above, what noise explains at the asked
    confidence, half on either side. The right bin is one bin, so it is ruled out no more often than that; the interval
    runs from the first to the last bin that is left, from end to end, and so holds the quantile itself.
    """
    fraction = EXTREMES.get(fraction, fraction)
    measurement = histogram.measurement
    rows, total, bins = histogram.rows, histogram.total, histogram.rows.shape[1]
    first, last = np.array(measurement.edges[:-1], np.float64), np.array(measurement.edges[1:], np.float64) - 1.0
    index, share = _crossing(consistent(rows), fraction)
    start, end = first[index], last[index]
    value = start + share * (end - start)
    if measurement.spacing != "linear":
        geometric = (start > 0.0) & (end > start)
        safe = np.where(geometric, start, 1.0)
        value = np.where(geometric, safe * (np.where(geometric, end, 1.0) / safe) ** share, value)
    excess = np.cumsum(rows, axis=1) - fraction * total[:, None]
    upto = np.arange(1, bins + 1)
    noise = histogram.deviation * np.sqrt(upto * (1.0 - fraction) ** 2 + (bins - upto) * fraction**2)
    reach = deviations(confidence) * noise + 1.0
    may_end = excess >= -reach
    may_begin = np.concatenate([np.ones((len(rows), 1), np.bool_), excess[:, :-1] <= reach[:-1]], axis=1)
    lowest = np.where(may_end.any(axis=1), may_end.argmax(axis=1), bins - 1)
    highest = bins - 1 - may_begin[:, ::-1].argmax(axis=1)
    known = total > 0.0
    value = np.where(known, value, (first[0] + last[-1]) / 2.0)
    low = np.where(known, np.minimum(first[np.minimum(lowest, index)], value), first[0])
    high = np.where(known, np.maximum(last[np.maximum(highest, index)], value), last[-1])
    return Estimates(value, low, high).times(measurement.grid)


def around_selected(
    selected: NDArray[np.int64], measurement: QuantileMeasurement, histogram: NoisyHistogram, found: Estimates
) -> Estimates:
    """Quantiles whose bins were selected, one for each cell, with the histogram's intervals, stretched to hold them.

    Where what the histogram says lies in the selected bin it is the value, else what stands for the bin. Where the
    histogram's noisy rows are not positive there is nothing to tell, and what it says stands.
    """
    chosen = np.clip(selected, 0, measurement.candidates - 1)
    edges = np.array(measurement.edges, np.float64) * measurement.grid
    inside = (edges[chosen] <= found.value) & (found.value <= edges[chosen + 1] - measurement.grid)
    middle = np.array(measurement.representatives)[chosen]
    value = np.where(inside | (histogram.total <= 0.0), found.value, middle)
    return Estimates(value, np.minimum(found.low, value), np.maximum(found.high, value))


def consistent(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest rows by bin, in squares, that are not negative and have the same total; zeros if it is not positive.

    Each bin loses the same amount, down to zero (Wang, Lopuhaa, Li, Skoric, Li, NDSS 2020, "Norm-Sub").
    """
    falling = -np.sort(-rows, axis=1)
    spare = np.cumsum(falling, axis=1) - np.maximum(rows.sum(axis=1, keepdims=True), 0.0)
    cut = spare / np.arange(1, rows.shape[1] + 1)
    # The bins that stay positive are the largest ones: as many as lie above the cut they would make.
    kept = np.maximum((falling > cut).sum(axis=1), 1)
    found: NDArray[np.float64] = np.maximum(rows - np.take_along_axis(cut, kept[:, None] - 1, axis=1), 0.0)
    return found


def _crossing(rows: NDArray[np.float64], fraction: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The bin in which rows add up to the fraction of all, and how far into it."""
    upto = np.cumsum(rows, axis=1)
    target = fraction * upto[:, -1:]
    index = (upto >= target).argmax(axis=1)
    own = np.take_along_axis(rows, index[:, None], axis=1)[:, 0]
    before = np.take_along_axis(upto, index[:, None], axis=1)[:, 0] - own
    share = np.clip((target[:, 0] - before) / np.where(own > 0.0, own, 1.0), 0.0, 1.0)
    return index, share
