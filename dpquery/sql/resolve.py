"""One SELECT to a LogicalPlan: names, types, keys and value bounds, all from public facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from dpquery.plan.expressions import (
    NUMERIC,
    ColumnRef,
    Comparison,
    Constant,
    Expression,
    InList,
    TimeTruncation,
    Value,
    columns_in,
    conjuncts,
    nullable,
)
from dpquery.plan.keys import GroupKey, TimeRange, days, time_range_of, truncated_times
from dpquery.plan.query import (
    Aggregate,
    Average,
    CountDistinct,
    CountRows,
    LogicalPlan,
    Ordering,
    Output,
    RequestedBounds,
    Sum,
)
from dpquery.plan.ranges import Unbounded, ValueRange, value_range
from dpquery.sql.parse import parse_condition, parse_select, quiet_parser
from dpquery.sql.row_expressions import RowResolver

if TYPE_CHECKING:
    from dpquery.plan.catalog import Catalog, NamedTable
    from dpquery.sql.named_arguments import NamedBounds
    from dpquery.sql.text import QueryText

OUTPUTS_MAX = 64
ENDINGS = ("_low", "_high", "_useful")
"""Names of the columns that go with a value: x_low, x_high, x_useful."""
BOUND_MAX, BOUND_WIDTH_MIN = 1e12, 1e-9
"""Value bounds that a query may give: far from where doubles lose whole numbers or vanish."""
CELLS_MAX = 2_000_000
"""Cells of one answer; each costs noise, time and memory."""


def resolve(
    source: str,
    catalog: Catalog,
    *,
    sensitive_allowed: frozenset[str] = frozenset(),
    requested_bounds: RequestedBounds | None = None,
) -> LogicalPlan:
    """The plan of the query `source`; reads no data.

    `sensitive_allowed` holds the sensitive columns, as `table.column`, that the purpose names. Raises QueryRefused
    with the place in the text for whatever cannot be answered.
    """
    select, text, bounds = parse_select(source)
    table, alias = _table(select, catalog, text)
    prefix = f"{table.name}."
    allowed = frozenset(name.removeprefix(prefix) for name in sensitive_allowed if name.startswith(prefix))
    rows = RowResolver(table, text, alias, allowed)
    with quiet_parser():
        return _Resolution(select, text, bounds, table, rows).plan(requested_bounds or RequestedBounds())


def resolve_row_test(source: str, table: NamedTable) -> Expression:
    """A policy's row test, such as `direction <> 'p2p'`, over the columns of `table`."""
    node, text = parse_condition(source)
    every = frozenset(table.columns)
    return RowResolver(table, text, None, every).condition(node)


def implies(conditions: tuple[Expression, ...], test: Expression) -> bool:
    """Whether a row that meets all `conditions` surely meets `test`: one is the test, or fixes its column within it."""
    if any(condition == test for condition in conditions):
        return True
    for condition in conditions:
        fixed = _fixed_values(condition)
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


def _fixed_values(condition: Expression) -> tuple[str, set[Constant]] | None:
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


def _table(select: exp.Select, catalog: Catalog, text: QueryText) -> tuple[NamedTable, str | None]:
    source = select.args.get("from_")
    node = source.this if source is not None else None
    if node is None:
        raise text.refuse("DPQ-103", "the query names no table", "SELECT COUNT(*) FROM calls")
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise text.refuse("DPQ-111", "FROM takes one table of the policy", "SELECT COUNT(*) FROM calls", node)
    for part in ("joins", "sample", "pivots", "laterals", "version", "when", "ordinality", "only", "partition"):
        if node.args.get(part):
            raise text.refuse("DPQ-111", f"{part} on a table is not supported", f"FROM {node.name}", node)
    name = node.name.lower()
    if node.args.get("db") or node.args.get("catalog") or name not in catalog.tables:
        near = get_close_matches(name, catalog.tables, n=1, cutoff=0.5)
        offer = near[0] if near else next(iter(catalog.tables))
        raise text.refuse("DPQ-103", f"there is no table {node.name[:64]}", f"FROM {offer}", node)
    table = catalog.tables[name]
    if table.policy.public:
        raise text.refuse(
            "DPQ-103",
            f"{name} is a public table: it holds no numbers, and no query over it needs privacy",
            "ask the steward for its rows, or ask a protected table",
            node,
        )
    alias = node.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        raise text.refuse("DPQ-111", "renaming columns in FROM is not supported", f"FROM {name}", node)
    return table, alias.name.lower() if alias is not None else None


