"""Sensitivities and an asked loss to mechanisms, scales and a price."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

from dpquery.accounting import Loss
from dpquery.errors import BudgetRefused, broken, ensure
from dpquery.privacy.concentrated import rho_of_laplace, rho_of_pure
from dpquery.privacy.measure import (
    HistogramMeasurement,
    QuantileMeasurement,
    SquaresMeasurement,
    SumMeasurement,
    measure,
)
from dpquery.privacy.sensitivity import Sensitivity, sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dpquery.privacy.bound import BoundedPlan
    from dpquery.privacy.measure import Measurement, Reading

MechanismName = Literal["laplace", "gaussian"]
SelectionName = Literal["permute-and-flip", "exponential"]
"""Mechanisms that select a quantile's bin: of pure loss (McKenna, Sheldon, NeurIPS 2020), and by rho."""

NANO = 10**9
PICO = 10**12

ROUNDING = 1.0 + 2.0**-48
"""Scales are this much larger than the closed form, so that loss maps, which round up, stay within the plan."""

LAPLACE_95 = math.log(20.0)
GAUSSIAN_95 = 1.959963984540054
"""Half-width of a 95 % interval, per unit of scale."""


@dataclass(frozen=True, slots=True)
class CalibratedMeasurement:
    """One measurement with its noise and its share of the loss."""

    measurement: Measurement
    sensitivity: Sensitivity
    mechanism: MechanismName | SelectionName
    scale: float
    loss: Loss


@dataclass(frozen=True, slots=True)
class Selection:
    """How groups are selected that are not declared: by the noisy count of their numbers, the plan's first part.

    A group that only one number is in shows with a small chance; over the groups that number can be in, these chances
    make the delta of that part. All else is as if the groups had been declared.
    """

    threshold: int
    """A group shows if its noisy numbers are strictly more."""


class ThresholdOf(Protocol):
    """Type of the function that finds thresholds (`noise.thresholds.threshold_of`)."""

    def __call__(self, mechanism: MechanismName, scale: float, groups: int, delta: float, least: int) -> Threshold:
        """The least threshold, from `least` on, whose delta over `groups` groups is at most `delta`."""


class Threshold(Protocol):
    """A threshold and what it costs."""

    @property
    def value(self) -> int: ...

    @property
    def delta(self) -> Fraction: ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the policy says of selecting groups, and how their thresholds are found."""

    delta: float
    """Most delta of one release."""
    min_people: int
    """Least threshold."""
    threshold_of: ThresholdOf


@dataclass(frozen=True, slots=True)
class PrivacyPlan:
    """Everything that is decided before any data are read."""

    bounded: BoundedPlan
    parts: tuple[CalibratedMeasurement, ...]
    readings: tuple[Reading, ...]
    mechanism: MechanismName
    asked_epsilon: int
    """What was asked, in nano-epsilon."""
    delta_release: float
    """Delta at which epsilon describes a Gaussian release; not summed."""
    selection: Selection | None = None
    """Of groups that are not declared; the first part is what they are selected by."""

    @property
    def loss(self) -> Loss:
        """The whole release: parts add."""
        total = self.parts[0].loss
        for part in self.parts[1:]:
            total = total + part.loss
        return total


def calibrate(
    bounded: BoundedPlan,
    epsilon_nano: int,
    *,
    delta_release: float,
    gaussian_allowed: bool,
    rho_within: Callable[[float, float], float],
    thresholds: Thresholds | None = None,
) -> tuple[PrivacyPlan, ...]:
    """Split `epsilon_nano` over the measurements by least total error: a plan per mechanism, the better one first.

    Laplace spends pure epsilon; Gaussian the largest rho whose curve at `delta_release` stays within epsilon (never
    epsilon^2 / 2). `rho_within(epsilon, delta)` is that conversion. `thresholds` are needed where groups are selected.
    BudgetRefused where the measurements are more than the units of loss.
    """
    ensure(epsilon_nano > 0, "the asked epsilon is positive")
    measurements, readings = measure(bounded)
    if epsilon_nano < len(measurements):
        raise BudgetRefused(
            "DPQ-204",
            f"epsilon = {epsilon_nano / NANO:g} is too little to share out over {len(measurements)} measurements",
            fix=f"--epsilon {len(measurements) / NANO:g}",
        )
    sensitivities = [sensitivity(m, bounded) for m in measurements]
    selected = any(isinstance(m, QuantileMeasurement) for m in measurements)
    weights = [one_row(m, for_intervals=selected) for m in measurements]
    options: list[tuple[MechanismName, tuple[CalibratedMeasurement, ...]]] = []
    options.append(("laplace", _laplace(epsilon_nano, measurements, sensitivities, weights)))
    if gaussian_allowed:
        rho_pico = math.floor(Fraction(rho_within(epsilon_nano / NANO, delta_release)) * PICO)
        if rho_pico >= len(measurements):
            options.append(("gaussian", _gaussian(rho_pico, measurements, sensitivities, weights)))
    options.sort(key=lambda option: _total_error(option[1], weights))
    return tuple(
        _selecting(PrivacyPlan(bounded, parts, readings, mechanism, epsilon_nano, delta_release), thresholds)
        for mechanism, parts in options
    )


def _selecting(plan: PrivacyPlan, thresholds: Thresholds | None) -> PrivacyPlan:
    """The plan with the threshold of its first part, whose delta joins that part's loss."""
    if not plan.bounded.logical.selects_groups:
        return plan
    if thresholds is None:
        broken("groups are selected only where the policy says so")
    first = plan.parts[0]
    found = thresholds.threshold_of(
        plan.mechanism, first.scale, first.sensitivity.l1, thresholds.delta, thresholds.min_people
    )
    charged = replace(first, loss=first.loss + Loss.of(0, rho=0, delta=found.delta))
    return replace(plan, parts=(charged, *plan.parts[1:]), selection=Selection(found.value))


