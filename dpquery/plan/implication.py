"""What a query's conditions say of each row for certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.plan.expressions import ColumnRef, Comparison, InList, Value

if TYPE_CHECKING:
    from dpquery.plan.expressions import Constant, Expression


def implies(conditions: tuple[Expression, ...], test: Expression) -> bool:
    """Whether a row that meets all `conditions` surely meets `test`: one is the test, or fixes its column within it."""
    if any(condition == test for condition in conditions):
        return True
    for condition in conditions:
        fixed = fixed_values(condition)
        if fixed is None:
            continue
        column, values = fixed
        match test:
            case Comparison(operator="<>", left=ColumnRef() as own, right=Value() as excluded) if own.name == column:
                if _alike(own, excluded) and excluded.value not in values:
                    return True
            case Comparison(operator="=", left=ColumnRef() as own, right=Value() as wanted) if own.name == column:
                if _alike(own, wanted) and values == {wanted.value}:
                    return True
            case InList(item=ColumnRef() as own, values=members) if own.name == column:
                if _alike(own, *members) and values <= {member.value for member in members}:
                    return True
            case _:
                continue
    return False


def fixed_values(condition: Expression) -> tuple[str, set[Constant]] | None:
    """The column that a condition pins to a set of constants, and that set."""
    match condition:
        case Comparison(operator="=", left=ColumnRef() as column, right=Value() as value) if _alike(column, value):
            return column.name, {value.value}
        case InList(item=ColumnRef() as column, values=values) if _alike(column, *values):
            return column.name, {value.value for value in values}
        case _:
            return None


def _alike(column: ColumnRef, *values: Value) -> bool:
    """Whether constants have the column's own type and are not NULL: then Python's equality is the engine's."""
    return all(value.type == column.type and value.value is not None for value in values)
