"""Texts that a request compares a column with although they are none of its declared values: mostly misspelt."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from dpquery.plan.expressions import ColumnRef, Comparison, InList, Value, children
from dpquery.plan.relations import Joined, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.plan.catalog import NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import LogicalPlan


def unlisted_values(logical: LogicalPlan, table: NamedTable) -> tuple[str, ...]:
    """A sentence for each such text in WHERE, from the policy alone: whether any row has it is not looked at.

    `table` is the one whose rows the request reads. Columns of inner queries and of joined tables are not looked at.
    """
    source = logical.relation
    while isinstance(source, Joined):
        source = source.source
    if not isinstance(source, Stored):
        return ()
    found: list[str] = []
    for column, text in (pair for condition in logical.where for pair in _compared(condition)):
        named = table.columns.get(column)
        if named is None or named.type != "text" or not named.keys or text in named.keys:
            continue
        known = {str(key).lower(): str(key) for key in named.keys if key is not None}
        near = get_close_matches(text.lower(), known, n=1, cutoff=0.6)
        meant = f"; {known[near[0]]!r} is" if near else ""
        found.append(f"{text[:64]!r} is not among the declared values of {column}{meant}")
    return tuple(dict.fromkeys(found))


def _compared(expression: Expression) -> Iterator[tuple[str, str]]:
    """Pairs of a column and a text that it is equal to, or not, anywhere in an expression."""
    match expression:
        case Comparison(operator="=" | "<>", left=ColumnRef(name=name), right=Value(value=str(text))):
            yield name, text
        case Comparison(operator="=" | "<>", left=Value(value=str(text)), right=ColumnRef(name=name)):
            yield name, text
        case InList(item=ColumnRef(name=name), values=values):
            yield from ((name, value.value) for value in values if isinstance(value.value, str))
        case _:
            for part in children(expression):
                yield from _compared(part)
