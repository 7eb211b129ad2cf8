"""Who owns the rows of a SELECT, and at what times they can be: what bounding and budgets rely on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dpquery.plan.expressions import ColumnRef, columns_in
from dpquery.plan.implication import implies
from dpquery.plan.keys import TimeRange, days, time_range_of
from dpquery.plan.relations import Joined, Selection, Stored, UnionAll, leaves
from dpquery.plan.substitution import substituted
from dpquery.sql.row_tests import resolve_row_test

if TYPE_CHECKING:
    from sqlglot import exp

    from dpquery.plan.expressions import Expression
    from dpquery.plan.relations import Relation
    from dpquery.sql.context import Context
    from dpquery.sql.scope import Rows

TWO_WAYS = (
    "SELECT n, COUNT(*) FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) GROUP BY number) GROUP BY n"
    "\nor SELECT COUNT(*) FROM (SELECT number FROM either_party(calls) GROUP BY number HAVING COUNT(*) >= 5)"
)

NUMBER = "number"
"""The privacy id of `either_party(calls)`: a number in any role."""


def check_own_rows(rows: Rows, node: exp.Expr, context: Context) -> None:
    """QueryRefused for rows per number that are made of rows of two owners: they are counted, and nothing else.

    Each of them depends on the calls of other numbers, so nothing that picks some of them is stable.
    """
    if rows.per_number is not None and not has_one_owner(rows):
        raise context.text.refuse(
            "DPQ-119", "calls per number over rows of two owners are counted in two ways only", TWO_WAYS, node
        )


def sealed(rows: Rows, context: Context, node: exp.Expr | None) -> Rows:
    """The rows with the times that WHERE leaves them noted on each table they are read from."""
    if rows.per_number is not None or not any(True for _ in leaves(rows.relation)):
        return rows
    return replace(rows, relation=_narrow(rows.relation, rows.where, context, node))


def _narrow(relation: Relation, where: tuple[Expression, ...], context: Context, node: exp.Expr | None) -> Relation:
    """The relation with the times that `where` leaves its own rows; others were noted when they were made."""
    match relation:
        case Stored():
            return replace(relation, time_range=_left_in(relation, where, context, node))
        case Joined(source=source):
            return replace(relation, source=_narrow(source, where, context, node))
        case UnionAll(branches=branches):
            return UnionAll(tuple(_narrow_branch(branch, where, context, node) for branch in branches))
        case _:
            return relation


def _narrow_branch(
    branch: Selection, where: tuple[Expression, ...], context: Context, node: exp.Expr | None
) -> Selection:
    """A branch reads no more than what the conditions on the whole leave of it."""
    plain = {name: value for name, value in branch.columns if isinstance(value, ColumnRef)}
    own = tuple(substituted(c, plain) for c in where if columns_in(c) <= plain.keys())
    return replace(branch, source=_narrow(branch.source, (*branch.where, *own), context, node))


def _left_in(leaf: Stored, where: tuple[Expression, ...], context: Context, node: exp.Expr | None) -> TimeRange:
    """The times of a stored table's rows that WHERE leaves, within its declared period."""
    table = context.catalog.tables[leaf.table]
    if table.period is None or table.time_column is None:
        return leaf.time_range
    found = time_range_of(where, table.time_column).intersect(table.period)
    if found.empty:
        first, last = table.period.start.date(), days(table.period)[-1]
        raise context.text.refuse(
            "DPQ-116",
            f"WHERE leaves no time within the declared period of {table.name}",
            f"choose days from {first} to {last}",
            node,
        )
    return found


def has_one_owner(rows: Rows) -> bool:
    """Whether each row has one owner: its table says so, or WHERE implies the table's row test."""
    if rows.one_owner:
        return True
    test = rows.table.policy.one_owner_when
    if test is None or not _has_table_columns(rows.relation):
        return False
    return implies(rows.where, resolve_row_test(test, rows.table))


def _has_table_columns(relation: Relation) -> bool:
    """Whether a name of the table's row test means the stored column here; a query can name columns as it likes."""
    return isinstance(relation, Stored) or (isinstance(relation, Joined) and _has_table_columns(relation.source))
