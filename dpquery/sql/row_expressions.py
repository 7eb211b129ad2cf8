"""Parsed row expressions to ours. What is not matched here does not exist for an analyst."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn, cast

from sqlglot import exp

from dpquery.plan.expressions import (
    NUMERIC,
    And,
    Arithmetic,
    ArithmeticOperator,
    Case,
    Coalesce,
    ColumnRef,
    Comparison,
    ComparisonOperator,
    Expression,
    InList,
    IsNull,
    Like,
    Lookup,
    Not,
    Or,
    Value,
    ValueType,
    children,
)
from dpquery.sql.constants import YEAR_FIRST, YEAR_LAST, folded
from dpquery.sql.dates import TIMES, TRUNCATIONS, cast_to_time, time_arithmetic, truncated, unit_named, with_interval
from dpquery.sql.functions import pattern_of, refuse_unknown, resolve_cast, resolve_function
from dpquery.sql.mentions import Mentions
from dpquery.sql.scope import SCHEMA, Party

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dpquery.sql.scope import Meaning, Rows
    from dpquery.sql.text import QueryText

_ARITHMETIC: dict[type[exp.Expr], ArithmeticOperator] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_COMPARISON: dict[type[exp.Expr], ComparisonOperator] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLIPPED: dict[ComparisonOperator, ComparisonOperator] = {
    "=": "=",
    "<>": "<>",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
EXPRESSION_NODES_MAX = 5_000
"""Parts of one expression, with those that stand for one another written out."""
PART_NODES_MAX = 1_000
"""Parts of a column of an inner query."""
GROWTH_NODES_MAX = 50_000
"""Parts that all columns of inner queries bring, each as often as it is named."""
EXPRESSION_DEPTH_MAX = 64
"""Levels of an expression: renderings and rules call themselves for each."""

_VOLATILE = (
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "currenttime",
    "currentdatetime",
    "localtime",
    "localtimestamp",
    "transaction_timestamp",
    "today",
    "random",
    "rand",
    "uuid",
    "get_current_time",
    "get_current_timestamp",
)


NUMBER_FACTS = {"phone_country": "country", "phone_region": "region", "phone_type": "type"}
"""Functions of a party, and the ending of the derived column they stand for."""


@dataclass(slots=True)
class Growth:
    """Parts of expressions that stand for columns of inner queries, counted over a whole query."""

    nodes: int = 0


def measured(expression: Expression, most: int) -> tuple[int, int]:
    """Parts and levels of an expression; counting stops soon after `most` parts."""
    open_parts, size, deepest = [(expression, 1)], 0, 0
    while open_parts and size <= most:
        part, depth = open_parts.pop()
        size, deepest = size + 1, max(deepest, depth)
        open_parts += [(child, depth + 1) for child in children(part)]
    return size, deepest


@dataclass(frozen=True, slots=True)
class RowResolver:
    """Resolves names against the rows of one SELECT."""

    rows: Rows
    text: QueryText
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """Values of the query's parameters."""
    known: Mapping[int, Expression] = field(default_factory=dict)
    """Parsed nodes that are resolved already (lists of numbers, aggregates, keys), by their identity."""
    growth: Growth = field(default_factory=Growth)
    """What inner queries have added, for the whole of a query."""
    mentions: Mentions = field(default_factory=Mentions)
    """Where the text names what."""

    def condition(self, node: exp.Expr) -> Expression:
        """A boolean row expression."""
        resolved = self.value(node)
        if resolved.type != "boolean":
            raise self.text.refuse("DPQ-112", "this is not a condition", "compare it: talk_s > 0", node)
        return resolved

    def value(self, node: exp.Expr) -> Expression:
        """A row expression of any type; QueryRefused for anything outside the allow-list."""
        if isinstance(node, exp.Paren):
            return self.value(node.this)
        if id(node) in self.known:
            return self.known[id(node)]
        if type(node) in _ARITHMETIC:
            return self._arithmetic(cast("exp.Binary", node), _ARITHMETIC[type(node)])
        if type(node) in _COMPARISON:
            return self._comparison(cast("exp.Binary", node), _COMPARISON[type(node)])
        if isinstance(node, exp.Anonymous) and node.name.lower() in NUMBER_FACTS:
            return self._number_fact(node)
        handler = _HANDLERS.get(type(node))
        if handler is not None:
            return handler(self, node)
        found = resolve_function(self, node)
        if found is None:
            self._refuse_construct(node)
        return found

    def meaning(self, node: exp.Column) -> Meaning:
        """What the name `node` stands for; QueryRefused if it stands for nothing, or for several things."""
        name = node.name.lower()  # as in DuckDB, in quotes too
        qualifier = node.table.lower() if node.table else None
        schema = node.args.get("db")
        elsewhere = node.args.get("catalog") or (schema is not None and schema.name.lower() != SCHEMA)
        if elsewhere or (qualifier is not None and not self.rows.has_qualifier(qualifier)):
            raise self.text.refuse("DPQ-104", "there is no such table in this query", f"write {node.name} alone", node)
        found = self.rows.find(name, qualifier)
        if not found:
            known = list(dict.fromkeys(self.rows.all_names()))
            quoted = isinstance(node.this, exp.Identifier) and bool(node.this.args.get("quoted"))
            near = [label for label in known if label.endswith(f"_{name}")]  # region: caller_region or callee_region
            near = near or get_close_matches(name, known, n=1, cutoff=0.8 if quoted else 0.65)
            if quoted and not near:  # BigQuery and Python write text so
                offer = "'{}': text stands in single quotes".format(node.name[:64].replace("'", "''"))
            else:
                offer = " or ".join(near) if near else "one of " + ", ".join(known)
            where = qualifier or self.rows.table.name
            raise self.text.refuse("DPQ-104", f"{where} has no column {name[:64]}", f"write {offer}", node)
        if len(found) > 1:
            tables = [names.qualifiers[0] for names in self.rows.names if name in names.meanings]
            raise self.text.refuse(
                "DPQ-104", f"{name} could be a column of {' or '.join(tables)}", f"write {tables[0]}.{name}", node
            )
        return found[0]

    def party(self, node: exp.Expr) -> Party | None:
        """The privacy id that `node` names, if it names one."""
        meaning = self.meaning(node) if isinstance(node, exp.Column) else None
        if not isinstance(meaning, Party):
            return None
        for name in (meaning.name, *self.rows.parties):
            self.mentions.column(f"{self.rows.table.name}.{name}", node)
        return meaning

    def _column_value(self, node: exp.Expr) -> Expression:
        meaning = self.meaning(cast("exp.Column", node))
        if isinstance(meaning, Party):
            raise self.text.refuse(
                "DPQ-105",
                f"{node.name} is a privacy id: it cannot be selected, grouped, compared or aggregated",
                f"COUNT(DISTINCT {node.name}), or group by phone_region({node.name})",
                node,
            )
        self._mention(meaning, node)
        return self._expanded(meaning, node)

    def _mention(self, expression: Expression, node: exp.Expr) -> None:
        """Note where the text names a column of the policy."""
        column, table = self.rows.column_of(expression), self.rows.table
        if column is not None and column.declared:
            of_view = table.legs_of is not None and column.name in table.columns
            for name in table.stored_columns(column.name) if of_view else (column.declared,):
                self.mentions.column(name, node)
        elif isinstance(expression, Lookup):
            self.mentions.column(expression.source, node)

    def _number_fact(self, node: exp.Anonymous) -> Expression:
        """`phone_region(caller)`: what the numbering plan says of a party, under the column's own name."""
        only = node.expressions[0] if len(node.expressions) == 1 else None
        party = self.party(only) if only is not None else None
        if party is None:
            example = f"{node.name.lower()}({self.rows.privacy_ids[0]})"
            raise self.text.refuse("DPQ-108", "the function takes one privacy id", example, node)
        ending = NUMBER_FACTS[node.name.lower()]
        names = [f"{party.name}_{ending}"]
        if self.rows.table.legs_of is not None:
            names.append({"type": "own_number_type"}.get(ending, ending))
        for name in names:
            if name in self.rows.columns:
                column = ColumnRef(name, self.rows.columns[name].type)
                self._mention(column, node)
                return column
        raise self.text.refuse("DPQ-108", "rows of this query do not tell it", "ask the table itself", node)

    def _parameter(self, node: exp.Expr) -> Expression:
        """A parameter's value, as if it were written here."""
        name = node.name.lower()
        if not name or name == "?":
            raise self.text.refuse(
                "DPQ-113", "a parameter has a name", 'write :d for ?, and db.sql(..., params={"d": ...})', node
            )
        if name not in self.parameters:
            raise self.text.refuse(
                "DPQ-113",
                f"the parameter {name[:64]} has no value",
                f'db.sql(..., params={{"{name[:64]}": ...}}), or --param {name[:64]}=...',
                node,
            )
        return self.parameters[name]

    def _literal(self, node: exp.Expr) -> Expression:
        literal = cast("exp.Literal", node)
        if literal.is_string:
            return Value(literal.name, "text")
        try:
            whole = int(literal.name)
        except ValueError:
            number = float(literal.name)
            if not math.isfinite(number):
                raise self.text.refuse("DPQ-112", "this number is too large", "write a smaller one", node) from None
            return Value(number, "decimal")
        if abs(whole) >= 2**63:
            raise self.text.refuse("DPQ-112", "this number does not fit in 64 bits", "write a smaller one", node)
        return Value(whole, "integer")

    def _boolean(self, node: exp.Expr) -> Expression:
        return Value(bool(cast("exp.Boolean", node).this), "boolean")

    def _null(self, _node: exp.Expr) -> Expression:
        return Value(None, "boolean")

    def _date_function(self, node: exp.Expr) -> Expression:
        if node.args.get("expressions") or node.args.get("zone"):
            self._refuse_construct(node)
        return cast_to_time(self, node.this, "date", node)

    def time_constant(self, text: str, kind: ValueType, node: exp.Expr) -> Value:
        """The date or timestamp (UTC) that a constant text spells; QueryRefused if it spells none."""
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise self.text.refuse(
                "DPQ-112",
                "this text is not a date or time",
                "DATE '2026-01-31' or TIMESTAMP '2026-01-31 09:00:00'",
                node,
            ) from None
        if moment.tzinfo is not None or not YEAR_FIRST <= moment.year <= YEAR_LAST:
            raise self.text.refuse(
                "DPQ-112", "times are UTC without an offset, from 1900 to 2999", "TIMESTAMP '2026-01-31 09:00:00'", node
            )
        return Value(moment.date() if kind == "date" else moment, kind)

    def _negation(self, node: exp.Expr) -> Expression:
        item = self.value(node.this)
        if isinstance(item, Value) and isinstance(item.value, (int, float)) and not isinstance(item.value, bool):
            return Value(-item.value, item.type)
        self._need_number(item, node.this)
        return Arithmetic("-", Value(0, "integer"), item, item.type)

    def _arithmetic(self, node: exp.Binary, operator: ArithmeticOperator) -> Expression:
        moved = with_interval(self, node, operator)
        if moved is not None:
            return moved
        left, right = self.value(node.left), self.value(node.right)
        if {left.type, right.type} & TIMES:
            return time_arithmetic(self, operator, left, right, node)
        self._need_number(left, node.left)
        self._need_number(right, node.right)
        whole = operator != "/" and left.type == right.type == "integer"
        kind: ValueType = "integer" if whole else "decimal"
        if isinstance(left, Value) and isinstance(right, Value):
            constant = folded(operator, left, right, kind)
            if constant is not None:
                return constant
        return Arithmetic(operator, left, right, kind)

    def _comparison(self, node: exp.Binary, operator: ComparisonOperator) -> Expression:
        left, right = self.value(node.left), self.value(node.right)
        left, right = self.alike(left, right, node)
        if isinstance(left, Value) and not isinstance(right, Value):
            left, right, operator = right, left, _FLIPPED[operator]
        self._check_told(left, [right], node, operator)
        return Comparison(operator, left, right)

    def _check_told(self, item: Expression, values: list[Expression], node: exp.Expr, operator: str = "=") -> None:
        """QueryRefused for a word that the column never says, since it would tell some numbers from others."""
        column = self.rows.column_of(item)
        words = [value.value for value in values if isinstance(value, Value) and isinstance(value.value, str)]
        told = {} if column is None else column.told_as
        hidden = next((word for word in words if word in told), None)
        if column is None or hidden is None:
            return
        name = self.rows.written(column.name)
        shown = list(dict.fromkeys(told.get(word, word) for word in words))
        listed = ", ".join("'{}'".format(word.replace("'", "''")) for word in shown)
        raise self.text.refuse(
            "DPQ-125",
            f"{name} says '{told[hidden]}' of {hidden} numbers too, so that nobody can tell who called which",
            f"{name} {operator} {listed}" if len(shown) == 1 else f"{name} IN ({listed})",
            node,
        )

    def _between(self, node: exp.Expr) -> Expression:
        if node.args.get("symmetric"):
            self._refuse_construct(node)
        item = self.value(node.this)
        low_item, low = self.alike(item, self.value(node.args["low"]), node)
        high_item, high = self.alike(item, self.value(node.args["high"]), node)
        return self.limited(And((Comparison(">=", low_item, low), Comparison("<=", high_item, high))), node)

    def _in(self, node: exp.Expr) -> Expression:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field") or not node.expressions:
            self._refuse_construct(node)
        item = self.value(node.this)
        values: list[Value] = []
        for member in node.expressions:
            _, value = self.alike(item, self.value(member), member)
            if not isinstance(value, Value) or value.value is None:
                raise self.text.refuse(
                    "DPQ-108", "IN takes a list of constants", "queue IN ('sales', 'billing')", member
                )
            values.append(value)
        self._check_told(item, list(values), node)
        return InList(item, tuple(values))

    def _and(self, node: exp.Expr) -> Expression:
        return And(tuple(self.condition(part) for part in node.flatten()))

    def _or(self, node: exp.Expr) -> Expression:
        return Or(tuple(self.condition(part) for part in node.flatten()))

    def _not(self, node: exp.Expr) -> Expression:
        return Not(self.condition(node.this))

    def _is(self, node: exp.Expr) -> Expression:
        right = node.args["expression"]
        negated = isinstance(right, exp.Not)
        target = right.this if negated else right
        if isinstance(target, exp.Null):
            test: Expression = IsNull(self.value(node.this))
        elif isinstance(target, exp.Boolean):
            condition = self.condition(node.this)
            test = Coalesce((condition if target.this else Not(condition), Value(False, "boolean")), "boolean")
        else:
            self._refuse_construct(node)
        return Not(test) if negated else test

    def _like(self, node: exp.Expr) -> Expression:
        if any(value for part, value in node.args.items() if part not in {"this", "expression", "negate"}):
            self._refuse_construct(node)
        item, pattern = self.value(node.this), self.value(node.args["expression"])
        if item.type != "text":
            raise self.text.refuse("DPQ-112", "LIKE compares text with a constant pattern", "queue LIKE 'sal%'", node)
        found = Like(item, pattern_of(self, node, pattern))
        return Not(found) if node.args.get("negate") else found

    def _case(self, node: exp.Expr) -> Expression:
        operand = node.args.get("this")
        branches: list[tuple[Expression, Expression]] = []
        for branch in node.args["ifs"]:
            if operand is None:
                test = self.condition(branch.this)
            else:
                left, right = self.alike(self.value(operand), self.value(branch.this), branch)
                self._check_told(left, [right], branch.this)
                test = Comparison("=", left, right)
            branches.append((test, self.value(branch.args["true"])))
        default = node.args.get("default")
        made = self._branches(branches, None if default is None else self.value(default), node)
        return made if operand is None else self.limited(made, node)

    def _if(self, node: exp.Expr) -> Expression:
        otherwise = node.args.get("false")
        branch = (self.condition(node.this), self.value(node.args["true"]))
        return self._branches([branch], None if otherwise is None else self.value(otherwise), node)

    def _branches(
        self, branches: list[tuple[Expression, Expression]], default: Expression | None, node: exp.Expr
    ) -> Expression:
        kind = self.common_type([value for _, value in branches] + ([] if default is None else [default]), node)
        return Case(tuple(branches), default, kind)

    def _coalesce(self, node: exp.Expr) -> Expression:
        items = tuple(self.value(part) for part in (node.this, *node.expressions))
        return Coalesce(items, self.common_type(list(items), node))

    def _nullif(self, node: exp.Expr) -> Expression:
        item, other = self.alike(self.value(node.this), self.value(node.args["expression"]), node)
        return self.limited(Case(((Comparison("=", item, other), Value(None, item.type)),), item, item.type), node)

    def _truncation(self, node: exp.Expr) -> Expression:
        unit = node.args.get("unit")
        name = unit_named(unit.name) if unit is not None else ""
        others = any(value for part, value in node.args.items() if part not in {"this", "unit"})
        if others or name not in TRUNCATIONS or self.text.arguments(node) != 2:
            self._refuse_truncation(node)
        swapped = isinstance(node.this, exp.Column) and unit_named(node.this.name) in TRUNCATIONS
        if swapped and not self.rows.find(node.this.name.lower()):
            self._refuse_truncation(node)  # DATE_TRUNC(day, WEEK): day is a unit too
        item = self.value(node.this)
        if item.type not in TIMES:
            self._refuse_truncation(node)
        return truncated(TRUNCATIONS[name], item, "timestamp")

    def _refuse_truncation(self, node: exp.Expr) -> NoReturn:
        units = ", ".join(TRUNCATIONS)
        unit, item = unit_named(node.this.name), node.args.get("unit")
        if unit not in TRUNCATIONS:
            unit, item = unit_named(item.name) if item is not None else "", node.this
        # BigQuery names the time first: its unit and its column stay.
        unit, column = (
            unit if unit in TRUNCATIONS else "day",
            item.name if isinstance(item, exp.Column | exp.Var) else "",
        )
        fix = f"date_trunc('{unit}', {column.lower() if column.lower() in self.rows.columns else 'start_ts'})"
        raise self.text.refuse("DPQ-108", f"date_trunc takes one of {units}, and a time", fix, node)

    def part(self, node: exp.Expr) -> Expression:
        """A value that other expressions are made of: a column of an inner query."""
        return self.limited(self.value(node), node, PART_NODES_MAX)

    def limited(self, expression: Expression, node: exp.Expr, most: int = EXPRESSION_NODES_MAX) -> Expression:
        """An expression in which a part stands several times, if it has not grown beyond measure by that."""
        size, depth = measured(expression, most)
        if size > most or depth > EXPRESSION_DEPTH_MAX:
            raise self.text.refuse("DPQ-114", "the expression is too large", "use fewer or simpler steps", node)
        return expression

    def _expanded(self, meaning: Expression, node: exp.Expr) -> Expression:
        """What a column of an inner query stands for; the whole query may grow by that only so far."""
        if not isinstance(meaning, ColumnRef):
            self.growth.nodes += measured(meaning, PART_NODES_MAX)[0]
            if self.growth.nodes > GROWTH_NODES_MAX:
                raise self.text.refuse("DPQ-114", "the query is too large", "use fewer or simpler steps", node)
        return meaning

    def common_type(self, items: list[Expression], node: exp.Expr) -> ValueType:
        kinds = {item.type for item in items if not (isinstance(item, Value) and item.value is None)}
        if not kinds:
            return "boolean"
        if kinds <= NUMERIC:
            return "integer" if kinds == {"integer"} else "decimal"
        if len(kinds) > 1:
            raise self.text.refuse("DPQ-112", "the branches have different types", "give them one type", node)
        return kinds.pop()

    def alike(self, left: Expression, right: Expression, node: exp.Expr) -> tuple[Expression, Expression]:
        """Both sides in comparable types: text constants become dates or times beside one."""
        for item, other in ((left, right), (right, left)):
            if isinstance(item, Value) and isinstance(item.value, str) and other.type in {"date", "timestamp"}:
                kind: ValueType = "timestamp" if ":" in item.value else other.type
                constant = self.time_constant(item.value, kind, node)
                left, right = (constant, right) if item is left else (left, constant)
        kinds = {item.type for item in (left, right) if not (isinstance(item, Value) and item.value is None)}
        if len(kinds) == 1 or not kinds or kinds <= NUMERIC or kinds <= {"date", "timestamp"}:
            return left, right
        raise self.text.refuse(
            "DPQ-112", f"{left.type} and {right.type} cannot be compared", "compare values of one type", node
        )

    def _need_number(self, item: Expression, node: exp.Expr) -> None:
        if item.type not in NUMERIC:
            raise self.text.refuse(
                "DPQ-112", f"arithmetic needs numbers, this is {item.type}", "use a numeric column", node
            )

    def _refuse_construct(self, node: exp.Expr) -> NoReturn:
        if isinstance(node, exp.Subquery | exp.Query | exp.Exists):
            why = "an inner query stands in FROM, or lists numbers: its value here would depend on other rows"
            raise self.text.refuse("DPQ-111", why, "put the inner query in FROM, or ask it on its own", node)
        if isinstance(node, exp.Star):
            raise self.text.refuse("DPQ-106", "* names rows, and rows never leave", "SELECT COUNT(*) FROM calls", node)
        if isinstance(node, exp.AggFunc):
            within = node.find_ancestor(exp.Where, exp.Select, exp.Filter)
            fix = "write that condition in HAVING" if isinstance(within, exp.Where) else "move it out"
            raise self.text.refuse("DPQ-108", "an aggregate cannot stand inside a row expression", fix, node)
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key.replace("_", " ")
        if name.replace(" ", "_") in _VOLATILE or isinstance(node, exp.CurrentDate | exp.CurrentTimestamp | exp.Rand):
            why = "the answer must not depend on when or how often it is asked"
            raise self.text.refuse("DPQ-108", why, "write the date: DATE '2026-01-31'", node)
        refuse_unknown(self, node)