def one_row(measurement: Measurement, *, for_intervals: bool) -> float:
    """What one row can add to the answer, in units of the noise, so that errors of all answers are compared in rows.

    A sum: the largest value; of squares: the largest square. A histogram of B bins: a quantile is where the rows up to
    a bin make up its share, and the median is off by the noise of B bins, each halved: sqrt(B) / 2 rows per unit of
    scale. A mean or a variance is off by about as many rows of the largest value: sqrt(B / 3). A selected quantile of
    fraction part / whole is off by about 2 scale / whole rows; a histogram that only its interval is read off matters
    half as much.
    """
    match measurement:
        case SumMeasurement() | SquaresMeasurement():
            return float(max(1, measurement.largest))
        case HistogramMeasurement(width=width):
            return (4.0 if for_intervals else 2.0) / math.sqrt(width)
        case QuantileMeasurement(whole=whole):
            return whole / 2.0
        case _:
            return 1.0


def _total_error(parts: Sequence[CalibratedMeasurement], weights: Sequence[float]) -> float:
    """Sum of squared 95 % half-widths, each in rows."""
    factors = [GAUSSIAN_95 if part.mechanism == "gaussian" else LAPLACE_95 for part in parts]
    triples = zip(factors, parts, weights, strict=True)
    return math.fsum((factor * part.scale / weight) ** 2 for factor, part, weight in triples)


def _laplace(
    epsilon_nano: int, measurements: Sequence[Measurement], found: Sequence[Sensitivity], weights: Sequence[float]
) -> tuple[CalibratedMeasurement, ...]:
    """Scales L1 / epsilon_i; their squared sum, in rows, is least when epsilon_i goes with (L1_i / weight_i)^(2/3)."""
    shares = _split(epsilon_nano, [(s.l1 / w) ** (2 / 3) for s, w in zip(found, weights, strict=True)])
    parts = []
    for measurement, sensitivity_, share in zip(measurements, found, shares, strict=True):
        scale = sensitivity_.l1 / (share / NANO) * ROUNDING
        if isinstance(measurement, QuantileMeasurement):
            # Scores move both ways, so that selecting by twice the scale loses d / scale in each cell.
            loss = Loss.of(Fraction(share, NANO), rho=rho_of_pure(scale, sensitivity_))
            part = CalibratedMeasurement(measurement, sensitivity_, "permute-and-flip", 2.0 * scale, loss)
        else:
            part = CalibratedMeasurement(
                measurement, sensitivity_, "laplace", scale, laplace_loss(share, sensitivity_, scale)
            )
        parts.append(part)
    return tuple(parts)


def laplace_loss(epsilon_nano: int, found: Sensitivity, scale: float) -> Loss:
    """Loss of independent integer Laplace noise on a vector: coordinate i is (d_i / scale)-DP, and these add."""
    return Loss.of(Fraction(epsilon_nano, NANO), rho=rho_of_laplace(scale, found))


def _gaussian(
    rho_pico: int, measurements: Sequence[Measurement], found: Sequence[Sensitivity], weights: Sequence[float]
) -> tuple[CalibratedMeasurement, ...]:
    """Scales L2 / sqrt(2 rho_i); sum of (scale_i / weight_i)^2 is least when rho_i goes with L2_i / weight_i."""
    shares = _split(rho_pico, [math.sqrt(s.l2_squared) / w for s, w in zip(found, weights, strict=True)])
    parts = []
    for measurement, sensitivity_, share in zip(measurements, found, shares, strict=True):
        scale = l2_upwards(sensitivity_) / math.sqrt(2 * share / PICO) * ROUNDING
        # Selecting by scale s is (d / s)^2 / 2-zCDP in each cell, as Gaussian noise is (Cesar, Rogers, ALT 2021).
        name: MechanismName | SelectionName = (
            "exponential" if isinstance(measurement, QuantileMeasurement) else "gaussian"
        )
        loss = Loss.of(None, rho=Fraction(share, PICO), delta=Fraction(0))
        parts.append(CalibratedMeasurement(measurement, sensitivity_, name, scale, loss))
    return tuple(parts)


def l2_upwards(found: Sensitivity) -> float:
    """The L2 sensitivity as a float that is not below the exact root."""
    root = math.sqrt(found.l2_squared)
    while Fraction(root) ** 2 < found.l2_squared:
        root = math.nextafter(root, math.inf)
    return root


def _split(total: int, weights: Sequence[float]) -> list[int]:
    """Whole units of `total` in proportion to `weights`, at least one each, adding up to `total` exactly."""
    ensure(total >= len(weights), "each part has at least one unit of loss")
    whole = math.fsum(weights)
    spare = total - len(weights)
    shares = [1 + math.floor(spare * (weight / whole)) for weight in weights]
    while sum(shares) > total:  # only by float rounding of the proportions
        shares[shares.index(max(shares))] -= 1
    shares[0] += total - sum(shares)
    return shares
