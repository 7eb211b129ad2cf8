"""Value bounds that a private release chooses: the request for that release, and the plan once they are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dpquery.errors import ensure
from dpquery.plan.query import Average, Output, Quantile, RequestedBounds, Sum, Variance, aggregate_column
from dpquery.plan.ranges import ValueRange
from dpquery.plan.released import released_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import Expression, ValueType
    from dpquery.plan.query import Aggregate, LogicalPlan

SHARE = (3, 20)
"""The part of a query's epsilon that chooses its bounds, 15 %; where they are stored already it is not spent."""

WIDEST: Mapping[ValueType, ValueRange] = {
    "integer": ValueRange(-(2.0**30), 2.0**30, 1.0),
    "decimal": ValueRange(-(2.0**20), 2.0**20, 2.0**-10),
}
"""Where bounds are looked for if nothing but the type of the values is known; larger values count as these."""


def chosen_for(aggregate: Aggregate) -> Sum | Average | Variance | Quantile | None:
    """The aggregate, if its bounds are to be chosen."""
    if isinstance(aggregate, Sum | Average | Variance | Quantile) and aggregate.auto:
        return aggregate
    return None


def waits_for_bounds(logical: LogicalPlan, output: Output) -> bool:
    """Whether the noise on an output is unknown, since bounds that it depends on are yet to be chosen."""
    waiting = {i for i, aggregate in enumerate(logical.aggregates) if chosen_for(aggregate) is not None}
    match output.kind:
        case "aggregate":
            return output.index in waiting
        case "expression":
            read = released_columns(logical.expressions[output.index])
            return any(aggregate_column(index) in read for index in waiting)
        case _:
            return False


def shares(logical: LogicalPlan, epsilon_nano: int) -> tuple[int, int]:
    """What each choice of bounds costs, and what is left for the answer, in nano-epsilon."""
    values = len(bounds_requests(logical))
    if not values:
        return 0, epsilon_nano
    part, whole = SHARE
    each = epsilon_nano * part // (whole * values)
    return each, epsilon_nano - values * each


def is_bounds_request(logical: LogicalPlan) -> bool:
    """Whether this is the request of `bounds_requests`, which chooses bounds for another."""
    return any(isinstance(a, Quantile) and a.bins == "doubling" for a in logical.aggregates)


def bounds_requests(logical: LogicalPlan) -> dict[Expression, LogicalPlan]:
    """For each value whose bounds are to be chosen, the request that chooses them.

    It reads the same rows without the groups, and does not depend on what is made of the values, so that the same
    values of the same rows are one question whoever asks for their sum, mean or median, by whatever keys.
    """
    found: dict[Expression, LogicalPlan] = {}
    for aggregate in map(chosen_for, logical.aggregates):
        if aggregate is not None and aggregate.argument not in found:
            found[aggregate.argument] = replace(
                logical,
                keys=(),
                aggregates=(Quantile(aggregate.argument, aggregate.clamp, 1.0, "doubling"),),
                outputs=(Output("largest", "aggregate", 0, "values by doubling bins", None),),
                requested_bounds=RequestedBounds(),
                expressions=(),
                having=None,
                order=(),
                limit=None,
            )
    return found


def with_bounds(logical: LogicalPlan, chosen: Mapping[int, tuple[float, float]]) -> LogicalPlan:
    """The plan with the bounds chosen for each aggregate, by its position; on the grid that the values have."""
    aggregates = list(logical.aggregates)
    for index, (low, high) in chosen.items():
        aggregate = chosen_for(aggregates[index])
        ensure(aggregate is not None, "bounds are chosen where none were given")
        if aggregate is not None:
            grid = aggregate.clamp.grid if aggregate.clamp not in WIDEST.values() else _own_grid(aggregate.argument)
            aggregates[index] = replace(aggregate, clamp=ValueRange(low, high, grid), auto=False)
    return replace(logical, aggregates=tuple(aggregates))


def _own_grid(argument: Expression) -> float | None:
    """Whole numbers keep theirs; other values get one by the width of the bounds, as given bounds do."""
    return 1.0 if argument.type == "integer" else None
