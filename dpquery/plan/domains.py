"""The values a key can take, where the policy, the calendar or the expression itself says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from dpquery.plan.calendar import CLOCK_PARTS, DAY_PARTS, NAMES, parts_of
from dpquery.plan.expressions import (
    And,
    Case,
    Coalesce,
    ColumnRef,
    Comparison,
    Expression,
    Function,
    InList,
    IsNull,
    Like,
    Lookup,
    Not,
    Or,
    Value,
    nullable,
)
from dpquery.plan.ranges import FIXED_RANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpquery.plan.catalog import NamedColumn
    from dpquery.plan.expressions import Constant


@dataclass(frozen=True, slots=True)
class Domain:
    """Every value an expression can take that is a key, in the order of the answer; NULL last."""

    values: tuple[Constant, ...]
    origin: str


def values_of(expression: Expression, columns: Mapping[str, NamedColumn]) -> Domain | None:
    """The domain of an expression over `columns`; None where it is not known without reading rows."""
    match expression:
        case ColumnRef(name=name):
            column = columns.get(name)
            if column is None or column.keys is None:
                return None
            return Domain(column.keys, column.keys_origin)
        case Value(value=value):
            return Domain((value,), "query")
        case Case(branches=branches, default=default):
            ends = [value for _, value in branches] + ([Value(None, expression.type)] if default is None else [default])
            return _united([values_of(end, columns) for end in ends], "query")
        case Coalesce(items=items):
            found = _united([values_of(item, columns) for item in items], "query")
            if found is None or nullable_domain(items, columns):
                return found
            return Domain(tuple(v for v in found.values if v is not None), found.origin)
        case Lookup(values=values):
            return Domain(_ordered((*values, None)), "public table")
        case Comparison() | And() | Or() | Not() | InList() | Like() | IsNull():
            return _with_null((False, True), "type", expression)
        case Function(type="boolean"):
            return _with_null((False, True), "type", expression)
        case Function(name=name, arguments=(item, *_)):
            listed = _of_function(name, values_of(item, columns) if name in DAY_PARTS else None)
            origin = "calendar" if name in DAY_PARTS | CLOCK_PARTS else "type"
            return None if listed is None else _with_null(listed, origin, expression)
        case _:
            return None


def _of_function(name: str, item: Domain | None) -> tuple[Constant, ...] | None:
    """The values of a function whose range does not depend on its argument, or whose argument is a known date."""
    dates = () if item is None else tuple(value for value in item.values if isinstance(value, date))
    if dates:
        return parts_of(name, dates)
    if name in NAMES:
        return NAMES[name]
    if name in FIXED_RANGES:
        return tuple(range(int(FIXED_RANGES[name].low), int(FIXED_RANGES[name].high) + 1))
    return None


def _with_null(values: tuple[Constant, ...], origin: str, expression: Expression) -> Domain:
    return Domain((*values, None) if nullable(expression) else values, origin)


def nullable_domain(items: tuple[Expression, ...], columns: Mapping[str, NamedColumn]) -> bool:
    """Whether COALESCE of `items` can be NULL, as far as domains tell."""
    last = values_of(items[-1], columns)
    return last is None or None in last.values


def _united(found: Iterable[Domain | None], origin: str) -> Domain | None:
    parts = list(found)
    listed: list[Constant] = []
    for part in parts:
        if part is None:
            return None
        listed += part.values
    return Domain(_ordered(tuple(listed)), origin)


def _ordered(values: tuple[Constant, ...]) -> tuple[Constant, ...]:
    """Each value once, NULL last."""
    known = dict.fromkeys(value for value in values if value is not None)
    return (*known, None) if None in values else tuple(known)
