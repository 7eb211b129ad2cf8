"""Inner queries grouped by a number: one row per number, a function of that number's own rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dpquery.plan.catalog import NamedColumn
from dpquery.plan.expressions import NUMERIC, And, ColumnRef, Expression, conjuncts
from dpquery.plan.ranges import ValueRange
from dpquery.plan.relations import NumberMeasure, PerNumber
from dpquery.sql.clauses import aggregates_in, one_spelling, unaliased
from dpquery.sql.keys import described, group_items
from dpquery.sql.ownership import NUMBER, has_one_owner, sealed
from dpquery.sql.scope import Names, Party, Rows
from dpquery.sql.tables import inner_name

if TYPE_CHECKING:
    from dpquery.plan.expressions import ValueType
    from dpquery.plan.relations import NumberFunction
    from dpquery.sql.context import Context
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.scope import Meaning

KEYS_LISTED_MAX = 1_000
"""Counts of a number's rows are keys up to here at most; the last key stands for those above."""

_FUNCTIONS: dict[type[exp.Expr], NumberFunction] = {
    exp.Sum: "sum",
    exp.Min: "min",
    exp.Max: "max",
    exp.Avg: "avg",
    exp.Mode: "mode",
}


def per_number_rows(select: exp.Select, rows: Rows, resolver: RowResolver, context: Context) -> Rows:
    """The rows of `SELECT number, ... GROUP BY number, ...`; QueryRefused where the unit is not among the keys."""
    text = context.text
    nodes = group_items(select, rows, text)
    if select.args.get("distinct"):
        if select.args["distinct"].args.get("on"):
            raise text.refuse(
                "DPQ-111", "DISTINCT ON picks rows by their order", "SELECT DISTINCT, or GROUP BY", select
            )
        if nodes or any(aggregates_in(item) for item in select.expressions):
            raise text.refuse("DPQ-111", "DISTINCT stands without GROUP BY here", "GROUP BY the number", select)
        nodes = [unaliased(item) for item in select.expressions]
    parties = [party for node in nodes if (party := resolver.party(node)) is not None]
    if len(parties) != 1:
        raise text.refuse(
            "DPQ-120",
            "an inner query counts exact groups unless it groups by one number",
            f"GROUP BY {_owner_name(rows)}, ...\n"
            "or ask the inner query alone, and go on with release.to_pandas(): that is free",
            select.args.get("group") or select.expressions[0],
        )
    if rows.either_party and parties[0].name != NUMBER:
        raise text.refuse("DPQ-119", "either_party groups by number", "GROUP BY number", nodes[0])
    keys = [(node, resolver.value(node)) for node in nodes if resolver.party(node) is None]
    grouping = _Grouping(rows, resolver, context, parties[0])
    if not has_one_owner(rows) and not _counts_calls(rows, keys, select):
        raise text.refuse(
            "DPQ-119",
            f"rows of {rows.table.name} belong to two numbers, so what one of them adds up to is not its own",
            _one_owner_fix(rows),
            select.args.get("group") or select,
        )
    return grouping.rows_made(select, keys)


def _owner_name(rows: Rows) -> str:
    return rows.privacy_ids[0]


def _one_owner_fix(rows: Rows) -> str:
    test = rows.table.policy.one_owner_when
    calls = f"FROM either_party({rows.table.name}) GROUP BY number, with COUNT(*) alone"
    return f"add WHERE {test}; or {calls}" if test else calls


def _counts_calls(rows: Rows, keys: list[tuple[exp.Expr, Expression]], select: exp.Select) -> bool:
    """Calls per number in any role: the one shape that two owners per row allow."""
    plain = [node for item in select.expressions for node in aggregates_in(item)]
    return rows.either_party and not keys and all(_is_count_star(node) for node in plain)


def _is_count_star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Count) and isinstance(node.this, exp.Star)


