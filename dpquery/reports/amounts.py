"""Amounts as reports print them: six figures, spent rounded up, left rounded down, and odds for people."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

FIGURES = 6


def up(amount: float) -> float:
    """`amount` to six figures, rounded up.

    >>> up(2.0000001), up(1e-06), up(0.0)
    (2.00001, 1e-06, 0.0)
    """
    return _rounded(amount, ROUND_CEILING)


def down(amount: float) -> float:
    """`amount` to six figures, rounded down.

    >>> down(7.9999999)
    7.99999
    """
    return _rounded(amount, ROUND_FLOOR)


def up_or_none(amount: float | None) -> float | None:
    """The same; None stays None."""
    return None if amount is None else up(amount)


def share_up(share: float) -> float:
    """A share to a hundredth of a percent, rounded up, so that only what is unused shows as nothing."""
    return float(Decimal(repr(share)).quantize(Decimal("1e-4"), rounding=ROUND_CEILING))


def number_text(number: float) -> str:
    """A number as every form of a report writes it; exponents only where zeros would hide it.

    >>> number_text(30.0), number_text(0.00664), number_text(1e-06), number_text(12)
    ('30', '0.00664', '1e-06', '12')
    """
    if number == 0 or not 1e-4 <= abs(number) < 1e15:
        return f"{number:g}"
    return f"{Decimal(repr(number)).normalize():f}"


def percent_text(share: float) -> str:
    """A share as a percentage, without loss: `20.5 %`.

    >>> percent_text(0.205), percent_text(1.0)
    ('20.5 %', '100 %')
    """
    return f"{(Decimal(repr(share)) * 100).normalize():f} %"


def right_guesses(epsilon: float, delta: float) -> int:
    """Of 100 guesses whether a number is in the data, at even odds before, how many are right at most; rounded up.

    (e^epsilon + delta) / (1 + e^epsilon): Kairouz, Oh, Viswanath, ICML 2015, Theorem 2.1, for equal priors.
    """
    small = math.exp(-epsilon)
    return min(100, math.ceil(100.0 * (1.0 + delta * small) / (1.0 + small) - 1e-9))


def _rounded(amount: float, rounding: str) -> float:
    exact = Decimal(repr(amount))
    if not exact:
        return 0.0
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - FIGURES + 1), rounding=rounding))
