"""Bins of the histograms that means, variances and quantiles are read from, chosen from public knowledge alone."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpquery.plan.query import Bins

TWO_OWNER_BINS = 16
"""Bins where rows have two owners.

Each bin has a capacity of its own there, and the noise goes with their sum. With the sum held at SPREAD times the
cell's capacity, fewer bins are too coarse; in more bins each capacity gets so small that numbers whose rows are alike
lose them. On made-up heavy-tailed calls (k from 3 to 100, 10 rows per number) means and medians erred least at 12 to
24 bins; most of the error was of rows left out, and it grew with finer bins.
"""

SPREAD = 2.4
"""Capacity over all bins of a cell together, per unit of the cell's capacity: a number's rows spread over the bins."""

ONE_OWNER_BINS_MIN, ONE_OWNER_BINS_MAX = 16, 128


def bin_count(max_rows: int | None) -> int:
    """How many bins; `max_rows` bounds a number's rows where rows have one owner, None stands for two owners.

    One owner: the sensitivity is that of a count, whatever the bins. A quantile's error in rows goes with max_rows
    times the root of the bins, the width of a bin with one over them, so the best number goes with
    max_rows^(-2/3); 170 is fitted to made-up calls (ten thousand rows in a cell, epsilon 0.5, max_rows = 20: 23 bins).
    """
    if max_rows is None:
        return TWO_OWNER_BINS
    return min(ONE_OWNER_BINS_MAX, max(ONE_OWNER_BINS_MIN, round(170.0 / math.cbrt(max_rows) ** 2)))


def bin_capacity(max_rows_per_group: int, width: int) -> int:
    """Rows that one number may have in each of `width` bins: a share of the cell's, never more than all of it."""
    return min(max_rows_per_group, max(1, math.ceil(SPREAD * max_rows_per_group / width)))


def bin_edges(low: int, high: int, count: int, spacing: Bins) -> tuple[int, ...]:
    """Edges of at most `count` bins over the grid steps `low` to `high`; a bin for each step where these are few."""
    if spacing == "doubling":
        return _doubling_edges(low, high)
    if high - low < count:
        return tuple(range(low, high + 2))
    if spacing == "log" and low >= 0:
        return _log_edges(low, high, count)
    return tuple(round(low + (high + 1 - low) * i / count) for i in range(count + 1))


def _doubling_edges(low: int, high: int) -> tuple[int, ...]:
    """A bin for 0, then bins of 1, 2 to 3, 4 to 7 and so on to either side, as far as they lie within."""
    sizes = [2**i for i in range(max(abs(low), abs(high)).bit_length() + 1)]
    edges = {0, 1, *sizes, *(1 - size for size in sizes)}
    return (low, *sorted(edge for edge in edges if low < edge <= high), high + 1)


def _log_edges(low: int, high: int, count: int) -> tuple[int, ...]:
    """A bin for the lowest value alone (often 0: not answered), then bins of equal ratio."""
    span = high + 1 - low
    edges = {low, low + 1, high + 1}
    edges |= {low + max(1, round(span ** (i / (count - 1)))) for i in range(1, count - 1)}
    return tuple(sorted(edges))


def moments(edges: tuple[int, ...], spacing: Bins) -> list[tuple[float, float]]:
    """Of each bin between the edges, the mean and the mean square that stand for it, in steps."""
    return [bin_moments(first, end, spacing) for first, end in itertools.pairwise(edges)]


def bin_moments(first: int, end: int, spacing: Bins) -> tuple[float, float]:
    """Mean and mean square of the steps from `first` up to, not including, `end`, as they are taken to lie.

    A density that falls as 1/x within the bin when bins are logarithmic, the same for every step otherwise.
    """
    last = end - 1
    if first == last or spacing == "linear" or first <= 0:
        mean = (first + last) / 2
        return mean, mean**2 + ((last - first + 1) ** 2 - 1) / 12
    ratio = math.log(last / first)
    return (last - first) / ratio, (last**2 - first**2) / (2 * ratio)
