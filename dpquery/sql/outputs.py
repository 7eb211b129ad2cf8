"""SELECT, HAVING, ORDER BY and LIMIT of the outer query: keys, aggregates, and what is computed from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dpquery.plan.catalog import NamedColumn
from dpquery.plan.expressions import ColumnRef, columns_in
from dpquery.plan.query import Average, Ordering, Output, Quantile, Sum, Variance, aggregate_column, key_column
from dpquery.plan.released import unreleasable
from dpquery.sql.clauses import aggregates_in, interval_end, is_aggregate, one_spelling, unaliased, whole_number
from dpquery.sql.keys import group_items, uncapped

if TYPE_CHECKING:
    from dpquery.plan.expressions import Expression, ValueType
    from dpquery.plan.keys import GroupKey
    from dpquery.plan.query import Aggregate
    from dpquery.sql.aggregates import AggregateResolver
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.text import QueryText

OUTPUTS_MAX = 64
NAME_LENGTH_MAX = 128
ENDINGS = ("_low", "_high", "_useful")
"""Names of the columns that go with a value: x_low, x_high, x_useful."""


@dataclass(slots=True)
class Outputs:
    """The columns of the answer, gathered from SELECT, HAVING and ORDER BY."""

    select: exp.Select
    resolver: RowResolver
    aggregating: AggregateResolver
    keys: tuple[GroupKey, ...]
    outputs: list[Output] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    expressions: list[Expression] = field(default_factory=list)

    @property
    def text(self) -> QueryText:
        return self.resolver.text

    def selected(self) -> None:
        """The items of SELECT, in order."""
        if len(self.select.expressions) > OUTPUTS_MAX:
            raise self.text.refuse("DPQ-114", f"at most {OUTPUTS_MAX} columns are answered", "ask several queries")
        for item in self.select.expressions:
            node = unaliased(item)
            name = self._name(item, node)
            if any(output.name == name for output in self.outputs):
                raise self.text.refuse("DPQ-115", f"the name {name} is used twice", f"... AS {name}_2", item)
            ends = interval_end(node)
            # The value may be named further on, so that ends find theirs when all are known.
            self.outputs.append(
                self._output(name, node) if ends is None else Output(name, ends, len(self.outputs), one_spelling(node))
            )
        for place, item in enumerate(self.select.expressions):
            if self.outputs[place].is_end:
                self.outputs[place] = replace(self.outputs[place], index=self._interval_of(unaliased(item)))
        self._check_interval_names()
        if not any(output.is_value for output in self.outputs):
            raise self.text.refuse(
                "DPQ-106", "the query asks for no aggregate", "add COUNT(*) to SELECT", self.select.expressions[0]
            )

    def _output(self, name: str, node: exp.Expr, *, hidden: bool = False) -> Output:
        if is_aggregate(node):
            index = self._aggregate(node)
            unit = self.aggregating.unit(self.aggregates[index])
            return Output(name, "aggregate", index, one_spelling(node), unit, hidden)
        if aggregates_in(node) or self._goes_on(node):
            expression = self._released(node)
            reason = unreleasable(expression)
            if reason is not None:
                raise self.text.refuse(
                    "DPQ-108",
                    f"{reason} has no interval when it is computed from noisy values",
                    "+ - * / between aggregates and numbers; the rest on release.to_pandas()",
                    node,
                )
            if expression not in self.expressions:
                self.expressions.append(expression)
            return Output(name, "expression", self.expressions.index(expression), one_spelling(node), None, hidden)
        return Output(name, "key", self._key_index(node), one_spelling(node), None, hidden)

    def _goes_on(self, node: exp.Expr) -> bool:
        """Whether an expression computes with a value that SELECT names before it, as in `COUNT(*) AS n, n / 7`."""
        if isinstance(node, exp.Column) or node.find(exp.Query) is not None:
            return False
        names = {output.name.lower() for output in self.outputs if output.is_value}
        return any(c.name.lower() in names and self._aliased(c) is not None for c in node.find_all(exp.Column))

    def _interval_of(self, call: exp.Expr) -> int:
        """The place of the value that DP_INTERVAL_LOW(name) names."""
        given = call.expressions
        name = given[0].name.lower() if len(given) == 1 and isinstance(given[0], exp.Column) else None
        values = [place for place, output in enumerate(self.outputs) if output.is_value]
        found = next((place for place in values if self.outputs[place].name.lower() == name), None)
        if found is None:
            names = [self.outputs[place].name for place in values]
            raise self.text.refuse(
                "DPQ-108",
                f"{call.name.upper()} takes the name of a value in SELECT",
                f"{call.name.upper()}({names[0]})" if names else "COUNT(*) AS calls, DP_INTERVAL_LOW(calls)",
                call,
            )
        return found

    def _aggregate(self, node: exp.Expr) -> int:
        aggregate = self.aggregating.aggregate(node)
        if aggregate not in self.aggregates:
            self.aggregates.append(aggregate)
        return self.aggregates.index(aggregate)

    def having(self) -> Expression | None:
        """A test on released values; what it names is priced like any other aggregate."""
        having = self.select.args.get("having")
        if having is None:
            return None
        if not self.keys:
            raise self.text.refuse("DPQ-111", "HAVING stands with GROUP BY", "ask WHERE, or GROUP BY", having)
        return self._released(having.this, condition=True)

    def order(self) -> tuple[Ordering, ...]:
        """ORDER BY columns of the answer, or further aggregates, which are priced and not shown."""
        order = self.select.args.get("order")
        if order is None:
            return ()
        return tuple(Ordering(self._position(item), bool(item.args.get("desc"))) for item in order.expressions)

    def _position(self, item: exp.Expr) -> int:
        name = item.this.name.lower()
        shown = [output for output in self.outputs if not output.hidden]
        position = next((i for i, o in enumerate(shown) if o.name.lower() == name), None)
        if isinstance(item.this, exp.Literal):
            number = whole_number(item.this)
            position = number - 1 if number is not None and 1 <= number <= len(shown) else None
        elif position is None:
            spelling = one_spelling(item.this)
            position = next((i for i, o in enumerate(self.outputs) if o.sql == spelling), None)
            if position is None and (aggregates_in(item.this) or self._is_key(item.this)):
                # A name that no query can give, with a space in front: it may call a column of its own order_1.
                self.outputs.append(self._output(f" order_{len(self.outputs)}", item.this.unnest(), hidden=True))
                position = len(self.outputs) - 1
        if position is None:
            raise self.text.refuse(
                "DPQ-107", "ORDER BY takes columns of the answer", f"ORDER BY {shown[-1].name}", item
            )
        return position

    def limit(self) -> int | None:
        """LIMIT: groups come in the order of their keys, so it takes the first of them where ORDER BY is missing."""
        limit = self.select.args.get("limit")
        if limit is None:
            return None
        node = limit.args.get("expression")
        if any(value for part, value in limit.args.items() if part != "expression"):
            raise self.text.refuse("DPQ-112", "LIMIT takes a whole number and nothing else", "LIMIT 10", limit)
        most = whole_number(node)
        if most is None:
            raise self.text.refuse("DPQ-112", "LIMIT takes a whole number", "LIMIT 10", limit)
        return most

    def _released(self, node: exp.Expr, *, condition: bool = False) -> Expression:
        """An expression over released values: aggregates and keys by their index."""
        known: dict[int, Expression] = {}
        self._note(node, known)
        kinds: dict[str, ValueType] = {}
        for expression in known.values():
            if isinstance(expression, ColumnRef):
                kinds[expression.name] = expression.type
        columns = {name: NamedColumn(name, kind, "value") for name, kind in kinds.items()}
        bare = replace(self.resolver.rows, columns=columns, names=())
        resolver = replace(self.resolver, rows=bare, known=known)
        return resolver.condition(node) if condition else resolver.value(node)

    def _note(self, node: exp.Expr, known: dict[int, Expression]) -> None:
        if is_aggregate(node):
            index = self._aggregate(node)
            known[id(node)] = ColumnRef(aggregate_column(index), self._type(self.aggregates[index]))
        elif isinstance(node, exp.Subquery) and not isinstance(node.parent, exp.In):
            self.resolver.value(node)  # refuses it, before names of the inner query are taken for names of this one
        elif isinstance(node, exp.Column) and (alias := self._aliased(node)) is not None:
            known[id(node)] = alias
        elif isinstance(node, exp.Column) or self._is_key(node):
            index = self._key_index(node)
            known[id(node)] = ColumnRef(key_column(index), self.keys[index].type)
        else:
            for child in node.iter_expressions():
                self._note(child, known)

    def _aliased(self, node: exp.Column) -> Expression | None:
        """What an alias of SELECT stands for, in HAVING and further on in SELECT."""
        if node.table or self.resolver.rows.find(node.name.lower()):
            return None
        for output in self.outputs:
            if output.name.lower() == node.name.lower():
                if output.kind == "aggregate":
                    return ColumnRef(aggregate_column(output.index), self._type(self.aggregates[output.index]))
                if output.kind == "expression":
                    return self.expressions[output.index]
                if output.is_end:
                    return None
                return ColumnRef(key_column(output.index), self.keys[output.index].type)
        return None

    @staticmethod
    def _type(aggregate: Aggregate) -> ValueType:
        if isinstance(aggregate, Average | Variance | Quantile) or (
            isinstance(aggregate, Sum) and aggregate.clamp.step != 1.0
        ):
            return "decimal"
        return "integer"

    def _is_key(self, node: exp.Expr) -> bool:
        """Whether `node` is written as one of the keys."""
        spelling = one_spelling(node)
        items = group_items(self.select, self.resolver.rows, self.text)
        return any(one_spelling(item) == spelling for item in items)

    def _key_index(self, node: exp.Expr) -> int:
        """Which key a plain column of SELECT is."""
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            raise self.text.refuse(
                "DPQ-106",
                "* names rows, and rows never leave",
                f"SELECT COUNT(*) FROM {self.resolver.rows.table.name}",
                node,
            )
        expression = self.resolver.value(node)
        for index, key in enumerate(self.keys):
            if expression in (key.expression, uncapped(key.expression)):
                return index
        names = ", ".join(sorted({self.resolver.rows.written(name) for name in columns_in(expression)})) or "this value"
        raise self.text.refuse(
            "DPQ-106",
            f"{names} is neither a key nor inside an aggregate, and rows never leave",
            "add it to GROUP BY, or aggregate it: COUNT(*)",
            node,
        )

    def _check_interval_names(self) -> None:
        """The columns of an interval are named after their value; no other column may have these names."""
        for output in self.outputs:
            for other in self.outputs:
                own = (
                    other.is_end and other.name == f"{output.name}_{other.kind}" and self.outputs[other.index] == output
                )
                if output.is_value and not own and other.name in {f"{output.name}{ending}" for ending in ENDINGS}:
                    why = f"{other.name} is a name in the interval of {output.name}"
                    raise self.text.refuse("DPQ-115", why, f"... AS {other.name}_2", self.select.expressions[-1])

    def _name(self, item: exp.Expr, node: exp.Expr) -> str:
        name = item.alias if isinstance(item, exp.Alias) else _default_name(node).lower()
        if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable() or name != name.strip():
            why = f"a name has 1 to {NAME_LENGTH_MAX} printable characters, and no space around them"
            raise self.text.refuse("DPQ-115", why, "... AS calls", item)
        return name


def _default_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Count) and (node.this is None or isinstance(node.this, exp.Star)):
        return "count_star"
    if isinstance(node, exp.Column):
        return node.name
    name = re.sub(r"\W+", "_", one_spelling(node)).strip("_")[:120] or "value"
    return f"value_{name}" if name[0].isdecimal() else name
