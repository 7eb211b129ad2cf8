"""Row expressions: closed, typed, and total (no row can make one fail).

Every node stands for a function of one row's own content, so that filters and values never look at other rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, TypeAlias

ValueType = Literal["integer", "decimal", "text", "boolean", "date", "timestamp"]

Constant: TypeAlias = int | float | str | bool | date | datetime | None

ArithmeticOperator = Literal["+", "-", "*", "/"]
ComparisonOperator = Literal["=", "<>", "<", "<=", ">", ">="]
TimeUnit = Literal["hour", "day", "week", "month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """The value of a declared or derived column, which may be NULL."""

    name: str
    type: ValueType


@dataclass(frozen=True, slots=True)
class Value:
    """A constant from the query; `None` is NULL. It reaches the engine as a parameter only."""

    value: Constant
    type: ValueType


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Computed in double precision; division by zero and results that are not finite are NULL."""

    operator: ArithmeticOperator
    left: Expression
    right: Expression
    type: ValueType


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: ComparisonOperator
    left: Expression
    right: Expression
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class And:
    items: tuple[Expression, ...]
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class Or:
    items: tuple[Expression, ...]
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class Not:
    item: Expression
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class IsNull:
    item: Expression
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class InList:
    item: Expression
    values: tuple[Value, ...]
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class Like:
    """`item LIKE pattern` with the wildcards % and _ only, upper and lower case told apart."""

    item: Expression
    pattern: str
    type: Literal["boolean"] = "boolean"


@dataclass(frozen=True, slots=True)
class Case:
    """The first branch whose condition is true, else `default` (NULL where None)."""

    branches: tuple[tuple[Expression, Expression], ...]
    default: Expression | None
    type: ValueType


@dataclass(frozen=True, slots=True)
class Coalesce:
    items: tuple[Expression, ...]
    type: ValueType


@dataclass(frozen=True, slots=True)
class TimeTruncation:
    """Start of the hour, day, ISO week, month, quarter or year (UTC) that a time falls in."""

    unit: TimeUnit
    item: Expression
    type: ValueType


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a public table has for a key: `values[i]` where `item` equals `keys[i]`, NULL where no key does."""

    item: Expression
    keys: tuple[str, ...]
    values: tuple[Constant, ...]
    type: ValueType
    source: str = field(compare=False)
    """The column of the public table, as `table.column`; no part of what is asked."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the registry in `plan/functions.py`, by its name there; total like everything else."""

    name: str
    arguments: tuple[Expression, ...]
    type: ValueType


Expression: TypeAlias = (
    ColumnRef
    | Value
    | Arithmetic
    | Comparison
    | And
    | Or
    | Not
    | IsNull
    | InList
    | Like
    | Case
    | Coalesce
    | TimeTruncation
    | Lookup
    | Function
)

NUMERIC: frozenset[ValueType] = frozenset({"integer", "decimal"})


def children(expression: Expression) -> tuple[Expression, ...]:
    """The direct parts of an expression."""
    match expression:
        case ColumnRef() | Value():
            return ()
        case Arithmetic(left=left, right=right) | Comparison(left=left, right=right):
            return (left, right)
        case And(items=items) | Or(items=items) | Coalesce(items=items):
            return items
        case Not(item=item) | IsNull(item=item) | Like(item=item) | TimeTruncation(item=item) | Lookup(item=item):
            return (item,)
        case InList(item=item, values=values):
            return (item, *values)
        case Function(arguments=arguments):
            return arguments
        case Case(branches=branches, default=default):
            pairs = tuple(part for branch in branches for part in branch)
            return pairs if default is None else (*pairs, default)


def columns_in(expression: Expression) -> frozenset[str]:
    """Names of the columns that an expression reads."""
    if isinstance(expression, ColumnRef):
        return frozenset({expression.name})
    return frozenset().union(*(columns_in(part) for part in children(expression)))


def nullable(expression: Expression) -> bool:
    """Whether some row could make the expression NULL; columns may always be NULL."""
    match expression:
        case Value(value=value):
            return value is None
        case Case(branches=branches, default=default):
            return default is None or nullable(default) or any(nullable(value) for _, value in branches)
        case Coalesce(items=items):
            return all(nullable(item) for item in items)
        case IsNull() | Function(name="is_distinct"):
            return False
        case Not(item=item):
            return nullable(item)
        case And(items=items) | Or(items=items):
            return any(nullable(item) for item in items)
        case _:
            return True


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """The parts of a condition that must all be true."""
    if isinstance(expression, And):
        return tuple(part for item in expression.items for part in conjuncts(item))
    return (expression,)