@dataclass(slots=True)
class _Resolution:
    """One query on its way to a plan."""

    select: exp.Select
    text: QueryText
    bounds: tuple[NamedBounds, ...]
    table: NamedTable
    rows: RowResolver
    used: set[int] = field(default_factory=set)
    """Calls whose named bounds were taken."""

    def plan(self, requested: RequestedBounds) -> LogicalPlan:
        where = self._where()
        time_range = self._time_range(where)
        keys = self._keys(where, time_range)
        outputs, aggregates = self._outputs(keys)
        for bounds in self.bounds:
            if bounds.call not in self.used:
                place = self.text.span_of(bounds.call, bounds.call)
                raise self.text.refuse("DPQ-108", "only SUM and AVG take bounds", "SUM(talk_s, ...)", place)
        cells = 1
        for key in keys:
            cells *= len(key.values)
        if cells > CELLS_MAX:
            raise self.text.refuse(
                "DPQ-114",
                f"the keys make {cells:,} cells; at most {CELLS_MAX:,} are answered",
                "group by fewer or coarser keys, or narrow them in WHERE",
                self.select.args["group"],
            )
        return LogicalPlan(
            table=self.table.name,
            where=where,
            keys=keys,
            aggregates=aggregates,
            outputs=outputs,
            time_range=time_range,
            one_owner=self._one_owner(where),
            requested_bounds=requested,
            order=self._order(outputs),
            limit=self._limit(),
            source=self.text.source,
        )

    def _where(self) -> tuple[Expression, ...]:
        node = self.select.args.get("where")
        return () if node is None else conjuncts(self.rows.condition(node.this))

    def _time_range(self, where: tuple[Expression, ...]) -> TimeRange | None:
        period, column = self.table.period, self.table.time_column
        if period is None or column is None:
            return None
        found = time_range_of(where, column).intersect(period)
        if found.empty:
            first, last = period.start.date(), days(period)[-1]
            raise self.text.refuse(
                "DPQ-116",
                f"WHERE leaves no time within the declared period of {self.table.name}",
                f"choose days from {first} to {last}",
                self.select.args.get("where"),
            )
        return found

    def _one_owner(self, where: tuple[Expression, ...]) -> bool:
        if self.table.policy.owners == 1:
            return True
        test = self.table.policy.one_owner_when
        return test is not None and implies(where, resolve_row_test(test, self.table))

    def _keys(self, where: tuple[Expression, ...], time_range: TimeRange | None) -> tuple[GroupKey, ...]:
        group = self.select.args.get("group")
        if group is None:
            return ()
        several = any(isinstance(node, exp.Cube | exp.Rollup | exp.GroupingSets) for node in group.expressions)
        if several or any(value and part not in {"expressions", "all"} for part, value in group.args.items()):
            raise self.text.refuse("DPQ-111", "GROUP BY takes one list of keys", "GROUP BY queue, day", group)
        nodes = [self._unaliased(node) for node in group.expressions]
        if group.args.get("all"):
            nodes = [self._inner(node) for node in self.select.expressions if not self._is_aggregate(node)]
        keys: list[GroupKey] = []
        for node in nodes:
            key = self._key(node, time_range).restricted(where)
            if any(key.expression == other.expression for other in keys):
                raise self.text.refuse("DPQ-115", "this key is named twice", "name each key once", node)
            if not key.values:
                raise self.text.refuse("DPQ-116", "WHERE rules out every value of this key", "widen WHERE", node)
            keys.append(key)
        return tuple(keys)

    def _unaliased(self, node: exp.Expr) -> exp.Expr:
        """What a GROUP BY item stands for: an ordinal or an alias of SELECT, or itself."""
        if isinstance(node, exp.Literal) and not node.is_string:
            position = int(node.name) if node.name.isdigit() else 0
            if not 1 <= position <= len(self.select.expressions):
                count = len(self.select.expressions)
                raise self.text.refuse("DPQ-104", f"SELECT has no column {node.name[:20]}", f"1 to {count}", node)
            return self._inner(self.select.expressions[position - 1])
        if isinstance(node, exp.Column) and not node.table and node.name.lower() not in self.table.columns:
            for item in self.select.expressions:
                if isinstance(item, exp.Alias) and item.alias.lower() == node.name.lower():
                    return self._inner(item)
        return node

    @staticmethod
    def _inner(node: exp.Expr) -> exp.Expr:
        inner: exp.Expr = node.this if isinstance(node, exp.Alias) else node
        return inner

    def _is_aggregate(self, node: exp.Expr) -> bool:
        return isinstance(self._inner(node), exp.AggFunc | exp.Filter)

    def _key(self, node: exp.Expr, time_range: TimeRange | None) -> GroupKey:
        if isinstance(node, exp.AggFunc):
            raise self.text.refuse("DPQ-107", "an aggregate cannot be a key", "GROUP BY the columns in SELECT", node)
        expression = self.rows.value(node)
        span = self.text.span(node)
        if isinstance(expression, TimeTruncation) and time_range is not None and self._is_own_time(expression.item):
            values: tuple[Constant, ...] = truncated_times(time_range, expression.unit)
            if expression.type == "date":
                values = days(time_range)
            return GroupKey(expression, values, "time range", span=span)
        if not isinstance(expression, ColumnRef):
            raise self.text.refuse(
                "DPQ-107",
                "the values of this key are not known in advance",
                "group by a column with declared keys, or date_trunc('day', start_ts)",
                node,
            )
        column = self.table.columns[expression.name]
        if not column.selectable:
            raise self.text.refuse(
                "DPQ-118", f"{column.name} may be filtered on, but is never a key", "use another key", node
            )
        if column.name == "day" and column.type == "date" and time_range is not None:
            return GroupKey(expression, days(time_range), "time range", span=span)
        if column.role == "time":
            raise self.text.refuse(
                "DPQ-107", f"{column.name} is too fine for a key", f"date_trunc('hour', {column.name}), or day", node
            )
        if column.keys is None:
            raise self.text.refuse(
                "DPQ-107",
                f"{column.name} has no declared keys, and keys must not come from the rows",
                f"a steward sets  [tables.{self.table.name}.columns.{column.name}] keys = [...]",
                node,
            )
        if not column.keys:
            raise self.text.refuse(
                "DPQ-107", f"the keys of {column.name} come from a table that is still empty", "use another key", node
            )
        return GroupKey(expression, column.keys, column.keys_origin, span=span)

    def _is_own_time(self, item: Expression) -> bool:
        own = {self.table.time_column, "day"}
        return isinstance(item, ColumnRef) and item.name in own

    def _outputs(self, keys: tuple[GroupKey, ...]) -> tuple[tuple[Output, ...], tuple[Aggregate, ...]]:
        outputs: list[Output] = []
        aggregates: list[Aggregate] = []
        if len(self.select.expressions) > OUTPUTS_MAX:
            raise self.text.refuse("DPQ-114", f"at most {OUTPUTS_MAX} columns are answered", "ask several queries")
        for item in self.select.expressions:
            node = self._inner(item)
            name = self._output_name(item, node)
            if any(output.name == name for output in outputs):
                raise self.text.refuse("DPQ-115", f"the name {name} is used twice", f"... AS {name}_2", item)
            if isinstance(node, exp.AggFunc | exp.Filter):
                aggregate = self._aggregate(node)
                if aggregate not in aggregates:
                    aggregates.append(aggregate)
                index = aggregates.index(aggregate)
                outputs.append(Output(name, "aggregate", index, _one_spelling(node), self._unit(aggregate)))
            else:
                outputs.append(Output(name, "key", self._key_index(node, keys), _one_spelling(node)))
        self._check_interval_names(outputs)
        if not aggregates:
            raise self.text.refuse(
                "DPQ-106", "the query asks for no aggregate", "add COUNT(*) to SELECT", self.select.expressions[0]
            )
        return tuple(outputs), tuple(aggregates)

    def _check_interval_names(self, outputs: list[Output]) -> None:
        """The columns of an interval are named after their value; no other column may have these names."""
        for output in outputs:
            for other in outputs:
                if output.kind == "aggregate" and other.name in {f"{output.name}{ending}" for ending in ENDINGS}:
                    why = f"{other.name} is a name in the interval of {output.name}"
                    raise self.text.refuse("DPQ-115", why, f"... AS {other.name}_2", self.select.expressions[-1])

    def _output_name(self, item: exp.Expr, node: exp.Expr) -> str:
        name = item.alias if isinstance(item, exp.Alias) else _default_name(node)
        name = name if isinstance(item, exp.Alias) and item.args["alias"].args.get("quoted") else name.lower()
        if not re.fullmatch(r"[^\W\d][\w ]{0,127}", name):
            raise self.text.refuse("DPQ-115", "this name has signs that names cannot have", "... AS calls", item)
        return name

    def _key_index(self, node: exp.Expr, keys: tuple[GroupKey, ...]) -> int:
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            raise self.text.refuse("DPQ-106", "* names rows, and rows never leave", "SELECT COUNT(*) FROM calls", node)
        aggregate = next(node.find_all(exp.AggFunc), None)
        if aggregate is not None:
            raise self.text.refuse(
                "DPQ-108",
                "arithmetic over aggregates is not supported",
                "move it inside: SUM(talk_s / 60), or compute it from r.to_pandas()",
                node,
            )
        expression = self.rows.value(node)
        for index, key in enumerate(keys):
            if key.expression == expression:
                return index
        names = ", ".join(sorted(columns_in(expression))) or "this value"
        raise self.text.refuse(
            "DPQ-106",
            f"{names} is neither a key nor inside an aggregate, and rows never leave",
            "add it to GROUP BY, or aggregate it: COUNT(*)",
            node,
        )

    def _aggregate(self, node: exp.Expr) -> Aggregate:
        given = self._given_bounds(node)
        if isinstance(node, exp.Filter):
            raise self.text.refuse(
                "DPQ-108", "FILTER is not supported", "COUNT(CASE WHEN disposition = 'answered' THEN 1 END)", node
            )
        match node:
            case exp.Count() if isinstance(node.this, exp.Distinct):
                return self._count_distinct(node, node.this)
            case exp.Count():
                return self._count(node)
            case exp.Sum() | exp.Avg():
                if isinstance(node.this, exp.Distinct):
                    raise self.text.refuse(
                        "DPQ-108", "DISTINCT looks at other rows, so it is only counted", "SUM(talk_s)", node
                    )
                argument = self._number(node.this)
                clamp = self._clamp(argument, given, node)
                if isinstance(node, exp.Sum):
                    return Sum(argument, clamp, per_group=given is not None and given.per_group)
                if given is not None and given.per_group:
                    bounds = f"contribution_bounds_per_row => ({given.low:g}, {given.high:g})"
                    raise self.text.refuse(
                        "DPQ-108", "AVG clamps each value", f"AVG({node.this.sql('duckdb')}, {bounds})", node
                    )
                return Average(argument, clamp, self._bins(argument))
            case _:
                name = node.name if isinstance(node, exp.AnonymousAggFunc) else node.key
                raise self.text.refuse(
                    "DPQ-108",
                    f"{name.upper()[:64]} is not among the supported aggregates",
                    "COUNT(*), COUNT(x), SUM(x), AVG(x), COUNT(DISTINCT caller)",
                    node,
                )

    def _given_bounds(self, node: exp.Expr) -> NamedBounds | None:
        found = [bounds for bounds in self.bounds if bounds.call == node.meta.get("start")]
        if len(found) > 1:
            raise self.text.refuse("DPQ-102", "bounds are given twice", "give them once", node)
        if found and isinstance(node, exp.Sum | exp.Avg):
            self.used.add(found[0].call)
        return found[0] if found else None

    def _count(self, node: exp.Count) -> CountRows:
        if node.expressions or node.this is None:
            if node.this is None:
                return CountRows()
            raise self.text.refuse("DPQ-108", "COUNT takes one argument", "COUNT(*)", node)
        if isinstance(node.this, exp.Star):
            return CountRows()
        argument = self.rows.value(node.this)
        return CountRows(argument if nullable(argument) else None)

    def _count_distinct(self, node: exp.Count, distinct: exp.Distinct) -> CountDistinct:
        only = distinct.expressions[0] if len(distinct.expressions) == 1 else None
        if isinstance(only, exp.Column) and self.rows.column(only).role == "party":
            return CountDistinct(self.rows.column(only).name)
        raise self.text.refuse(
            "DPQ-108",
            "COUNT(DISTINCT ...) counts the numbers of one party",
            f"COUNT(DISTINCT {self.table.parties[0]})",
            node,
        )

    def _number(self, node: exp.Expr) -> Expression:
        argument = self.rows.value(node)
        if argument.type not in NUMERIC:
            raise self.text.refuse(
                "DPQ-112",
                f"this is {argument.type}, not a number",
                "COUNT(x), or CASE WHEN ... THEN 1 ELSE 0 END",
                node,
            )
        return argument

    def _clamp(self, argument: Expression, given: NamedBounds | None, node: exp.Expr) -> ValueRange:
        if given is not None:
            clamp = ValueRange(given.low, given.high, self._grid(argument))
            if not (clamp.high - clamp.low >= BOUND_WIDTH_MIN and max(abs(clamp.low), abs(clamp.high)) <= BOUND_MAX):
                raise self.text.refuse("DPQ-102", "bounds are two numbers, the lower first", "=> (0, 3600)", node)
            return self._with_steps(clamp, node)
        try:
            found = value_range(argument, self.table.value_ranges)
        except Unbounded as unbounded:
            inside = node.this.sql("duckdb")
            call = f"{node.key.upper()}({inside}, contribution_bounds_per_row => (0, 3600))"
            steward = f"\nor a steward sets  [tables.{self.table.name}.columns.{unbounded.column}] bounds = [0, 3600]"
            name = unbounded.column or "this expression"
            raise self.text.refuse(
                "DPQ-102",
                f"{name} has no bounds, so {node.key.upper()} could reveal one large value",
                call + (steward if unbounded.column else ""),
                node,
            ) from None
        if found.low >= found.high:  # a constant
            found = ValueRange(min(found.low, 0.0), max(found.high, 1.0), found.grid)
        return self._with_steps(found, node)

    def _with_steps(self, clamp: ValueRange, node: exp.Expr) -> ValueRange:
        """The clamp, given or derived, if two steps of its grid lie within; there is nothing to sum otherwise."""
        if clamp.steps[0] >= clamp.steps[1]:
            why = "no two steps of the grid (whole numbers, for whole numbers) lie within the bounds"
            raise self.text.refuse("DPQ-102", why, "=> (0, 3600)", node)
        return clamp

    def _grid(self, argument: Expression) -> float | None:
        """The grid of an argument whose bounds are given: its own if it is made of whole numbers, else by width."""
        return 1.0 if argument.type == "integer" else None

    def _bins(self, argument: Expression) -> Literal["log", "linear"]:
        spacings = {self.table.columns[name].bins for name in columns_in(argument)}
        return "log" if isinstance(argument, ColumnRef) and spacings == {"log"} else "linear"

    def _unit(self, aggregate: Aggregate) -> str | None:
        match aggregate:
            case CountRows():
                return self.table.name
            case CountDistinct():
                return "numbers"
            case Sum(argument=argument) | Average(argument=argument):
                if isinstance(argument, ColumnRef):
                    return self.table.columns[argument.name].unit
                return None

    def _order(self, outputs: tuple[Output, ...]) -> tuple[Ordering, ...]:
        order = self.select.args.get("order")
        if order is None:
            return ()
        found: list[Ordering] = []
        for item in order.expressions:
            name = item.this.name.lower()
            position = next((i for i, o in enumerate(outputs) if o.name.lower() == name), None)
            if isinstance(item.this, exp.Literal):
                position = int(name) - 1 if name.isdigit() and 1 <= int(name) <= len(outputs) else None
            if position is None:
                spelling = _one_spelling(item.this)
                position = next((i for i, o in enumerate(outputs) if o.sql == spelling), None)
            if position is None:
                raise self.text.refuse(
                    "DPQ-107", "ORDER BY takes columns of the answer", f"ORDER BY {outputs[-1].name}", item
                )
            found.append(Ordering(position, bool(item.args.get("desc"))))
        return tuple(found)

    def _limit(self) -> int | None:
        limit = self.select.args.get("limit")
        if limit is None:
            return None
        node = limit.args.get("expression")
        if any(value for part, value in limit.args.items() if part != "expression"):
            raise self.text.refuse("DPQ-112", "LIMIT takes a whole number and nothing else", "LIMIT 10", limit)
        if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
            raise self.text.refuse("DPQ-112", "LIMIT takes a whole number", "LIMIT 10", limit)
        if not self.select.args.get("order"):
            raise self.text.refuse(
                "DPQ-108", "LIMIT without ORDER BY would hand out some rows by chance", "ORDER BY ... LIMIT 10", limit
            )
        return int(node.name)


def _one_spelling(node: exp.Expr) -> str:
    return node.sql("duckdb", comments=False)


def _default_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Count) and (node.this is None or isinstance(node.this, exp.Star)):
        return "count_star"
    if isinstance(node, exp.Column):
        return node.name
    return re.sub(r"\W+", "_", _one_spelling(node)).strip("_")[:120] or "value"
