"""Noisy integers to the columns of an answer. Free: reads nothing but what was released."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import numpy as np

from dpquery import intervals
from dpquery.errors import broken
from dpquery.noise.tails import half_width, standard_deviation
from dpquery.plan.query import Average
from dpquery.privacy.measure import CountMeasurement, HistogramMeasurement, SumMeasurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan
    from dpquery.privacy.measure import Reading


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
            return _histogram_mean(plan, aggregate, parts[0], noisy[0], confidence)
        case _:
            assert_never(reading.kind)


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
    if not isinstance(asked, Average):
        broken("only means have limits")
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


def _histogram_mean(
    plan: PrivacyPlan, aggregate: int, part: CalibratedMeasurement, noisy: NDArray[np.int64], confidence: float
) -> intervals.Estimates:
    """Mean of the bins' representatives weighted by their noisy counts."""
    measurement = part.measurement
    if not isinstance(measurement, HistogramMeasurement):
        broken("a histogram mean is read off a histogram")
    values = np.array(measurement.representatives)
    variance = standard_deviation(part.mechanism, part.scale) ** 2
    return intervals.ratio(
        (noisy @ values).astype(np.float64),
        noisy.sum(axis=1).astype(np.float64),
        variance_numerator=variance * float(values @ values),
        variance_denominator=variance * len(values),
        covariance=variance * float(values.sum()),
        limits=_limits(plan, aggregate),
        confidence=confidence,
    )