_HANDLERS: Mapping[type[exp.Expr], Callable[[RowResolver, exp.Expr], Expression]] = {
    exp.Column: RowResolver._column_value,
    exp.Placeholder: RowResolver._parameter,
    exp.Parameter: RowResolver._parameter,
    exp.SessionParameter: RowResolver._parameter,
    exp.Literal: RowResolver._literal,
    exp.Boolean: RowResolver._boolean,
    exp.Null: RowResolver._null,
    exp.Cast: resolve_cast,
    exp.Date: RowResolver._date_function,
    exp.TsOrDsToDate: RowResolver._date_function,
    exp.Neg: RowResolver._negation,
    exp.Between: RowResolver._between,
    exp.In: RowResolver._in,
    exp.And: RowResolver._and,
    exp.Or: RowResolver._or,
    exp.Not: RowResolver._not,
    exp.Is: RowResolver._is,
    exp.Like: RowResolver._like,
    exp.Case: RowResolver._case,
    exp.If: RowResolver._if,
    exp.Coalesce: RowResolver._coalesce,
    exp.Nullif: RowResolver._nullif,
    exp.TimestampTrunc: RowResolver._truncation,
    exp.DateTrunc: RowResolver._truncation,
}
"""The allow-list of constructs; functions have their own, in `sql/functions.py`. What is in neither is refused."""
