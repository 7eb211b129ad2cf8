"""Noisy integers to the columns of an answer. Free: reads nothing but what was released."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import numpy as np

from dpquery.errors import broken
from dpquery.noise.tails import half_width, standard_deviation
from dpquery.plan.query import Average, Quantile, Variance
from dpquery.postprocessing import histograms, intervals
from dpquery.postprocessing.linear_forms import NoisyValue
from dpquery.postprocessing.variances import NoisySums, rooted, sampled, variance_of
from dpquery.privacy.measure import (
    CountMeasurement,
    HistogramMeasurement,
    QuantileMeasurement,
    SquaresMeasurement,
    SumMeasurement,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan
    from dpquery.privacy.measure import Reading


FALSE_VALUES = 0.05
"""Chance that noise alone makes any value of a cell count that occurs nowhere."""


def estimates(
    plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]], confidence: float = intervals.CONFIDENCE
) -> tuple[intervals.Estimates, ...]:
    """One value and interval per cell for each aggregate; `noisy` holds an array (cells, width) per part."""
    return tuple(
        _read(plan, reading, index, [noisy[i] for i in reading.parts], confidence)
        for index, reading in enumerate(plan.readings)
    )


def _read(
    plan: PrivacyPlan, reading: Reading, aggregate: int, noisy: Sequence[NDArray[np.int64]], confidence: float
) -> intervals.Estimates:
    parts = [plan.parts[i] for i in reading.parts]
    match reading.kind:
        case "count" | "distinct":
            return intervals.around(noisy[0][:, 0], part_half_width(parts[0], confidence))
        case "sum":
            return _sum(parts[0], noisy[0][:, 0], confidence)
        case "mean":
            return _mean(plan, aggregate, parts, noisy, confidence)
        case "histogram mean":
            return histograms.mean(_histogram(parts[0], noisy[0]), _limits(plan, aggregate), confidence)
        case "variance" | "histogram variance":
            return _variance(plan, aggregate, parts, noisy, confidence)
        case "quantile":
            return _quantile(plan, aggregate, _histogram(parts[0], noisy[0]), confidence)
        case "selected quantile":
            found = _quantile(plan, aggregate, _histogram(parts[1], noisy[1]), confidence)
            return _around_selected(parts[0], noisy[0], _histogram(parts[1], noisy[1]), found)
        case "values":
            return _values(parts[0], noisy[0], confidence)
        case _:
            assert_never(reading.kind)


def linear_noises(plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]]) -> tuple[NoisyValue | None, ...]:
    """For each aggregate that is one noisy integer, perhaps times a grid: its value, and which noise it has.

    None for everything that is computed from several noises, or read off a histogram.
    """
    found: list[NoisyValue | None] = []
    for reading in plan.readings:
        part = plan.parts[reading.parts[0]]
        if reading.kind not in {"count", "distinct", "sum"} or part.measurement.width != 1:
            found.append(None)
            continue
        grid = part.measurement.grid if isinstance(part.measurement, SumMeasurement) else 1.0
        value = noisy[reading.parts[0]][:, 0].astype(np.float64) * grid
        deviation = standard_deviation(part.mechanism, part.scale) * grid
        found.append(NoisyValue(value, reading.parts[0], deviation))
    return tuple(found)


def part_half_width(part: CalibratedMeasurement, confidence: float = intervals.CONFIDENCE) -> int:
    """Half-width of each integer of a part."""
    return half_width(part.mechanism, part.scale, confidence)


def _sum(part: CalibratedMeasurement, noisy: NDArray[np.int64], confidence: float) -> intervals.Estimates:
    if not isinstance(part.measurement, SumMeasurement):
        broken("a sum is read off a sum")
    grid = part.measurement.grid
    whole = intervals.around(noisy, part_half_width(part, confidence))
    if grid == 1.0:
        return whole
    return whole.times(grid)


def _limits(plan: PrivacyPlan, aggregate: int) -> tuple[float, float]:
    asked = plan.bounded.logical.aggregates[aggregate]
    if not isinstance(asked, Average | Variance):
        broken("only means and variances have limits")
    return asked.clamp.low, asked.clamp.high


def _mean(
    plan: PrivacyPlan,
    aggregate: int,
    parts: Sequence[CalibratedMeasurement],
    noisy: Sequence[NDArray[np.int64]],
    confidence: float,
) -> intervals.Estimates:
    """Centre + (centred sum) / count; the interval moves with the centre."""
    total, count = parts
    if not (isinstance(total.measurement, SumMeasurement) and isinstance(count.measurement, CountMeasurement)):
        broken("a mean is read off a centred sum and a count")
    grid, centre = total.measurement.grid, total.measurement.centre * total.measurement.grid
    low, high = _limits(plan, aggregate)
    centred = intervals.ratio(
        noisy[0][:, 0].astype(np.float64) * grid,
        noisy[1][:, 0].astype(np.float64),
        variance_numerator=(standard_deviation(total.mechanism, total.scale) * grid) ** 2,
        variance_denominator=standard_deviation(count.mechanism, count.scale) ** 2,
        covariance=0.0,
        limits=(low - centre, high - centre),
        confidence=confidence,
    )
    return centred.plus(centre)


def _histogram(part: CalibratedMeasurement, noisy: NDArray[np.int64]) -> histograms.NoisyHistogram:
    if not isinstance(part.measurement, HistogramMeasurement):
        broken("a histogram is read off a histogram")
    deviation = standard_deviation(part.mechanism, part.scale)
    return histograms.NoisyHistogram(part.measurement, noisy.astype(np.float64), deviation)


def _quantile(
    plan: PrivacyPlan, aggregate: int, histogram: histograms.NoisyHistogram, confidence: float
) -> intervals.Estimates:
    asked = plan.bounded.logical.aggregates[aggregate]
    if not isinstance(asked, Quantile):
        broken("a quantile has a fraction")
    return histograms.quantile(histogram, asked.fraction, confidence)


def _around_selected(
    part: CalibratedMeasurement,
    selected: NDArray[np.int64],
    histogram: histograms.NoisyHistogram,
    found: intervals.Estimates,
) -> intervals.Estimates:
    if not isinstance(part.measurement, QuantileMeasurement):
        broken("a selected quantile was selected")
    return histograms.around_selected(selected[:, 0], part.measurement, histogram, found)


def _variance(
    plan: PrivacyPlan,
    aggregate: int,
    parts: Sequence[CalibratedMeasurement],
    noisy: Sequence[NDArray[np.int64]],
    confidence: float,
) -> intervals.Estimates:
    """With divisor n, then n - 1 and the root if asked.

    What is read off several noises shares the room for error among them, so that all hold together.
    """
    asked = plan.bounded.logical.aggregates[aggregate]
    if not isinstance(asked, Variance):
        broken("a variance is read for one")
    low, high = _limits(plan, aggregate)
    if isinstance(parts[0].measurement, HistogramMeasurement):
        histogram = _histogram(parts[0], noisy[0])
        each = 1.0 - (1.0 - confidence) / (1.5 if asked.sample else 1.0)
        found = histograms.variance(histogram, (low, high), each)
        rows, reach = histogram.total, histogram.total_half_width(1.0 - (1.0 - confidence) / 3.0)
    else:
        sums = _sums(parts, noisy, 1.0 - (1.0 - confidence) / 3.0)
        found = variance_of(sums, high - low)
        rows, reach = sums.rows, sums.rows_reach
    found = sampled(found, rows, reach, high - low) if asked.sample else found
    return rooted(found) if asked.root else found


def _sums(parts: Sequence[CalibratedMeasurement], noisy: Sequence[NDArray[np.int64]], confidence: float) -> NoisySums:
    """Squares, values and rows in the units of the argument; each interval holds at `confidence`."""
    squares, values, count = (part.measurement for part in parts)
    if not (
        isinstance(squares, SquaresMeasurement)
        and isinstance(values, SumMeasurement)
        and isinstance(count, CountMeasurement)
    ):
        broken("a variance is read off squares, a sum and a count")
    grid = squares.grid
    reaches = [part_half_width(part, confidence) for part in parts]
    return NoisySums(
        squares=noisy[0][:, 0].astype(np.float64) * grid**2,
        values=noisy[1][:, 0].astype(np.float64) * grid,
        rows=noisy[2][:, 0].astype(np.float64),
        squares_reach=reaches[0] * grid**2,
        values_reach=reaches[1] * grid,
        rows_reach=float(reaches[2]),
    )


def values_threshold(part: CalibratedMeasurement, false_values: float = FALSE_VALUES) -> int:
    """The noisy rows above which a value counts: noise alone lifts any of them there with this chance at most.

    Each of the w values has a w-th of the chance, and noise goes up half the time.
    """
    confidence = max(0.5, 1.0 - 2.0 * false_values / part.measurement.width)
    return half_width(part.mechanism, part.scale, confidence)


def _values(part: CalibratedMeasurement, noisy: NDArray[np.int64], confidence: float) -> intervals.Estimates:
    """Values whose noisy rows pass the threshold. At least those that pass it at the asked confidence occur.

    Nothing tells a value of a few rows from one that does not occur, so at most all of them do.
    """
    value = (noisy > values_threshold(part)).sum(axis=1).astype(np.int64)
    sure = (noisy > values_threshold(part, 1.0 - confidence)).sum(axis=1).astype(np.int64)
    return intervals.Estimates(value, np.minimum(sure, value), np.full_like(value, part.measurement.width))
