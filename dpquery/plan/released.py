"""Which expressions over released values have an interval of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.plan.expressions import NUMERIC, Arithmetic, Case, Coalesce, ColumnRef, Function, Value, children

if TYPE_CHECKING:
    from dpquery.plan.expressions import Expression


def unreleasable(expression: Expression) -> str | None:
    """What in an expression over released values cannot carry an interval; None if nothing."""
    match expression:
        case Value(value=None):
            return None
        case Value() | ColumnRef():
            return None if expression.type in NUMERIC else f"a {expression.type}"
        case Arithmetic(left=left, right=right):
            return unreleasable(left) or unreleasable(right)
        case Case(branches=branches, default=default):
            ends = [value for _, value in branches] + ([] if default is None else [default])
            return next((reason for end in ends if (reason := unreleasable(end)) is not None), None)
        case Coalesce(items=items):
            return next((reason for item in items if (reason := unreleasable(item)) is not None), None)
        case Function(name=name):
            return name
        case _:
            return f"{type(expression).__name__.lower()}"


def released_columns(expression: Expression) -> frozenset[str]:
    """The released values that an expression reads, those in its conditions included."""
    if isinstance(expression, ColumnRef):
        return frozenset({expression.name})
    return frozenset().union(*(released_columns(part) for part in children(expression)))