@dataclass(slots=True)
class _Grouping:
    """One inner GROUP BY on its way to rows."""

    rows: Rows
    resolver: RowResolver
    context: Context
    party: Party
    keys: list[tuple[str, Expression]] = field(default_factory=list)
    measures: list[NumberMeasure] = field(default_factory=list)
    columns: dict[str, NamedColumn] = field(default_factory=dict)

    def rows_made(self, select: exp.Select, keys: list[tuple[exp.Expr, Expression]]) -> Rows:
        """One row per number and value of the keys."""
        spelled = {one_spelling(node): self._key(expression) for node, expression in keys}
        meanings: dict[str, Meaning] = {}
        outer = self._after(spelled)
        for item in select.expressions:
            node = unaliased(item)
            if isinstance(node, exp.Star):
                raise self.context.text.refuse("DPQ-106", "* names rows", "SELECT number, COUNT(*) AS n", item)
            if self.resolver.party(node) == self.party:
                meanings[inner_name(item, self.context)] = Party(self.party.name)
                continue
            name = inner_name(item, self.context)
            if name in meanings:
                raise self.context.text.refuse("DPQ-115", f"the name {name} is used twice", f"... AS {name}_2", item)
            meanings[name] = outer.part(node)
        having = select.args.get("having")
        tests = () if having is None else conjuncts(outer.condition(having.this))
        inner = sealed(self.rows, self.context, select)
        owners = self.rows.parties if self.party.name == NUMBER and self.rows.either_party else (self.party.name,)
        relation = PerNumber(
            inner.relation, self.party.name, owners, inner.where, tuple(self.keys), tuple(self.measures), tests
        )
        return Rows(
            relation=relation,
            table=self.rows.table,
            parties=(self.party.name,),
            columns=self.columns,
            names=(Names((), meanings),),
            one_owner=has_one_owner(self.rows),
            per_number=tuple(name for name, _ in self.keys),
        )

    def _key(self, expression: Expression) -> ColumnRef:
        name = f"_k{len(self.keys)}"
        self.columns[name] = replace(described(self.rows, expression), name=name, role="value", keys_origin="policy")
        self.keys.append((name, expression))
        return ColumnRef(name, expression.type)

    def _after(self, spelled: dict[str, ColumnRef]) -> _AfterGrouping:
        return _AfterGrouping(self, spelled)

    def measure(self, node: exp.Expr) -> ColumnRef:
        """The column of an aggregate over a number's rows."""
        where, call = self._split(node)
        function, argument = self._function(call)
        kind = self._type(function, argument)
        described_as = self._described(function, argument, where)
        grid = described_as.bounds.step if function in {"sum", "avg"} and described_as.bounds is not None else 1.0
        if function in {"sum", "avg"} and argument is not None:
            own = self.rows.range_of(argument)
            grid = own.step if own is not None else 1.0 if argument.type == "integer" else 2.0**-20
        made = NumberMeasure("", function, argument, where, grid)
        for known in self.measures:
            if replace(known, name="") == made:
                return ColumnRef(known.name, kind)
        name = f"_m{len(self.measures)}"
        self.measures.append(replace(made, name=name))
        self.columns[name] = replace(described_as, name=name, type=kind)
        return ColumnRef(name, kind)

    def _split(self, node: exp.Expr) -> tuple[Expression | None, exp.Expr]:
        """The condition of FILTER, and the call it filters."""
        if isinstance(node, exp.CountIf):
            return self.resolver.condition(node.this), exp.Count(this=exp.Star())
        if isinstance(node, exp.Filter):
            where, call = self._split(node.this)
            own = self.resolver.condition(node.expression.this)
            return own if where is None else And((where, own)), call
        return None, node

    def _function(self, call: exp.Expr) -> tuple[NumberFunction, Expression | None]:
        text = self.context.text
        if isinstance(call, exp.Count):
            if isinstance(call.this, exp.Star) or call.this is None:
                return "count", None
            if isinstance(call.this, exp.Distinct):
                if len(call.this.expressions) != 1:
                    raise text.refuse("DPQ-108", "COUNT(DISTINCT ...) takes one column here", "one column", call)
                return "count distinct", self.resolver.value(call.this.expressions[0])
            return "count", self.resolver.value(call.this)
        function = _FUNCTIONS.get(type(call))
        if function is None or isinstance(call.this, exp.Distinct) or call.this is None:
            name = call.name if isinstance(call, exp.Anonymous | exp.AnonymousAggFunc) else call.key
            raise text.refuse(
                "DPQ-108",
                f"{name.upper()[:64]} is not among the aggregates over a number's own rows",
                "COUNT, COUNT(DISTINCT x), SUM, AVG, MIN, MAX, MODE",
                call,
            )
        argument = self.resolver.value(call.this)
        if function in {"sum", "avg"} and argument.type not in NUMERIC:
            raise text.refuse("DPQ-112", f"this is {argument.type}, not a number", "COUNT(x)", call)
        return function, argument

    @staticmethod
    def _type(function: NumberFunction, argument: Expression | None) -> ValueType:
        if function in {"count", "count distinct"} or argument is None:
            return "integer"
        if function == "avg":
            return "decimal"
        return argument.type

    def _described(
        self, function: NumberFunction, argument: Expression | None, where: Expression | None
    ) -> NamedColumn:
        """What is known of a measure: its bounds for a clamp, and its keys if they are few."""
        cap = self.rows.table.policy.contribution_bounds.ungrouped.max_rows
        own = described(self.rows, argument) if argument is not None else None
        if function in {"count", "count distinct"}:
            most = cap
            if function == "count distinct" and own is not None and own.keys is not None:
                most = len([key for key in own.keys if key is not None])
            least = 1 if argument is None and where is None else 0  # a number without rows has no row here
            keys = tuple(range(least, min(most, KEYS_LISTED_MAX) + 1))
            capped = function == "count" or most == cap or most > KEYS_LISTED_MAX
            bounds = ValueRange(0.0, float(max(1, most)), 1.0)
            return NamedColumn("", "integer", "value", keys, "bounds", bounds, unit="rows", capped=capped)
        if own is None:
            return NamedColumn("", "integer", "value")
        if function == "sum":
            bounds_of = own.bounds
            if bounds_of is None:
                return NamedColumn("", own.type, "value", unit=own.unit)
            low, high = min(0.0, bounds_of.low) * cap, max(0.0, bounds_of.high) * cap
            return NamedColumn(
                "", own.type, "value", bounds=ValueRange(low, high, bounds_of.grid), bins=own.bins, unit=own.unit
            )
        known = own.keys if function in {"mode", "min", "max"} else None
        if known is not None and None not in known:
            known = (*known, None)
        clamp = own.bounds
        if function == "avg" and clamp is not None:
            clamp = ValueRange(clamp.low, clamp.high, None)
        return replace(own, name="", role="value", keys=known, bounds=clamp)


