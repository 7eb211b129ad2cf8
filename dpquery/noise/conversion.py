"""Zero-concentrated privacy to (epsilon, delta) and back, by OpenDP's own curve."""

from __future__ import annotations

import functools
import math

from dpquery.errors import ensure

RELATIVE_STEP = 1e-9
"""How close, relatively, the inverse comes to the asked epsilon; always from below."""

STEPS_MAX = 40

CURVE_RHO_MAX = 100.0
"""Beyond it OpenDP's curve overflows, and the closed form rho + 2 sqrt(rho ln(1/delta)) stands in; it is never
below the curve (Bun, Steinke, TCC 2016, Prop. 1.3)."""


@functools.lru_cache(maxsize=4096)
def epsilon_of(rho: float, delta: float) -> float:
    """Smallest epsilon, rounded up, at which `rho`-zCDP implies (epsilon, delta)-DP."""
    from dpquery.noise.allowlist import gaussian_curve

    if rho <= 0.0:
        return 0.0
    if rho > CURVE_RHO_MAX:
        return math.nextafter(rho + 2.0 * math.sqrt(rho * math.log(1.0 / delta)), math.inf) * (1.0 + 1e-12)
    distance = math.sqrt(2.0 * rho)
    while distance * distance / 2.0 < rho:
        distance = math.nextafter(distance, math.inf)
    return max(0.0, float(gaussian_curve().map(distance).epsilon(delta)))


@functools.lru_cache(maxsize=1024)
def rho_within(epsilon: float, delta: float) -> float:
    """Largest rho, rounded down, with epsilon_of(rho, delta) <= epsilon; 0 where delta is 0.

    A bracketed secant (the Illinois rule): each step costs milliseconds, and a handful suffice.
    """
    ensure(epsilon > 0.0, "epsilon is positive")
    if delta <= 0.0:
        return 0.0
    log = math.log(1.0 / delta)
    low = (math.sqrt(log + epsilon) - math.sqrt(log)) ** 2  # where the closed form of epsilon_of gives epsilon
    high = low
    excess_low = epsilon_of(low, delta) - epsilon
    while excess_low > 0.0:  # rounding only: the closed form lies above the curve
        low *= 1.0 - 1e-12
        excess_low = epsilon_of(low, delta) - epsilon
    excess_high = excess_low
    while excess_high <= 0.0:
        high *= 1.5
        excess_high = epsilon_of(high, delta) - epsilon
    weight_low, weight_high = excess_low, excess_high
    for _ in range(STEPS_MAX):
        if excess_low >= -RELATIVE_STEP * epsilon:
            break
        middle = (low * weight_high - high * weight_low) / (weight_high - weight_low)
        if not low < middle < high:
            break
        excess = epsilon_of(middle, delta) - epsilon
        if excess <= 0.0:
            low, excess_low, weight_low, weight_high = middle, excess, excess, weight_high / 2.0
        else:
            high, weight_high, weight_low = middle, excess, weight_low / 2.0
    ensure(epsilon_of(low, delta) <= epsilon, "the inverse rounds down")
    return low
