"""Variances off noisy sums, and the last steps to what was asked. Free: reads nothing but what was released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpquery.postprocessing.intervals import Estimates

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NoisySums:
    """Noisy sums of squares, of values (both about one centre) and of rows, with half-widths that hold together."""

    squares: NDArray[np.float64]
    values: NDArray[np.float64]
    rows: NDArray[np.float64]
    squares_reach: float
    values_reach: float
    rows_reach: float


def variance_of(sums: NoisySums, width: float) -> Estimates:
    """Variance with divisor n of values that lie within `width`, with the least and the most the sums allow.

    Q / n - (S / n)^2 rises with Q and falls with |S|; in n it has one peak, at 2 S^2 / Q, so over an interval it is
    largest there or at the nearer end, and least at an end. Where rows do not stand out from their noise the interval
    is everything from 0 to a quarter of the width squared (Popoviciu), and the value its middle.
    """
    most = width**2 / 4.0
    clear = sums.rows - sums.rows_reach >= 1.0
    fewest, rows = np.where(clear, sums.rows - sums.rows_reach, 1.0), np.where(clear, sums.rows, 1.0)
    many = rows + sums.rows_reach
    size = np.abs(sums.values)
    size_low, size_high = np.maximum(size - sums.values_reach, 0.0), size + sums.values_reach
    squares_low = np.maximum(sums.squares - sums.squares_reach, 0.0)
    squares_high = np.maximum(sums.squares + sums.squares_reach, 0.0)
    peak = 2.0 * size_low**2 / np.where(squares_high > 0.0, squares_high, 1.0)
    high = _variance(squares_high, size_low, np.clip(peak, fewest, many))
    low = np.minimum(_variance(squares_low, size_high, fewest), _variance(squares_low, size_high, many))
    value = np.clip(_variance(sums.squares, size, rows), 0.0, most)
    return Estimates(
        np.where(clear, value, most / 2.0),
        np.where(clear, np.minimum(np.clip(low, 0.0, most), value), 0.0),
        np.where(clear, np.maximum(np.clip(high, 0.0, most), value), most),
    )


def _variance(
    squares: NDArray[np.float64], size: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    return squares / rows - (size / rows) ** 2


def sampled(found: Estimates, rows: NDArray[np.float64], reach: float, width: float) -> Estimates:
    """With divisor n - 1: times n / (n - 1), over the rows that noise allows; the most is width^2 / 2 (two rows)."""
    most = width**2 / 2.0
    clear = rows - reach >= 2.0
    fewest, middle = np.where(clear, rows - reach, 2.0), np.where(clear, rows, 2.0)
    many = middle + reach
    value = np.clip(found.value * middle / (middle - 1.0), 0.0, most)
    low = np.minimum(found.low * many / (many - 1.0), value)
    high = np.maximum(np.minimum(found.high * fewest / (fewest - 1.0), most), value)
    return Estimates(np.where(clear, value, most / 2.0), np.where(clear, low, 0.0), np.where(clear, high, most))


def rooted(found: Estimates) -> Estimates:
    """Standard deviations of variances; the root rises, so the ends stay ends."""
    return Estimates(np.sqrt(found.value), np.sqrt(found.low), np.sqrt(found.high))
