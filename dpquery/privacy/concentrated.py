"""Rho of mechanisms that are pure: what integer Laplace noise and pure selections lose as zCDP, rounded up.

The rho of one coordinate that moves by d steps of size s = 1 / scale (`docs/guarantee.md`, "Rho of Laplace noise"):

* integer Laplace: f(d) = d s - s / sinh(s) * (1 - e^(-d s)), which is the Kullback-Leibler divergence;
* any d s-DP mechanism: g(d) = d s * tanh(d s / 2), which is f for one step of size d s.

Both are tight (Harrison, Manurangsi, arXiv 2510.25746, 2025; proved on our page too). With h either of them, h(0) = 0,
h(d) / d grows and h(d) / d^2 falls with d = 1, 2, ..., so that a vector of whole moves d_i loses in all at most

    h(L1),   L2^2 * h(1)   and   (L1 / Linf) * h(Linf).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from dpquery.errors import ensure

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.privacy.sensitivity import Sensitivity

_UP = Context(prec=60, rounding=ROUND_CEILING)
_DOWN = Context(prec=60, rounding=ROUND_FLOOR)
"""Sixty digits, so that what is lost to differences of nearly equal numbers is far below a unit of rho."""

STEP_MAX = Decimal(100)
"""From here on s / sinh(s), below 1e-40, counts as nothing: powers of e stay small numbers."""

_OfOneCoordinate: TypeAlias = "Callable[[Fraction, int], Decimal]"


def rho_of_laplace(scale: float, found: Sensitivity) -> Fraction:
    """Not below the rho of independent integer Laplace noise of `scale` on a vector of sensitivity `found`."""
    return _of_vector(_laplace, Fraction(scale), found)


def rho_of_pure(scale: float, found: Sensitivity) -> Fraction:
    """Not below the rho of independent mechanisms, the i-th of which is (d_i / scale)-DP, over moves within `found`."""
    return _of_vector(_pure, Fraction(scale), found)


def _of_vector(one: _OfOneCoordinate, scale: Fraction, found: Sensitivity) -> Fraction:
    ensure(scale > 0 and found.linf > 0, "there is noise, and something that moves")
    return min(
        Fraction(one(scale, found.l1)),
        found.l2_squared * Fraction(one(scale, 1)),
        Fraction(found.l1, found.linf) * Fraction(one(scale, found.linf)),
    )


def _laplace(scale: Fraction, steps: int) -> Decimal:
    least, most = _quotient(1, scale)
    missed = _DOWN.subtract(1, _exp_upwards(_UP.multiply(-steps, least)))
    return _UP.subtract(_quotient(steps, scale)[1], _DOWN.multiply(_step_over_sinh(most), missed))


def _pure(scale: Fraction, steps: int) -> Decimal:
    """X tanh(x / 2) = x (1 - e^-x) / (1 + e^-x), which grows with x."""
    _, most = _quotient(steps, scale)
    away = _exp_downwards(most.copy_negate())
    return _UP.multiply(most, _UP.divide(_UP.subtract(1, away), _DOWN.add(1, away)))


def _step_over_sinh(step: Decimal) -> Decimal:
    """Not above s / sinh(s), which falls: it is asked with the larger s."""
    if step > STEP_MAX:
        return Decimal(0)
    twice_sinh = _UP.subtract(_exp_upwards(step), _exp_downwards(step.copy_negate()))
    return min(Decimal(1), _DOWN.divide(_DOWN.multiply(2, step), twice_sinh))


def _quotient(steps: int, scale: Fraction) -> tuple[Decimal, Decimal]:
    """Steps / scale, rounded down and up."""
    numerator, denominator = Decimal(steps * scale.denominator), Decimal(scale.numerator)
    return _DOWN.divide(numerator, denominator), _UP.divide(numerator, denominator)


def _exp_upwards(power: Decimal) -> Decimal:
    """`Context.exp` rounds to the nearest, whatever the context says."""
    return _UP.next_plus(_UP.exp(power))


def _exp_downwards(power: Decimal) -> Decimal:
    return max(Decimal(0), _DOWN.next_minus(_DOWN.exp(power)))
