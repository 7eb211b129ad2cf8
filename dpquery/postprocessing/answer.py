"""Noisy integers to the rows of an answer: columns with intervals, HAVING, ORDER BY and LIMIT. Free."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from dpquery.describe import column_names
from dpquery.plan.query import aggregate_column, group_values, key_column
from dpquery.postprocessing.computed import computed, passes
from dpquery.postprocessing.estimates import estimates, linear_noises
from dpquery.postprocessing.intervals import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dpquery.plan.query import Output
    from dpquery.postprocessing.intervals import Estimates
    from dpquery.privacy.calibrate import PrivacyPlan


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a release, column by column, in the order asked."""

    names: tuple[str, ...]
    columns: tuple[tuple[Any, ...], ...]
    noisy: tuple[NDArray[np.int64], ...] = field(default=(), repr=False, compare=False)
    """The released integers that the columns were computed from, (cells, width) for each part of the plan."""
    confidence: float = CONFIDENCE
    """With which each interval holds its value's noise."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """One mapping per row, with Python values."""
        for values in zip(*self.columns, strict=True):
            yield dict(zip(self.names, values, strict=True))


def answer(plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]], confidence: float = CONFIDENCE) -> Answer:
    """Noisy integers as named columns: each value with its interval and whether that is narrow enough to be of use."""
    logical = plan.bounded.logical
    found = estimates(plan, noisy)
    if confidence != CONFIDENCE:
        # Values stay what they are, and with them what HAVING and ORDER BY make of them: only intervals change.
        wanted = estimates(plan, noisy, confidence)
        found = tuple(own.within(other) for own, other in zip(found, wanted, strict=True))
    keys = {key_column(i): group_values(logical, i) for i in range(len(logical.keys))}
    values = {aggregate_column(i): estimate for i, estimate in enumerate(found)}
    noises = {aggregate_column(i): noise for i, noise in enumerate(linear_noises(plan, noisy)) if noise is not None}

    @cache
    def at(other: float) -> Mapping[str, Estimates]:
        return {aggregate_column(i): estimate for i, estimate in enumerate(estimates(plan, noisy, other))}

    columns: dict[str, list[Any]] = {}
    sorted_by: list[Sequence[Any]] = []
    for output in logical.outputs:
        if output.kind == "key":
            shown: dict[str, list[Any]] = {output.name: keys[key_column(output.index)]}
        else:
            of = logical.outputs[output.index] if output.is_end else output
            if of.kind == "aggregate":
                estimate = found[of.index]
            else:
                expression = logical.expressions[of.index]
                estimate = computed(expression, values, keys, noisy=noises, at=at, confidence=confidence)
            if output.is_end:
                shown = {output.name: _known(estimate.low if output.kind == "low" else estimate.high)}
            else:
                shown = _value_columns(output, estimate)
        sorted_by.append(shown[output.name])
        if not output.hidden:
            columns |= shown
    positions = list(range(logical.cells))
    if logical.having is not None:
        positions = passes(logical.having, values, keys, logical.cells)
    for ordering in reversed(logical.order):
        positions = _sorted(positions, sorted_by[ordering.output], descending=ordering.descending)
    positions = positions[: logical.limit] if logical.limit is not None else positions
    chosen = tuple(tuple(values[i] for i in positions) for values in columns.values())
    return Answer(tuple(columns), chosen, tuple(noisy), confidence)


def _value_columns(output: Output, estimate: Estimates) -> dict[str, list[Any]]:
    low, high, useful = column_names(output)
    return {
        output.name: _known(estimate.value),
        low: _known(estimate.low),
        high: _known(estimate.high),
        useful: estimate.useful.tolist(),
    }


def _known(values: NDArray[np.float64] | NDArray[np.int64]) -> list[Any]:
    """Python numbers, None where there is none."""
    found = values.tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in found]


def _sorted(positions: list[int], column: Sequence[Any], *, descending: bool) -> list[int]:
    """Positions by their value in `column`, equal ones in their order; NULL stands last either way, as in DuckDB."""
    known = [i for i in positions if column[i] is not None]
    return sorted(known, key=lambda i: column[i], reverse=descending) + [i for i in positions if column[i] is None]
