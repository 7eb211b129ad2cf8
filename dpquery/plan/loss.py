"""What a request loses to its bounds, as a request of its own: kept rows at several bounds, and values past a clamp."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from dpquery.errors import UsageError
from dpquery.plan.expressions import Case, Comparison, Or, Value
from dpquery.plan.query import (
    Average,
    CountKept,
    CountRows,
    LogicalPlan,
    Output,
    Quantile,
    Sum,
    Variance,
    written,
)
from dpquery.plan.relations import PerNumber

if TYPE_CHECKING:
    from dpquery.plan.expressions import Expression

TIMES = (0.5, 1.0, 2.0, 4.0)
"""The bounds at which kept rows are counted, in units of the request's own; the last stands for no bound at all.

Noise goes with the bound, so most of the price is for the last. A wider last one would see more of a heavy tail and
know all of it less well: at 8 times the noise on the share is twice that at 4, to find what is a fraction of the loss.
"""


@dataclass(frozen=True, slots=True)
class Level:
    """Kept rows at `times` the bounds."""

    times: float


@dataclass(frozen=True, slots=True)
class Clamped:
    """Rows whose value lies past the clamp of an aggregate, of those kept at `times` the bounds."""

    sql: str
    """The aggregate as the request wrote it."""
    low: float
    high: float
    times: float


Counted: TypeAlias = Level | Clamped


@dataclass(frozen=True, slots=True)
class LossRequest:
    """The request that measures the loss, and what each of its outputs counts."""

    logical: LogicalPlan
    counted: tuple[Counted, ...]


def loss_request(logical: LogicalPlan) -> LossRequest:
    """The request for the loss of `logical`: the same rows and groups, over all groups together.

    UsageError where no aggregate is made of rows that bounds leave out.
    """
    if not any(_of_rows(aggregate) for aggregate in logical.aggregates):
        raise UsageError(
            "DPQ-002",
            "this query counts numbers, pairs or values, or clamps each number's total: bounds leave out no rows of it",
            fix="ask for the bounding loss of a query with COUNT(*), SUM, AVG or a quantile",
        )
    if isinstance(logical.relation, PerNumber) and not logical.relation.keys:
        raise UsageError(
            "DPQ-002",
            "a number has one row here, and bounds keep it: nothing is left out",
            fix="ask for the bounding loss of the inner query's rows",
        )
    if logical.selects_groups:
        raise UsageError(
            "DPQ-002",
            "the groups of this query are not declared, so nobody knows in how many of them rows are bounded",
            fix="ask for the bounding loss of a query without GROUP BY, or with declared keys",
        )
    keys = logical.keys
    aggregates = [CountKept(keys, times) for times in TIMES]
    outputs = [
        Output(
            f"kept_x{times:g}".replace(".", "_"),
            "aggregate",
            i,
            f"rows kept at {times:g} times the bounds",
            logical.table,
        )
        for i, times in enumerate(TIMES)
    ]
    counted: list[Counted] = [Level(times) for times in TIMES]
    # Of rows with two owners, those past the clamp have a greedy of their own, and fill slots that others shared: under
    # tight bounds they would seem more than they are.
    among = 1.0 if logical.one_owner else TIMES[-1]
    for index, aggregate in enumerate(logical.aggregates):
        if isinstance(aggregate, Sum | Average | Variance | Quantile) and _of_rows(aggregate) and not aggregate.auto:
            low, high = aggregate.clamp.low, aggregate.clamp.high
            past = CountKept(keys, among, _past(aggregate.argument, low, high))
            if past in aggregates:
                continue
            sql = written(logical, index)
            text = f"rows whose value in {sql} is outside {low:g} to {high:g}"
            outputs.append(Output(f"past_{index}", "aggregate", len(aggregates), text, logical.table))
            counted.append(Clamped(sql, low, high, among))
            aggregates.append(past)
    plain = replace(
        logical,
        keys=(),
        aggregates=tuple(aggregates),
        outputs=tuple(outputs),
        expressions=(),
        having=None,
        order=(),
        limit=None,
    )
    return LossRequest(plain, tuple(counted))


def _of_rows(aggregate: object) -> bool:
    if isinstance(aggregate, Sum):
        return not aggregate.per_group
    return isinstance(aggregate, CountRows | Average | Variance | Quantile)


def _past(argument: Expression, low: float, high: float) -> Expression:
    """1 where the value is outside the clamp, else NULL."""
    outside = Or(
        (
            Comparison("<", argument, Value(low, "decimal")),
            Comparison(">", argument, Value(high, "decimal")),
        )
    )
    return Case(((outside, Value(1, "integer")),), None, "integer")
