"""GROUP BY to keys: those whose values are known before any row is read, and those that are selected from the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dpquery.plan.calendar import CLOCK_PARTS, DAY_PARTS, FROM_TIME, time_values
from dpquery.plan.catalog import NamedColumn
from dpquery.plan.domains import values_of
from dpquery.plan.expressions import (
    Case,
    Comparison,
    Expression,
    Function,
    IsNull,
    Lookup,
    Not,
    TimeTruncation,
    Value,
    columns_in,
)
from dpquery.plan.keys import GroupKey
from dpquery.sql.clauses import aggregates_in, interval_end, is_aggregate, unaliased, whole_number

if TYPE_CHECKING:
    from dpquery.plan.expressions import Constant
    from dpquery.plan.keys import TimeRange
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.scope import Rows
    from dpquery.sql.text import QueryText

CELLS_MAX = 2_000_000
"""Cells of one answer; each costs noise, time and memory."""
FROM_ROWS = "rows"
"""Origin of keys that are not declared."""


def described(rows: Rows, expression: Expression) -> NamedColumn:
    """What is known of the values of an expression over `rows`, as of a column."""
    column = rows.column_of(expression)
    if column is not None:
        return column
    known = values_of(expression, rows.columns)
    read = [rows.columns[name] for name in columns_in(expression) if name in rows.columns]
    return NamedColumn(
        "",
        expression.type,
        "value",
        None if known is None else known.values,
        "" if known is None else known.origin,
        rows.range_of(expression),
        selectable=all(part.selectable for part in read),
        declared="",
    )


def group_items(select: exp.Select, rows: Rows, text: QueryText) -> list[exp.Expr]:
    """What GROUP BY lists, with ordinals, aliases of SELECT and ALL resolved; QueryRefused for several lists."""
    group = select.args.get("group")
    if group is None:
        return []
    several = any(isinstance(node, exp.Cube | exp.Rollup | exp.GroupingSets) for node in group.expressions)
    if several or any(value and part not in {"expressions", "all"} for part, value in group.args.items()):
        raise text.refuse("DPQ-111", "GROUP BY takes one list of keys", "GROUP BY queue, day", group)
    if group.args.get("all"):
        bare = [unaliased(node) for node in select.expressions if not aggregates_in(node)]
        return [node for node in bare if interval_end(node) is None]
    found: list[exp.Expr] = []
    for node in group.expressions:
        if isinstance(node, exp.Column) and not node.table and not rows.find(node.name.lower()):
            named = [i for i in select.expressions if isinstance(i, exp.Alias) and i.alias.lower() == node.name.lower()]
            found.append(unaliased(named[0]) if named else node)
        else:
            found.append(_ordinal(node, select))
    return found


def _ordinal(node: exp.Expr, select: exp.Select) -> exp.Expr:
    """What an ordinal of GROUP BY stands for; a wrong one stays, and is refused as a constant key."""
    position = whole_number(node)
    if position is not None and 1 <= position <= len(select.expressions):
        return unaliased(select.expressions[position - 1])
    return node


@dataclass(frozen=True, slots=True)
class KeyResolver:
    """Keys over the rows of the outer SELECT."""

    resolver: RowResolver
    time_range: TimeRange | None
    one_owner: bool
    """Whether each row has one protected owner."""
    thresholds: bool
    """Whether the policy allows groups to be selected: it then says how many numbers a group needs."""

    @property
    def rows(self) -> Rows:
        return self.resolver.rows

    def keys(self, select: exp.Select) -> tuple[GroupKey, ...]:
        """The keys of GROUP BY; QueryRefused for values that are neither known in advance nor to be selected."""
        text = self.resolver.text
        group = select.args.get("group")
        if group is None:
            return ()
        keys: list[GroupKey] = []
        cells = 1
        for node in group_items(select, self.rows, text):
            key = self._key(node).restricted(self.rows.where)
            if any(key.expression == other.expression for other in keys):
                raise text.refuse("DPQ-115", "this key is named twice", "name each key once", node)
            if key.declared and not key.values:
                raise text.refuse("DPQ-116", "WHERE rules out every value of this key", "widen WHERE", node)
            keys.append(key)
            cells *= len(key.values) if key.declared else 1
        if cells > CELLS_MAX:
            raise text.refuse(
                "DPQ-114",
                f"the keys make {cells:,} cells; at most {CELLS_MAX:,} are answered",
                "group by fewer or coarser keys, or narrow them in WHERE",
                group,
            )
        return tuple(keys)

    def _key(self, node: exp.Expr) -> GroupKey:
        text = self.resolver.text
        if is_aggregate(node):
            raise text.refuse("DPQ-107", "an aggregate cannot be a key", "GROUP BY the columns in SELECT", node)
        if isinstance(node, exp.Literal) and not node.is_string:
            raise text.refuse("DPQ-104", f"SELECT has no column {node.name[:20]}", "name the key", node)
        expression = self.resolver.value(node)
        self._check_selectable(expression, node)
        span = text.span(node)
        times = self._times(expression)
        if times is not None:
            return GroupKey(expression, times, FROM_TIME, span=span)
        column = self.rows.column_of(expression)
        if column is not None and column.role == "time":
            raise text.refuse(
                "DPQ-107", f"{node.name} is too fine for a key", f"date_trunc('hour', {node.name}), or day", node
            )
        known = values_of(expression, self.rows.columns)
        if known is None:
            self._check_undeclared(expression, node)
            return GroupKey(expression, (), FROM_ROWS, declared=False, span=span)
        if not known.values:
            raise text.refuse("DPQ-107", "the keys come from a table that is still empty", "use another key", node)
        if column is not None and column.capped:
            expression = _capped(expression, known.values)
        return GroupKey(expression, self._possible(expression, known.values), known.origin, span=span)

    def _possible(self, expression: Expression, values: tuple[Constant, ...]) -> tuple[Constant, ...]:
        """Without NULL where an inner join leaves out the rows that have no match in the public table."""
        if not isinstance(expression, Lookup) or None in expression.values:
            return values
        present = Not(IsNull(replace(expression, values=expression.keys, type="text")))
        return tuple(v for v in values if v is not None) if present in self.rows.where else values

    def _check_undeclared(self, expression: Expression, node: exp.Expr) -> None:
        """QueryRefused where groups are not selected from what the rows have.

        One number's calls could otherwise make groups appear: over rows with two owners, any number of them.
        """
        text = self.resolver.text
        column = self.rows.column_of(expression)
        declared = column is not None and bool(column.declared)
        if expression.type == "decimal":
            raise text.refuse(
                "DPQ-107",
                "a decimal number is too fine for a key",
                "CASE WHEN x < 1.5 THEN 'low' ELSE 'high' END"
                + (", or CAST(floor(x) AS INTEGER)" if self.one_owner and self.thresholds else ""),
                node,
            )
        if self.one_owner and self.thresholds:
            return
        what = "the values of this key are not known in advance"
        fix = "GROUP BY a column with declared keys, date_trunc('day', start_ts), or CASE WHEN ... ELSE 'b' END"
        if column is not None and declared:
            table, _, name = column.declared.partition(".")
            what = f"{name} has no declared keys"
            fix = f"a steward sets  [tables.{table}.columns.{name}] keys = [...]"
        if not self.one_owner:
            what += ", and rows with two owners have no keys but declared ones"
        else:
            fix += "\nor  [limits] min_people = 15  to let groups of many people show (then init a new store)"
        raise text.refuse("DPQ-107", what, fix, node)

    def _check_selectable(self, expression: Expression, node: exp.Expr) -> None:
        for name in sorted(columns_in(expression)):
            column = self.rows.columns.get(name)
            if column is not None and not column.selectable:
                raise self.resolver.text.refuse(
                    "DPQ-118",
                    f"{self.rows.written(name)} may be filtered on, but is never a key",
                    "use another key",
                    node,
                )

    def _times(self, expression: Expression) -> tuple[Constant, ...] | None:
        """The starts and parts of days, hours, ... within the rows' time range, for a key made of their own time."""
        if self.time_range is None or not self._is_of_own_time(expression):
            return None
        return time_values(expression, self.time_range)

    def _is_of_own_time(self, expression: Expression) -> bool:
        if isinstance(expression, TimeTruncation):
            item, days_only = expression.item, expression.unit == "day"
            if days_only and isinstance(item, TimeTruncation):
                item = item.item
            return self._is_own_time(item) and (days_only or expression.type != "date")
        if isinstance(expression, Function) and len(expression.arguments) == 1:
            (item,) = expression.arguments
            # A day may start before the range does, so its hour is none of the range's own.
            of_clock = expression.name in CLOCK_PARTS and item.type == "timestamp" and self._is_own_time(item)
            return of_clock or (expression.name in DAY_PARTS and self._is_own_day(item))
        column = self.rows.column_of(expression)
        return column is not None and column.type == "date" and column.keys_origin == FROM_TIME

    def _is_own_day(self, item: Expression) -> bool:
        """Whether `item` is the rows' own time, or the day it falls in."""
        day_of = item.item if isinstance(item, TimeTruncation) and item.unit == "day" else item
        return self._is_own_time(day_of)

    def _is_own_time(self, item: Expression) -> bool:
        column = self.rows.column_of(item)
        return column is not None and (column.role == "time" or column.keys_origin == FROM_TIME)


def _capped(expression: Expression, values: tuple[Constant, ...]) -> Expression:
    """Values above the last key stand for it."""
    last = Value(values[-1], "integer")
    return Case(((Comparison(">", expression, last), last),), expression, "integer")


def uncapped(expression: Expression) -> Expression:
    """A key without the cap that `_capped` gave it."""
    match expression:
        case Case(branches=((Comparison(operator=">", left=left, right=last), value),), default=default):
            return left if value == last and default == left else expression
        case _:
            return expression
