"""Expressions that are sums of noisy values, or one such sum over another: their noise is known as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpquery.noise.tails import deviations
from dpquery.plan.expressions import Arithmetic, ColumnRef, Expression, Value
from dpquery.postprocessing.intervals import Estimates, fieller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NoisyValue:
    """A released column that is the truth plus one noise of mean 0 in each cell."""

    value: NDArray[np.float64]
    part: int
    """Which noise; columns of the same part have the very same."""
    deviation: float


@dataclass(frozen=True, slots=True)
class LinearForm:
    """constant + sum of weight times noisy value; constant and weights have shape (cells,), or are one number."""

    constant: NDArray[np.float64]
    weights: Mapping[int, NDArray[np.float64]]
    """By the part whose noise it is."""

    def plus(self, other: LinearForm, sign: float = 1.0) -> LinearForm:
        parts = self.weights.keys() | other.weights.keys()
        nothing = np.zeros(())
        return LinearForm(
            self.constant + sign * other.constant,
            {p: self.weights.get(p, nothing) + sign * other.weights.get(p, nothing) for p in parts},
        )

    def times(self, factor: NDArray[np.float64]) -> LinearForm:
        return LinearForm(self.constant * factor, {part: weight * factor for part, weight in self.weights.items()})

    def covariance(self, other: LinearForm, deviations_of: Mapping[int, float]) -> NDArray[np.float64]:
        """Of the noises of both: different parts are independent."""
        shared = self.weights.keys() & other.weights.keys()
        zero = np.zeros(())
        return sum((self.weights[p] * other.weights[p] * deviations_of[p] ** 2 for p in shared), zero)


@dataclass(frozen=True, slots=True)
class Quotient:
    """One form over another; over the constant 1 it is the form itself."""

    top: LinearForm
    bottom: LinearForm

    @property
    def is_linear(self) -> bool:
        return not self.bottom.weights

    @property
    def is_constant(self) -> bool:
        return not self.top.weights and not self.bottom.weights


def interval(
    expression: Expression,
    noisy: Mapping[str, NoisyValue],
    keys: Mapping[str, Sequence[object]],
    confidence: float,
) -> Estimates | None:
    """The interval of `expression` where it is such a form over several noises; None otherwise.

    A sum is its value +/- z standard deviations of all its noise, where z covers any weighted sum of our noises. For a
    quotient A / B with the true value r, A - r B is such a sum of mean 0, so that Fieller's interval covers r as often.
    Where B does not stand out from its noise the ends are NaN.
    """
    form = _quotient(expression, noisy, keys)
    if form is None or len(form.top.weights.keys() | form.bottom.weights.keys()) < 2:
        return None
    deviations_of = {column.part: column.deviation for column in noisy.values()}
    values = {column.part: column.value for column in noisy.values()}
    top, bottom = (_value(part, values) for part in (form.top, form.bottom))
    spread = form.top.covariance(form.top, deviations_of)
    if form.is_linear:
        with np.errstate(all="ignore"):
            reach = deviations(confidence) * np.sqrt(spread) / np.abs(bottom)
            value = top / bottom
            return Estimates(value, value - reach, value + reach)
    clear, low, high = fieller(
        top,
        bottom,
        variance_numerator=spread,
        variance_denominator=form.bottom.covariance(form.bottom, deviations_of),
        covariance=form.top.covariance(form.bottom, deviations_of),
        confidence=confidence,
    )
    with np.errstate(all="ignore"):
        value = np.where(bottom == 0.0, np.nan, top / bottom)
    return Estimates(value, np.where(clear, low, np.nan), np.where(clear, high, np.nan))


def _value(form: LinearForm, values: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    return sum((weight * values[part] for part, weight in form.weights.items()), form.constant)


_ONE = LinearForm(np.ones(()), {})


def _quotient(
    expression: Expression, noisy: Mapping[str, NoisyValue], keys: Mapping[str, Sequence[object]]
) -> Quotient | None:
    match expression:
        case Value(value=int() | float() as number):
            return Quotient(LinearForm(np.float64(number) * np.ones(()), {}), _ONE)
        case ColumnRef(name=name) if name in noisy:
            return Quotient(LinearForm(np.zeros(()), {noisy[name].part: np.ones(())}), _ONE)
        case ColumnRef(name=name) if name in keys:
            known = [np.nan if key is None else float(key) for key in keys[name]]  # type: ignore[arg-type]
            return Quotient(LinearForm(np.array(known, np.float64), {}), _ONE)
        case Arithmetic(operator=sign, left=left, right=right):
            one, other = _quotient(left, noisy, keys), _quotient(right, noisy, keys)
            if one is None or other is None:
                return None
            return _combined(sign, one, other)
        case _:
            return None


def _combined(sign: str, one: Quotient, other: Quotient) -> Quotient | None:
    """Sums, multiples and quotients that are still one form over another; None for products of noises."""
    match sign:
        case "+" | "-":
            direction = 1.0 if sign == "+" else -1.0
            if one.is_linear and other.is_linear:
                with np.errstate(all="ignore"):
                    factors = 1.0 / one.bottom.constant, 1.0 / other.bottom.constant
                return Quotient(one.top.times(factors[0]).plus(other.top.times(factors[1]), direction), _ONE)
            return None
        case "*":
            if not one.is_constant and not other.is_constant:
                return None
            number, form = (one, other) if one.is_constant else (other, one)
            return Quotient(form.top.times(number.top.constant), form.bottom.times(number.bottom.constant))
        case _:
            if not other.is_linear or not one.is_linear:
                return None
            return Quotient(one.top.times(other.bottom.constant), other.top.times(one.bottom.constant))
