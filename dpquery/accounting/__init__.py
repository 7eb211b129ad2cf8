"""Privacy losses, budgets, and whether one more charge fits: pure arithmetic on integers."""

from dpquery.accounting.admission import (
    Filters,
    FilterState,
    Fitting,
    admits,
    filters,
    largest_that_fits,
)
from dpquery.accounting.cap import Cap, split_delta
from dpquery.accounting.display import ATTO_DIGITS, NANO_DIGITS, PICO_DIGITS, exact_text, shown_left, shown_spent
from dpquery.accounting.loss import ATTO, NANO, NOTHING, PICO, SATURATED, Exact, Loss

__all__ = [
    "ATTO",
    "ATTO_DIGITS",
    "NANO",
    "NANO_DIGITS",
    "NOTHING",
    "PICO",
    "PICO_DIGITS",
    "SATURATED",
    "Cap",
    "Exact",
    "FilterState",
    "Filters",
    "Fitting",
    "Loss",
    "admits",
    "exact_text",
    "filters",
    "largest_that_fits",
    "shown_left",
    "shown_spent",
    "split_delta",
]
