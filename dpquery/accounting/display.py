"""Amounts as people read them: spent rounds up, left rounds down, and the exact text loses nothing."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

NANO_DIGITS = 9
"""Decimal places of an epsilon."""
PICO_DIGITS = 12
"""Decimal places of a rho."""
ATTO_DIGITS = 18
"""Decimal places of a delta."""

INFINITE = "infinite"


def exact_text(amount: int | None, digits: int) -> str:
    """`amount` units of 10^-digits as decimal text without loss, `infinite` for None.

    >>> exact_text(1_500_000_000, NANO_DIGITS), exact_text(None, PICO_DIGITS), exact_text(1, ATTO_DIGITS)
    ('1.5', 'infinite', '0.000000000000000001')
    """
    if amount is None:
        return INFINITE
    text = f"{Decimal(amount).scaleb(-digits):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown_spent(amount: int | None, digits: int, *, places: int = 6) -> Decimal | None:
    """`amount` units of 10^-digits, rounded up to `places`; None stays None (infinite).

    >>> shown_spent(1, NANO_DIGITS, places=6)
    Decimal('0.000001')
    """
    return None if amount is None else _quantized(amount, digits, places, ROUND_CEILING)


def shown_left(amount: int, digits: int, *, places: int = 6) -> Decimal:
    """`amount` units of 10^-digits, rounded down to `places`.

    >>> shown_left(1_999_999_999, NANO_DIGITS, places=2)
    Decimal('1.99')
    """
    return _quantized(amount, digits, places, ROUND_FLOOR)


def _quantized(amount: int, digits: int, places: int, rounding: str) -> Decimal:
    return Decimal(amount).scaleb(-digits).quantize(Decimal(1).scaleb(-places), rounding=rounding)