@dataclass(frozen=True, slots=True)
class _AfterGrouping:
    """Resolves what stands beside GROUP BY: keys, aggregates, and expressions of them."""

    grouping: _Grouping
    spelled: dict[str, ColumnRef]

    def part(self, node: exp.Expr) -> Expression:
        return self._resolver(node).part(node)

    def condition(self, node: exp.Expr) -> Expression:
        return self._resolver(node).condition(node)

    def _resolver(self, node: exp.Expr) -> RowResolver:
        known: dict[int, Expression] = {}
        self._note(node, known)
        # The names that remain are neither keys nor inside an aggregate.
        empty = replace(self.grouping.rows, columns=self.grouping.columns, names=())
        return replace(self.grouping.resolver, rows=empty, known=known)

    def _note(self, node: exp.Expr, known: dict[int, Expression]) -> None:
        spelling = one_spelling(node)
        if spelling in self.spelled:
            known[id(node)] = self.spelled[spelling]
        elif aggregates_in(node) == [node]:
            known[id(node)] = self.grouping.measure(node)
        elif isinstance(node, exp.Column):
            known[id(node)] = self._as_key(node)
        else:
            for child in node.iter_expressions():
                self._note(child, known)

    def _as_key(self, node: exp.Column) -> Expression:
        """A column beside GROUP BY is one of its keys, however it is written."""
        expression = self.grouping.resolver.value(node)
        for name, key in self.grouping.keys:
            if key == expression:
                return ColumnRef(name, key.type)
        raise self.grouping.context.text.refuse(
            "DPQ-106", f"{node.name} is neither a key nor inside an aggregate", "add it to GROUP BY", node
        )
